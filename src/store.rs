//! The two caches of a group, main and hot: shards of `Mutex<Lru>` under one byte budget.
//!
//! The budget is one counter for all shards, so that a big value may take more than a shard's
//! share. A new entry first reserves its bytes, which evicts until they fit, and only then
//! goes in: filling never passes the budget, whatever the threads do.

use std::hash::BuildHasher;

use crate::byte_view::ByteView;
use crate::clock::{Clock, Tick};
use crate::lru::{Evicted, Lookup, Lru, entry_bytes};
use crate::mutant::{self, Mutant};
use crate::stats::CacheStats;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{CachePadded, KeyHasher, Mutex};

/// Shards of each cache. More than the cores of most machines, so that threads rarely meet.
const SHARDS: usize = if cfg!(shuttle) { 2 } else { 64 };

/// The hot cache gives way when it holds more than this share of the main cache's bytes, as
/// in groupcache.
const HOT_SHARE: usize = 8;

/// Which of the two caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Main,
    Hot,
}

/// Why an entry left a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Eviction {
    /// The budget was full and the entry was the oldest.
    Size,
    /// Its time to live was over.
    Expired,
    /// A newer value of the same key took its place.
    Replaced,
    /// It was removed.
    Removed,
}

#[derive(Debug)]
pub(crate) struct Store {
    clock: Clock,
    hasher: KeyHasher,
    budget: usize,
    /// Bytes of the entries in both caches, and of those about to go in.
    reserved: CachePadded<AtomicUsize>,
    main: Cache,
    hot: Cache,
}

#[derive(Debug)]
struct Cache {
    bytes: CachePadded<AtomicUsize>,
    refused: AtomicUsize,
    shards: [CachePadded<Mutex<Shard>>; SHARDS],
}

#[derive(Debug)]
struct Shard {
    lru: Lru,
    gets: u64,
    hits: u64,
    evictions: u64,
    expired: u64,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) value: ByteView,
    pub(crate) expires: Option<Tick>,
    pub(crate) which: Which,
}

/// Entries that left while the store did something, for the eviction listener: to be told
/// once no lock is held.
pub(crate) type Left = Vec<(Evicted, Eviction)>;

impl Store {
    pub(crate) fn new(budget: usize, clock: Clock) -> Self {
        Self {
            clock,
            hasher: KeyHasher::default(),
            budget,
            reserved: CachePadded::new(AtomicUsize::new(0)),
            main: Cache::new(),
            hot: Cache::new(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Looks in the main cache, then in the hot one.
    pub(crate) fn get(&self, key: &[u8], left: &mut Left) -> Option<Found> {
        let hash = self.hasher.hash_one(key);
        self.look(Which::Main, hash, key, left).or_else(|| self.look(Which::Hot, hash, key, left))
    }

    /// Puts a value into one cache, and evicts what has to give way for it. A value that can
    /// never fit is not kept, and counted.
    pub(crate) fn insert(
        &self,
        which: Which,
        key: &[u8],
        value: ByteView,
        expires: Option<Tick>,
        left: &mut Left,
    ) {
        let hash = self.hasher.hash_one(key);
        let bytes = entry_bytes(key.len(), value.len());
        if !self.reserve(bytes, shard_of(hash), left) {
            self.cache(which).refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let cache = self.cache(which);
        cache.bytes.fetch_add(bytes, Ordering::Relaxed);
        let replaced = cache.shards[shard_of(hash)].lock().lru.insert(hash, key, value, expires);
        self.release(which, replaced, Eviction::Replaced, left);
        if which == Which::Main {
            // A copy from the time when a peer owned the key would only take place.
            let copy = self.hot.shards[shard_of(hash)].lock().lru.remove(hash, key);
            self.release(Which::Hot, copy, Eviction::Replaced, left);
        }
    }

    /// Takes a key out of both caches.
    pub(crate) fn remove(&self, key: &[u8], why: Eviction, left: &mut Left) {
        let hash = self.hasher.hash_one(key);
        for which in [Which::Main, Which::Hot] {
            let entry = self.cache(which).shards[shard_of(hash)].lock().lru.remove(hash, key);
            self.release(which, entry, why, left);
        }
    }

    pub(crate) fn stats(&self, which: Which) -> CacheStats {
        let cache = self.cache(which);
        let refused = cache.refused.load(Ordering::Relaxed) as u64;
        let mut sum = CacheStats { refused, ..CacheStats::default() };
        for shard in &cache.shards {
            let shard = shard.lock();
            sum.items += shard.lru.len() as u64;
            sum.bytes += shard.lru.bytes() as u64;
            sum.gets += shard.gets;
            sum.hits += shard.hits;
            sum.evictions += shard.evictions;
            sum.expired += shard.expired;
        }
        sum
    }

    fn cache(&self, which: Which) -> &Cache {
        match which {
            Which::Main => &self.main,
            Which::Hot => &self.hot,
        }
    }

    fn look(&self, which: Which, hash: u64, key: &[u8], left: &mut Left) -> Option<Found> {
        let mut shard = self.cache(which).shards[shard_of(hash)].lock();
        shard.gets += 1;
        match shard.lru.get(hash, key, || self.clock.now()) {
            Lookup::Hit { value, expires } => {
                shard.hits += 1;
                Some(Found { value, expires, which })
            }
            Lookup::Miss => None,
            Lookup::Expired(entry) => {
                shard.expired += 1;
                drop(shard);
                self.release(which, Some(entry), Eviction::Expired, left);
                None
            }
        }
    }

    /// Makes room for `bytes`; false when there is none to be made.
    fn reserve(&self, bytes: usize, home: usize, left: &mut Left) -> bool {
        if bytes > self.budget {
            return false;
        }
        loop {
            let room = self.budget - bytes;
            let reserved = if mutant::active(Mutant::ReserveInTwoSteps) {
                let fits = self.reserved.load(Ordering::SeqCst) <= room;
                fits.then(|| self.reserved.fetch_add(bytes, Ordering::SeqCst))
            } else {
                self.reserved
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                        (used <= room).then_some(used + bytes)
                    })
                    .ok()
            };
            // With nothing left to evict, the room is held by entries on their way in.
            if reserved.is_some() {
                return true;
            }
            if !self.evict_one(home, left) {
                return false;
            }
        }
    }

    /// Evicts the oldest entry of the cache whose turn it is: from the shard `home`, or from
    /// the first after it that has one.
    fn evict_one(&self, home: usize, left: &mut Left) -> bool {
        let hot = self.hot.bytes.load(Ordering::Relaxed);
        let main = self.main.bytes.load(Ordering::Relaxed);
        let order = if hot > main / HOT_SHARE {
            [Which::Hot, Which::Main]
        } else {
            [Which::Main, Which::Hot]
        };
        order.into_iter().any(|which| {
            (0..SHARDS).any(|step| {
                let mut shard = self.cache(which).shards[(home + step) % SHARDS].lock();
                let Some(victim) = shard.lru.pop_oldest() else { return false };
                shard.evictions += 1;
                drop(shard);
                self.release(which, Some(victim), Eviction::Size, left);
                true
            })
        })
    }

    /// Gives back the bytes of an entry that has left.
    fn release(&self, which: Which, entry: Option<Evicted>, why: Eviction, left: &mut Left) {
        let Some(entry) = entry else { return };
        self.cache(which).bytes.fetch_sub(entry.bytes(), Ordering::Relaxed);
        if why != Eviction::Replaced || !mutant::active(Mutant::ReplacedKeepsBytes) {
            self.reserved.fetch_sub(entry.bytes(), Ordering::SeqCst);
        }
        left.push((entry, why));
    }

    /// Bytes reserved now, at most the budget at any time.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::SeqCst)
    }

    /// Checks, while nobody else is at work, that shards and counters tell the same story.
    #[cfg(all(test, shuttle))]
    pub(crate) fn validate(&self) {
        let held = [&self.main, &self.hot].map(|cache| {
            let held: usize = cache.shards.iter().map(|shard| shard.lock().lru.validate()).sum();
            assert_eq!(cache.bytes.load(Ordering::SeqCst), held, "bytes of one cache");
            held
        });
        assert_eq!(self.reserved(), held[0] + held[1], "what is reserved is what is held");
    }
}

impl Cache {
    fn new() -> Self {
        let shard = || Shard { lru: Lru::new(), gets: 0, hits: 0, evictions: 0, expired: 0 };
        Self {
            bytes: CachePadded::new(AtomicUsize::new(0)),
            refused: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| CachePadded::new(Mutex::new(shard()))),
        }
    }
}

/// By bits that the shard's hash table uses neither for the bucket nor for the tag.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store(budget: usize) -> Store {
        Store::new(budget, Clock::monotonic())
    }

    fn put(store: &Store, which: Which, key: &str, len: usize) -> Left {
        let mut left = Left::new();
        store.insert(which, key.as_bytes(), vec![0; len].into(), None, &mut left);
        left
    }

    fn get(store: &Store, key: &str) -> Option<Found> {
        store.get(key.as_bytes(), &mut Left::new())
    }

    #[test]
    fn main_is_looked_up_before_hot_and_takes_its_place() {
        let store = store(1 << 20);
        put(&store, Which::Hot, "k", 1);
        assert_eq!(get(&store, "k").unwrap().which, Which::Hot);
        let left = put(&store, Which::Main, "k", 2);
        assert_eq!((left.len(), left[0].1), (1, Eviction::Replaced));
        assert_eq!(get(&store, "k").unwrap().which, Which::Main);
        assert_eq!(store.stats(Which::Hot).items, 0);
    }

    #[test]
    fn a_value_larger_than_the_budget_is_counted_and_evicts_nothing() {
        let store = store(1_000);
        put(&store, Which::Main, "small", 10);
        assert!(put(&store, Which::Main, "huge", 1_000).is_empty());
        assert!(get(&store, "huge").is_none() && get(&store, "small").is_some());
        assert_eq!(store.stats(Which::Main).refused, 1);
    }

    #[test]
    fn a_removed_key_is_gone_from_both_caches_with_its_bytes() {
        let store = store(1 << 20);
        for which in [Which::Main, Which::Hot] {
            put(&store, which, "k", 1);
            let mut left = Left::new();
            store.remove(b"k", Eviction::Removed, &mut left);
            assert_eq!((left.len(), left[0].1), (1, Eviction::Removed), "{which:?}");
            assert!(get(&store, "k").is_none());
        }
        assert_eq!((store.reserved(), store.stats(Which::Main).evictions), (0, 0));
    }

    #[test]
    fn a_budget_of_zero_keeps_nothing() {
        let store = store(0);
        put(&store, Which::Main, "k", 0);
        assert!(get(&store, "k").is_none());
    }

    #[test]
    fn a_big_value_may_take_more_than_a_shards_share() {
        let store = store(1 << 20);
        put(&store, Which::Main, "big", 1 << 19);
        assert!(get(&store, "big").is_some());
    }

    #[test]
    fn the_hot_cache_gives_way_when_it_holds_more_than_its_share() {
        let entry = entry_bytes(4, 100);
        let store = store(entry * 100);
        for n in 0..90 {
            put(&store, Which::Main, &format!("m{n:03}"), 100);
        }
        for n in 0..200 {
            put(&store, Which::Hot, &format!("h{n:03}"), 100);
        }
        let (main, hot) = (store.stats(Which::Main), store.stats(Which::Hot));
        assert!(hot.bytes <= main.bytes / 8 + entry as u64, "{hot:?} beside {main:?}");
        assert!(main.items >= 85, "{main:?}");
    }

    #[test]
    fn expired_entries_are_misses_and_told_as_such() {
        let (clock, millis) = Clock::manual();
        let store = Store::new(1 << 20, clock.clone());
        let expires = clock.after(Duration::from_millis(5));
        store.insert(Which::Main, b"k", "v".into(), Some(expires), &mut Left::new());
        assert_eq!(get(&store, "k").unwrap().expires, Some(expires));
        millis.store(5, std::sync::atomic::Ordering::SeqCst);
        let mut left = Left::new();
        assert!(store.get(b"k", &mut left).is_none());
        assert_eq!((left.len(), left[0].1), (1, Eviction::Expired));
        assert_eq!((store.stats(Which::Main).expired, store.reserved()), (1, 0));
    }

    #[test]
    fn filling_from_many_threads_never_passes_the_budget() {
        let store = store(200_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..2_000 {
                        let which = if n % 3 == 0 { Which::Hot } else { Which::Main };
                        put(store, which, &format!("{thread}:{}", n % 300), n * 37 % 20_000);
                        assert!(store.reserved() <= 200_000);
                    }
                });
            }
        });
        let held = store.stats(Which::Main).bytes + store.stats(Which::Hot).bytes;
        assert_eq!(held, store.reserved() as u64, "what is reserved is what is held");
    }
}
