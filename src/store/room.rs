//! The budget: how room is made, and given back.

use super::{Left, RemovalCause, Store};
use crate::clock::Tick;
use crate::lru::{Evicted, Which};
use crate::mutant::{self, Mutant};
use crate::sync::atomic::Ordering;

/// The hot cache gives way when it holds more than this share of the main cache's bytes, as
/// in groupcache.
const HOT_SHARE: usize = 8;

/// So many expired entries leave a shard while its lock is held.
const EXPIRED_AT_ONCE: usize = 64;

impl Store {
    /// Makes room for `bytes`, beginning in the shard `home`; false when there is none to be
    /// made.
    pub(super) fn reserve(&self, bytes: usize, home: usize, now: Tick, left: &mut Left) -> bool {
        let mut from = home;
        while !self.try_reserve(bytes) {
            if bytes > self.budget() {
                return false;
            }
            // With nothing left to evict, the room is held by entries on their way in.
            if !self.evict_expired(now, left) && !self.evict_one(from, now, left) {
                return false;
            }
            // A long value takes a little from every shard, not everything from its own.
            from += 1;
        }
        true
    }

    /// Lowers or raises the budget; when it returns, no more than `bytes` are held.
    pub(crate) fn set_budget(&self, bytes: usize, left: &mut Left) {
        self.budget.store(bytes, Ordering::SeqCst);
        let mut from = 0;
        while self.reserved.load(Ordering::SeqCst) > bytes {
            let now = self.clock.now();
            if !self.evict_expired(now, left) && !self.evict_one(from, now, left) {
                return;
            }
            from += 1;
        }
    }

    pub(crate) fn budget(&self) -> usize {
        self.budget.load(Ordering::SeqCst)
    }

    pub(super) fn try_reserve(&self, bytes: usize) -> bool {
        let Some(room) = self.budget().checked_sub(bytes) else { return false };
        if mutant::active(Mutant::ReserveInTwoSteps) {
            let fits = self.reserved.load(Ordering::SeqCst) <= room;
            return fits && self.reserved.fetch_add(bytes, Ordering::SeqCst) < usize::MAX;
        }
        let reserved = self.reserved.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
            (used <= room).then_some(used + bytes)
        });
        reserved.is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.reserved.fetch_sub(bytes, Ordering::SeqCst);
        }
    }

    /// Gives back `freed` bytes and reserves `bytes` in one step; false when these do not fit.
    pub(super) fn exchange(&self, freed: usize, bytes: usize) -> bool {
        // Like for like leaves the counter alone, which all processors would fetch from each other.
        if freed == bytes {
            return true;
        }
        let budget = self.budget();
        let after = |used: usize| {
            let rest = used - freed;
            let taken = rest.saturating_add(bytes);
            if taken <= budget { (taken, true) } else { (rest, false) }
        };
        let update = |used| Some(after(used).0);
        let before = self.reserved.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update);
        before.is_ok_and(|before| after(before).1)
    }

    /// Evicts an entry of the cache whose turn it is: from the shard `from`, or from the first
    /// after it that has one.
    fn evict_one(&self, from: usize, now: Tick, left: &mut Left) -> bool {
        self.turns().into_iter().any(|which| {
            (from..from + self.shards.len()).any(|at| {
                let mut shard = self.shards[at % self.shards.len()].lock();
                let Some(victim) = shard.evict(which, now) else { return false };
                let freed = shard.lru.shrink();
                drop(shard);
                self.give_back(freed);
                self.release(victim, RemovalCause::Size, left);
                true
            })
        })
    }

    /// Which cache gives way, and which when that is empty.
    pub(super) fn turns(&self) -> [Which; 2] {
        let hot = self.hot_bytes.load(Ordering::Relaxed);
        let main = self.reserved.load(Ordering::Relaxed).saturating_sub(hot);
        if hot > main / HOT_SHARE { [Which::Hot, Which::Main] } else { Which::BOTH }
    }

    pub(super) fn may_have_expired(&self, now: Tick) -> bool {
        self.soonest.load(Ordering::SeqCst) <= now.to_millis()
    }

    /// Evicts what has expired, if anything may have; false when nothing had.
    fn evict_expired(&self, now: Tick, left: &mut Left) -> bool {
        if !self.may_have_expired(now) {
            return false;
        }
        // Before looking: an entry that comes in meanwhile lowers it again.
        self.soonest.store(u64::MAX, Ordering::SeqCst);
        let mut any = false;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let expired = std::iter::from_fn(|| shard.evict_expired(now));
            let expired: Vec<Evicted> = expired.take(EXPIRED_AT_ONCE).collect();
            let freed = shard.lru.shrink();
            self.note_expiry(shard.lru.soonest_expiry());
            drop(shard);
            self.give_back(freed);
            any |= !expired.is_empty();
            for entry in expired {
                self.release(entry, RemovalCause::Expired, left);
            }
        }
        any
    }

    pub(super) fn note_expiry(&self, end: Option<Tick>) {
        if let Some(end) = end {
            self.soonest.fetch_min(end.to_millis(), Ordering::SeqCst);
        }
    }

    /// Gives back the bytes of an entry that has left, and notes that it has.
    pub(super) fn release(&self, gone: Evicted, why: RemovalCause, left: &mut Left) {
        self.give_back_entry(&gone, why);
        left.push(gone, why);
    }

    pub(super) fn give_back_entry(&self, gone: &Evicted, why: RemovalCause) {
        let bytes = gone.entry.bytes();
        if gone.which == Which::Hot {
            self.hot_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        if why != RemovalCause::Replaced || !mutant::active(Mutant::ReplacedKeepsBytes) {
            self.give_back(bytes);
        }
    }
}
