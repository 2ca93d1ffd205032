//! A map from byte keys to [`ByteView`]s that knows its size in bytes and whom to evict next.
//!
//! It holds the entries of both caches of a group, main and hot, so that a look-up is one
//! look-up; each cache has an order of its own. Entries are nodes of one [`table`], linked by
//! index. Not thread-safe, and it never evicts by itself: the store decides when.

mod ages;
mod entry;
mod expiry;
mod ghosts;
mod list;
mod order;
mod recency;
mod table;
mod ticks;
mod weight;

use std::collections::BTreeMap;

pub(crate) use entry::Entry;
#[cfg(test)]
pub(crate) use entry::entry_bytes;
use expiry::Expiries;
pub use order::Eviction;
use order::Order;
use table::{BIG, EXPIRES, HOT, Node, Table, renumbered};

use crate::byte_view::ByteView;
use crate::clock::Tick;

/// Which of the two caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Main,
    Hot,
}

impl Which {
    pub(crate) const BOTH: [Self; 2] = [Self::Main, Self::Hot];
}

/// What a look-up needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Lru {
    table: Table,
    main: Side,
    hot: Side,
    /// Long values, by their node.
    big: BTreeMap<u32, ByteView>,
    expiries: Expiries,
}

/// What is apart for each of the two caches.
#[derive(Debug)]
struct Side {
    order: Order,
    len: usize,
    bytes: usize,
}

/// An entry that has left the map.
#[derive(Clone)]
pub(crate) struct Evicted {
    pub(crate) entry: Entry,
    pub(crate) which: Which,
}

/// What [`Lru::get`] found.
pub(crate) enum Lookup {
    Hit {
        value: ByteView,
        expires: Option<Tick>,
        which: Which,
    },
    /// Also when the entry is there and stale.
    Miss,
    /// The entry is there, past its time, and is to leave.
    Expired,
}

impl Lru {
    pub(crate) fn new(eviction: Eviction) -> Self {
        let side = || Side { order: Order::new(eviction), len: 0, bytes: 0 };
        Self {
            table: Table::new(eviction.bytes_per_node()),
            big: BTreeMap::new(),
            expiries: Expiries::new(0),
            main: side(),
            hot: side(),
        }
    }

    /// A map that keeps what has expired for so many milliseconds more, for
    /// [`stale`](Self::stale).
    pub(crate) fn with_grace(eviction: Eviction, grace: u64) -> Self {
        Self { expiries: Expiries::new(grace), ..Self::new(eviction) }
    }

    /// [`table_bytes`](Self::table_bytes) of a map with one entry.
    pub(crate) const fn smallest_table_bytes(eviction: Eviction) -> usize {
        table::smallest_bytes(eviction.bytes_per_node())
    }

    /// Looks `key` up, and notes that it was used at the coarse time `used`. `now` is asked
    /// only for an entry that expires.
    // The way of a hit is inlined: handing the value up through four functions costs as much
    // as looking it up.
    #[inline(always)]
    pub(crate) fn get(
        &mut self,
        hash: u32,
        key: &[u8],
        used: u32,
        now: impl FnOnce() -> Tick,
    ) -> Lookup {
        let Some((index, block)) = self.table.find(hash, key) else { return Lookup::Miss };
        let Some(&node) = self.table.node(index) else { return Lookup::Miss };
        let expires = entry::expires(block, node.bits);
        if let Some(expires) = expires {
            let now = now();
            if expires <= now {
                return self.past(expires, now);
            }
        }
        let big = if node.has(BIG) { self.big.get(&index) } else { None };
        let value = entry::value(block, node.key_len, node.bits, big);
        let which = which(node);
        let side = if which == Which::Main { &mut self.main } else { &mut self.hot };
        side.order.hit(&mut self.table, index, used);
        Lookup::Hit { value, expires, which }
    }

    #[cold]
    fn past(&self, expires: Tick, now: Tick) -> Lookup {
        if self.expiries.end(expires) <= now { Lookup::Expired } else { Lookup::Miss }
    }

    /// The value of `key` that has expired and is still kept, as [`get`](Self::get) gives one
    /// that has not.
    pub(crate) fn stale(
        &mut self,
        hash: u32,
        key: &[u8],
        used: u32,
        now: Tick,
    ) -> Option<(ByteView, Tick)> {
        let (index, block) = self.table.find(hash, key)?;
        let node = *self.table.node(index)?;
        let expires = entry::expires(block, node.bits)?;
        if expires > now || self.expiries.end(expires) <= now {
            return None;
        }
        let value = entry::value(block, node.key_len, node.bits, self.big.get(&index));
        let (table, side) = self.table_and_side(which(node));
        side.order.hit(table, index, used);
        Some((value, expires))
    }

    /// When an entry that expires then is to leave.
    pub(crate) fn end(&self, expires: Tick) -> Tick {
        self.expiries.end(expires)
    }

    /// Whether `key` is there, expired or not; it does not count as used.
    pub(crate) fn contains(&self, hash: u32, key: &[u8]) -> bool {
        self.table.find(hash, key).is_some()
    }

    /// Puts an entry in as the newest of one cache; gives back the one that it replaced.
    pub(crate) fn insert(
        &mut self,
        which: Which,
        hash: u32,
        entry: Entry,
        used: u32,
    ) -> Option<Evicted> {
        let replaced = self.remove(hash, entry.key());
        let (bytes, expires) = (entry.bytes(), entry.expires());
        let Entry { block, key_len, mut bits, big } = entry;
        if which == Which::Hot {
            bits |= HOT;
        }
        let index = self.table.insert(Node::new(hash, key_len, bits), block);
        if let Some(value) = big {
            self.big.insert(index, value);
        }
        if let Some(expires) = expires {
            self.expiries.add(expires, index, &self.table);
        }
        let side = self.side(which);
        side.len += 1;
        side.bytes += bytes;
        let (table, side) = self.table_and_side(which);
        side.order.insert(table, index, bytes, used);
        replaced
    }

    pub(crate) fn remove(&mut self, hash: u32, key: &[u8]) -> Option<Evicted> {
        let (index, _) = self.table.find(hash, key)?;
        self.take(index)
    }

    /// Takes out the entry of one cache whose turn it is, and tells the coarse time of its last
    /// use; `time` is now.
    pub(crate) fn evict(&mut self, which: Which, time: u32) -> Option<(Evicted, u32)> {
        let (table, side) = self.table_and_side(which);
        let index = side.order.victim(table)?;
        let used = side.order.last_used(*table.node(index)?, time);
        Some((self.take(index)?, used))
    }

    /// Takes out an entry that has expired, and for which no grace is left.
    pub(crate) fn evict_expired(&mut self, now: Tick) -> Option<Evicted> {
        let index = self.expiries.pop(now, &self.table)?;
        self.take(index)
    }

    /// When the next such entry is there, or a little earlier.
    pub(crate) fn soonest_expiry(&self) -> Option<Tick> {
        self.expiries.soonest()
    }

    pub(crate) fn len(&self, which: Which) -> usize {
        self.of(which).len
    }

    /// The bytes of one cache's entries.
    pub(crate) fn bytes(&self, which: Which) -> usize {
        self.of(which).bytes
    }

    /// The bytes of what finds and orders the entries.
    pub(crate) fn table_bytes(&self) -> usize {
        self.table.bytes()
    }

    /// By how many bytes [`table_bytes`](Self::table_bytes) grows at the next insert.
    pub(crate) fn growth(&self) -> usize {
        self.table.growth()
    }

    /// Gives memory back when most of the table is unused; says how many bytes.
    pub(crate) fn shrink(&mut self) -> usize {
        if !self.table.is_sparse() {
            return 0;
        }
        let before = self.table.bytes();
        let moved = self.table.compact();
        self.main.order.renumber(&moved);
        self.hot.order.renumber(&moved);
        self.expiries.renumber(&moved);
        let big = std::mem::take(&mut self.big).into_iter();
        self.big = big.map(|(index, value)| (renumbered(&moved, index), value)).collect();
        before - self.table.bytes()
    }

    /// All entries of one cache, those to be evicted first in front; for [`Lru::entry`].
    pub(crate) fn first_to_last(&self, which: Which) -> Vec<u32> {
        self.of(which).order.first_to_last(&self.table)
    }

    /// The entry that is at an index now, if any, and its cache.
    pub(crate) fn entry(&self, index: u32) -> Option<(Entry, Which)> {
        let block = self.table.block(index)?.clone();
        let node = *self.table.node(index)?;
        let big = self.big.get(&index).cloned();
        let bits = node.bits & (BIG | EXPIRES);
        Some((Entry { block, key_len: node.key_len, bits, big }, which(node)))
    }

    fn take(&mut self, index: u32) -> Option<Evicted> {
        let node = *self.table.node(index)?;
        let (which, key_len) = (which(node), node.key_len);
        let bits = node.bits & (BIG | EXPIRES);
        let (table, side) = self.table_and_side(which);
        side.order.remove(table, index);
        let block = table.remove(index)?;
        let big = if bits & BIG != 0 { self.big.remove(&index) } else { None };
        if bits & EXPIRES != 0 {
            self.expiries.leave();
        }
        let entry = Entry { block, key_len, bits, big };
        let side = self.side(which);
        side.len -= 1;
        side.bytes -= entry.bytes();
        Some(Evicted { entry, which })
    }

    fn of(&self, which: Which) -> &Side {
        match which {
            Which::Main => &self.main,
            Which::Hot => &self.hot,
        }
    }

    fn side(&mut self, which: Which) -> &mut Side {
        self.table_and_side(which).1
    }

    fn table_and_side(&mut self, which: Which) -> (&mut Table, &mut Side) {
        match which {
            Which::Main => (&mut self.table, &mut self.main),
            Which::Hot => (&mut self.table, &mut self.hot),
        }
    }

    /// Checks every invariant: table, orders, expiries and byte counts tell the same story.
    /// Gives all bytes counted.
    #[cfg(test)]
    pub(crate) fn validate(&self) -> usize {
        let live = self.table.validate();
        self.expiries.validate(&self.table, &live);
        for which in Which::BOTH {
            let entries = live.iter().filter_map(|&index| self.entry(index));
            let own: Vec<Entry> =
                entries.filter(|(_, of)| *of == which).map(|(entry, _)| entry).collect();
            let side = self.of(which);
            assert_eq!(side.order.validate(&self.table), own.len(), "{which:?}: in order");
            assert_eq!(side.len, own.len(), "{which:?}: entries");
            assert_eq!(side.bytes, own.iter().map(Entry::bytes).sum::<usize>(), "{which:?}: bytes");
        }
        let big = live.iter().filter(|&&index| self.table.node(index).is_some_and(|n| n.has(BIG)));
        assert!(big.eq(self.big.keys()), "long values are those of live nodes");
        assert_eq!(self.table.len(), self.main.len + self.hot.len);
        self.main.bytes + self.hot.bytes + self.table_bytes()
    }
}

#[inline]
fn which(node: Node) -> Which {
    if node.has(HOT) { Which::Hot } else { Which::Main }
}

#[cfg(test)]
mod tests;
