//! What the benches share: how long they run, what they run on, samples and tables.
//!
//! A bench measures its variants in turn, round after round, so that a busy machine is busy
//! for all of them; it prints medians over the rounds, and ratios of neighbours in a round.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(dead_code, unused_imports, reason = "each bench uses a part")]

mod client;
mod go_node;
mod machine;
mod table;
mod wrk;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder::{Group, GroupOptions};

pub(crate) use client::{BareServer, Client};
pub(crate) use go_node::{GoNode, INTEROP_GO};
pub(crate) use machine::{
    describe, family_of, process_cpu, process_cpu_of, resident_bytes, resident_bytes_of, thread_cpu,
};
pub(crate) use table::{Table, decimals, grouped};
pub(crate) use wrk::wrk;

/// Rounds of every table: enough for a median.
pub(crate) const ROUNDS: usize = 5;
/// Time for a first look.
const QUICK_SECONDS: f64 = 3.0;
/// Length of the keys, in bytes.
pub(crate) const KEY_BYTES: usize = 20;

/// What to think of the rows where one thread waits for another.
pub(crate) const ONE_THREAD: &str = "Ratios at 1 thread or connection say little where another \
    thread must be woken: on which core\nthe kernel wakes it costs more than the work.";

/// How long a bench may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    seconds: f64,
}

impl Plan {
    /// Prints what the bench is and what it runs on, and reads how long it may take:
    /// `LARDER_BENCH_SECONDS`, or little with `--quick` and outside of `cargo bench`.
    pub(crate) fn announce(title: &str, default_seconds: f64) -> Self {
        let benching = std::env::args().any(|arg| arg == "--bench");
        Self::announce_program(title, if benching { default_seconds } else { QUICK_SECONDS })
    }

    /// As [`announce`](Self::announce), for a program that is no bench of cargo's.
    pub(crate) fn announce_program(title: &str, default_seconds: f64) -> Self {
        let quick = std::env::args().any(|arg| arg == "--quick");
        let set = std::env::var("LARDER_BENCH_SECONDS").ok();
        let seconds = match set.map(|text| text.parse()) {
            Some(seconds) => seconds.expect("LARDER_BENCH_SECONDS is not a number of seconds"),
            None if quick => QUICK_SECONDS,
            None => default_seconds,
        };
        println!("\n## {title}\n\n{}; {seconds} s\n", describe());
        Self { seconds }
    }

    /// The time for one of `samples` samples in each round.
    pub(crate) fn slice(self, samples: usize) -> Duration {
        Duration::from_secs_f64(self.seconds / (samples * ROUNDS) as f64)
    }
}

/// What one run measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) threads: usize,
    pub(crate) ops: u64,
    pub(crate) wall: Duration,
    /// Processor time of the whole process.
    pub(crate) cpu: Duration,
    /// Processor time of the threads that stepped.
    pub(crate) callers_cpu: Duration,
}

impl Sample {
    /// What one caller waits for one operation.
    pub(crate) fn nanos(&self) -> f64 {
        self.wall.as_secs_f64() * 1e9 * self.threads as f64 / self.ops as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.ops as f64 / self.wall.as_secs_f64()
    }
}

/// Runs `step` on `threads` threads for `time`, and gives back what their `setup` made.
///
/// `setup` runs on the thread that steps, before the time starts. A step returns how many
/// operations it did.
pub(crate) fn hammer<S: Send>(
    threads: usize,
    time: Duration,
    setup: impl Fn(usize) -> S + Sync,
    step: impl Fn(&mut S) -> u64 + Sync,
) -> (Sample, Vec<S>) {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let work = |thread| {
        let mut state = setup(thread);
        start.wait();
        let (mut ops, cpu) = (0, thread_cpu());
        while !stop.load(Ordering::Relaxed) {
            ops += step(&mut state);
        }
        ((ops, thread_cpu() - cpu), state)
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        start.wait();
        let (started, cpu) = (Instant::now(), process_cpu());
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let done = workers.into_iter().map(|worker| worker.join().expect("a worker panicked"));
        let (done, states): (Vec<(u64, Duration)>, Vec<S>) = done.unzip();
        let (wall, cpu) = (started.elapsed(), process_cpu() - cpu);
        let ops = done.iter().map(|done| done.0).sum();
        let callers_cpu = done.iter().map(|done| done.1).sum();
        (Sample { threads, ops, wall, cpu, callers_cpu }, states)
    })
}

/// The middle one; of an even number, the lower.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// The value that `share` of the values do not exceed.
pub(crate) fn quantile(values: &mut [u64], share: f64) -> u64 {
    let rank = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable(rank).1
}

/// The key of a number, [`KEY_BYTES`] long.
pub(crate) fn key(n: usize) -> String {
    format!("key-{n:016}")
}

/// The value of a key: the key again and again.
pub(crate) fn value(key: &str, len: usize) -> Vec<u8> {
    key.bytes().cycle().take(len).collect()
}

/// Gets `keys` of a group that stands alone, from inside a getter: such a get loads on the
/// getter's own thread, which fills a cache far faster than a thread for each load.
pub(crate) fn fill(
    group: &Group,
    keys: impl Iterator<Item = String> + Clone + Send + Sync + 'static,
) {
    let group = group.clone();
    let all = move |_: &str| {
        for key in keys.clone() {
            group.get(&key)?;
        }
        Ok("filled")
    };
    let filler = GroupOptions::new(0).load_timeout(PATIENCE).build("filler", all);
    let filled = filler.and_then(|filler| filler.get_within("all", PATIENCE));
    assert_eq!(filled.expect("the cache fills"), "filled");
}

/// Longer than any fill takes.
const PATIENCE: Duration = Duration::from_secs(600);
