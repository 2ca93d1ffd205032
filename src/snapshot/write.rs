//! Writing a snapshot: into a file of its own, which takes the old one's place at the end.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::format::{BLOCK_BYTES, HEAD_BYTES, Head, Header, Record};
use super::{About, PRIVATE, beside, folder};
use crate::error::{Error, Result};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) entries: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

/// A snapshot that is being written. Dropped before its [`finish`](Self::finish) it leaves
/// nothing behind.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    id: u64,
    /// Room for its head, and the records of the block that is being filled.
    block: Vec<u8>,
    block_entries: u32,
    blocks: u64,
    entries: u64,
    bytes: u64,
    /// What has gone wrong: a file with a hole must not take the old one's place.
    failed: Option<Error>,
}

impl Writer {
    /// Begins a snapshot that is to be at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when no file can be made beside `path`.
    pub(crate) fn create(path: &Path, about: &About) -> Result<Self> {
        let id = random_id();
        let header =
            Header { id, written_ms: unix_ms(about.written), group: about.group.clone().into() };
        let header = header.encode()?;
        let ending = format!("{TEMPORARY}{}-{:016x}", std::process::id(), fastrand::u64(..));
        let temporary = beside(path, &ending);
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&temporary);
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        block.resize(HEAD_BYTES, 0);
        let mut writer = Self {
            file: file.map_err(|error| cannot_write(path, &error))?,
            path: path.to_owned(),
            temporary,
            id,
            block,
            block_entries: 0,
            blocks: 0,
            entries: 0,
            bytes: header.len() as u64,
            failed: None,
        };
        writer.file.write_all(&header).map_err(|error| cannot_write(path, &error))?;
        Ok(writer)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the snapshot cannot be finished then.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> Result<()> {
        let result = self.add(record);
        self.note(result)
    }

    /// Puts the snapshot in the place of the one before, and on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the snapshot before is untouched, unless it is only the folder that could
    /// not be synced.
    pub(crate) fn finish(mut self) -> Result<Summary> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.write_block()?;
        let bytes = self.bytes + HEAD_BYTES as u64;
        let end = Head::End { entries: self.entries, bytes }.encode(self.id, self.blocks);
        let moved = self.file.write_all(&end).and_then(|()| {
            self.file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            File::open(folder(&self.path))?.sync_all()
        });
        moved.map_err(|error| cannot_write(&self.path, &error))?;
        Ok(Summary { entries: self.entries, bytes })
    }

    /// The file that is written to from here on, for disks that fill up.
    #[cfg(all(test, not(shuttle)))]
    pub(super) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    fn note(&mut self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result {
            self.failed.get_or_insert_with(|| error.clone());
        }
        result
    }

    fn add(&mut self, record: &Record<'_>) -> Result<()> {
        let len = record.encoded_len();
        if HEAD_BYTES + len > BLOCK_BYTES {
            self.write_block()?;
            return self.write_large(record);
        }
        if self.block.len() + len > BLOCK_BYTES {
            self.write_block()?;
        }
        self.block.extend_from_slice(&record.head()?);
        self.block.extend_from_slice(record.key);
        self.block.extend_from_slice(record.value);
        self.block_entries += 1;
        Ok(())
    }

    /// Writes the block that has been filled, if there is one.
    fn write_block(&mut self) -> Result<()> {
        let (entries, records) = (self.block_entries, &self.block[HEAD_BYTES..]);
        if entries == 0 {
            return Ok(());
        }
        let head = Head::Block { entries, len: records.len() as u64, sum: xxh3_64(records) };
        let head = head.encode(self.id, self.blocks);
        self.block[..HEAD_BYTES].copy_from_slice(&head);
        self.file.write_all(&self.block).map_err(|error| cannot_write(&self.path, &error))?;
        self.count_block(entries, self.block.len());
        self.block.truncate(HEAD_BYTES);
        self.block_entries = 0;
        Ok(())
    }

    /// Writes a block of one record from where it lies: it may be many MiB.
    fn write_large(&mut self, record: &Record<'_>) -> Result<()> {
        let parts = [&record.head()?, record.key, record.value];
        let mut sum = Xxh3::new();
        parts.iter().for_each(|part| sum.update(part));
        let len = record.encoded_len();
        let head = Head::Block { entries: 1, len: len as u64, sum: sum.digest() };
        let head = head.encode(self.id, self.blocks);
        let written = self.file.write_all(&head);
        let written = parts
            .iter()
            .fold(written, |so_far, part| so_far.and_then(|()| self.file.write_all(part)));
        written.map_err(|error| cannot_write(&self.path, &error))?;
        self.count_block(1, HEAD_BYTES + len);
        Ok(())
    }

    fn count_block(&mut self, entries: u32, bytes: usize) {
        self.blocks += 1;
        self.entries += u64::from(entries);
        self.bytes += bytes as u64;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After the rename there is none: its name was random.
        let _ = fs::remove_file(&self.temporary);
    }
}

const TEMPORARY: &str = ".tmp-";

/// Whether a name that goes on like this after the snapshot's is that of an unfinished one.
pub(super) fn is_temporary(ending: &[u8]) -> bool {
    ending.strip_prefix(TEMPORARY.as_bytes()).is_some_and(|rest| {
        let hex = rest.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
        hex + 1 == rest.len() && rest.iter().rev().nth(16) == Some(&b'-')
    })
}

/// From the operating system's randomness, by way of std's hash maps.
fn random_id() -> u64 {
    RandomState::new().hash_one((SystemTime::now(), std::process::id()))
}

pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::io(format!("cannot write snapshot {}", path.display()), error)
}
