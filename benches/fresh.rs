//! Freshness: rounds of a write and a get of its key from every node, while other threads get and
//! write all the time and a node leaves the ring and comes back. Fails when a get gives anything
//! older than what has been confirmed.
//!
//! `LARDER_FRESH_ROUNDS` says how many rounds.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder::{Group, GroupOptions, HttpPool, Limits};
use support::{Plan, grouped, quantile};

const NODES: usize = 5;
/// The last node comes and goes; the others write and are read.
const STAY: usize = NODES - 1;
/// Each has one writer.
const KEYS: usize = 4;
const READERS: usize = 2;
const RING_CHANGES_EVERY: Duration = Duration::from_millis(20);
const DEFAULT_ROUNDS: usize = 2_000;

/// Numbers that only grow, as the origin has them and as they have been confirmed.
#[derive(Default)]
struct Origin {
    values: [AtomicU64; KEYS],
    confirmed: [AtomicU64; KEYS],
}

/// What has been counted.
#[derive(Default)]
struct Counts {
    gets: AtomicU64,
    stale: AtomicU64,
    unconfirmed: AtomicU64,
    running: AtomicU64,
}

struct Bench {
    nodes: Vec<HttpPool>,
    groups: Vec<Group>,
    origin: Arc<Origin>,
    counts: Counts,
}

fn main() -> ExitCode {
    let rounds = std::env::var("LARDER_FRESH_ROUNDS").map_or(DEFAULT_ROUNDS, |text| {
        text.parse().expect("LARDER_FRESH_ROUNDS is not a number of rounds")
    });
    Plan::announce("fresh: writes to all of 5 nodes, and gets from each of them", 0.0);
    let bench = Bench::new();
    let started = Instant::now();
    let mut latencies = bench.run(rounds.div_ceil(KEYS));
    let took = started.elapsed();
    let counts = &bench.counts;
    let [gets, stale, unconfirmed] =
        [&counts.gets, &counts.stale, &counts.unconfirmed].map(|n| n.load(Ordering::SeqCst));
    let rounds = latencies.len();
    println!("{} rounds with {} gets: {stale} stale", grouped(rounds as f64), grouped(gets as f64));
    println!("{unconfirmed} writes were not confirmed");
    let micros = took.as_secs_f64() * 1e6 / rounds as f64;
    println!("{} us a round, {KEYS} of them at once", grouped(micros));
    let [median, slow] = [0.5, 0.99].map(|share| quantile(&mut latencies, share));
    println!(
        "a write takes {} us, one in a hundred {} us",
        grouped(median as f64),
        grouped(slow as f64)
    );
    if stale + unconfirmed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Bench {
    fn new() -> Self {
        let mut limits = Limits::default();
        limits.lane_workers = 8;
        // A busy machine is no failed peer.
        (limits.peer_connect, limits.peer_call) =
            (Duration::from_secs(10), Duration::from_secs(10));
        let start =
            || HttpPool::builder().listen("http://127.0.0.1:0").limits(limits.clone()).start();
        let nodes: Vec<HttpPool> = (0..NODES).map(|_| start().expect("a node")).collect();
        let origin = Arc::<Origin>::default();
        let group = |node: &HttpPool| {
            let origin = Arc::clone(&origin);
            let load = move |key: &str| {
                let key: usize = key.parse()?;
                Ok(origin.values[key].load(Ordering::SeqCst).to_string())
            };
            node.group_with(GroupOptions::new(1 << 20), "g", load).expect("a group")
        };
        let groups = nodes.iter().map(group).collect();
        let bench = Self { nodes, groups, origin, counts: Counts::default() };
        for node in &bench.nodes {
            node.set_peers(bench.urls(NODES)).expect("a ring");
        }
        bench
    }

    fn urls(&self, count: usize) -> Vec<String> {
        self.nodes[..count].iter().map(|node| node.url().to_owned()).collect()
    }

    /// The microseconds of every write.
    fn run(&self, rounds: usize) -> Vec<u64> {
        self.counts.running.store(KEYS as u64, Ordering::SeqCst);
        let is_over = || self.counts.running.load(Ordering::SeqCst) == 0;
        std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..KEYS).map(|key| scope.spawn(move || self.write(key, rounds))).collect();
            for reader in 0..READERS {
                scope.spawn(move || {
                    for n in reader.. {
                        if is_over() {
                            return;
                        }
                        self.check(&self.groups[n % STAY], n / STAY % KEYS);
                    }
                });
            }
            scope.spawn(|| {
                for n in 0.. {
                    if is_over() {
                        return;
                    }
                    // One node after the other: their rings differ most of the time.
                    let ring = self.urls(if (n / STAY).is_multiple_of(2) { STAY } else { NODES });
                    self.nodes[n % STAY].set_peers(ring).expect("a ring");
                    std::thread::sleep(RING_CHANGES_EVERY);
                }
            });
            writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
        })
    }

    fn write(&self, key: usize, rounds: usize) -> Vec<u64> {
        let mut latencies = Vec::with_capacity(rounds);
        for round in 0..rounds {
            let value = self.origin.values[key].fetch_add(1, Ordering::SeqCst) + 1;
            let (group, name) = (&self.groups[(round + key) % STAY], key.to_string());
            let started = Instant::now();
            let written = match round % 8 {
                0 => group.purge(),
                1..4 => group.set(&name, value.to_string(), None),
                _ => group.remove(&name),
            };
            latencies.push(started.elapsed().as_micros() as u64);
            match written {
                Ok(_) => drop(self.origin.confirmed[key].fetch_max(value, Ordering::SeqCst)),
                Err(error) => {
                    println!("{error}");
                    self.counts.unconfirmed.fetch_add(1, Ordering::SeqCst);
                }
            }
            for group in &self.groups[..STAY] {
                self.check(group, key);
            }
        }
        self.counts.running.fetch_sub(1, Ordering::SeqCst);
        latencies
    }

    fn check(&self, group: &Group, key: usize) {
        let confirmed = self.origin.confirmed[key].load(Ordering::SeqCst);
        let value = group.get(&key.to_string()).expect("a value");
        let value: u64 = value.as_str().expect("text").parse().expect("a number");
        self.counts.gets.fetch_add(1, Ordering::Relaxed);
        if value < confirmed {
            self.counts.stale.fetch_add(1, Ordering::SeqCst);
            println!("stale: {value} after {confirmed} of key {key}");
        }
    }
}
