//! Memory: what a million entries take, in larder and elsewhere.
//!
//! Each cache is filled in a process of its own, so that no memory freed by another is counted
//! as taken. Filled as when reading through: the value is handed out, then let go.

#[path = "../../../support/mod.rs"]
mod support;

use std::process::Command;

use larder_compare::caches::Variant;
use larder_compare::entries::{Lengths, key, made};
use larder_compare::servers::Server;
use support::{Table, decimals, resident_bytes};

const ENTRIES: usize = 1_000_000;
const LENGTHS: [Lengths; 3] = [
    Lengths { key: 20, value: 100 },
    Lengths { key: 16, value: 16 },
    Lengths { key: 32, value: 1_000 },
];
/// The argument that makes this process fill one cache.
const CHILD: &str = "--measure";

/// Bytes that a cache took, and those it says it holds.
#[derive(Debug, Clone, Copy)]
struct Taken {
    resident: u64,
    accounted: Option<u64>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(position) = args.iter().position(|arg| arg == CHILD) {
        let number = |n: usize| args[position + n].parse().expect("a number");
        return measure(Variant::ALL[number(1)], Lengths { key: number(2), value: number(3) });
    }
    // As many entries in a quick run: other numbers would tell another story.
    let tables = if args.iter().any(|arg| arg == "--quick") { 1 } else { LENGTHS.len() };
    println!("\n## memory: bytes for each of a million entries\n");
    for &lengths in &LENGTHS[..tables] {
        println!("Keys of {} bytes, values of {}\n", lengths.key, lengths.value);
        print(lengths);
    }
    println!("resident is how much VmRSS has grown; a server's is that of its process.");
}

fn print(lengths: Lengths) {
    let resident = |server: Server| server.resident_bytes(ENTRIES, lengths);
    let servers = Server::ALL.map(|server| (server, resident(server)));
    let memcached = servers.iter().find(|(server, _)| *server == Server::Memcached);
    let memcached = memcached.and_then(|(_, resident)| *resident);
    let columns = ["", "resident", "beyond key + value", "accounted", "times memcached"];
    let mut table = Table::new(&columns);
    for (n, variant) in Variant::ALL.into_iter().enumerate() {
        table.row(row(variant.name(), Some(in_a_child(n, lengths)), lengths, memcached));
    }
    for (server, resident) in servers {
        let taken = resident.map(|resident| Taken { resident, accounted: None });
        table.row(row(server.name(), taken, lengths, memcached));
    }
    table.print();
    println!();
}

fn row(name: &str, taken: Option<Taken>, lengths: Lengths, unit: Option<u64>) -> [String; 5] {
    let Some(Taken { resident, accounted }) = taken else {
        return [name, "not installed", "", "", ""].map(str::to_owned);
    };
    let each = |bytes: u64| bytes as f64 / ENTRIES as f64;
    let beyond = each(resident) - (lengths.key + lengths.value) as f64;
    [
        name.to_owned(),
        format!("{:.1} B", each(resident)),
        format!("{beyond:.1} B"),
        accounted.map_or_else(String::new, |bytes| format!("{:.1} B", each(bytes))),
        unit.map_or_else(String::new, |unit| decimals(resident as f64 / unit as f64)),
    ]
}

/// Has a process of its own fill a cache.
fn in_a_child(variant: usize, lengths: Lengths) -> Taken {
    let program = std::env::current_exe().expect("the path of this program");
    let numbers = [variant, lengths.key, lengths.value].map(|number| number.to_string());
    let output = Command::new(program).arg(CHILD).args(numbers).output();
    let output = output.expect("this program starts again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("numbers");
    let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
    Taken { resident: numbers.next().expect("a number"), accounted: numbers.next() }
}

fn measure(variant: Variant, lengths: Lengths) {
    let before = resident_bytes();
    // More room than needed: the shards of a cache are never filled evenly.
    let cache = variant.build(ENTRIES + ENTRIES / 8, lengths, ENTRIES);
    let resident = resident_bytes() - before;
    let made_before = made();
    for number in (0..ENTRIES).step_by(1_000) {
        cache.read_each(&[key(number, lengths.key)], &[0]);
    }
    assert_eq!(made(), made_before, "{} holds all entries", variant.name());
    let accounted = cache.accounted_bytes().map(|bytes| bytes.to_string());
    println!("{resident} {}", accounted.unwrap_or_default());
}
