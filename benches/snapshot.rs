//! A warm restart: a million entries written and read, beside as many bytes that only are.
//!
//! The cache is filled once, written and read again round after round. The limits write the
//! same bytes with one sync at the end, and read them.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder::Group;
use support::{Plan, ROUNDS, Table, decimals, fill, grouped, key, median, resident_bytes, value};

const ENTRIES: usize = 1_000_000;
const VALUE_BYTES: usize = 100;
/// Room for all.
const CACHE_BYTES: usize = 1 << 30;
/// As the limits write and read.
const CHUNK_BYTES: usize = 128 << 10;

/// One round of each, in seconds.
#[derive(Debug, Default)]
struct Rounds {
    write: Vec<f64>,
    bare_write: Vec<f64>,
    read: Vec<f64>,
    bare_read: Vec<f64>,
    /// Resident memory while a snapshot is written, beyond that before, in MiB.
    extra: Vec<f64>,
}

fn main() {
    // As many entries, whatever the time.
    Plan::announce("snapshot: 1,000,000 entries, 20-byte keys, 100-byte values", 20.0);
    let folder = tempfile::tempdir().expect("a folder");
    let (path, bare) = (folder.path().join("snapshot"), folder.path().join("bare"));
    let group = Group::new("snapshot", CACHE_BYTES, load).expect("a group");
    fill(&group, (0..ENTRIES).map(key));
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let before = resident_bytes();
        let (peak, seconds) = watched(|| {
            let written = group.snapshot(&path).expect("a snapshot");
            assert_eq!(written.entries, ENTRIES as u64);
        });
        rounds.extra.push(peak.saturating_sub(before) as f64 / f64::from(1 << 20));
        rounds.write.push(seconds);
        let bytes = fs::read(&path).expect("the snapshot");
        rounds.bare_write.push(seconds_of(|| write_bare(&bare, &bytes)));
        drop(bytes);
        rounds.bare_read.push(seconds_of(|| read_bare(&bare)));
    }
    let bytes = fs::metadata(&path).expect("the snapshot").len();
    // The group holds the file's lock.
    drop(group);
    for _ in 0..ROUNDS {
        let group = Group::new("snapshot", CACHE_BYTES, load).expect("a group");
        rounds.read.push(seconds_of(|| {
            let restored = group.restore(&path).expect("a snapshot");
            assert_eq!(restored.entries, ENTRIES as u64);
        }));
        let stats = group.stats();
        assert_eq!((stats.main.items, stats.main.evictions), (ENTRIES as u64, 0));
        for key in (0..ENTRIES).step_by(1_000).map(key) {
            assert_eq!(group.get(&key).expect("a hit"), value(&key, VALUE_BYTES)[..]);
        }
        assert_eq!(group.stats().local_loads, 0, "all were hits");
    }
    print(&rounds, bytes);
}

fn load(key: &str) -> Result<Vec<u8>, larder::BoxError> {
    Ok(value(key, VALUE_BYTES))
}

fn print(rounds: &Rounds, bytes: u64) {
    let columns = ["", "ms", "MB/s", "ns/entry", "times its limit", "extra memory"];
    let mut table = Table::new(&columns);
    let extra = rounds.extra.iter().copied().fold(0.0, f64::max);
    for (name, seconds, limit, extra) in [
        ("snapshot", &rounds.write, Some(&rounds.bare_write), Some(extra)),
        ("limit: write and sync", &rounds.bare_write, None, None),
        ("restore", &rounds.read, Some(&rounds.bare_read), None),
        ("limit: read", &rounds.bare_read, None, None),
    ] {
        let middle = |seconds: &[f64]| median(seconds.iter().copied());
        let seconds = middle(seconds);
        table.row([
            name.to_owned(),
            grouped(seconds * 1e3),
            grouped(bytes as f64 / 1e6 / seconds),
            grouped(seconds * 1e9 / ENTRIES as f64),
            limit.map_or(String::new(), |limit| decimals(seconds / middle(limit))),
            extra.map_or(String::new(), |extra| format!("{} MiB", decimals(extra))),
        ]);
    }
    table.print();
    println!(
        "\nThe file has {} bytes. Times are medians; the extra memory is",
        grouped(bytes as f64)
    );
    println!("how much VmRSS has grown at most, in the worst round, while a snapshot was written.");
}

fn seconds_of(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

/// The most memory that was resident during `work`, and its seconds.
fn watched(work: impl FnOnce()) -> (u64, f64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(resident_bytes());
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let seconds = seconds_of(work);
        done.store(true, Ordering::Relaxed);
        (watcher.join().expect("no panic"), seconds)
    })
}

fn write_bare(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).expect("a file");
    for chunk in bytes.chunks(CHUNK_BYTES) {
        file.write_all(chunk).expect("room on the disk");
    }
    file.sync_all().expect("a sync");
}

fn read_bare(path: &Path) {
    let mut file = File::open(path).expect("the file");
    let mut chunk = vec![0; CHUNK_BYTES];
    while file.read(&mut chunk).expect("what was written") > 0 {}
}
