use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::getter::Loaded;
use crate::group::GroupOptions;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.larder");
    (folder, path)
}

/// A group whose origin says `value` of every key.
fn group(budget: usize, value: &'static str) -> Group {
    Group::new("g", budget, move |_: &str| Ok(value)).unwrap()
}

/// A snapshot of these keys, of a process that has ended.
fn write(path: &Path, keys: impl IntoIterator<Item = String>) {
    let group = group(8 << 20, "old");
    for key in keys {
        group.get(&key).unwrap();
    }
    group.snapshot(path).unwrap();
}

fn keys(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|n| format!("key {n:04}"))
}

/// The files in the snapshot's folder, the lock aside.
fn files(folder: &TempDir) -> usize {
    let entries = fs::read_dir(folder.path()).unwrap();
    entries.filter(|entry| !entry.as_ref().unwrap().path().ends_with("g.larder.lock")).count()
}

#[test]
fn a_group_goes_on_where_it_has_ended() {
    let (_folder, path) = folder();
    write(&path, keys(500));
    let group = group(8 << 20, "new");
    let restored = group.restore(&path).unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    assert_eq!(restored, RestoreStats { entries: 500, bytes, ..RestoreStats::default() });
    for key in keys(500) {
        assert_eq!(group.get(&key).unwrap(), "old");
    }
    assert_eq!(group.stats().local_loads, 0);
    let again = group.restore(&path).unwrap();
    assert_eq!(again, RestoreStats { present: 500, bytes, ..RestoreStats::default() });
    let written = group.snapshot(&path).unwrap();
    assert_eq!(written, SnapshotStats { entries: 500, bytes });
    assert_eq!((group.stats().snapshots, group.stats().snapshot_errors), (1, 0));
}

#[test]
fn no_file_is_a_cold_start_and_no_error() {
    let (_folder, path) = folder();
    assert_eq!(group(1 << 20, "new").restore(&path), Ok(RestoreStats::default()));
}

#[test]
fn what_is_removed_or_set_after_a_snapshot_does_not_come_back() {
    let (_folder, path) = folder();
    let first = group(8 << 20, "old");
    keys(4).for_each(|key| drop(first.get(&key).unwrap()));
    first.snapshot(&path).unwrap();
    first.remove_local("key 0000").unwrap();
    first.set_local("key 0001", Loaded::new("set")).unwrap();
    drop(first);
    // A removal before the restart's first snapshot counts as well.
    let second = group(8 << 20, "old");
    assert_eq!(second.restore(&path).unwrap().removed, 2);
    second.remove_local("key 0002").unwrap();
    drop(second);
    let third = group(8 << 20, "new");
    assert_eq!(third.restore(&path).unwrap().entries, 1);
    let got: Vec<_> = keys(4).map(|key| third.get(&key).unwrap()).collect();
    assert_eq!(got, ["new", "new", "new", "old"]);
}

#[test]
fn clearing_ends_the_snapshot() {
    let (folder, path) = folder();
    write(&path, keys(10));
    let first = group(8 << 20, "old");
    first.restore(&path).unwrap();
    assert_eq!(files(&folder), 2, "the snapshot and its journal");
    first.clear().unwrap();
    assert_eq!(files(&folder), 0);
    drop(first);
    assert_eq!(group(8 << 20, "new").restore(&path), Ok(RestoreStats::default()));
}

#[test]
fn clearing_says_when_the_snapshot_cannot_be_ended() {
    let (folder, path) = folder();
    write(&path, keys(10));
    let group = group(8 << 20, "new");
    group.restore(&path).unwrap();
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let journal = entries.into_iter().find(|path| path.display().to_string().contains(".removed-"));
    let journal = journal.unwrap();
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    assert!(matches!(group.clear(), Err(Error::Io { .. })));
    assert_eq!(group.stats().main.items, 0);
}

#[test]
fn what_the_cache_has_already_is_newer_than_the_file() {
    let (_folder, path) = folder();
    write(&path, keys(3));
    let group = group(8 << 20, "new");
    group.get("key 0001").unwrap();
    let restored = group.restore(&path).unwrap();
    assert_eq!((restored.entries, restored.present), (2, 1));
    let got: Vec<_> = keys(3).map(|key| group.get(&key).unwrap()).collect();
    assert_eq!(got, ["old", "new", "old"]);
}

#[test]
fn a_group_has_one_path_and_a_path_one_group() {
    let (folder, path) = folder();
    let group = group(1 << 20, "v");
    group.restore(&path).unwrap();
    let other = group.snapshot(folder.path().join("other")).unwrap_err();
    assert!(other.to_string().contains("g.larder"), "{other}");
    let taken = super::tests::group(1 << 20, "v").snapshot(&path).unwrap_err();
    assert!(matches!(taken, Error::BadSetting { .. }), "{taken}");
    group.snapshot(&path).unwrap();
    assert_eq!((group.stats().snapshots, group.stats().snapshot_errors), (1, 1));
}

#[test]
fn a_damaged_file_is_refused_whole_and_replaced_by_the_next() {
    let (_folder, path) = folder();
    write(&path, keys(100));
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let second = group(8 << 20, "new");
    let error = second.restore(&path).unwrap_err();
    assert!(matches!(error, Error::Snapshot { .. }), "{error}");
    assert_eq!((second.stats().main.items, second.stats().snapshot_errors), (0, 1));
    assert_eq!(second.get("key 0000").unwrap(), "new");
    second.snapshot(&path).unwrap();
    drop(second);
    assert_eq!(group(8 << 20, "newer").restore(&path).unwrap().entries, 1);
}

/// Restores a file of many keys into a small cache, so that something is evicted on the way,
/// and does `meanwhile` when that happens first.
fn restore_and_meanwhile(meanwhile: impl Fn(&Group) + Send + Sync + 'static) -> Group {
    let (_folder, path) = folder();
    write(&path, keys(2_000));
    let itself: Arc<Mutex<Option<Group>>> = Arc::default();
    let (seen, times) = (Arc::clone(&itself), AtomicU64::new(0));
    let listener = move |_: &str, _: &crate::ByteView, _| {
        if times.fetch_add(1, Ordering::SeqCst) == 0 {
            let group = seen.lock().clone();
            meanwhile(&group.unwrap());
        }
    };
    let options = GroupOptions::new(100_000).on_evict(listener);
    let group = options.build("g", |_: &str| Ok("new")).unwrap();
    *itself.lock() = Some(group.clone());
    group.restore(&path).unwrap();
    assert!(group.stats().main.evictions > 0);
    *itself.lock() = None;
    group
}

/// The warmest: in a small cache the last to stay.
const LAST: &str = "key 1999";

#[test]
fn what_is_removed_while_the_file_is_read_stays_away() {
    let group = restore_and_meanwhile(|_| ());
    assert_eq!(group.peek(LAST).unwrap(), "old");
    let group = restore_and_meanwhile(|group| group.remove_local(LAST).unwrap());
    assert!(group.peek(LAST).is_none());
    assert_eq!(group.peek("key 1998").unwrap(), "old");
}

#[test]
fn what_is_set_or_loaded_while_the_file_is_read_stays() {
    let group = restore_and_meanwhile(|group| {
        // What is read after it is not to push it out.
        group.set_cache_bytes(8 << 20);
        group.set_local(LAST, Loaded::new("set")).unwrap();
    });
    assert_eq!(group.peek(LAST).unwrap(), "set");
    let group = restore_and_meanwhile(|group| {
        group.set_cache_bytes(8 << 20);
        assert_eq!(group.get(LAST).unwrap(), "new");
    });
    assert_eq!(group.peek(LAST).unwrap(), "new");
}

#[test]
fn clearing_ends_what_is_being_read() {
    let group = restore_and_meanwhile(|group| group.clear().unwrap());
    assert_eq!(group.stats().main.items, 0);
}

#[test]
fn a_file_is_not_read_twice_at_once() {
    let group = restore_and_meanwhile(|group| {
        let path = group.inner.warm.get().unwrap().snapshotter.path();
        assert!(matches!(group.restore(path), Err(Error::Overloaded { .. })));
    });
    assert_eq!(group.peek(LAST).unwrap(), "old");
}

#[test]
fn too_many_removals_end_the_reading() {
    let mut gone = Gone::default();
    (0..=MOST_GONE).for_each(|n| gone.add(&n.to_le_bytes()));
    assert!(gone.contains(b"any") && gone.hashes.is_empty());
}
