//! larder's policy, in a cache that holds keys alone.

use std::collections::HashMap;

use super::Policy;
use super::ours::Ours;
use crate::traces::mix;

pub(super) struct Larder {
    shards: Vec<Shard>,
}

impl Larder {
    pub(super) fn new(size: usize, shards: usize) -> Self {
        // Less than a hundred entries make no shard.
        let shards = shards.min(size / 100).max(1);
        Self { shards: (0..shards).map(|_| Shard::new(size / shards)).collect() }
    }
}

impl Policy for Larder {
    fn request(&mut self, key: u32) -> bool {
        let hash = mix(u64::from(key));
        let shard = (hash as usize) % self.shards.len();
        self.shards[shard].request(key, (hash >> 32) as u32)
    }
}

struct Shard {
    size: usize,
    policy: Ours,
    places: HashMap<u32, u32, foldhash::fast::FixedState>,
    keys: Vec<u32>,
    free: Vec<u32>,
}

impl Shard {
    fn new(size: usize) -> Self {
        // One more than stays, since the policy may choose the newest.
        let free = (0..=size as u32).rev().collect();
        let keys = vec![0; size + 1];
        Self { size, policy: Ours::default(), places: HashMap::default(), keys, free }
    }

    fn request(&mut self, key: u32, hash: u32) -> bool {
        if let Some(&index) = self.places.get(&key) {
            self.policy.hit(index);
            return true;
        }
        let index = self.free.pop().expect("a victim for each insert beyond the size");
        self.keys[index as usize] = key;
        self.places.insert(key, index);
        self.policy.insert(index, hash, 1);
        while self.places.len() > self.size {
            let victim = self.policy.victim().expect("an entry to evict");
            self.places.remove(&self.keys[victim as usize]);
            self.free.push(victim);
        }
        false
    }
}
