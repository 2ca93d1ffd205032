//! How often peers ask for a key, about: a count-min sketch whose counters fade.
//!
//! Each key has a counter in each row, which it shares with others; what the others of a row put
//! into it on average is taken off again (F. Deng and D. Rafiei, New estimation algorithms for
//! streaming data, 2007), or with thousands of keys each would look popular. The least of the rows
//! is the estimate. Requests of peers alone are counted: they are what copies spare the owner, and
//! hits of this node need not pay for it.

use std::hash::BuildHasher;
use std::time::Duration;

use crate::clock::Tick;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{KeyHasher, OnceCell};

const ROWS: usize = 4;
const COLUMN_BITS: u32 = 10;
const COLUMNS: usize = 1 << COLUMN_BITS;

/// After this long without a request a counter is worth half.
const HALF_LIFE: Duration = Duration::from_secs(20);

/// The rates of a group's keys: 32 KiB from the first request on.
#[derive(Debug, Default)]
pub(super) struct Rates {
    hasher: KeyHasher,
    sketch: OnceCell<Box<Sketch>>,
}

#[derive(Debug)]
struct Sketch {
    rows: [[Faded; COLUMNS]; ROWS],
    all: Faded,
}

/// A count that fades, and the coarse time at which it was that much. Threads that count at once
/// may lose some: it is an estimate.
#[derive(Debug)]
struct Faded(AtomicU64);

impl Rates {
    /// Counts a request for `key`; gives how many a minute there are by now, about.
    pub(super) fn count(&self, key: &[u8], now: Tick) -> u32 {
        let new = || Box::new(Sketch { rows: rows(), all: Faded::new() });
        let sketch = self.sketch.get_or_init(new);
        let (hash, now) = (self.hasher.hash_one(key), now.coarse());
        let all = sketch.all.add_one(now);
        let counts = sketch.rows.iter().zip(0..).map(|(row, n)| {
            let column = (hash >> (n * COLUMN_BITS)) as usize % COLUMNS;
            let count = row[column].add_one(now);
            count - (all - count).max(0.0) / (COLUMNS - 1) as f32
        });
        per_minute(counts.fold(f32::INFINITY, f32::min))
    }
}

fn rows() -> [[Faded; COLUMNS]; ROWS] {
    std::array::from_fn(|_| std::array::from_fn(|_| Faded::new()))
}

/// Of a steady rate a count that halves all the time is the rate times the mean life.
fn per_minute(count: f32) -> u32 {
    let mean_life = HALF_LIFE.as_secs_f32() / std::f32::consts::LN_2;
    (count * 60.0 / mean_life).round() as u32
}

impl Faded {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add_one(&self, now: u32) -> f32 {
        let was = self.0.load(Ordering::Relaxed);
        let (then, count) = ((was >> 32) as u32, f32::from_bits(was as u32));
        let since = Tick::coarse_duration(now.wrapping_sub(then).into());
        let left = (-since.as_secs_f32() / HALF_LIFE.as_secs_f32()).exp2();
        let count = count * left + 1.0;
        self.0.store(u64::from(now) << 32 | u64::from(count.to_bits()), Ordering::Relaxed);
        count
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_steady_rate_is_told_to_a_tenth_and_fades() {
        let (clock, millis) = Clock::manual();
        let rates = Rates::default();
        let ask = |at| {
            millis.store(at, Ordering::SeqCst);
            rates.count(b"k", clock.now())
        };
        assert_eq!(ask(0), 2, "one request is a low rate");
        let told = (1..=240).fold(0, |_, n| ask(n * 500));
        assert!((108..=132).contains(&told), "120 a minute told as {told}");
        let later = ask(140_000);
        assert!((56..=68).contains(&later), "half of it after the half-life: {later}");
    }

    #[test]
    fn among_many_keys_the_popular_one_stands_out() {
        let (clock, millis) = Clock::manual();
        let rates = Rates::default();
        let mut seldom = Vec::new();
        let mut popular = 0;
        for n in 0..60_000u64 {
            // A thousand requests a second, every 50th of them for one key, and of the rest each for
            // another one.
            millis.store(n, Ordering::SeqCst);
            if n % 50 == 0 {
                popular = rates.count(b"popular", clock.now());
            } else {
                seldom.push(rates.count(&n.to_le_bytes(), clock.now()));
            }
        }
        assert!((900..1_300).contains(&popular), "1200 a minute, not yet for long: {popular}");
        let mistaken = seldom.iter().filter(|rate| **rate >= 10).count();
        assert!(mistaken * 10 < seldom.len(), "{mistaken} of {} look popular", seldom.len());
    }
}
