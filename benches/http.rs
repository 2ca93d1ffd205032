//! Hits over HTTP, on the listener for clients and on that for peers.
//!
//! Clients are in this process, one thread for each connection. The limit is a server of one
//! thread for each connection that reads the same request without looking at it and writes
//! the same answer.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "support/cost.rs"]
mod cost;
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use larder::{Group, HttpPool};
use support::{
    BareServer, Client, Plan, ROUNDS, Sample, Table, decimals, grouped, hammer, key, median,
    quantile, value,
};

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const VALUE_BYTES: [usize; 2] = [100, 10_000];
const DOORS: [Door; 3] = [Door::Api, Door::Peer, Door::Bare];
const CACHE_BYTES: usize = 64 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Door {
    Api,
    Peer,
    Bare,
}

/// A node with a group that holds values of one length, and its limit.
struct Bench {
    value_bytes: usize,
    pool: HttpPool,
    group: Group,
    bare: BareServer,
}

#[derive(Debug, Default)]
struct Measured {
    samples: Vec<Sample>,
    /// Nanoseconds of every exchange.
    latencies: Vec<u64>,
}

fn main() {
    if cost::serve_if_told() {
        return;
    }
    let plan = Plan::announce("http: hits over kept connections", 40.0);
    let benches = VALUE_BYTES.map(Bench::new);
    let slice = plan.slice(CONNECTIONS.len() * benches.len() * DOORS.len());
    let mut measured: HashMap<(usize, usize, Door), Measured> = HashMap::new();
    for _ in 0..ROUNDS {
        for bench in &benches {
            for connections in CONNECTIONS {
                for door in DOORS {
                    let cell = measured.entry((bench.value_bytes, connections, door)).or_default();
                    bench.run(door, connections, slice, cell);
                }
            }
        }
    }
    let columns =
        ["", "bytes", "connections", "requests/s", "p50 us", "p99 us", "CPU us", "of its limit"];
    let mut table = Table::new(&columns);
    for bytes in VALUE_BYTES {
        for connections in CONNECTIONS {
            let limit = measured[&(bytes, connections, Door::Bare)].samples.clone();
            for door in DOORS {
                let cell = measured.get_mut(&(bytes, connections, door)).expect("was measured");
                table.row(row(door, bytes, connections, cell, &limit));
            }
        }
    }
    table.print();
    println!("\nrequests/s are medians of {ROUNDS} rounds, the rest is over all of them; CPU is");
    println!("that of client and server for one request.");
    println!("{}", support::ONE_THREAD);
    cost::print();
}

fn row(
    door: Door,
    bytes: usize,
    connections: usize,
    measured: &mut Measured,
    limit: &[Sample],
) -> Vec<String> {
    let samples = &measured.samples;
    let ratio = samples.iter().zip(limit).map(|(one, limit)| one.per_second() / limit.per_second());
    let cpu: f64 = samples.iter().map(|sample| sample.cpu.as_secs_f64()).sum();
    let ops: u64 = samples.iter().map(|sample| sample.ops).sum();
    let micros = |nanos: u64| decimals(nanos as f64 / 1e3);
    vec![
        door.name().to_owned(),
        grouped(bytes as f64),
        connections.to_string(),
        grouped(median(samples.iter().map(Sample::per_second))),
        micros(quantile(&mut measured.latencies, 0.5)),
        micros(quantile(&mut measured.latencies, 0.99)),
        decimals(cpu * 1e6 / ops as f64),
        if door == Door::Bare { String::new() } else { decimals(median(ratio)) },
    ]
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "for clients",
            Self::Peer => "for peers",
            Self::Bare => "limit: bare TCP",
        }
    }
}

impl Bench {
    fn new(value_bytes: usize) -> Self {
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
        let pool = builder.start().expect("a node");
        let getter = move |key: &str| Ok(value(key, value_bytes));
        let group = pool.group("bench", CACHE_BYTES, getter).expect("a group");
        for connection in 0..CONNECTIONS[CONNECTIONS.len() - 1] {
            group.get(&key(connection)).expect("a value");
        }
        let model = client(pool.api_addr(), Door::Api, 0, value_bytes);
        Self { value_bytes, pool, group, bare: BareServer::like(&model) }
    }

    fn run(&self, door: Door, connections: usize, time: Duration, measured: &mut Measured) {
        let addr = match door {
            Door::Api => self.pool.api_addr(),
            Door::Peer => self.pool.peer_addr(),
            Door::Bare => Some(self.bare.addr),
        };
        let before = (self.requests(), self.group.stats());
        let connect = |connection| match door {
            // It knows one answer alone.
            Door::Bare => client(addr, door, 0, self.value_bytes),
            Door::Api | Door::Peer => client(addr, door, connection, self.value_bytes),
        };
        let ask = |client: &mut Client| {
            client.ask();
            1
        };
        let (sample, clients) = hammer(connections, time, connect, ask);
        // Each connection has asked once when it was made.
        let asked = if door == Door::Bare { 0 } else { sample.ops + connections as u64 };
        let after = (self.requests(), self.group.stats());
        assert_eq!(after.0 - before.0, asked);
        assert_eq!(after.1.cache_hits - before.1.cache_hits, asked, "all were hits");
        measured.samples.push(sample);
        measured.latencies.extend(clients.into_iter().flat_map(|client| client.latencies));
    }

    fn requests(&self) -> u64 {
        self.pool.api_listener_stats().requests + self.pool.peer_listener_stats().requests
    }
}

fn client(addr: Option<SocketAddr>, door: Door, connection: usize, value_bytes: usize) -> Client {
    let base = match door {
        Door::Api | Door::Bare => "/api",
        Door::Peer => "/_larder",
    };
    let key = key(connection);
    let path = format!("{base}/bench/{key}");
    Client::connect(addr.expect("it listens"), &path, &value(&key, value_bytes))
}
