use std::fs;
use std::time::SystemTime;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::snapshot::format::{BLOCK_BYTES, HEAD_BYTES};

/// Values on both sides of a block's size, as well as small ones.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let repeated =
        |len: std::ops::Range<usize>| (any::<u8>(), len).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![
        8 => vec(any::<u8>(), 0..100),
        2 => repeated(30_000..60_000),
        1 => repeated(BLOCK_BYTES - 100..BLOCK_BYTES + 100),
        1 => repeated(300_000..400_000),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    // Far more than a test takes, far less than the end of time.
    let ttl = (1_000_000_u64..u64::MAX).prop_map(Duration::from_millis);
    (value(), option::of(ttl), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(
        entries in btree_map(vec(any::<u8>(), 0..40), entry(), 0..60)
    ) {
        let (_folder, path) = folder();
        let about = About { group: "pages".to_owned(), written: SystemTime::now() };
        let mut writer = Writer::create(&path, &about).unwrap();
        for (key, (value, ttl, hot)) in &entries {
            writer.push(&Record { key, value, ttl: *ttl, hot: *hot }).unwrap();
        }
        let summary = writer.finish().unwrap();
        prop_assert_eq!(summary.entries, entries.len() as u64);
        prop_assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());

        let mut found = BTreeMap::new();
        let mut reader = Reader::open(&path, "pages").unwrap().unwrap();
        let restored = reader.each_at(about.written, |record| {
            found.insert(record.key.to_vec(), (record.value.to_vec(), record.ttl, record.hot));
        });
        prop_assert_eq!(restored.unwrap().entries, summary.entries);
        prop_assert_eq!(found, entries);
    }
}

#[test]
fn a_block_is_filled_to_its_last_byte_and_not_beyond() {
    let (_folder, path) = folder();
    let overhead = record("k", b"").encoded_len() + HEAD_BYTES;
    for len in [BLOCK_BYTES - overhead, BLOCK_BYTES - overhead + 1] {
        let value = vec![7; len];
        write(&path, &[record("j", b"1"), record("k", &value), record("l", b"2")]).unwrap();
        let found = read(&path).unwrap().unwrap();
        assert_eq!((found.len(), found[&b"k"[..]].0.len()), (3, len));
        let mut order: Vec<u8> = Vec::new();
        let mut reader = Reader::open(&path, "pages").unwrap().unwrap();
        reader.each(|record| order.extend(record.key)).unwrap();
        assert_eq!(order, b"jkl", "in the order of writing");
    }
}

#[test]
fn a_snapshot_of_nothing_is_one() {
    let (_folder, path) = folder();
    assert_eq!(write(&path, &[]).unwrap().entries, 0);
    assert_eq!(read(&path).unwrap(), Some(BTreeMap::new()));
}

#[test]
fn no_file_is_a_cold_start_and_no_error() {
    let (_folder, path) = folder();
    assert_eq!(read(&path), Ok(None));
    assert!(matches!(restore(&path), Ok(None)));
    assert_eq!(read(&path.join("in/a/folder")), Ok(None));
}

/// A snapshot of three entries, read `after` the time of its writing.
fn read_after(after: Duration) -> (Restored, Vec<(String, Option<Duration>)>) {
    let (_folder, path) = folder();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let about = About { group: "pages".to_owned(), written };
    let mut writer = Writer::create(&path, &about).unwrap();
    for (key, ttl) in [("for ever", None), ("long", Some(9_000)), ("short", Some(1_500))] {
        let ttl = ttl.map(Duration::from_millis);
        writer.push(&Record { ttl, ..record(key, b"v") }).unwrap();
    }
    writer.finish().unwrap();
    let mut found = Vec::new();
    let mut reader = Reader::open(&path, "pages").unwrap().unwrap();
    let restored = reader.each_at(written + after, |record| {
        found.push((String::from_utf8(record.key.to_vec()).unwrap(), record.ttl));
    });
    (restored.unwrap(), found)
}

#[test]
fn the_time_between_is_taken_off_the_times_to_live() {
    let millis = |ms| Some(Duration::from_millis(ms));
    let (restored, found) = read_after(Duration::from_millis(1_499));
    assert_eq!((restored.entries, restored.expired), (3, 0));
    let all = [("for ever", None), ("long", millis(7_501)), ("short", millis(1))];
    assert_eq!(found, all.map(|(key, ttl)| (key.to_owned(), ttl)));

    let (restored, found) = read_after(Duration::from_millis(1_500));
    assert_eq!((restored.entries, restored.expired), (2, 1));
    assert!(found.iter().all(|(key, _)| key != "short"), "{found:?}");

    let (restored, _) = read_after(Duration::from_secs(1 << 40));
    assert_eq!((restored.entries, restored.expired), (1, 2));
}

#[test]
fn a_clock_that_went_back_counts_as_no_time() {
    let (_folder, path) = folder();
    let about = About {
        group: "pages".to_owned(),
        written: SystemTime::now() + Duration::from_secs(9_999_999),
    };
    let mut writer = Writer::create(&path, &about).unwrap();
    let ttl = Some(Duration::from_secs(5));
    writer.push(&Record { ttl, ..record("k", b"v") }).unwrap();
    writer.finish().unwrap();
    assert_eq!(read(&path).unwrap().unwrap()[&b"k"[..]].1, ttl);
}

#[test]
fn a_snapshot_that_is_not_finished_leaves_the_old_one_and_no_file() {
    let (folder, path) = folder();
    write(&path, &[record("old", b"1")]).unwrap();
    let large = vec![0; 3 * BLOCK_BYTES];
    let mut writer = Writer::create(&path, &About::now("pages")).unwrap();
    writer.push(&record("new", &large)).unwrap();
    assert_eq!(files(&folder).len(), 2, "the old one, and the new one beside it");
    drop(writer);
    assert_eq!(files(&folder), ["pages.snapshot"]);
    assert!(read(&path).unwrap().unwrap().contains_key(&b"old"[..]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_one_whatever_the_caller_does_with_the_error() {
    let (folder, path) = folder();
    write(&path, &[record("old", b"1")]).unwrap();
    let large = vec![0; 3 * BLOCK_BYTES];
    for records in [vec![record("large", &large), record("small", b"2")], vec![record("new", b"3")]]
    {
        let mut writer = Writer::create(&path, &About::now("pages")).unwrap();
        let on_disk =
            writer.replace_file(fs::File::options().write(true).open("/dev/full").unwrap());
        let pushed: Vec<_> = records.iter().map(|record| writer.push(record)).collect();
        assert_eq!(pushed[0].is_err(), records.len() == 2, "a small record waits in its block");
        // Also when there is room again.
        if records.len() == 2 {
            writer.replace_file(on_disk);
        }
        let error = writer.finish().unwrap_err().to_string();
        assert!(error.contains("pages.snapshot") && error.contains("space"), "{error}");
        assert_eq!(files(&folder), ["pages.snapshot"]);
        assert!(read(&path).unwrap().unwrap().contains_key(&b"old"[..]));
    }
}

#[test]
fn a_folder_in_the_way_is_an_error_and_no_file_is_left() {
    let (folder, path) = folder();
    fs::create_dir_all(path.join("in the way")).unwrap();
    let error = write(&path, &[record("k", b"v")]).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(files(&folder), ["pages.snapshot"]);
    let missing = folder.path().join("missing/pages.snapshot");
    assert!(matches!(write(&missing, &[]), Err(Error::Io { .. })));
}

#[test]
fn only_the_owner_may_read_a_snapshot() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    Snapshotter::new(&path, "pages").unwrap().write(|_| Ok(())).unwrap();
    let names = files(&folder);
    assert_eq!(names.len(), 2, "the snapshot and its journal: {names:?}");
    for name in names {
        let mode = fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
