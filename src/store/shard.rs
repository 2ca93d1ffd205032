//! One shard: a map and what it counts, behind one mutex.

use crate::byte_view::ByteView;
use crate::clock::{Clock, Tick};
use crate::lru::{Entry, Evicted, Eviction, Lookup, Lru, Which};
use crate::stats::CacheStats;

use super::RemovalCause;

/// So many look-ups of a shard share one reading of the clock for when an entry was used:
/// reading it costs a good part of a look-up.
const GETS_PER_CLOCK_READ: u64 = 64;

/// How much of [`Side::eviction_age`] one eviction replaces: one part of so many.
const AGE_MEMORY: i64 = 16;

/// Whose look-up it is, for the group's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Of nobody who gets the value.
    Peek,
    /// Of a get of this node.
    Here,
    /// Of a get that came from a peer.
    Peer,
}

/// What every look-up writes comes first, next to the lock: processors that look up in turn
/// pass that one cache line to each other.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shard {
    /// The coarse time of the last reading of the clock.
    now: u32,
    gets: u64,
    main_hits: u64,
    hot_hits: u64,
    /// Hits of gets, and those of them that came from peers.
    pub(super) served: u64,
    pub(super) served_peers: u64,
    pub(super) lru: Lru,
    main: Side,
    hot: Side,
}

/// What is counted for each of the two caches.
#[derive(Debug, Default)]
struct Side {
    admitted: u64,
    refused: u64,
    evictions: u64,
    expired: u64,
    replaced: u64,
    removed: u64,
    /// Coarse time between last use and eviction, a mean over the last evictions.
    eviction_age: i64,
}

impl Shard {
    pub(super) fn new(eviction: Eviction, grace: u64) -> Self {
        Self {
            now: 0,
            gets: 0,
            main_hits: 0,
            hot_hits: 0,
            served: 0,
            served_peers: 0,
            lru: Lru::with_grace(eviction, grace),
            main: Side::default(),
            hot: Side::default(),
        }
    }

    #[inline(always)]
    pub(super) fn get(&mut self, hash: u32, key: &[u8], look: Look, clock: &Clock) -> Lookup {
        self.gets += 1;
        if self.gets.is_multiple_of(GETS_PER_CLOCK_READ) {
            self.now = clock.now().coarse();
        }
        let found = self.lru.get(hash, key, self.now, || clock.now());
        if let Lookup::Hit { which, .. } = &found {
            match which {
                Which::Main => self.main_hits += 1,
                Which::Hot => self.hot_hits += 1,
            }
            self.served += u64::from(look != Look::Peek);
            self.served_peers += u64::from(look == Look::Peer);
        }
        found
    }

    /// As [`get`](Self::get), of what is stale. The look that found nothing has been counted.
    pub(super) fn stale(&mut self, hash: u32, key: &[u8], now: Tick) -> Option<(ByteView, Tick)> {
        self.lru.stale(hash, key, self.now, now)
    }

    /// Puts an entry in; the table must have room or be allowed to grow.
    pub(super) fn insert(
        &mut self,
        which: Which,
        hash: u32,
        entry: Entry,
        now: Tick,
    ) -> Option<Evicted> {
        self.now = now.coarse();
        self.side(which).admitted += 1;
        let replaced = self.lru.insert(which, hash, entry, self.now);
        if let Some(old) = &replaced {
            self.count(old.which, RemovalCause::Replaced);
        }
        replaced
    }

    pub(super) fn remove(&mut self, hash: u32, key: &[u8], why: RemovalCause) -> Option<Evicted> {
        let removed = self.lru.remove(hash, key)?;
        self.count(removed.which, why);
        Some(removed)
    }

    pub(super) fn evict(&mut self, which: Which, now: Tick) -> Option<Evicted> {
        let (victim, used) = self.lru.evict(which, now.coarse())?;
        self.count(which, RemovalCause::Size);
        let age = now.coarse().wrapping_sub(used);
        let side = self.side(which);
        let change = i64::from(age) - side.eviction_age;
        side.eviction_age += if side.evictions == 1 { change } else { change / AGE_MEMORY };
        Some(victim)
    }

    pub(super) fn evict_expired(&mut self, now: Tick) -> Option<Evicted> {
        let expired = self.lru.evict_expired(now)?;
        self.count(expired.which, RemovalCause::Expired);
        Some(expired)
    }

    /// Takes everything out at once.
    pub(super) fn clear(&mut self, eviction: Eviction, grace: u64) -> Lru {
        for which in Which::BOTH {
            self.side(which).removed += self.lru.len(which) as u64;
        }
        std::mem::replace(&mut self.lru, Lru::with_grace(eviction, grace))
    }

    pub(super) fn refuse(&mut self, which: Which) {
        self.side(which).refused += 1;
    }

    /// Adds what this shard has counted for one cache.
    pub(super) fn add_to(&self, which: Which, sum: &mut CacheStats) {
        let (side, gets, hits) = match which {
            Which::Main => (&self.main, self.gets, self.main_hits),
            // What main answered was not looked up in hot.
            Which::Hot => (&self.hot, self.gets - self.main_hits, self.hot_hits),
        };
        sum.items += self.lru.len(which) as u64;
        sum.bytes += (self.lru.bytes(which) + self.table_bytes(which)) as u64;
        sum.gets += gets;
        sum.hits += hits;
        sum.admitted += side.admitted;
        sum.refused += side.refused;
        sum.evictions += side.evictions;
        sum.expired += side.expired;
        sum.replaced += side.replaced;
        sum.removed += side.removed;
    }

    /// The mean age at eviction of one cache's entries, when any were evicted.
    pub(super) fn eviction_age(&self, which: Which) -> Option<u32> {
        let side = if which == Which::Main { &self.main } else { &self.hot };
        (side.evictions > 0).then_some(side.eviction_age as u32)
    }

    /// One cache's share of the table, by entries; the main cache has what is nobody's.
    fn table_bytes(&self, which: Which) -> usize {
        let [main, hot] = Which::BOTH.map(|which| self.lru.len(which));
        let hots = self.lru.table_bytes() * hot / (main + hot).max(1);
        if which == Which::Hot { hots } else { self.lru.table_bytes() - hots }
    }

    fn count(&mut self, which: Which, why: RemovalCause) {
        let side = self.side(which);
        let counter = match why {
            RemovalCause::Size => &mut side.evictions,
            RemovalCause::Expired => &mut side.expired,
            RemovalCause::Replaced => &mut side.replaced,
            RemovalCause::Removed => &mut side.removed,
        };
        *counter += 1;
    }

    fn side(&mut self, which: Which) -> &mut Side {
        match which {
            Which::Main => &mut self.main,
            Which::Hot => &mut self.hot,
        }
    }
}
