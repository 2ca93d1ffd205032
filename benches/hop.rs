//! A hop: one node asks another for keys that it holds, and keeps nothing of them.
//!
//! The limit is a raw client that asks the same listener for one key.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use larder::testing::Cluster;
use larder::{Group, Limits};
use support::{
    Client, Plan, ROUNDS, Sample, Table, decimals, grouped, hammer, key, median, quantile, value,
};

const THREADS: [usize; 3] = [1, 8, 32];
const VARIANTS: [Variant; 2] = [Variant::Hop, Variant::RawClient];
const VALUE_BYTES: usize = 100;
/// Of each thread: no two threads want the same key, so each get is a call.
const KEYS_PER_THREAD: usize = 16;
const CACHE_BYTES: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Variant {
    Hop,
    RawClient,
}

/// Two nodes, and keys that the second one owns.
struct Bench {
    cluster: Cluster,
    asking: Group,
    owning: Group,
    keys: Vec<String>,
}

#[derive(Debug, Default)]
struct Measured {
    samples: Vec<Sample>,
    /// Nanoseconds of every call.
    latencies: Vec<u64>,
}

fn main() {
    let plan = Plan::announce("hop: hits of another node, values of 100 bytes", 15.0);
    let bench = Bench::new();
    let slice = plan.slice(THREADS.len() * VARIANTS.len());
    let mut measured: HashMap<(Variant, usize), Measured> = HashMap::new();
    for _ in 0..ROUNDS {
        for threads in THREADS {
            for variant in VARIANTS {
                let cell = measured.entry((variant, threads)).or_default();
                let (sample, latencies) = match variant {
                    Variant::Hop => bench.hop(threads, slice),
                    Variant::RawClient => bench.raw(threads, slice),
                };
                cell.samples.push(sample);
                cell.latencies.extend(latencies.into_iter().flatten());
            }
        }
    }
    let columns = ["", "threads", "calls/s", "p50 us", "p99 us", "caller's CPU us", "of its limit"];
    let mut table = Table::new(&columns);
    for threads in THREADS {
        let limit = measured[&(Variant::RawClient, threads)].samples.clone();
        for variant in VARIANTS {
            let cell = measured.get_mut(&(variant, threads)).expect("was measured");
            table.row(row(variant, threads, cell, &limit));
        }
    }
    table.print();
    println!("\ncalls/s are medians of {ROUNDS} rounds, the rest is over all of them.");
    println!("{}", support::ONE_THREAD);
}

fn row(variant: Variant, threads: usize, measured: &mut Measured, limit: &[Sample]) -> Vec<String> {
    let samples = &measured.samples;
    let ratio = samples.iter().zip(limit).map(|(one, limit)| one.per_second() / limit.per_second());
    let cpu: f64 = samples.iter().map(|sample| sample.callers_cpu.as_secs_f64()).sum();
    let ops: u64 = samples.iter().map(|sample| sample.ops).sum();
    let micros = |nanos: u64| decimals(nanos as f64 / 1e3);
    let (name, ratio) = match variant {
        Variant::Hop => ("get from a peer", decimals(median(ratio))),
        Variant::RawClient => ("limit: raw client", String::new()),
    };
    vec![
        name.to_owned(),
        threads.to_string(),
        grouped(median(samples.iter().map(Sample::per_second))),
        micros(quantile(&mut measured.latencies, 0.5)),
        micros(quantile(&mut measured.latencies, 0.99)),
        decimals(cpu * 1e6 / ops as f64),
        ratio,
    ]
}

impl Bench {
    fn new() -> Self {
        let cluster = Cluster::start_with(2, &Limits::default()).expect("two nodes");
        let [asker, owner] = cluster.nodes() else { unreachable!("two were started") };
        let getter = |key: &str| Ok(value(key, VALUE_BYTES));
        let asking = asker.group("bench", 0, getter).expect("a group");
        let owning = owner.group("bench", CACHE_BYTES, getter).expect("a group");
        let owned = (0..).map(key).filter(|key| asker.owner(key) == owner.url());
        let keys: Vec<String> = owned.take(KEYS_PER_THREAD * THREADS[THREADS.len() - 1]).collect();
        for key in &keys {
            owning.get(key).expect("a value");
        }
        Self { cluster, asking, owning, keys }
    }

    fn keys_of(&self, thread: usize) -> &[String] {
        &self.keys[thread * KEYS_PER_THREAD..][..KEYS_PER_THREAD]
    }

    fn hop(&self, threads: usize, time: Duration) -> (Sample, Vec<Vec<u64>>) {
        let before = (self.asking.stats(), self.owning.stats());
        let get = |(thread, latencies): &mut (usize, Vec<u64>)| {
            let keys = self.keys_of(*thread);
            for key in keys {
                let started = Instant::now();
                let got = self.asking.get(key).expect("a value");
                latencies.push(started.elapsed().as_nanos() as u64);
                assert_eq!(got, value(key, VALUE_BYTES)[..]);
            }
            keys.len() as u64
        };
        let (sample, states) = hammer(threads, time, |thread| (thread, Vec::new()), get);
        let after = (self.asking.stats(), self.owning.stats());
        assert_eq!(after.0.peer_loads - before.0.peer_loads, sample.ops, "each was a call");
        assert_eq!((after.0.local_loads, after.0.peer_errors), (0, 0));
        assert_eq!(after.1.server_requests - before.1.server_requests, sample.ops);
        assert_eq!(after.1.cache_hits - before.1.cache_hits, sample.ops, "all were hits");
        (sample, states.into_iter().map(|state| state.1).collect())
    }

    fn raw(&self, threads: usize, time: Duration) -> (Sample, Vec<Vec<u64>>) {
        let addr = self.cluster.nodes()[1].peer_addr().expect("it listens");
        let connect = |thread: usize| {
            let key = &self.keys_of(thread)[0];
            Client::connect(addr, &format!("/_larder/bench/{key}"), &value(key, VALUE_BYTES))
        };
        let ask = |client: &mut Client| {
            client.ask();
            1
        };
        let (sample, clients) = hammer(threads, time, connect, ask);
        (sample, clients.into_iter().map(|client| client.latencies).collect())
    }
}
