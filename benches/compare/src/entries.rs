//! Keys, values, and which keys are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::prelude::*;
use rand::rngs::SmallRng;
use rand_distr::Zipf;

/// The lengths of keys and values.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    pub key: usize,
    pub value: usize,
}

/// The key of a number.
pub fn key(number: usize, len: usize) -> String {
    format!("key-{number:0width$}", width = len - 4)
}

/// Makes the value of a key, as the slow origin behind a cache would, and counts it.
pub fn make(key: &str, len: usize) -> Vec<u8> {
    MADE.fetch_add(1, Ordering::Relaxed);
    vec![key.as_bytes()[key.len() - 1]; len]
}

/// How many values were made so far: the misses of all caches.
pub fn made() -> u64 {
    MADE.load(Ordering::Relaxed)
}

static MADE: AtomicU64 = AtomicU64::new(0);

/// So many draws out of `keys` keys by Zipf's law, the same for the same seed.
///
/// Which keys are popular is the same for all seeds, and has nothing to do with their order: in
/// the memory of a cache that was filled in order, popular keys are no neighbours.
pub fn zipf(keys: usize, exponent: f64, draws: usize, seed: u64) -> Vec<u32> {
    let mut by_rank: Vec<u32> = (0..keys as u32).collect();
    by_rank.shuffle(&mut SmallRng::seed_from_u64(0));
    let zipf = Zipf::new(keys as f64, exponent).expect("an exponent above 0");
    let ranks = zipf.sample_iter(SmallRng::seed_from_u64(seed + 1));
    ranks.take(draws).map(|rank| by_rank[rank as usize - 1]).collect()
}
