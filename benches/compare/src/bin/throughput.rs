//! Throughput: hits, and reading through with room for one key in ten.
//!
//! Keys come by Zipf's law from a sequence drawn before the clock runs. The value of a missing
//! key is made and inserted: by the thread that asks, and by a thread of the group's in larder,
//! where a load is waited for by all who ask for its key.

#[path = "../../../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::time::Duration;

use larder_compare::caches::{Cache, Variant};
use larder_compare::entries::{Lengths, key, made, zipf};
use support::{Plan, ROUNDS, Sample, Table, decimals, grouped, hammer, median};

const LENGTHS: Lengths = Lengths { key: support::KEY_BYTES, value: 100 };
const KEYS: [usize; 2] = [100_000, 1_000_000];
const THREADS: [usize; 3] = [1, 2, 8];
const EXPONENT: f64 = 0.99;
/// Draws of each thread: more than a run takes, for what comes round again a policy would learn.
const DRAWS: usize = 1 << 22;
/// Operations between two looks at the clock; divides the draws.
const BATCH: usize = 256;
/// What the others are compared with.
const PEER: Variant = Variant::QuickCache;
const LIMIT: Variant = Variant::Map;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workload {
    Hit,
    ReadThrough,
}

/// What one variant did in one round.
#[derive(Debug, Clone, Copy)]
struct Run {
    sample: Sample,
    misses: u64,
}

/// A cache, and how far each thread has come in its draws: to begin again would be to ask for
/// what was asked for just now.
struct Subject {
    variant: Variant,
    cache: Box<dyn Cache>,
    drawn: Vec<usize>,
}

type Runs = HashMap<(usize, Variant), Vec<Run>>;

fn main() {
    let title = format!("throughput: Zipf {EXPONENT}, 20-byte keys, values of 100 bytes");
    let plan = Plan::announce_program(&title, 240.0);
    let draws: Vec<Vec<Vec<u32>>> = KEYS.map(draw).into();
    for workload in [Workload::Hit, Workload::ReadThrough] {
        for (entries, draws) in KEYS.into_iter().zip(&draws) {
            println!("{}, {} keys\n", workload.name(), grouped(entries as f64));
            workload.print(&workload.measure(plan, entries, draws));
        }
    }
    println!(
        "ns/op is what one caller waits; medians of {ROUNDS} rounds. Ratios compare ns/op, or CPU"
    );
    println!(
        "ns/op, within a round; where the machine is busy with other things, trust the latter."
    );
}

/// The draws of each thread.
fn draw(keys: usize) -> Vec<Vec<u32>> {
    let threads = THREADS.into_iter().max().unwrap_or(1);
    (0..threads).map(|thread| zipf(keys, EXPONENT, DRAWS, thread as u64)).collect()
}

impl Subject {
    fn run(&mut self, threads: usize, time: Duration, keys: &[String], draws: &[Vec<u32>]) -> Run {
        let (cache, drawn, before) = (&self.cache, &self.drawn, made());
        let setup = |thread: usize| (&draws[thread][..], drawn[thread]);
        let (sample, ends) = hammer(threads, time, setup, |(draws, drawn)| {
            cache.read_each(keys, &draws[*drawn..][..BATCH]);
            *drawn = (*drawn + BATCH) % DRAWS;
            BATCH as u64
        });
        for (drawn, (_, end)) in self.drawn.iter_mut().zip(ends) {
            *drawn = end;
        }
        Run { sample, misses: made() - before }
    }
}

impl Run {
    /// Processor time of one operation: of the process, which is known in steps of 10 ms, and
    /// at least that of the callers, which is known better.
    fn cpu_nanos(&self) -> f64 {
        let cpu = self.sample.cpu.max(self.sample.callers_cpu);
        cpu.as_secs_f64() * 1e9 / self.sample.ops as f64
    }
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Hit => "Hits: everything fits",
            Self::ReadThrough => "Reading through: room for 10 %",
        }
    }

    fn variants(self) -> impl Iterator<Item = Variant> {
        // A map that nobody writes to cannot be read through.
        Variant::ALL.into_iter().filter(move |&variant| self == Self::Hit || variant != LIMIT)
    }

    fn measure(self, plan: Plan, entries: usize, draws: &[Vec<u32>]) -> Runs {
        let keys: Vec<String> = (0..entries).map(|number| key(number, LENGTHS.key)).collect();
        let mut subjects: Vec<Subject> =
            self.variants().map(|variant| self.subject(variant, &keys, draws)).collect();
        let slice = plan.slice(2 * KEYS.len() * THREADS.len() * subjects.len());
        let mut runs = Runs::new();
        for _ in 0..ROUNDS {
            for threads in THREADS {
                for subject in &mut subjects {
                    let run = subject.run(threads, slice, &keys, draws);
                    let variant = subject.variant;
                    assert!(self == Self::ReadThrough || run.misses == 0, "{variant:?} missed");
                    runs.entry((threads, variant)).or_default().push(run);
                }
            }
        }
        runs
    }

    /// A cache in the state that it stays in.
    fn subject(self, variant: Variant, keys: &[String], draws: &[Vec<u32>]) -> Subject {
        let (entries, mut drawn) = (keys.len(), vec![0; draws.len()]);
        let cache = match self {
            // More room than needed: the shards of a cache are never filled evenly.
            Self::Hit => variant.build(entries + entries / 8, LENGTHS, entries),
            Self::ReadThrough => {
                let cache = variant.build(entries / 10, LENGTHS, 0);
                drawn[0] = entries / BATCH * BATCH;
                cache.read_each(keys, &draws[0][..drawn[0]]);
                cache
            }
        };
        Subject { variant, cache, drawn }
    }

    fn print(self, runs: &Runs) {
        let last = if self == Self::Hit { "times bare HashMap" } else { "hit ratio" };
        let peer = ["times quick_cache", "in CPU"];
        let columns = ["", "threads", "ns/op", "CPU ns/op", "Mops/s", peer[0], peer[1], last];
        let mut table = Table::new(&columns);
        for threads in THREADS {
            for variant in self.variants() {
                table.row(self.row(runs, threads, variant));
            }
        }
        table.print();
        println!();
    }

    fn row(self, runs: &Runs, threads: usize, variant: Variant) -> Vec<String> {
        let own = &runs[&(threads, variant)];
        let nanos = |run: &Run| run.sample.nanos();
        let times = |other: Variant, nanos: fn(&Run) -> f64| {
            let others = &runs[&(threads, other)];
            median(own.iter().zip(others).map(|(own, other)| nanos(own) / nanos(other)))
        };
        let last = match self {
            Self::Hit => decimals(times(LIMIT, nanos)),
            Self::ReadThrough => {
                let ops: u64 = own.iter().map(|run| run.sample.ops).sum();
                let misses: u64 = own.iter().map(|run| run.misses).sum();
                format!("{:.3}", 1.0 - misses as f64 / ops as f64)
            }
        };
        vec![
            variant.name().to_owned(),
            threads.to_string(),
            grouped(median(own.iter().map(nanos))),
            grouped(median(own.iter().map(Run::cpu_nanos))),
            decimals(median(own.iter().map(|run| run.sample.per_second() / 1e6))),
            decimals(times(PEER, nanos)),
            decimals(times(PEER, Run::cpu_nanos)),
            last,
        ]
    }
}
