use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::snapshot::State;
use crate::snapshot::journal::path_of;
use crate::snapshot::read::id_at;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

fn snapshotter(path: &Path) -> Snapshotter {
    Snapshotter::new(path, "pages").unwrap()
}

fn write_keys(snapshotter: &Snapshotter, keys: &[&str]) -> Result<Summary> {
    snapshotter.write(|writer| keys.iter().try_for_each(|key| writer.push(&record(key, b"v"))))
}

/// The keys that a start finds.
fn restored(path: &Path) -> Vec<String> {
    restore(path).unwrap().unwrap().0
}

/// The journal of the snapshot at `path`.
fn journal(path: &Path) -> PathBuf {
    path_of(path, id_at(path).unwrap().unwrap())
}

#[test]
fn what_was_removed_since_the_snapshot_stays_away() {
    let (_folder, path) = folder();
    let first = snapshotter(&path);
    write_keys(&first, &["a", "b", "c"]).unwrap();
    first.removed(b"b").unwrap();
    first.removed(b"b").unwrap();
    first.removed(b"never there").unwrap();
    drop(first);
    let (keys, counts) = restore(&path).unwrap().unwrap();
    assert_eq!(keys, ["a", "c"]);
    assert_eq!((counts.entries, counts.removed, counts.expired), (2, 1, 0));
}

#[test]
fn a_journal_goes_on_over_restarts() {
    let (_folder, path) = folder();
    write_keys(&snapshotter(&path), &["a", "b", "c"]).unwrap();
    for (removed, left) in [("a", &["b", "c"][..]), ("c", &["b"]), ("b", &[])] {
        snapshotter(&path).removed(removed.as_bytes()).unwrap();
        assert_eq!(restored(&path), left);
    }
}

#[test]
fn removing_writes_nothing_where_no_snapshot_is() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    snapshotter.removed(b"a").unwrap();
    assert!(!snapshotter.journalling.load(Ordering::SeqCst));
    assert_eq!(files(&folder), Vec::<String>::new());
}

#[test]
fn a_key_removed_while_a_snapshot_is_written_stays_away_from_both() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    write_keys(&snapshotter, &["a", "b"]).unwrap();
    let old = [fs::read(&path).unwrap(), fs::read(journal(&path)).unwrap()];
    let old_journal = journal(&path);
    let mut in_between = Vec::new();
    snapshotter
        .write(|writer| {
            writer.push(&record("a", b"v"))?;
            snapshotter.removed(b"a")?;
            in_between = fs::read(&old_journal).unwrap();
            writer.push(&record("b", b"v"))
        })
        .unwrap();
    drop(snapshotter);
    assert_eq!(files(&folder).len(), 2, "the snapshot and its journal: {:?}", files(&folder));
    assert_eq!(restored(&path), ["b"]);

    // As if the process had been killed just before the new one took its place.
    fs::write(&path, &old[0]).unwrap();
    fs::write(&old_journal, in_between).unwrap();
    assert_eq!(restored(&path), ["b"]);
    fs::write(&old_journal, &old[1]).unwrap();
    assert_eq!(restored(&path), ["a", "b"], "it was the journal that kept it away");
}

#[test]
fn a_new_snapshot_begins_with_an_empty_journal() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    write_keys(&snapshotter, &["a"]).unwrap();
    snapshotter.removed(b"a").unwrap();
    write_keys(&snapshotter, &["a"]).unwrap();
    drop(snapshotter);
    assert_eq!(files(&folder).len(), 2);
    assert_eq!(restored(&path), ["a"], "loaded anew, and written since");
}

#[test]
fn a_snapshot_that_fails_leaves_the_old_one_with_its_journal() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    write_keys(&snapshotter, &["a", "b", "c"]).unwrap();
    let failed = snapshotter.write(|writer| {
        writer.push(&record("new", b"v"))?;
        snapshotter.removed(b"a")?;
        Err(Error::ShuttingDown)
    });
    assert_eq!(failed, Err(Error::ShuttingDown));
    let panicked = catch_unwind(AssertUnwindSafe(|| snapshotter.write(|_| panic!("in the cache"))));
    assert!(panicked.is_err());
    assert_eq!(files(&folder).len(), 2, "{:?}", files(&folder));
    snapshotter.removed(b"b").unwrap();
    drop(snapshotter);
    assert_eq!(restored(&path), ["c"]);
}

#[test]
fn one_snapshot_is_written_at_a_time() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    snapshotter
        .write(|writer| {
            let second = write_keys(&snapshotter, &["second"]);
            assert!(matches!(second, Err(Error::Overloaded { .. })), "{second:?}");
            writer.push(&record("first", b"v"))
        })
        .unwrap();
    assert_eq!(files(&folder).len(), 2, "{:?}", files(&folder));
    write_keys(&snapshotter, &["third"]).unwrap();
    drop(snapshotter);
    assert_eq!(restored(&path), ["third"]);
}

#[test]
fn a_torn_last_record_is_forgotten_and_written_over() {
    let (_folder, path) = folder();
    write_keys(&snapshotter(&path), &["a", "b", "c"]).unwrap();
    let first = snapshotter(&path);
    first.removed(b"a").unwrap();
    first.removed(b"b").unwrap();
    drop(first);
    let whole = fs::read(journal(&path)).unwrap();
    for torn in 1..16 {
        fs::write(journal(&path), &whole[..whole.len() - torn]).unwrap();
        assert_eq!(restored(&path), ["b", "c"], "{torn} bytes are missing");
        snapshotter(&path).removed(b"c").unwrap();
        assert_eq!(restored(&path), ["b"], "{torn} bytes were missing");
    }
}

#[test]
fn a_damaged_or_missing_journal_makes_the_snapshot_unusable() {
    let (_folder, path) = folder();
    let first = snapshotter(&path);
    write_keys(&first, &["a", "b", "c"]).unwrap();
    first.removed(b"a").unwrap();
    first.removed(b"b").unwrap();
    drop(first);
    let (journal, mut handed_out) = (journal(&path), 0);
    let whole = fs::read(&journal).unwrap();
    let mut refused = |bytes: &[u8]| {
        fs::write(&journal, bytes).unwrap();
        // A removal must not make it look sound again.
        snapshotter(&path).removed(b"c").unwrap();
        reason(snapshotter(&path).restore(|_| handed_out += 1))
    };
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&bytes).contains("damaged journal"), "bit {bit}");
    }
    let (header, records) = whole.split_at(32);
    let (first, second) = records.split_at(16);
    for records in [[second, first], [first, first], [second, second]] {
        assert!(refused(&[header, &records.concat()].concat()).contains("damaged journal"));
    }
    for len in 0..header.len() {
        assert!(refused(&whole[..len]).contains("damaged journal"), "of {len} bytes");
    }
    fs::remove_file(&journal).unwrap();
    assert!(reason(restore(&path)).contains("no journal"));
    assert_eq!(handed_out, 0);
    write_keys(&snapshotter(&path), &["d"]).unwrap();
    assert_eq!(restored(&path), ["d"], "the next snapshot is sound again");
}

#[test]
fn a_full_journal_gives_its_snapshot_up() {
    let (folder, path) = folder();
    let mut snapshotter = snapshotter(&path);
    snapshotter.journal_bytes = 32 + 2 * 16;
    write_keys(&snapshotter, &["a"]).unwrap();
    for key in [b"1", b"2"] {
        snapshotter.removed(key).unwrap();
    }
    assert_eq!(files(&folder).len(), 2, "two removals fit");
    snapshotter.removed(b"3").unwrap();
    assert_eq!(files(&folder), Vec::<String>::new());
    assert!(!snapshotter.journalling.load(Ordering::SeqCst));
    write_keys(&snapshotter, &["b"]).unwrap();
    drop(snapshotter);
    assert_eq!(restored(&path), ["b"]);
}

#[test]
fn a_snapshot_during_which_too_much_is_removed_does_not_count() {
    let (folder, path) = folder();
    let mut snapshotter = snapshotter(&path);
    snapshotter.journal_bytes = 32 + 2 * 16;
    write_keys(&snapshotter, &["a"]).unwrap();
    let result = snapshotter.write(|writer| {
        writer.push(&record("b", b"v"))?;
        [b"1", b"2", b"3"].iter().try_for_each(|key| snapshotter.removed(*key))
    });
    assert!(matches!(result, Err(Error::Overloaded { .. })), "{result:?}");
    assert_eq!(files(&folder), Vec::<String>::new(), "nor the one before");
    drop(snapshotter);
    assert!(matches!(restore(&path), Ok(None)));
}

#[test]
fn a_snapshot_whose_own_journal_fails_leaves_the_one_before() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    write_keys(&snapshotter, &["a", "b"]).unwrap();
    let result = snapshotter.write(|writer| {
        snapshotter.removed(b"a")?;
        let newest = |state: &mut State| state.journals[1].append(b"a", 0);
        assert!(newest(&mut snapshotter.state.lock()).is_err());
        writer.push(&record("c", b"v"))
    });
    assert!(matches!(result, Err(Error::Overloaded { .. })), "{result:?}");
    assert_eq!(files(&folder).len(), 2, "{:?}", files(&folder));
    drop(snapshotter);
    assert_eq!(restored(&path), ["b"]);
}

#[test]
fn a_journal_that_cannot_be_ended_is_an_error_until_it_can() {
    let (folder, path) = folder();
    let mut snapshotter = snapshotter(&path);
    write_keys(&snapshotter, &["a"]).unwrap();
    snapshotter.journal_bytes = 0;
    // A folder of this name cannot be deleted as a file is.
    let (journal, aside) = (journal(&path), folder.path().join("aside"));
    fs::rename(&journal, &aside).unwrap();
    fs::create_dir(&journal).unwrap();
    for _ in 0..2 {
        assert!(matches!(snapshotter.removed(b"a"), Err(Error::Io { .. })));
    }
    fs::remove_dir(&journal).unwrap();
    fs::rename(&aside, &journal).unwrap();
    snapshotter.removed(b"a").unwrap();
    assert_eq!(files(&folder), Vec::<String>::new());
}

#[test]
fn what_a_killed_process_has_left_is_swept_and_nothing_else() {
    let (folder, path) = folder();
    write_keys(&snapshotter(&path), &["a"]).unwrap();
    let kept = journal(&path).file_name().unwrap().to_str().unwrap().to_owned();
    let foreign = [
        "pages.snapshot.removed-0123",
        "pages.snapshot.tmp-mine",
        "pages.snapshot.tmp-1-0123456789abcdef.gz",
        "pages.snapshot2.removed-0123456789abcdef",
    ];
    let left = ["pages.snapshot.removed-0123456789abcdef", "pages.snapshot.tmp-1-0123456789abcdef"];
    for name in foreign.iter().chain(&left) {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    drop(snapshotter(&path));
    let mut expected: Vec<&str> = foreign.to_vec();
    expected.extend(["pages.snapshot", &kept]);
    expected.sort_unstable();
    assert_eq!(files(&folder), expected);
}

#[test]
fn a_newer_programs_snapshot_gets_a_journal_all_the_same() {
    let (_folder, path) = folder();
    write_keys(&snapshotter(&path), &["a", "b"]).unwrap();
    let ours = fs::read(&path).unwrap();
    let mut newer = ours.clone();
    newer[8] = 2;
    fs::write(&path, &newer).unwrap();
    let old_program = snapshotter(&path);
    assert!(reason(old_program.restore(|_| ())).contains("version 2"));
    old_program.removed(b"a").unwrap();
    drop(old_program);
    // As the newer program reads it.
    fs::write(&path, &ours).unwrap();
    assert_eq!(restored(&path), ["b"]);
}

#[test]
fn two_groups_do_not_share_a_path() {
    let (_folder, path) = folder();
    let first = snapshotter(&path);
    let error = Snapshotter::new(&path, "scores").unwrap_err();
    assert!(error.to_string().contains("give each its own path"), "{error}");
    drop(first);
    assert!(Snapshotter::new(&path, "scores").is_ok());
}

#[test]
fn no_removal_is_lost_however_it_meets_a_snapshot() {
    let (_folder, path) = folder();
    let snapshotter = snapshotter(&path);
    let keys: Vec<String> = (0..5_000).map(|number| format!("{number:04}")).collect();
    let cache: Mutex<BTreeSet<&str>> = Mutex::new(keys.iter().map(|key| &**key).collect());
    let confirmed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            for key in &keys {
                cache.lock().remove(&**key);
                snapshotter.removed(key.as_bytes()).unwrap();
                confirmed.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut over = false;
        while !over {
            over = remover.is_finished();
            let write = |writer: &mut Writer| {
                keys.iter().try_for_each(|key| {
                    let there = cache.lock().contains(&**key);
                    if there { writer.push(&record(key, b"v")) } else { Ok(()) }
                })
            };
            snapshotter.write(write).unwrap();
            // What a process finds if this one is killed now.
            let confirmed = confirmed.load(Ordering::SeqCst);
            let back = |record: Record<'_>| {
                let key = std::str::from_utf8(record.key).unwrap();
                assert!(key.parse::<usize>().unwrap() >= confirmed, "{key} of {confirmed} is back");
            };
            snapshotter.restore(back).unwrap();
        }
    });
}

#[test]
fn a_forgotten_snapshot_leaves_nothing() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    snapshotter.forget().unwrap();
    write_keys(&snapshotter, &["a"]).unwrap();
    snapshotter.forget().unwrap();
    assert_eq!(files(&folder), Vec::<String>::new());
    snapshotter.removed(b"a").unwrap();
    assert_eq!(files(&folder), Vec::<String>::new());
    write_keys(&snapshotter, &["b"]).unwrap();
    drop(snapshotter);
    assert_eq!(restored(&path), ["b"]);
}

#[test]
fn what_is_forgotten_while_it_is_written_takes_no_place() {
    let (folder, path) = folder();
    let snapshotter = snapshotter(&path);
    write_keys(&snapshotter, &["a"]).unwrap();
    let forgotten = snapshotter.write(|writer| {
        writer.push(&record("a", b"v"))?;
        snapshotter.forget()
    });
    let error = forgotten.unwrap_err();
    assert!(error.to_string().contains("was cleared"), "{error}");
    assert_eq!(files(&folder), Vec::<String>::new());
}
