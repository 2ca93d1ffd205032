//! How an entry comes in: first room, then the entry, both with its shard locked.

use super::shard::Shard;
use super::{Hashed, IfThere, Left, RemovalCause, Store};
use crate::clock::Tick;
use crate::lru::{Entry, Evicted, Lru, Which};
use crate::mutant::{self, Mutant};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

/// A locked shard whose table can take one more entry.
struct Place<'a> {
    shard: MutexGuard<'a, Shard>,
    /// Bytes reserved for the entry and for the table's growth.
    held: usize,
    /// What was evicted for it, to be dropped when the lock is free.
    victim: Option<Evicted>,
}

impl Store {
    /// False when there is no room.
    pub(super) fn insert_entry(
        &self,
        which: Which,
        Hashed { shard: home, hash }: Hashed,
        entry: Entry,
        if_there: IfThere,
        left: &mut Left,
    ) -> bool {
        let now = self.clock.now();
        let (bytes, expires) = (entry.bytes(), entry.expires());
        // Asked first: nothing is to be pushed out for what cannot come in.
        let fits = bytes.saturating_add(Lru::smallest_table_bytes(self.eviction)) <= self.budget();
        let place = fits.then(|| self.place(home, bytes, now, left)).flatten();
        let Some(Place { mut shard, held, victim }) = place else { return false };
        // Asked with the lock held: who lowers the budget later finds the entry here, and who
        // has lowered it before could not find it anywhere.
        let late = self.reserved.load(Ordering::SeqCst) > self.budget()
            && !mutant::active(Mutant::ReserveByOldBudget);
        let leave = if_there == IfThere::Leave && !mutant::active(Mutant::CarryInBlindly);
        let there = leave && shard.lru.contains(hash, entry.key());
        let mut replaced = None;
        let mut used = 0;
        if !late && !there {
            let before = shard.lru.table_bytes();
            replaced = shard.insert(which, hash, entry, now);
            used = bytes + shard.lru.table_bytes() - before;
            // With the lock held: once it is free, the entry may be evicted and its bytes given
            // back.
            if which == Which::Hot {
                self.hot_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            self.note_expiry(expires.map(|expires| shard.lru.end(expires)));
        }
        drop(shard);
        self.give_back(held - used);
        if let Some(victim) = victim {
            left.push(victim, RemovalCause::Size);
        }
        if let Some(old) = replaced {
            self.release(old, RemovalCause::Replaced, left);
        }
        !late
    }

    /// Makes room for an entry of so many bytes in its shard. None when there is none.
    fn place(&self, home: usize, bytes: usize, now: Tick, left: &mut Left) -> Option<Place<'_>> {
        self.place_at_once(home, bytes, now, left)
            .or_else(|| self.place_step_by_step(home, bytes, now, left))
    }

    /// There is room, or one entry of the same shard makes it: one lock, one change of the
    /// budget's counter.
    fn place_at_once(
        &self,
        home: usize,
        bytes: usize,
        now: Tick,
        left: &mut Left,
    ) -> Option<Place<'_>> {
        let mut shard = self.shards[home].lock();
        let held = bytes + growth(&shard);
        if self.try_reserve(held) {
            return Some(Place { shard, held, victim: None });
        }
        if self.may_have_expired(now) || self.turns()[0] != Which::Main {
            return None;
        }
        let victim = shard.evict(Which::Main, now)?;
        let freed = victim.entry.bytes() + shard.lru.shrink();
        let held = bytes + growth(&shard);
        if self.exchange(freed, held) {
            return Some(Place { shard, held, victim: Some(victim) });
        }
        drop(shard);
        left.push(victim, RemovalCause::Size);
        None
    }

    fn place_step_by_step(
        &self,
        home: usize,
        bytes: usize,
        now: Tick,
        left: &mut Left,
    ) -> Option<Place<'_>> {
        let mut held = 0;
        loop {
            let shard = self.shards[home].lock();
            let needed = bytes + growth(&shard);
            if needed <= held {
                return Some(Place { shard, held, victim: None });
            }
            drop(shard);
            if !self.reserve(needed - held, home, now, left) {
                self.give_back(held);
                return None;
            }
            held = needed;
        }
    }
}

/// By how much the table grows for one more entry.
fn growth(shard: &Shard) -> usize {
    if mutant::active(Mutant::GrowUnreserved) { 0 } else { shard.lru.growth() }
}
