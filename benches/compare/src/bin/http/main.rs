//! Hits over HTTP, in larder and in the servers that one would run instead: one key, asked for
//! again and again over kept connections.
//!
//! Every server is a process of its own. HTTP servers are loaded by wrk; memcached by a loader
//! that speaks both protocols with the same code, and so is larder beside it.

mod load;
mod serve;
#[path = "../../../../support/mod.rs"]
mod support;
mod targets;

use std::collections::HashMap;
use std::time::Duration;

use load::Load;
use support::{Plan, ROUNDS, Table, decimals, grouped, median};
use targets::{Target, Targets};

const CONNECTIONS: [usize; 2] = [16, 64];
const VALUE_BYTES: [usize; 2] = [100, 10_000];
/// What is measured, in this order; the first one that a loader has is what the others are
/// compared with.
const ROWS: [Row; 8] = [
    Row { target: Target::LarderApi, loader: Loader::Wrk },
    Row { target: Target::LarderPeer, loader: Loader::Wrk },
    Row { target: Target::Groupcache, loader: Loader::Wrk },
    Row { target: Target::Nginx, loader: Loader::Wrk },
    Row { target: Target::Hyper, loader: Loader::Wrk },
    Row { target: Target::Echo, loader: Loader::Wrk },
    Row { target: Target::LarderApi, loader: Loader::Own },
    Row { target: Target::Memcached, loader: Loader::Own },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    target: Target,
    loader: Loader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Loader {
    Wrk,
    /// See [`load`].
    Own,
}

/// What a row has measured, a round after the other.
#[derive(Debug, Default)]
struct Measured {
    loads: Vec<Load>,
    /// Of the server's processes.
    cpu: Duration,
}

type Cell = (usize, usize, Row);

fn main() {
    if serve::was_asked_for() {
        return;
    }
    let plan = Plan::announce_program("http: hits, beside other servers", 200.0);
    let samples = ROWS.len() * CONNECTIONS.len() * VALUE_BYTES.len();
    // wrk counts whole seconds.
    let slice = plan.slice(samples).as_secs().max(1);
    let targets = Targets::start(&VALUE_BYTES);
    let mut measured: HashMap<Cell, Measured> = HashMap::new();
    for _ in 0..ROUNDS {
        for bytes in VALUE_BYTES {
            for connections in CONNECTIONS {
                for row in ROWS.into_iter().filter(|row| targets.has(row.target)) {
                    let cell = measured.entry((bytes, connections, row)).or_default();
                    cell.add(&targets, row, bytes, connections, slice);
                }
            }
        }
    }
    for bytes in VALUE_BYTES {
        for connections in CONNECTIONS {
            print(&measured, bytes, connections);
        }
    }
    println!("Medians of {ROUNDS} rounds of {slice} s; \"larder does\" is how many times as many");
    println!("requests as this one larder's API answers under the same loader, \"aim\" what it is");
    println!("to be at least; CPU is what the server's processes take for a request.\n");
    targets::second_opinion(&targets, &CONNECTIONS);
}

impl Measured {
    fn add(&mut self, targets: &Targets, row: Row, bytes: usize, connections: usize, slice: u64) {
        let before = targets.cpu(row.target);
        self.loads.push(match row.loader {
            Loader::Wrk => {
                let run = support::wrk(&targets.url(row.target, bytes), connections, slice);
                let (requests, per_second) = (run.requests, run.per_second);
                Load { requests, per_second, p50: run.p50, p99: run.p99 }
            }
            Loader::Own => {
                let exchange = targets.exchange(row.target, bytes);
                load::run(&exchange, connections, Duration::from_secs(slice))
            }
        });
        self.cpu += targets.cpu(row.target) - before;
    }

    fn row(&self, row: Row, bytes: usize, larder: Option<&Self>) -> Vec<String> {
        let micros = |time: fn(&Load) -> Duration| {
            decimals(median(self.loads.iter().map(|load| time(load).as_secs_f64() * 1e6)))
        };
        let requests: u64 = self.loads.iter().map(|load| load.requests).sum();
        let ratio = larder.map_or_else(String::new, |larder| {
            let pairs = larder.loads.iter().zip(&self.loads);
            decimals(median(pairs.map(|(larder, load)| larder.per_second / load.per_second)))
        });
        vec![
            row.target.name().to_owned(),
            row.loader.name().to_owned(),
            grouped(median(self.loads.iter().map(|load| load.per_second))),
            ratio,
            row.target.aim(bytes).map_or_else(String::new, decimals),
            micros(|load| load.p50),
            micros(|load| load.p99),
            decimals(self.cpu.as_secs_f64() * 1e6 / requests as f64),
        ]
    }
}

fn print(measured: &HashMap<Cell, Measured>, bytes: usize, connections: usize) {
    println!("{} bytes, {connections} connections\n", grouped(bytes as f64));
    let columns = ["", "loader", "requests/s", "larder does", "aim", "p50 us", "p99 us", "CPU us"];
    let mut table = Table::new(&columns);
    for row in ROWS {
        let Some(cell) = measured.get(&(bytes, connections, row)) else {
            let missing = [row.target.name(), "not installed", "", "", "", "", "", ""];
            table.row(missing.map(str::to_owned));
            continue;
        };
        let base = Row { target: Target::LarderApi, loader: row.loader };
        let larder = (base != row).then(|| &measured[&(bytes, connections, base)]);
        table.row(cell.row(row, bytes, larder));
    }
    table.print();
    println!();
}

impl Loader {
    fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Own => "own",
        }
    }
}
