//! The caches of others. Each has room for a number of entries, and foldhash where it lets
//! choose.

use std::hash::BuildHasher;
use std::num::NonZeroUsize;

use bytes::Bytes;
use foyer::EvictionConfig;
use lru::LruCache;
use parking_lot::Mutex;

use super::{Cache, touch};
use crate::entries::{Lengths, key, make};

pub(super) type Foldhash = foldhash::fast::RandomState;
type QuickCache = quick_cache::sync::Cache<Box<str>, Bytes, quick_cache::UnitWeighter, Foldhash>;
type Moka<S> = moka::sync::Cache<Box<str>, Bytes, S>;
/// Looks up by its own type of keys only.
type MiniMoka = mini_moka::sync::Cache<String, Bytes, Foldhash>;
type Foyer = foyer::Cache<Box<str>, Bytes, Foldhash>;

/// A cache that is read through by a get, and an insert when that found nothing.
pub(super) trait Peer: Send + Sync {
    type Value: Clone + AsRef<[u8]> + From<Vec<u8>>;

    // Not `&str`, for mini-moka.
    #[allow(clippy::ptr_arg, reason = "the key's own type is all that mini-moka takes")]
    fn get(&self, key: &String) -> Option<Self::Value>;

    fn insert(&self, key: &str, value: Self::Value);
}

/// Fills a peer, and makes it one of the caches that are compared.
pub(super) struct Filler {
    pub(super) lengths: Lengths,
    pub(super) filled: usize,
}

impl Filler {
    pub(super) fn fill<P: Peer + 'static>(&self, peer: P) -> Box<dyn Cache> {
        let through = ReadThrough { peer, value_len: self.lengths.value };
        for number in 0..self.filled {
            through.read(&key(number, self.lengths.key));
        }
        Box::new(through)
    }
}

struct ReadThrough<P> {
    peer: P,
    value_len: usize,
}

impl<P: Peer> ReadThrough<P> {
    fn read(&self, key: &String) -> P::Value {
        self.peer.get(key).unwrap_or_else(|| {
            let value = P::Value::from(make(key, self.value_len));
            self.peer.insert(key, value.clone());
            value
        })
    }
}

impl<P: Peer> Cache for ReadThrough<P> {
    fn read_each(&self, keys: &[String], picks: &[u32]) {
        for &pick in picks {
            touch(self.read(&keys[pick as usize]).as_ref());
        }
    }
}

pub(super) fn quick_cache(capacity: usize) -> QuickCache {
    let (weighter, hasher) = (quick_cache::UnitWeighter, Foldhash::default());
    QuickCache::with(capacity, capacity as u64, weighter, hasher, Default::default())
}

impl Peer for QuickCache {
    type Value = Bytes;

    fn get(&self, key: &String) -> Option<Bytes> {
        self.get(key.as_str())
    }

    fn insert(&self, key: &str, value: Bytes) {
        self.insert(key.into(), value);
    }
}

pub(super) fn moka<S: Hasher>(capacity: usize, hasher: S) -> Moka<S> {
    Moka::builder().max_capacity(capacity as u64).build_with_hasher(hasher)
}

pub(super) trait Hasher: BuildHasher + Clone + Send + Sync + 'static {}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Hasher for S {}

impl<S: Hasher> Peer for Moka<S> {
    type Value = Bytes;

    fn get(&self, key: &String) -> Option<Bytes> {
        self.get(key.as_str())
    }

    fn insert(&self, key: &str, value: Bytes) {
        self.insert(key.into(), value);
    }
}

pub(super) fn mini_moka(capacity: usize) -> MiniMoka {
    mini_moka::sync::Cache::builder()
        .max_capacity(capacity as u64)
        .build_with_hasher(Foldhash::default())
}

impl Peer for MiniMoka {
    type Value = Bytes;

    fn get(&self, key: &String) -> Option<Bytes> {
        self.get(key)
    }

    fn insert(&self, key: &str, value: Bytes) {
        self.insert(key.to_owned(), value);
    }
}

/// What one writes around the `lru` crate to share it.
pub(super) struct LruShards {
    hasher: Foldhash,
    shards: Vec<Mutex<LruCache<Box<str>, Bytes, Foldhash>>>,
}

impl LruShards {
    pub(super) fn new(shards: usize, capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity / shards).expect("room in each shard");
        // Hashers of their own: keys that share a shard by one hash would collide by the same.
        let shard = |_| Mutex::new(LruCache::with_hasher(capacity, Foldhash::default()));
        Self { shards: (0..shards).map(shard).collect(), hasher: Foldhash::default() }
    }

    fn shard(&self, key: &str) -> &Mutex<LruCache<Box<str>, Bytes, Foldhash>> {
        match &self.shards[..] {
            [shard] => shard,
            shards => &shards[self.hasher.hash_one(key) as usize % shards.len()],
        }
    }
}

impl Peer for LruShards {
    type Value = Bytes;

    fn get(&self, key: &String) -> Option<Bytes> {
        self.shard(key).lock().get(key.as_str()).cloned()
    }

    fn insert(&self, key: &str, value: Bytes) {
        self.shard(key).lock().put(key.into(), value);
    }
}

pub(super) fn foyer(capacity: usize, eviction: impl Into<EvictionConfig>) -> Foyer {
    foyer::CacheBuilder::new(capacity)
        .with_shards(16)
        .with_eviction_config(eviction)
        .with_hash_builder(Foldhash::default())
        .build()
}

impl Peer for Foyer {
    type Value = Bytes;

    fn get(&self, key: &String) -> Option<Bytes> {
        self.get(key.as_str()).map(|entry| entry.value().clone())
    }

    fn insert(&self, key: &str, value: Bytes) {
        self.insert(key.into(), value);
    }
}
