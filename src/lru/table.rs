//! Nodes in one vector, and a hash table of chains through them.
//!
//! The table grows by linear hashing (W. Litwin, VLDB 1980): a few buckets at a time, so that
//! no insert waits for all entries to be hashed anew, and memory follows the number of entries
//! closely.
//!
//! ```text
//!   buckets: [ 3 | - | 0 | - | - | 2 ]     two for each node
//!              │       │           └──► node 2
//!              │       └──► node 0 ─next─► node 1
//!              └──► node 3
//! ```

use crate::byte_view::Block;
use crate::clock::Tick;

/// No node: the end of a chain or a list.
pub(super) const NIL: u32 = u32::MAX;

/// Buckets for each node: more make chains shorter, and cost four bytes an entry each.
const BUCKETS_PER_NODE: usize = 2;

/// The table grows by this share of itself, and by some nodes at least.
const GROWTH_SHARE: usize = 8;
const SMALLEST_GROWTH: usize = 8;

/// It shrinks when less than this share of it is in use.
const SPARSE_SHARE: usize = 4;

/// Set in [`Node::bits`]: the value is not in the block.
pub(super) const BIG: u16 = 1;
/// Set in [`Node::bits`]: the block ends with the eight bytes of a [`Tick`].
pub(super) const EXPIRES: u16 = 2;
/// Set in [`Node::bits`]: the entry belongs to the hot cache.
pub(super) const HOT: u16 = 4;

/// An entry's place: 32 bytes, so that a look-up touches one cache line of it.
#[derive(Debug)]
pub(super) struct Node {
    /// Key, value and expiry; none in a free node.
    pub(super) block: Option<Block>,
    pub(super) hash: u32,
    /// The next of the same bucket, or the next free node.
    next: u32,
    pub(super) newer: u32,
    pub(super) older: u32,
    /// When it was used last, in [`Tick::coarse`] time.
    pub(super) used: u32,
    pub(super) key_len: u16,
    pub(super) bits: u16,
}

impl Node {
    pub(super) fn new(block: Block, hash: u32, key_len: u16, bits: u16, used: u32) -> Self {
        Self { block: Some(block), hash, next: NIL, newer: NIL, older: NIL, used, key_len, bits }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], Block::bytes)
    }

    pub(super) fn key(&self) -> &[u8] {
        self.bytes().get(..usize::from(self.key_len)).unwrap_or_default()
    }

    pub(super) fn has(&self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    pub(super) fn expires(&self) -> Option<Tick> {
        if !self.has(EXPIRES) {
            return None;
        }
        self.bytes().last_chunk().copied().and_then(Tick::from_bytes)
    }
}

#[derive(Debug)]
pub(super) struct Table {
    nodes: Vec<Node>,
    /// Heads of chains.
    buckets: Vec<u32>,
    /// Nodes that there is room for.
    slots: usize,
    free: u32,
    len: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), buckets: Vec::new(), slots: 0, free: NIL, len: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that the table itself takes.
    pub(super) fn bytes(&self) -> usize {
        self.slots * SLOT_BYTES
    }

    pub(super) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    pub(super) fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index as usize)
    }

    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let mut index = *self.buckets.get(self.bucket(hash))?;
        while let Some(node) = self.nodes.get(index as usize) {
            if node.hash == hash && node.key() == key {
                return Some(index);
            }
            index = node.next;
        }
        None
    }

    /// By how many bytes the table must grow before the next insert.
    pub(super) fn growth(&self) -> usize {
        if self.len < self.slots { 0 } else { self.step() * SLOT_BYTES }
    }

    /// Makes room for more nodes.
    pub(super) fn grow(&mut self) {
        self.slots += self.step();
        self.nodes.reserve_exact(self.slots - self.nodes.len());
        let buckets = self.slots * BUCKETS_PER_NODE;
        self.buckets.reserve_exact(buckets - self.buckets.len());
        while self.buckets.len() < buckets {
            self.split_one_bucket();
        }
    }

    /// Puts a node in; there must be room for it.
    pub(super) fn insert(&mut self, node: Node) -> u32 {
        if self.growth() > 0 {
            self.grow();
        }
        let index = match self.nodes.get_mut(self.free as usize) {
            Some(place) => {
                let index = self.free;
                self.free = std::mem::replace(place, node).next;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.chain(index);
        self.len += 1;
        index
    }

    /// Takes a node's block out and frees the node; its other fields may still be read.
    pub(super) fn remove(&mut self, index: u32) -> Option<Block> {
        self.unchain(index);
        let node = self.nodes.get_mut(index as usize)?;
        let block = node.block.take();
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        block
    }

    /// Is so little of the table in use that it should be made smaller?
    pub(super) fn is_sparse(&self) -> bool {
        let empty = self.len == 0 && self.slots > 0;
        let small = self.slots <= SMALLEST_GROWTH * SPARSE_SHARE;
        empty || (!small && self.len < self.slots / SPARSE_SHARE)
    }

    /// Moves the nodes together and gives back the rest of the memory; tells where each went.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let mut moved = vec![NIL; self.nodes.len()];
        let live = self.nodes.iter().enumerate().filter(|(_, node)| node.block.is_some());
        for (to, (from, _)) in live.enumerate() {
            moved[from] = to as u32;
        }
        let mut small = Self::new();
        if self.len > 0 {
            small.slots = self.len;
            small.grow();
        }
        for mut node in self.nodes.drain(..).filter(|node| node.block.is_some()) {
            node.newer = renumbered(&moved, node.newer);
            node.older = renumbered(&moved, node.older);
            small.insert(node);
        }
        *self = small;
        moved
    }

    fn step(&self) -> usize {
        (self.slots / GROWTH_SHARE).max(SMALLEST_GROWTH)
    }

    /// The bucket of a hash: of as many low bits as there are buckets for.
    fn bucket(&self, hash: u32) -> usize {
        let mask = self.buckets.len().next_power_of_two() - 1;
        let bucket = hash as usize & mask;
        if bucket < self.buckets.len() { bucket } else { bucket & (mask >> 1) }
    }

    /// Adds a bucket, which takes its share of the one that differs in the highest bit.
    fn split_one_bucket(&mut self) {
        let added = self.buckets.len();
        self.buckets.push(NIL);
        if added == 0 {
            return;
        }
        let from = added - (1 << added.ilog2());
        let mut index = std::mem::replace(&mut self.buckets[from], NIL);
        while let Some(node) = self.nodes.get(index as usize) {
            let next = node.next;
            self.chain(index);
            index = next;
        }
    }

    fn chain(&mut self, index: u32) {
        let bucket = self.bucket(self.nodes[index as usize].hash);
        self.nodes[index as usize].next = std::mem::replace(&mut self.buckets[bucket], index);
    }

    fn unchain(&mut self, index: u32) {
        let Node { hash, next, .. } = self.nodes[index as usize];
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == index {
            self.buckets[bucket] = next;
            return;
        }
        let mut before = self.buckets[bucket];
        while self.nodes[before as usize].next != index {
            before = self.nodes[before as usize].next;
        }
        self.nodes[before as usize].next = next;
    }

    /// Checks that chains, free list and length tell the same story; gives the live nodes.
    #[cfg(test)]
    pub(super) fn validate(&self) -> std::collections::BTreeSet<u32> {
        let mut live = std::collections::BTreeSet::new();
        for (bucket, &head) in self.buckets.iter().enumerate() {
            let mut index = head;
            while let Some(node) = self.node(index) {
                assert!(node.block.is_some(), "node {index} is free and in a chain");
                assert_eq!(self.bucket(node.hash), bucket, "node {index} in a wrong bucket");
                assert!(live.insert(index), "node {index} twice in the table");
                index = node.next;
            }
            assert_eq!(index, NIL, "a chain ends");
        }
        let (mut free, mut freed) = (self.free, 0);
        while let Some(node) = self.node(free) {
            assert!(node.block.is_none(), "node {free} is free and holds an entry");
            (freed, free) = (freed + 1, node.next);
        }
        assert_eq!(self.len, live.len(), "as many as in the chains");
        assert_eq!(self.nodes.len(), live.len() + freed, "every node is live or free");
        assert!(self.nodes.len() <= self.slots, "no more nodes than there is room for");
        assert_eq!(self.buckets.len(), self.slots * BUCKETS_PER_NODE, "buckets for all slots");
        live
    }
}

/// The table of one entry.
pub(super) const SMALLEST_BYTES: usize = SMALLEST_GROWTH * SLOT_BYTES;

/// What one node and its buckets take.
const SLOT_BYTES: usize = size_of::<Node>() + BUCKETS_PER_NODE * size_of::<u32>();

/// Where a node has gone; the end stays the end.
pub(super) fn renumbered(moved: &[u32], index: u32) -> u32 {
    moved.get(index as usize).copied().unwrap_or(NIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &mut Table, hash: u32, key: &str) -> u32 {
        let block = Block::from(key.as_bytes());
        table.insert(Node::new(block, hash, key.len() as u16, 0, 0))
    }

    #[test]
    fn a_node_takes_half_a_cache_line() {
        assert_eq!(size_of::<Node>(), 32);
    }

    #[test]
    fn growing_and_shrinking_lose_nobody() {
        let mut table = Table::new();
        // Hashes that share low bits, high bits, and all bits.
        let hash = |n: u32| (n % 7) * 0x1000_0001 + (n / 50);
        for n in 0..5_000 {
            put(&mut table, hash(n), &n.to_string());
        }
        table.validate();
        for n in 0..4_500 {
            let index = table.find(hash(n), n.to_string().as_bytes()).unwrap();
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
        let mut table = Table::new();
        let mut largest = 0;
        for n in 0..100_000u32 {
            if n > 1_000 {
                largest = largest.max(table.growth() * GROWTH_SHARE / table.bytes());
            }
            put(&mut table, n.wrapping_mul(0x9E37_79B9), "k");
        }
        assert_eq!(largest, 1);
        assert!(table.bytes() <= 100_000 * SLOT_BYTES * 9 / 8 + SLOT_BYTES);
    }
}
