//! The policies of published crates, in one shard, with their own defaults otherwise.

use foyer::{Cache, CacheBuilder, LfuConfig, S3FifoConfig};

use super::Policy;

pub(super) struct Lru(lru::LruCache<u32, ()>);

impl Lru {
    pub(super) fn new(size: usize) -> Self {
        Self(lru::LruCache::new(size.try_into().expect("a size of at least one entry")))
    }
}

impl Policy for Lru {
    fn request(&mut self, key: u32) -> bool {
        self.0.get(&key).is_some() || self.0.put(key, ()).is_some()
    }
}

pub(super) struct Moka(moka::sync::Cache<u32, ()>);

impl Moka {
    pub(super) fn new(size: usize) -> Self {
        Self(moka::sync::Cache::new(size as u64))
    }
}

impl Policy for Moka {
    fn request(&mut self, key: u32) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
            // It evicts later otherwise, and would hold more than it may.
            self.0.run_pending_tasks();
        }
        hit
    }
}

pub(super) struct Quick(quick_cache::unsync::Cache<u32, ()>);

impl Quick {
    pub(super) fn new(size: usize) -> Self {
        Self(quick_cache::unsync::Cache::new(size))
    }
}

impl Policy for Quick {
    fn request(&mut self, key: u32) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }
}

pub(super) struct Foyer(Cache<u32, ()>);

impl Foyer {
    pub(super) fn s3_fifo(size: usize) -> Self {
        let config = S3FifoConfig::default();
        Self(CacheBuilder::new(size).with_shards(1).with_eviction_config(config).build())
    }

    pub(super) fn lfu(size: usize) -> Self {
        let config = LfuConfig::default();
        Self(CacheBuilder::new(size).with_shards(1).with_eviction_config(config).build())
    }
}

impl Policy for Foyer {
    fn request(&mut self, key: u32) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }
}
