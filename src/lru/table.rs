//! Nodes in one vector, and a table of slots that finds them.
//!
//! The slots are open addressing with ordered linear probing (O. Amble and D. Knuth, Ordered
//! hash tables, 1974): a hash has its home at its share of the way through the table, so that
//! all slots together are sorted by hash, growing by any share is one pass in order, and a
//! look-up of what is not there ends early. A slot holds the block itself: a look-up is a slot,
//! and then the block and the node side by side, not one after the other.
//!
//! ```text
//!   slots: [ 08:2 | - | 3a:0 | 3f:1 | - | b1:3 ]     hash and node; the block is here
//!   nodes: [ 0 | 1 | 2 | 3 ]                         links, length of the key, flags
//! ```

use crate::byte_view::{Block, with_own_pages};

/// No node: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// The table grows by this share of itself, and by some nodes at least.
const GROWTH_SHARE: usize = 8;
const SMALLEST_GROWTH: usize = 8;

/// It shrinks when less than this share of it is in use.
const SPARSE_SHARE: usize = 4;

/// Slots that a look-up compares at once: a cache line of them.
const FIRST_PROBES: usize = 4;

/// Set in [`Node::bits`]: the value is not in the block.
pub(super) const BIG: u16 = 1;
/// Set in [`Node::bits`]: the block ends with the eight bytes of a tick.
pub(super) const EXPIRES: u16 = 2;
/// Set in [`Node::bits`]: the entry belongs to the hot cache.
pub(super) const HOT: u16 = 4;

/// What orders an entry, and what is to know about its block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) newer: u32,
    /// In a free node the next free one.
    pub(super) older: u32,
    pub(super) hash: u32,
    /// When it was used last: the order of eviction knows in what unit.
    pub(super) used: u32,
    pub(super) key_len: u16,
    /// Flags; the upper thirteen are of the order of eviction.
    pub(super) bits: u16,
}

#[derive(Debug, Default)]
struct Slot {
    block: Option<Block>,
    hash: u32,
    index: u32,
}

#[derive(Debug)]
pub(super) struct Table {
    nodes: Vec<Node>,
    /// Sorted by hash, with gaps; what the last homes push out is appended.
    slots: Vec<Slot>,
    /// Homes of hashes: slots without what is appended.
    homes: usize,
    /// Nodes that there is room for.
    room: usize,
    free: u32,
    len: usize,
    /// Bytes that others keep for each node that there is room for.
    beside: usize,
}

impl Node {
    pub(super) fn new(hash: u32, key_len: u16, bits: u16) -> Self {
        Self { newer: NIL, older: NIL, hash, used: 0, key_len, bits }
    }

    pub(super) fn has(self, bit: u16) -> bool {
        self.bits & bit != 0
    }
}

impl Table {
    /// A table whose nodes cost so many bytes more elsewhere, which count as its own.
    pub(super) fn new(beside: usize) -> Self {
        let (nodes, slots) = (Vec::new(), Vec::new());
        Self { nodes, slots, homes: 0, room: 0, free: NIL, len: 0, beside }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that the table itself takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_for(self.room)
    }

    #[inline]
    pub(super) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    #[inline]
    pub(super) fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index as usize)
    }

    /// The node and the block of a key.
    #[inline]
    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<(u32, &Block)> {
        let slots = self.slots.get(self.home(hash)..)?;
        // Most are among the first few: comparing these at once spares a branch for each, which
        // no processor can foresee.
        if let Some(first) = slots.first_chunk::<FIRST_PROBES>() {
            let equal = |at: usize| u32::from(first[at].hash == hash) << at;
            let equal: u32 = (0..FIRST_PROBES).map(equal).sum();
            if let Some(slot) = first.get(equal.trailing_zeros() as usize)
                && let Some(block) = self.holds(slot, key)
            {
                return Some((slot.index, block));
            }
        }
        self.find_slowly(slots, hash, key)
    }

    fn find_slowly<'a>(
        &self,
        slots: &'a [Slot],
        hash: u32,
        key: &[u8],
    ) -> Option<(u32, &'a Block)> {
        slots
            .iter()
            .take_while(|slot| slot.block.is_some() && slot.hash <= hash)
            .filter(|slot| slot.hash == hash)
            .find_map(|slot| Some((slot.index, self.holds(slot, key)?)))
    }

    /// The block of a slot, if it holds this key.
    #[inline]
    fn holds<'a>(&self, slot: &'a Slot, key: &[u8]) -> Option<&'a Block> {
        let block = slot.block.as_ref()?;
        let same_len = usize::from(self.node(slot.index)?.key_len) == key.len();
        (same_len && block.bytes().starts_with(key)).then_some(block)
    }

    /// The block of a node; none of a free one.
    pub(super) fn block(&self, index: u32) -> Option<&Block> {
        self.slots.get(self.place(index)?)?.block.as_ref()
    }

    /// By how many bytes the table must grow before the next insert.
    pub(super) fn growth(&self) -> usize {
        if self.len < self.room {
            return 0;
        }
        self.bytes_for(self.room + self.step()) - self.bytes()
    }

    /// Puts a node in.
    pub(super) fn insert(&mut self, node: Node, block: Block) -> u32 {
        if self.len == self.room {
            self.resize(self.room + self.step());
        }
        let hash = node.hash;
        let index = match self.nodes.get_mut(self.free as usize) {
            Some(place) => {
                let index = self.free;
                self.free = std::mem::replace(place, node).older;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.put(Slot { block: Some(block), hash, index });
        self.len += 1;
        index
    }

    /// Takes a node's block out and frees the node.
    pub(super) fn remove(&mut self, index: u32) -> Option<Block> {
        let at = self.place(index)?;
        let moved = |slot: &Slot, to| slot.block.is_some() && self.home(slot.hash) <= to;
        let rest = self.slots[at + 1..].iter().zip(at..);
        let last = at + rest.take_while(|(slot, to)| moved(slot, *to)).count();
        self.slots[at..=last].rotate_left(1);
        let block = std::mem::take(&mut self.slots[last]).block;
        self.nodes[index as usize].older = self.free;
        self.free = index;
        self.len -= 1;
        block
    }

    /// Is so little of the table in use that it should be made smaller?
    pub(super) fn is_sparse(&self) -> bool {
        let empty = self.len == 0 && self.room > 0;
        let small = self.room <= SMALLEST_GROWTH * SPARSE_SHARE;
        empty || (!small && self.len < self.room / SPARSE_SHARE)
    }

    /// Moves the nodes together and gives back the rest of the memory; tells where each went.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let mut moved = vec![NIL; self.nodes.len()];
        for slot in self.slots.iter().filter(|slot| slot.block.is_some()) {
            moved[slot.index as usize] = 0;
        }
        let live = moved.iter_mut().filter(|to| **to != NIL);
        live.zip(0..).for_each(|(to, index)| *to = index);
        let nodes = std::mem::take(&mut self.nodes).into_iter().zip(&moved);
        let live = nodes.filter(|(_, to)| **to != NIL).map(|(node, _)| node);
        self.nodes = live
            .map(|node| Node {
                newer: renumbered(&moved, node.newer),
                older: renumbered(&moved, node.older),
                ..node
            })
            .collect();
        for slot in &mut self.slots {
            slot.index = renumbered(&moved, slot.index);
        }
        self.free = NIL;
        let room = self.len + self.len / GROWTH_SHARE;
        self.resize(if self.len == 0 { 0 } else { room.max(SMALLEST_GROWTH) });
        moved
    }

    fn bytes_for(&self, room: usize) -> usize {
        bytes_for(room) + room * self.beside
    }

    fn step(&self) -> usize {
        (self.room / GROWTH_SHARE).max(SMALLEST_GROWTH)
    }

    /// Changes the room, which must be enough; one pass over all slots.
    fn resize(&mut self, room: usize) {
        self.room = room;
        let mut nodes = with_own_pages(room);
        nodes.append(&mut self.nodes);
        self.nodes = nodes;
        self.homes = homes_for(room);
        let mut slots = with_own_pages(slots_for(room));
        for slot in std::mem::take(&mut self.slots).into_iter().filter(|slot| slot.block.is_some())
        {
            let home = self.home(slot.hash);
            while slots.len() < home {
                slots.push(Slot::default());
            }
            slots.push(slot);
        }
        while slots.len() < self.homes + FIRST_PROBES {
            slots.push(Slot::default());
        }
        self.slots = slots;
    }

    /// Where a hash is looked for first.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.homes as u64) >> 32) as usize
    }

    /// The slot of a node.
    fn place(&self, index: u32) -> Option<usize> {
        let home = self.home(self.node(index)?.hash);
        let slots = self.slots.get(home..)?.iter().take_while(|slot| slot.block.is_some());
        slots.zip(home..).find(|(slot, _)| slot.index == index).map(|(_, at)| at)
    }

    fn put(&mut self, slot: Slot) {
        let home = self.home(slot.hash);
        let before = |other: &&Slot| other.block.is_some() && other.hash <= slot.hash;
        let at = home + self.slots[home..].iter().take_while(before).count();
        let gap = self.slots[at..].iter().take_while(|slot| slot.block.is_some()).count();
        if at + gap + 1 >= self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.slots[at..=at + gap].rotate_right(1);
        self.slots[at] = slot;
    }

    /// Checks that slots, nodes, free list and length tell the same story; gives the live
    /// nodes.
    #[cfg(test)]
    pub(super) fn validate(&self) -> std::collections::BTreeSet<u32> {
        let mut live = std::collections::BTreeSet::new();
        let (mut last, mut gap_after) = (0, 0);
        for (at, slot) in self.slots.iter().enumerate() {
            let Some(_) = slot.block else {
                gap_after = at + 1;
                continue;
            };
            let home = self.home(slot.hash);
            assert!(gap_after <= home && home <= at, "slot {at} cannot be found from {home}");
            assert!(last <= slot.hash, "slot {at} is out of order");
            assert_eq!(self.node(slot.index).map(|node| node.hash), Some(slot.hash), "slot {at}");
            assert!(live.insert(slot.index), "node {} twice in the table", slot.index);
            last = slot.hash;
        }
        let (mut free, mut freed) = (self.free, 0);
        while let Some(node) = self.node(free) {
            assert!(!live.contains(&free), "node {free} is free and in use");
            (freed, free) = (freed + 1, node.older);
        }
        assert_eq!(self.len, live.len(), "as many as in the slots");
        assert_eq!(self.nodes.len(), live.len() + freed, "every node is live or free");
        assert!(self.nodes.len() <= self.room, "no more nodes than there is room for");
        assert_eq!(self.homes, homes_for(self.room), "homes for all nodes");
        live
    }
}

/// The table of one entry, with so many bytes elsewhere for each node.
pub(super) const fn smallest_bytes(beside: usize) -> usize {
    bytes_for(SMALLEST_GROWTH) + SMALLEST_GROWTH * beside
}

/// Three slots in four are in use when the table is full.
const fn homes_for(room: usize) -> usize {
    room + room / 3
}

/// Slots, those that will be appended included; more than these are rare.
const fn slots_for(room: usize) -> usize {
    const APPENDED: usize = 8;
    if room == 0 { 0 } else { homes_for(room) + APPENDED }
}

const fn bytes_for(room: usize) -> usize {
    room * size_of::<Node>() + slots_for(room) * size_of::<Slot>()
}

/// Where a node has gone; the end stays the end.
pub(super) fn renumbered(moved: &[u32], index: u32) -> u32 {
    moved.get(index as usize).copied().unwrap_or(NIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &mut Table, hash: u32, key: &str) -> u32 {
        let block = Block::from(key.as_bytes());
        table.insert(Node::new(hash, key.len() as u16, 0), block)
    }

    #[test]
    fn an_entry_takes_little_of_the_table() {
        assert_eq!((size_of::<Node>(), size_of::<Slot>()), (20, 16));
    }

    #[test]
    fn growing_and_shrinking_lose_nobody() {
        let mut table = Table::new(0);
        // Hashes that share low bits, high bits, and all bits.
        let hash = |n: u32| (n % 16) * 0x1000_0001 + (n / 50) * (n % 3);
        for n in 0..5_000 {
            put(&mut table, hash(n), &n.to_string());
        }
        table.validate();
        for n in 0..4_500 {
            let (index, _) = table.find(hash(n), n.to_string().as_bytes()).unwrap();
            assert!(table.remove(index).is_some());
        }
        let before = table.bytes();
        assert!(table.is_sparse());
        table.compact();
        table.validate();
        assert!(table.bytes() < before / 4 && !table.is_sparse());
        for n in 0..5_000 {
            let found = table.find(hash(n), n.to_string().as_bytes());
            assert_eq!(found.is_some(), n >= 4_500, "{n}");
        }
    }

    #[test]
    fn a_full_table_grows_by_a_small_share() {
        let mut table = Table::new(0);
        let mut largest = 0;
        for n in 0..100_000u32 {
            if n > 1_000 {
                largest = largest.max(table.growth() * GROWTH_SHARE / table.bytes());
            }
            put(&mut table, n.wrapping_mul(0x9E37_79B9), "k");
        }
        assert!(largest <= 1, "{largest}");
        assert!(table.bytes() <= bytes_for(100_000) * 9 / 8 + smallest_bytes(0));
    }
}
