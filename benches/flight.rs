//! One cold key, wanted by many threads at once: one load, whatever the number.
//!
//! Each round has a new key. With a herd, the getter returns at once and a thread may come
//! when the value is there already; with a full flight, the getter returns when every thread
//! has missed, and the time runs from there. The limit wakes as many threads by a bare
//! condition variable.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use larder::Group;
use support::{Plan, ROUNDS, Table, decimals, key, median, value};

const THREADS: [usize; 3] = [1, 8, 64];
const VARIANTS: [Variant; 3] = [Variant::Herd, Variant::Full, Variant::BareCondvar];
const VALUE_BYTES: usize = 100;
/// No key is wanted in two rounds, so it matters only that it holds a round's key.
const CACHE_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Variant {
    Herd,
    Full,
    BareCondvar,
}

/// Many rounds of one variant.
#[derive(Debug)]
struct Flown {
    /// Microseconds of each round.
    micros: Vec<f64>,
    loads: u64,
}

fn main() {
    let plan = Plan::announce("flight: one cold key, many threads", 10.0);
    let slice = plan.slice(THREADS.len() * VARIANTS.len());
    let mut flown: HashMap<(Variant, usize), Vec<Flown>> = HashMap::new();
    for _ in 0..ROUNDS {
        for threads in THREADS {
            for variant in VARIANTS {
                flown.entry((variant, threads)).or_default().push(variant.fly(threads, slice));
            }
        }
    }
    let columns = ["", "threads", "us/round", "min", "rounds", "loads/round", "times its limit"];
    let mut table = Table::new(&columns);
    for variant in VARIANTS {
        for threads in THREADS {
            let limit = &flown[&(Variant::BareCondvar, threads)];
            table.row(row(variant, threads, &flown[&(variant, threads)], limit));
        }
    }
    table.print();
    println!("\nA round is over when the last thread has the value. us/round are medians.");
    println!("{}", support::ONE_THREAD);
}

fn row(variant: Variant, threads: usize, flown: &[Flown], limit: &[Flown]) -> Vec<String> {
    let middle = |flown: &Flown| median(flown.micros.iter().copied());
    let all = || flown.iter().flat_map(|flown| flown.micros.iter().copied());
    let loads: u64 = flown.iter().map(|flown| flown.loads).sum();
    let rounds = all().count();
    if variant != Variant::BareCondvar {
        assert_eq!(loads, rounds as u64, "one load in each round");
    }
    let ratio = median(flown.iter().zip(limit).map(|(flown, limit)| middle(flown) / middle(limit)));
    let only = |shown: bool, text: String| if shown { text } else { String::new() };
    vec![
        variant.name().to_owned(),
        threads.to_string(),
        decimals(median(flown.iter().map(middle))),
        decimals(all().fold(f64::INFINITY, f64::min)),
        rounds.to_string(),
        only(variant != Variant::BareCondvar, decimals(loads as f64 / rounds as f64)),
        only(variant == Variant::Full, decimals(ratio)),
    ]
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Herd => "herd, getter returns at once",
            Self::Full => "full flight, from landing",
            Self::BareCondvar => "limit: Condvar::notify_all",
        }
    }

    /// Rounds for `time`, by the same threads.
    fn fly(self, threads: usize, time: Duration) -> Flown {
        match self {
            Self::Herd => {
                let load = |key: &str| Ok(value(key, VALUE_BYTES));
                let group = Group::new("herd", CACHE_BYTES, load).expect("a group");
                rounds_of(threads, time, &Course { group: &group, landing: None })
            }
            Self::Full => {
                let landing = Landing::default();
                let group = full_flights(threads as u64, landing.clone());
                rounds_of(threads, time, &Course { group: &group, landing: Some(landing) })
            }
            Self::BareCondvar => bare_rounds(threads, time),
        }
    }
}

/// When the getter returned.
type Landing = Arc<Mutex<Option<Instant>>>;

/// A group whose getter returns when all of `threads` have missed.
fn full_flights(threads: u64, landing: Landing) -> Group {
    let itself: Arc<OnceLock<Group>> = Arc::default();
    let before = AtomicU64::new(0);
    let getter = {
        let itself = Arc::clone(&itself);
        move |key: &str| {
            let group = itself.get().ok_or("the group is not there yet")?;
            let all = before.fetch_add(threads, Ordering::Relaxed) + threads;
            while group.stats().loads < all {
                std::thread::yield_now();
            }
            *landing.lock().map_err(|_| "a panic")? = Some(Instant::now());
            Ok(value(key, VALUE_BYTES))
        }
    };
    let group = Group::new("full", CACHE_BYTES, getter).expect("a group");
    // The group holds itself and is never freed: a few of them, in a process that ends soon.
    itself.get_or_init(|| group.clone());
    group
}

/// What the threads of a bench fly.
struct Course<'a> {
    group: &'a Group,
    landing: Option<Landing>,
}

fn rounds_of(threads: usize, time: Duration, course: &Course<'_>) -> Flown {
    let started = |begun: Instant| {
        let landed = course.landing.as_ref().and_then(|landing| *landing.lock().expect("no panic"));
        landed.unwrap_or(begun)
    };
    let get = |round: usize| {
        let key = key(round);
        let got = course.group.get(&key).expect("a value");
        assert_eq!(got, value(&key, VALUE_BYTES)[..]);
    };
    let micros = rounds(threads, time, get, started, || ());
    let stats = course.group.stats();
    assert_eq!(stats.gets, (micros.len() * threads) as u64);
    Flown { micros, loads: stats.local_loads }
}

/// Wakes `threads` threads that wait for a round's number.
fn bare_rounds(threads: usize, time: Duration) -> Flown {
    let (waiting, landed) = (Mutex::new((0, 0)), Condvar::new());
    let get = |round: usize| {
        let mut state = waiting.lock().expect("no panic");
        state.0 += 1;
        while state.1 <= round {
            state = landed.wait(state).expect("no panic");
        }
    };
    let woken = Mutex::new(Instant::now());
    let wake = || {
        loop {
            let mut state = waiting.lock().expect("no panic");
            if state.0 == threads {
                *state = (0, state.1 + 1);
                break;
            }
            drop(state);
            std::thread::yield_now();
        }
        *woken.lock().expect("no panic") = Instant::now();
        landed.notify_all();
    };
    let micros = rounds(threads, time, get, |_| *woken.lock().expect("no panic"), wake);
    Flown { micros, loads: 0 }
}

/// Has `threads` threads `get` round after round for `time`, with `meanwhile` on this thread;
/// the microseconds of each, from when `started` says to the last thread's end.
fn rounds(
    threads: usize,
    time: Duration,
    get: impl Fn(usize) + Sync,
    started: impl Fn(Instant) -> Instant,
    meanwhile: impl Fn(),
) -> Vec<f64> {
    let (ready, done) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let (over, ended) = (OnceLock::new(), Mutex::new(Instant::now()));
    let work = || {
        for round in 0.. {
            ready.wait();
            if over.get().is_some() {
                return;
            }
            get(round);
            let now = Instant::now();
            let mut ended = ended.lock().expect("no panic");
            *ended = now.max(*ended);
            drop(ended);
            done.wait();
        }
    };
    let mut micros = Vec::new();
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
        while Instant::now() < until || micros.is_empty() {
            let begun = Instant::now();
            ready.wait();
            meanwhile();
            done.wait();
            let ended = *ended.lock().expect("no panic");
            micros.push(ended.saturating_duration_since(started(begun)).as_secs_f64() * 1e6);
        }
        let _ = over.set(());
        ready.wait();
    });
    micros
}
