//! Memory: what the budget counts, and what the process takes for it.
//!
//! Each row is measured in a process of its own, so that no memory freed by another is
//! counted as taken.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::process::Command;

use larder::Group;
use support::{KEY_BYTES, Plan, Table, decimals, fill, grouped, key, resident_bytes, value};

/// Entries, and the length of their values. The second has tables just grown, with half of
/// their places free.
const ROWS: [(usize, usize); 4] =
    [(1_000_000, 100), (1_100_000, 100), (1_000_000, 10), (100_000, 1_000)];
/// Room for every row.
const CACHE_BYTES: usize = 1 << 30;
/// The argument that makes this process measure one row.
const CHILD: &str = "--measure";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(position) = args.iter().position(|arg| arg == CHILD) {
        let number = |n: usize| args[position + n].parse().expect("a number");
        return measure(number(1), number(2));
    }
    // As many entries, whatever the time: the tables' growth would tell another story.
    Plan::announce("memory: 20-byte keys", 5.0);
    let columns =
        ["entries", "value", "key + value", "accounted", "resident", "accounted/resident"];
    let mut table = Table::new(&columns);
    for (entries, value_bytes) in ROWS {
        let (accounted, resident) = in_a_child(entries, value_bytes);
        table.row([
            grouped(entries as f64),
            format!("{value_bytes} B"),
            format!("{} B", KEY_BYTES + value_bytes),
            format!("{} B", decimals(accounted as f64 / entries as f64)),
            format!("{} B", decimals(resident as f64 / entries as f64)),
            decimals(accounted as f64 / resident as f64),
        ]);
    }
    table.print();
    println!("\nBytes are those of one entry; resident is how much VmRSS has grown.");
}

/// Has a process of its own fill a cache: the bytes it accounts for, and those it took.
fn in_a_child(entries: usize, value_bytes: usize) -> (u64, u64) {
    let program = std::env::current_exe().expect("the path of this program");
    let (entries, value_bytes) = (entries.to_string(), value_bytes.to_string());
    let output = Command::new(program).args([CHILD, &entries, &value_bytes]).output();
    let output = output.expect("this program starts again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("two numbers");
    let (accounted, resident) = text.trim().split_once(' ').expect("two numbers");
    (accounted.parse().expect("a number"), resident.parse().expect("a number"))
}

fn measure(entries: usize, value_bytes: usize) {
    let group = Group::new("memory", CACHE_BYTES, move |key: &str| Ok(value(key, value_bytes)));
    let group = group.expect("a group");
    // The filler's keys are made one at a time, so that only the cache's memory stays.
    let before = resident_bytes();
    fill(&group, (0..entries).map(key));
    let resident = resident_bytes() - before;
    let stats = group.stats();
    assert_eq!((stats.main.items, stats.main.evictions), (entries as u64, 0));
    for n in (0..entries).step_by(1_000) {
        assert_eq!(group.get(&key(n)).expect("a hit"), value(&key(n), value_bytes)[..]);
    }
    assert_eq!(group.stats().local_loads, entries as u64, "all were hits");
    println!("{} {resident}", stats.main.bytes);
}
