//! Churn: does memory stay within its budget while entries of all sizes come and go?
//!
//! Each load draws a new length, so that the allocator never sees the same pattern twice. Once
//! a second all gets pause, so that the cache alone holds memory, and three numbers are read:
//! the bytes that the cache accounts for, those that the allocator was asked for, and those
//! that are resident.

#[path = "../../../support/mod.rs"]
mod support;

use std::alloc::System;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cap::Cap;
use larder::Group;
use parking_lot::RwLock;
use rand::prelude::*;
use rand::rngs::SmallRng;
use support::{Table, decimals, resident_bytes};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const CACHE_BYTES: usize = 256 << 20;
const LARGEST_VALUE: f64 = (4 << 20) as f64;
/// Many times what the cache holds.
const KEYS: u32 = 10_000;
const THREADS: u64 = 4;
/// What the process may take: malloc's loss of a quarter, and 64 MiB for threads and values on
/// their way.
const RESIDENT_LIMIT: f64 = 1.25 * CACHE_BYTES as f64 + (64 << 20) as f64;
const MIB: f64 = (1 << 20) as f64;

/// What was true at one moment, in bytes.
#[derive(Debug, Clone, Copy)]
struct Sample {
    minutes: f64,
    accounted: f64,
    allocated: f64,
    resident: f64,
}

fn main() {
    let time = seconds();
    println!("\n## churn: {} MiB, values from 1 B to 4 MiB, {time:?}\n", CACHE_BYTES >> 20);
    let samples = churn(time);
    print(&samples);
}

/// `--seconds N`, or little with `--quick`.
fn seconds() -> Duration {
    let args: Vec<String> = std::env::args().collect();
    let given = args.iter().position(|arg| arg == "--seconds").map(|position| {
        let seconds = args.get(position + 1).and_then(|seconds| seconds.parse().ok());
        seconds.expect("--seconds needs a whole number of seconds")
    });
    let quick = args.iter().any(|arg| arg == "--quick");
    Duration::from_secs(given.unwrap_or(if quick { 6 } else { 30 }))
}

fn churn(time: Duration) -> Vec<Sample> {
    let before = ALLOCATOR.allocated();
    let loads = AtomicU64::new(0);
    let getter = move |_: &str| Ok(value(loads.fetch_add(1, Ordering::Relaxed)));
    let group = Group::new("churn", CACHE_BYTES, getter).expect("a group");
    // Held for reading by each get, and for writing by who wants none to run.
    let (gate, stop) = (RwLock::new(()), AtomicBool::new(false));
    let work = |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        while !stop.load(Ordering::Relaxed) {
            let key = rng.random_range(0..KEYS).to_string();
            let _get = gate.read();
            group.get(&key).expect("a value");
        }
    };
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            scope.spawn(move || work(seed));
        }
        let (started, mut samples) = (Instant::now(), Vec::new());
        while started.elapsed() < time {
            std::thread::sleep(Duration::from_secs(1));
            let _no_gets = gate.write();
            samples.push(sample(&group, before, started));
        }
        stop.store(true, Ordering::Relaxed);
        println!("{} loads, {} gets\n", group.stats().local_loads, group.stats().gets);
        samples
    })
}

/// A value whose length is as likely between 1 and 2 bytes as between 1 and 2 MiB.
fn value(load: u64) -> Vec<u8> {
    let exponent = SmallRng::seed_from_u64(load).random::<f64>();
    vec![1; LARGEST_VALUE.powf(exponent) as usize]
}

/// Called while no get runs.
fn sample(group: &Group, allocated_before: usize, started: Instant) -> Sample {
    // The thread of a getter lets go of the value a moment after the caller has it.
    while group.stats().getters_running > 0 {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(20));
    let stats = group.stats();
    Sample {
        minutes: started.elapsed().as_secs_f64() / 60.0,
        accounted: (stats.main.bytes + stats.hot.bytes) as f64,
        allocated: (ALLOCATOR.allocated() - allocated_before) as f64,
        resident: resident_bytes() as f64,
    }
}

fn print(samples: &[Sample]) {
    let mut table = Table::new(&["", "min", "mean", "max"]);
    let mebibytes = |bytes: f64| format!("{:.1} MiB", bytes / MIB);
    table.row(spread("accounted", samples, |s| s.accounted, mebibytes));
    table.row(spread("allocated", samples, |s| s.allocated, mebibytes));
    table.row(spread("accounted/allocated", samples, |s| s.accounted / s.allocated, decimals));
    table.row(spread("resident", samples, |s| s.resident, mebibytes));
    table.row(spread("resident/accounted", samples, |s| s.resident / s.accounted, decimals));
    table.print();
    let largest = samples.iter().map(|sample| sample.resident).fold(0.0, f64::max);
    let verdict = if largest <= RESIDENT_LIMIT { "within" } else { "BEYOND" };
    let (largest, limit) = (mebibytes(largest), mebibytes(RESIDENT_LIMIT));
    println!("\nAt most {largest} resident: {verdict} 1.25 times the budget + 64 MiB = {limit}.");
    let slope = slope(&samples[samples.len() / 2..]) / MIB;
    println!("In the second half it grew by {slope:.2} MiB a minute (least squares).");
    println!("allocated is what was asked of malloc; accounted counts its rounding as well.");
}

fn spread(
    name: &str,
    samples: &[Sample],
    number: impl Fn(&Sample) -> f64,
    show: impl Fn(f64) -> String,
) -> [String; 4] {
    let numbers: Vec<f64> = samples.iter().map(number).collect();
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let (min, max) = (numbers.iter().copied(), numbers.iter().copied());
    let (min, max) = (min.fold(f64::INFINITY, f64::min), max.fold(0.0, f64::max));
    [name.to_owned(), show(min), show(mean), show(max)]
}

/// Resident bytes a minute, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let mean =
        |number: fn(&Sample) -> f64| samples.iter().map(number).sum::<f64>() / samples.len() as f64;
    let (minutes, resident) = (mean(|s| s.minutes), mean(|s| s.resident));
    let covariance = |s: &Sample| (s.minutes - minutes) * (s.resident - resident);
    let variance = |s: &Sample| (s.minutes - minutes).powi(2);
    samples.iter().map(covariance).sum::<f64>() / samples.iter().map(variance).sum::<f64>()
}
