//! What is read from disk at a start.

use std::collections::BTreeSet;
use std::fs;

use super::choice;
use super::lab::Lab;
use crate::snapshot::{Record, Snapshotter, sealing};

const GROUP: &str = "g";

/// A snapshot as it is, or with its sums put right, so that what lies behind them is reached.
pub fn snapshot(data: &[u8]) -> bool {
    let (choice, bytes) = choice(data);
    let mut bytes = bytes.to_vec();
    if choice & 1 == 1 {
        sealing::seal(&mut bytes);
    }
    let journal = sealing::journal_of(&bytes, &[]);
    starts(&bytes, &journal)
}

/// The journal of a good snapshot: as it is, or with its sums put right.
pub fn journal(data: &[u8]) -> bool {
    let (choice, bytes) = choice(data);
    let record = |key| Record { key, value: b"value", ttl: None, hot: false };
    let keys: [&[u8]; 3] = [b"a", b"b", b"c"];
    let snapshot = sealing::sealed(GROUP, &keys.map(record));
    let mut journal = bytes.to_vec();
    if choice & 1 == 1 {
        sealing::seal_journal(&mut journal);
    }
    starts(&snapshot, &journal)
}

/// Starts with these files; then once more, when a key has been removed.
fn starts(snapshot: &[u8], journal: &[u8]) -> bool {
    Lab::with(|lab| {
        let path = lab.snapshot();
        let journal_path = sealing::journal_path(&path, snapshot);
        fs::write(&path, snapshot).unwrap();
        fs::write(&journal_path, journal).unwrap();
        let taken = restore(lab, snapshot.len(), None);
        if let Some(keys) = &taken
            && let Some(removed) = keys.first()
        {
            let mut rest = keys.clone();
            rest.remove(removed);
            assert_eq!(restore(lab, snapshot.len(), Some(removed)), Some(rest));
        }
        let _ = (fs::remove_file(&path), fs::remove_file(&journal_path));
        taken.is_some()
    })
}

/// The keys that a start finds, `remove` being removed before.
fn restore(lab: &Lab, len: usize, remove: Option<&Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    let snapshotter = Snapshotter::new(lab.snapshot(), GROUP).unwrap();
    if let Some(key) = remove {
        snapshotter.removed(key).unwrap();
    }
    let (mut keys, mut entries, mut bytes) = (BTreeSet::new(), 0, 0);
    let restored = snapshotter.restore(|record| {
        sealing::comes_back(&record);
        entries += 1;
        bytes += record.key.len() + record.value.len();
        keys.insert(record.key.to_vec());
    });
    assert!(bytes <= len, "more than the file holds");
    match restored {
        Ok(restored) => {
            assert_eq!(restored.map(|restored| restored.entries), Some(entries));
            Some(keys)
        }
        // Checked whole before the first entry is handed out.
        Err(_) => {
            assert_eq!(entries, 0, "entries of a file that is refused");
            None
        }
    }
}
