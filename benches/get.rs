//! One get: hits, and misses that a getter answers at once.
//!
//! The limit of a hit is a `HashMap` behind one `Mutex` that hands out an `Arc`; that of a
//! miss, which runs its getter on a thread of the group's, is a hand-over to a waiting thread
//! and back. The limit of one that runs it on the caller's thread is the getter alone.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::{GetterThread, Group, GroupOptions};
use support::{Plan, ROUNDS, Sample, Table, decimals, grouped, hammer, key, median, value};

const KEYS: usize = 100_000;
const VALUE_BYTES: usize = 100;
const THREADS: [usize; 3] = [1, 2, 8];
/// Room for all keys.
const LARGE_CACHE: usize = 64 << 20;
/// Room for one key in a hundred.
const SMALL_CACHE: usize = 256 << 10;
/// Operations between two looks at the clock.
const BATCH: u64 = 256;
/// One value in so many is compared whole, and the length of all.
const COMPARE_ONE_IN: u64 = 64;

/// What is measured; each is followed by its limit.
const VARIANTS: [Variant; 6] = [
    Variant::Hit,
    Variant::BareMap,
    Variant::Miss,
    Variant::BareHandOver,
    Variant::MissOnCaller,
    Variant::BareGetter,
];

#[derive(Debug, Clone, Copy)]
enum Variant {
    Hit,
    BareMap,
    Miss,
    BareHandOver,
    MissOnCaller,
    BareGetter,
}

/// What the variants get from.
struct Bench {
    keys: Vec<String>,
    values: Vec<Vec<u8>>,
    warm: Group,
    map: Mutex<HashMap<String, Arc<[u8]>>>,
    cold: Cold,
    cold_on_caller: Cold,
}

/// A group that misses most keys.
struct Cold {
    group: Group,
    /// Calls of its getter.
    loads: Arc<AtomicU64>,
}

fn main() {
    let plan = Plan::announce("get: 100,000 keys of 20 bytes, values of 100 bytes", 20.0);
    let bench = Bench::new();
    let slice = plan.slice(THREADS.len() * VARIANTS.len());
    let mut samples: HashMap<(usize, usize), Vec<Sample>> = HashMap::new();
    for _ in 0..ROUNDS {
        for threads in THREADS {
            for (n, variant) in VARIANTS.into_iter().enumerate() {
                let sample = bench.run(variant, threads, slice);
                samples.entry((n, threads)).or_default().push(sample);
            }
        }
    }
    let columns = ["", "threads", "ns/op", "min", "CPU ns/op", "Mops/s", "times its limit"];
    let mut table = Table::new(&columns);
    for (n, variant) in VARIANTS.into_iter().enumerate() {
        for threads in THREADS {
            let limit = variant.is_measured().then(|| &samples[&(n + 1, threads)][..]);
            table.row(row(variant, &samples[&(n, threads)], limit));
        }
    }
    table.print();
    println!("\nns/op is what one caller waits; medians of {ROUNDS} rounds, CPU of all of them.");
    println!("{}", support::ONE_THREAD);
}

fn row(variant: Variant, samples: &[Sample], limit: Option<&[Sample]>) -> Vec<String> {
    let ops: u64 = samples.iter().map(|sample| sample.ops).sum();
    let cpu: f64 = samples.iter().map(|sample| sample.cpu.as_secs_f64()).sum();
    let least = samples.iter().map(Sample::nanos).fold(f64::INFINITY, f64::min);
    let ratio = limit.map(|limit| {
        median(samples.iter().zip(limit).map(|(sample, limit)| sample.nanos() / limit.nanos()))
    });
    vec![
        variant.name().to_owned(),
        samples[0].threads.to_string(),
        grouped(median(samples.iter().map(Sample::nanos))),
        grouped(least),
        grouped(cpu * 1e9 / ops as f64),
        decimals(median(samples.iter().map(Sample::per_second)) / 1e6),
        ratio.map_or_else(String::new, decimals),
    ]
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::BareMap => "limit: Mutex<HashMap>, Arc",
            Self::Miss => "miss, read through",
            Self::BareHandOver => "limit: to a thread and back",
            Self::MissOnCaller => "miss, getter on the caller",
            Self::BareGetter => "limit: the getter alone",
        }
    }

    fn is_measured(self) -> bool {
        matches!(self, Self::Hit | Self::Miss | Self::MissOnCaller)
    }
}

impl Bench {
    fn new() -> Self {
        let keys: Vec<String> = (0..KEYS).map(key).collect();
        let values: Vec<Vec<u8>> = keys.iter().map(|key| value(key, VALUE_BYTES)).collect();
        let getter = |key: &str| Ok(value(key, VALUE_BYTES));
        let warm = Group::new("warm", LARGE_CACHE, getter).expect("a group");
        support::fill(&warm, (0..KEYS).map(key));
        let cold = Cold::new(GetterThread::Loader);
        let cold_on_caller = Cold::new(GetterThread::Caller);
        let entries = keys.iter().cloned().zip(values.iter().map(|value| Arc::from(&value[..])));
        let map = Mutex::new(entries.collect());
        Self { keys, values, warm, map, cold, cold_on_caller }
    }

    fn run(&self, variant: Variant, threads: usize, time: Duration) -> Sample {
        match variant {
            Variant::Hit => self.hit(threads, time),
            Variant::BareMap => self.bare_map(threads, time),
            Variant::Miss => self.miss(&self.cold, threads, time),
            Variant::BareHandOver => self.bare_hand_over(threads, time),
            Variant::MissOnCaller => self.miss(&self.cold_on_caller, threads, time),
            Variant::BareGetter => self.bare_getter(threads, time),
        }
    }

    fn hit(&self, threads: usize, time: Duration) -> Sample {
        let before = self.warm.stats();
        let get = |(): &mut ()| self.batch(|key| self.warm.get(key).expect("a hit"));
        let (sample, _) = hammer(threads, time, |_| (), get);
        let after = self.warm.stats();
        assert_eq!(after.cache_hits - before.cache_hits, sample.ops, "all were hits");
        assert_eq!((after.local_loads, after.main.items), (KEYS as u64, KEYS as u64));
        sample
    }

    fn bare_map(&self, threads: usize, time: Duration) -> Sample {
        let get = |(): &mut ()| {
            self.batch(|key| {
                let map = self.map.lock().expect("no panic");
                Arc::clone(map.get(key).expect("every key"))
            })
        };
        hammer(threads, time, |_| (), get).0
    }

    fn miss(&self, cold: &Cold, threads: usize, time: Duration) -> Sample {
        let (before, loads) = (cold.group.stats(), cold.loads.load(Ordering::Relaxed));
        let get = |(): &mut ()| self.batch(|key| cold.group.get(key).expect("a value"));
        let (sample, _) = hammer(threads, time, |_| (), get);
        let after = cold.group.stats();
        let loads = cold.loads.load(Ordering::Relaxed) - loads;
        assert_eq!(after.gets - before.gets, sample.ops);
        assert_eq!(after.local_loads - before.local_loads, loads, "every load was counted");
        assert!(loads * 10 > sample.ops * 9, "most are misses: {loads} of {}", sample.ops);
        sample
    }

    /// A thread waits beside each caller.
    fn bare_hand_over(&self, threads: usize, time: Duration) -> Sample {
        std::thread::scope(|scope| {
            let setup = |_| {
                let (ask, asked) = sync_channel(1);
                let (answer, answered) = sync_channel(1);
                scope.spawn(move || serve(&asked, &answer));
                (ask, answered)
            };
            let get = |(ask, answered): &mut (SyncSender<String>, Receiver<Vec<u8>>)| {
                self.batch(|key| {
                    ask.send(key.to_owned()).expect("the thread waits");
                    answered.recv().expect("the thread answers")
                })
            };
            hammer(threads, time, setup, get).0
        })
    }

    fn bare_getter(&self, threads: usize, time: Duration) -> Sample {
        let get = |(): &mut ()| self.batch(|key| value(key, VALUE_BYTES));
        hammer(threads, time, |_| (), get).0
    }

    /// A batch of gets of any keys, checked.
    fn batch<V: AsRef<[u8]>>(&self, get: impl Fn(&str) -> V) -> u64 {
        for n in 0..BATCH {
            let index = fastrand::usize(..KEYS);
            let value = get(&self.keys[index]);
            let value = value.as_ref();
            assert_eq!(value.len(), VALUE_BYTES);
            if n.is_multiple_of(COMPARE_ONE_IN) {
                assert_eq!(value, self.values[index]);
            }
        }
        BATCH
    }
}

impl Cold {
    fn new(getter_thread: GetterThread) -> Self {
        let loads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&loads);
        let getter = move |key: &str| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(value(key, VALUE_BYTES))
        };
        let options = GroupOptions::new(SMALL_CACHE).getter_thread(getter_thread);
        Self { group: options.build("cold", getter).expect("a group"), loads }
    }
}

fn serve(asked: &Receiver<String>, answer: &SyncSender<Vec<u8>>) {
    for key in asked {
        let _ = answer.send(value(&key, VALUE_BYTES));
    }
}
