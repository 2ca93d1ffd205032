mod corruption;
mod journals;
mod round_trip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::{About, Reader, Record, Restored, Snapshotter, Summary, Writer};
use crate::error::{Error, Result};

/// What a record says of its key: value, time to live, hot.
type Entry = (Vec<u8>, Option<Duration>, bool);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.snapshot");
    (folder, path)
}

fn record<'a>(key: &'a str, value: &'a [u8]) -> Record<'a> {
    Record { key: key.as_bytes(), value, ttl: None, hot: false }
}

fn write(path: &Path, records: &[Record<'_>]) -> Result<Summary> {
    let mut writer = Writer::create(path, &About::now("pages"))?;
    for record in records {
        writer.push(record)?;
    }
    writer.finish()
}

/// What a snapshot holds, by key.
fn read(path: &Path) -> Result<Option<BTreeMap<Vec<u8>, Entry>>> {
    let Some(mut reader) = Reader::open(path, "pages")? else { return Ok(None) };
    let mut found = BTreeMap::new();
    reader.each(|record| {
        found.insert(record.key.to_vec(), (record.value.to_vec(), record.ttl, record.hot));
    })?;
    Ok(Some(found))
}

/// The keys that a start of group "pages" finds, and what it says of them.
fn restore(path: &Path) -> Result<Option<(Vec<String>, Restored)>> {
    let mut keys = Vec::new();
    let restored = Snapshotter::new(path, "pages")?.restore(|record| {
        keys.push(String::from_utf8(record.key.to_vec()).unwrap());
    })?;
    keys.sort_unstable();
    Ok(restored.map(|restored| (keys, restored)))
}

/// The names in the snapshot's folder, the lock aside.
fn files(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".lock"));
    names.sort_unstable();
    names
}

/// The reason why a snapshot was refused.
fn reason<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Snapshot { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}
