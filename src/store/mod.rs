//! The caches of a group: shards of `Mutex<Lru>` under one byte budget.
//!
//! The budget is one counter for all shards, so that a big value may take more than a shard's
//! share. A new entry first reserves its bytes, and those by which its shard's table must
//! grow, which evicts until they fit; only then it goes in: filling never passes the budget,
//! whatever the threads do.

mod carry;
mod insert;
mod room;
mod shard;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::byte_view::ByteView;
use crate::clock::{Clock, Tick};
pub use crate::lru::Eviction;
pub(crate) use crate::lru::Which;
use crate::lru::{Entry, Evicted, Lookup};
use crate::stats::CacheStats;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{CachePadded, KeyHasher, Mutex, MutexGuard};
pub(crate) use shard::Look;
use shard::Shard;

/// Shards at most. More than the cores of most machines, so that threads rarely meet.
const MOST_SHARDS: usize = 64;

/// A shard for each so many bytes of the first budget: in a small cache, shards of a few
/// entries each would evict what is popular in one and keep what is not in another.
const BYTES_PER_SHARD: usize = 256 << 10;

/// Why an entry left a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// The budget was full and it was the entry's turn.
    Size,
    /// Its time to live was over.
    Expired,
    /// A newer value of the same key took its place.
    Replaced,
    /// It was removed.
    Removed,
}

pub(crate) struct Store {
    clock: Clock,
    hasher: KeyHasher,
    eviction: Eviction,
    /// So many milliseconds what has expired is kept.
    grace: u64,
    budget: AtomicUsize,
    /// Bytes of the entries and tables of all shards, and of those about to be.
    reserved: CachePadded<AtomicUsize>,
    /// Bytes of the entries of the hot cache.
    hot_bytes: CachePadded<AtomicUsize>,
    /// The milliseconds before which nothing leaves because it has expired.
    soonest: CachePadded<AtomicU64>,
    shards: Box<[CachePadded<Mutex<Shard>>]>,
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
#[derive(Default)]
pub(crate) struct Left {
    /// None when nobody listens.
    entries: Option<Vec<(Evicted, RemovalCause)>>,
}

impl Left {
    pub(crate) fn new(listened: bool) -> Self {
        Self { entries: listened.then(Vec::new) }
    }

    pub(crate) fn into_entries(self) -> Vec<(Evicted, RemovalCause)> {
        self.entries.unwrap_or_default()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        if let Some(entries) = &mut self.entries {
            entries.extend(other.into_entries());
        }
    }

    fn push(&mut self, gone: Evicted, why: RemovalCause) {
        if let Some(entries) = &mut self.entries {
            entries.push((gone, why));
        }
    }
}

/// What becomes of an entry that is there already when another of its key comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfThere {
    Replace,
    Leave,
}

/// A key's hash, in the two parts that choose a shard and a place in it.
#[derive(Clone, Copy)]
struct Hashed {
    shard: usize,
    hash: u32,
}

impl Store {
    #[cfg(test)]
    pub(crate) fn new(budget: usize, clock: Clock) -> Self {
        Self::with_eviction(budget, Eviction::Lru, clock)
    }

    pub(crate) fn with_eviction(budget: usize, eviction: Eviction, clock: Clock) -> Self {
        Self::with_grace(budget, eviction, clock, Duration::ZERO)
    }

    /// A store that keeps what has expired for `grace` more, for [`stale`](Self::stale).
    pub(crate) fn with_grace(
        budget: usize,
        eviction: Eviction,
        clock: Clock,
        grace: Duration,
    ) -> Self {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let shard = || CachePadded::new(Mutex::new(Shard::new(eviction, grace)));
        Self {
            clock,
            hasher: KeyHasher::default(),
            eviction,
            grace,
            budget: AtomicUsize::new(budget),
            reserved: CachePadded::new(AtomicUsize::new(0)),
            hot_bytes: CachePadded::new(AtomicUsize::new(0)),
            soonest: CachePadded::new(AtomicU64::new(u64::MAX)),
            shards: (0..shards_for(budget)).map(|_| shard()).collect(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Looks a key up in both caches. What had expired is handed to `expired`, with no lock
    /// held.
    #[inline(always)]
    pub(crate) fn get(
        &self,
        key: &[u8],
        look: Look,
        expired: impl FnOnce(Evicted),
    ) -> Option<Found> {
        let Hashed { shard, hash } = self.hashed(key);
        let mut shard = self.shards[shard].lock();
        match shard.get(hash, key, look, &self.clock) {
            Lookup::Hit { value, expires, which } => Some(Found { value, expires, which }),
            Lookup::Miss => None,
            Lookup::Expired => {
                if let Some(gone) = self.remove_from(shard, hash, key, RemovalCause::Expired) {
                    expired(gone);
                }
                None
            }
        }
    }

    /// The value of a key that [`get`](Self::get) has not found because it has expired, when it is
    /// still kept; and when it expired.
    #[cold]
    pub(crate) fn stale(&self, key: &[u8]) -> Option<(ByteView, Tick)> {
        if self.grace == 0 {
            return None;
        }
        let Hashed { shard, hash } = self.hashed(key);
        self.shards[shard].lock().stale(hash, key, self.clock.now())
    }

    /// Puts a value into one cache, in place of what either has of the key, and evicts what
    /// has to give way for it. A value that cannot fit is not kept, and counted.
    pub(crate) fn insert(
        &self,
        which: Which,
        key: &[u8],
        value: ByteView,
        expires: Option<Tick>,
        left: &mut Left,
    ) {
        let hashed = self.hashed(key);
        let kept = Entry::pack(key, value, expires)
            .is_some_and(|entry| self.insert_entry(which, hashed, entry, IfThere::Replace, left));
        if !kept {
            self.shards[hashed.shard].lock().refuse(which);
            if self.grace > 0 {
                // What is stale is not to outlive what is newer.
                self.remove(key, RemovalCause::Replaced, left);
            }
        }
    }

    /// Takes a key out.
    pub(crate) fn remove(&self, key: &[u8], why: RemovalCause, left: &mut Left) {
        let Hashed { shard, hash } = self.hashed(key);
        if let Some(gone) = self.remove_from(self.shards[shard].lock(), hash, key, why) {
            left.push(gone, why);
        }
    }

    #[cold]
    fn remove_from(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        hash: u32,
        key: &[u8],
        why: RemovalCause,
    ) -> Option<Evicted> {
        let removed = shard.remove(hash, key, why);
        let freed = shard.lru.shrink();
        drop(shard);
        self.give_back(freed);
        let gone = removed?;
        self.give_back_entry(&gone, why);
        Some(gone)
    }

    /// Takes everything out; each shard is locked for a moment.
    pub(crate) fn clear(&self, left: &mut Left) {
        for shard in &self.shards {
            let mut cleared = shard.lock().clear(self.eviction, self.grace);
            self.give_back(cleared.table_bytes());
            for which in Which::BOTH {
                while let Some((gone, _)) = cleared.evict(which, 0) {
                    self.release(gone, RemovalCause::Removed, left);
                }
            }
        }
    }

    pub(crate) fn stats(&self, which: Which) -> CacheStats {
        let mut sum = CacheStats::default();
        let mut ages = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            shard.add_to(which, &mut sum);
            ages.extend(shard.eviction_age(which).map(u64::from));
        }
        let mean = ages.iter().sum::<u64>() / (ages.len() as u64).max(1);
        sum.eviction_age = Tick::coarse_duration(mean);
        sum
    }

    /// How many look-ups of gets found something, and how many of those were a peer's.
    pub(crate) fn served(&self) -> (u64, u64) {
        self.shards.iter().fold((0, 0), |(all, peers), shard| {
            let shard = shard.lock();
            (all + shard.served, peers + shard.served_peers)
        })
    }

    #[inline]
    fn hashed(&self, key: &[u8]) -> Hashed {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        // Different bits: the table of a shard uses the low ones.
        Hashed { shard: (hash >> 32) as usize & (self.shards.len() - 1), hash: hash as u32 }
    }

    /// Bytes reserved now, at most the budget at any time.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::SeqCst)
    }

    /// Bytes of the entries and tables that are there at one moment.
    #[cfg(all(test, shuttle))]
    pub(crate) fn held(&self) -> usize {
        let shards: Vec<_> = self.shards.iter().map(|shard| shard.lock()).collect();
        shards.iter().map(|shard| shard.lru.validate()).sum()
    }

    /// Checks, while nobody else is at work, that shards and counters tell the same story.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        let held: usize = self.shards.iter().map(|shard| shard.lock().lru.validate()).sum();
        let hot: usize = self.shards.iter().map(|shard| shard.lock().lru.bytes(Which::Hot)).sum();
        assert_eq!(self.reserved(), held, "what is reserved is what is held");
        assert_eq!(self.hot_bytes.load(Ordering::SeqCst), hot, "bytes of the hot cache");
        let counted = Which::BOTH.map(|which| self.stats(which).bytes).iter().sum::<u64>();
        assert_eq!(counted, held as u64, "what is told is what is held");
        for shard in &self.shards {
            let soonest = shard.lock().lru.soonest_expiry().map_or(u64::MAX, Tick::to_millis);
            assert!(self.soonest.load(Ordering::SeqCst) <= soonest, "an expiry nobody looks for");
        }
    }
}

/// A power of two.
fn shards_for(budget: usize) -> usize {
    if cfg!(shuttle) {
        return 2;
    }
    (budget / BYTES_PER_SHARD).next_power_of_two().clamp(1, MOST_SHARDS)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} of {} bytes)", self.reserved.load(Ordering::SeqCst), self.budget())
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
