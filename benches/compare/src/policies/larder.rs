//! larder's own, in shards that share keys by their hash.

use larder::Eviction;
use larder::testing::Simulator;

use super::Policy;
use crate::traces::mix;

/// Less than so many entries make no shard.
const SHARD_ENTRIES: usize = 100;

pub(super) struct Larder {
    shards: Vec<Simulator>,
}

impl Larder {
    pub(super) fn new(eviction: Eviction, entries: usize, shards: usize) -> Self {
        let shards = shards.min(entries / SHARD_ENTRIES).max(1);
        let shard = || Simulator::new(eviction, entries / shards);
        Self { shards: (0..shards).map(|_| shard()).collect() }
    }
}

impl Policy for Larder {
    fn request(&mut self, key: u32) -> bool {
        let shard = mix(u64::from(key)) as usize % self.shards.len();
        self.shards[shard].request(u64::from(key))
    }
}
