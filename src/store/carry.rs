//! What a warm restart carries over: all entries out, and in again.

use std::ops::Range;

use super::{IfThere, Left, Store};
use crate::error::Result;
use crate::lru::{Entry, Which};
use crate::snapshot::Record;

/// A shard is locked for so many entries at a time.
const AT_ONCE: usize = 64;

/// Turns of the shards, when they have as many entries: few turns would be hardly any order.
const ROUNDS: usize = 64;

/// The entries of one cache of one shard, those to be evicted first in front.
struct Order {
    shard: usize,
    indices: Vec<u32>,
}

impl Store {
    /// Hands out all entries that are still alive, those to be evicted first in front.
    ///
    /// The shards take turns, each with the same share of its own: after a restart the keys are
    /// in other shards, and whatever shard that is finds its coldest first. No lock is held
    /// while `each` runs. What changes meanwhile is handed out as it is then: a key that is
    /// put in anew may come twice, or not at all.
    pub(crate) fn carry_out(&self, mut each: impl FnMut(&Record<'_>) -> Result<()>) -> Result<()> {
        let orders = self.orders();
        let longest = orders.iter().map(|order| order.indices.len()).max().unwrap_or(0);
        let rounds = longest.div_ceil(AT_ONCE).max(longest.min(ROUNDS));
        for round in 0..rounds {
            for order in &orders {
                for (entry, which) in self.entries(order, order.part(round, rounds)) {
                    let ttl = entry.expires().map(|tick| self.clock.until(tick));
                    if ttl.is_some_and(|ttl| ttl.is_zero()) {
                        continue;
                    }
                    let (value, hot) = (entry.value(), which == Which::Hot);
                    each(&Record { key: entry.key(), value: &value, ttl, hot })?;
                }
            }
        }
        Ok(())
    }

    /// Puts an entry in as if it had been used just now, unless the key is there already, or
    /// there is no room. False when it was there.
    pub(crate) fn carry_in(&self, record: &Record<'_>, left: &mut Left) -> bool {
        let hashed = self.hashed(record.key);
        // Asked first: nothing is to be evicted for what is not needed.
        if self.shards[hashed.shard].lock().lru.contains(hashed.hash, record.key) {
            return false;
        }
        let expires = record.ttl.map(|ttl| self.clock.after(ttl));
        let which = if record.hot { Which::Hot } else { Which::Main };
        if let Some(entry) = Entry::pack(record.key, record.value, expires) {
            self.insert_entry(which, hashed, entry, IfThere::Leave, left);
        }
        true
    }

    /// Four bytes an entry; each shard is locked for a moment.
    fn orders(&self) -> Vec<Order> {
        let mut orders = Vec::new();
        for (at, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock();
            orders.extend(Which::BOTH.map(|which| {
                let mut indices = shard.lru.first_to_last(which);
                indices.shrink_to_fit();
                Order { shard: at, indices }
            }));
        }
        orders
    }

    /// What is at a part of an order now: counted references, not copies.
    fn entries(&self, order: &Order, part: Range<usize>) -> Vec<(Entry, Which)> {
        if part.is_empty() {
            return Vec::new();
        }
        let shard = self.shards[order.shard].lock();
        order.indices[part].iter().filter_map(|&index| shard.lru.entry(index)).collect()
    }
}

impl Order {
    /// What is handed out in one round of all: [`AT_ONCE`] at most.
    fn part(&self, round: usize, rounds: usize) -> Range<usize> {
        let len = self.indices.len();
        len * round / rounds..len * (round + 1) / rounds
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
