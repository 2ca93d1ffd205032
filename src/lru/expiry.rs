//! Which entries expire, soonest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::entry::expires;
#[cfg(test)]
use super::table::EXPIRES;
use super::table::{Table, renumbered};
use crate::clock::Tick;

/// A heap of expiries. What has left the cache, or expires at another time by now, stays in
/// it until its turn comes or until half of the heap is such.
#[derive(Debug)]
pub(super) struct Expiries {
    heap: BinaryHeap<Reverse<(Tick, u32)>>,
    /// Entries of the cache that expire.
    live: usize,
    /// So many milliseconds an entry is kept past its expiry.
    grace: u64,
}

/// Bytes that an entry which expires takes here: twice its place, for those that have left.
pub(super) const EXPIRY_BYTES: usize = 2 * size_of::<(Tick, u32)>();

impl Expiries {
    pub(super) fn new(grace: u64) -> Self {
        Self { heap: BinaryHeap::new(), live: 0, grace }
    }

    /// When an entry that expires then is to leave.
    #[inline]
    pub(super) fn end(&self, expires: Tick) -> Tick {
        expires.later(self.grace)
    }

    pub(super) fn add(&mut self, expires: Tick, index: u32, table: &Table) {
        if self.heap.len() > 2 * self.live + 16 {
            self.heap.retain(|&Reverse((tick, index))| is_true(tick, index, table));
            self.heap.shrink_to(2 * self.live);
        }
        self.heap.push(Reverse((expires, index)));
        self.live += 1;
    }

    /// One that was added has left.
    pub(super) fn leave(&mut self) {
        self.live -= 1;
        if self.live == 0 {
            self.heap = BinaryHeap::new();
        }
    }

    /// When the next entry is to leave, or one that has left already was to.
    pub(super) fn soonest(&self) -> Option<Tick> {
        self.heap.peek().map(|&Reverse((tick, _))| self.end(tick))
    }

    /// An entry that is to leave; it is still in the table.
    pub(super) fn pop(&mut self, now: Tick, table: &Table) -> Option<u32> {
        while self.soonest().is_some_and(|tick| tick <= now) {
            let Reverse((tick, index)) = self.heap.pop()?;
            if is_true(tick, index, table) {
                return Some(index);
            }
        }
        None
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        let entries = std::mem::take(&mut self.heap).into_iter();
        let moved = entries.map(|Reverse((tick, index))| Reverse((tick, renumbered(moved, index))));
        self.heap = moved.collect();
    }

    #[cfg(test)]
    pub(super) fn validate(&self, table: &Table, live: &std::collections::BTreeSet<u32>) {
        let expiring: Vec<u32> = live
            .iter()
            .copied()
            .filter(|&index| table.node(index).is_some_and(|node| node.has(EXPIRES)))
            .collect();
        assert_eq!(self.live, expiring.len(), "entries that expire");
        for index in expiring {
            let known = self
                .heap
                .iter()
                .any(|&Reverse((tick, known))| known == index && is_true(tick, index, table));
            assert!(known, "node {index} expires and nobody knows");
        }
    }
}

/// Does the entry at `index` expire at `tick`? Another that has taken its place and expires
/// then as well is as good.
fn is_true(tick: Tick, index: u32, table: &Table) -> bool {
    let Some(node) = table.node(index) else { return false };
    table.block(index).is_some_and(|block| expires(block, node.bits) == Some(tick))
}
