//! A least-recently-used map from byte keys to [`ByteView`]s that knows its size in bytes.
//!
//! Entries live in one vector and are linked by index; a hash table of indices finds them.
//! Not thread-safe, and it never evicts by itself: the store decides when.
//!
//! ```text
//!   table: hash ──► index         newest ◄──────────────────► oldest
//!                     │             │                            │
//!   nodes: [ 0: b ◄──► 2 ] [ 1: (free) ] [ 2: 0 ◄──► 3 ] [ 3: 2 ◄──► - ]
//! ```

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use crate::byte_view::ByteView;
use crate::clock::Tick;

/// No node: the end of a list.
const NIL: u32 = u32::MAX;

/// Bytes that an entry takes beyond its key and its value.
///
/// A node of the vector (which has on average a half of its length spare, since it doubles),
/// its slot in the table (5 bytes at a load of about five eighths), and the allocator's share
/// of the three allocations of an entry: key, value, and the value's reference count.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize =
    size_of::<Node>() * 3 / 2 + 8 + 2 * ALLOCATION_BYTES + SHARED_COUNT_BYTES;
/// A header of 8 bytes, and on average 8 of rounding up to 16.
const ALLOCATION_BYTES: usize = 16;
/// `bytes` allocates 24 bytes for the count when a value is first cloned.
const SHARED_COUNT_BYTES: usize = 32;

/// What an entry of this key and value costs in bytes, overhead included.
pub(crate) const fn entry_bytes(key_len: usize, value_len: usize) -> usize {
    key_len.saturating_add(value_len).saturating_add(ENTRY_OVERHEAD_BYTES)
}

#[derive(Debug)]
pub(crate) struct Lru {
    table: HashTable<u32>,
    nodes: Vec<Node>,
    newest: u32,
    oldest: u32,
    /// The first free node; free nodes are linked by `older`.
    free: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Node {
    hash: u64,
    key: Box<[u8]>,
    value: ByteView,
    expires: Option<Tick>,
    newer: u32,
    older: u32,
}

/// An entry that has left the map.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Evicted {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: ByteView,
}

impl Evicted {
    pub(crate) fn bytes(&self) -> usize {
        entry_bytes(self.key.len(), self.value.len())
    }
}

/// What [`Lru::get`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Hit {
        value: ByteView,
        expires: Option<Tick>,
    },
    Miss,
    /// The entry was there, past its time, and has been taken out.
    Expired(Evicted),
}

impl Lru {
    pub(crate) fn new() -> Self {
        Self {
            table: HashTable::new(),
            nodes: Vec::new(),
            newest: NIL,
            oldest: NIL,
            free: NIL,
            bytes: 0,
        }
    }

    /// Looks `key` up and makes it the newest. `now` is asked only for an entry that expires.
    pub(crate) fn get(&mut self, hash: u64, key: &[u8], now: impl FnOnce() -> Tick) -> Lookup {
        let Some(index) = self.find(hash, key) else { return Lookup::Miss };
        let node = &self.nodes[index as usize];
        if node.expires.is_some_and(|expires| expires <= now()) {
            return self.remove(hash, key).map_or(Lookup::Miss, Lookup::Expired);
        }
        let (value, expires) = (node.value.clone(), node.expires);
        if self.newest != index {
            self.unlink(index);
            self.link_newest(index);
        }
        Lookup::Hit { value, expires }
    }

    /// Puts an entry in as the newest; gives back the entry that it replaced.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: ByteView,
        expires: Option<Tick>,
    ) -> Option<Evicted> {
        let replaced = self.remove(hash, key);
        self.bytes += entry_bytes(key.len(), value.len());
        let node = Node { hash, key: key.into(), value, expires, newer: NIL, older: NIL };
        let index = self.allocate(node);
        let nodes = &self.nodes;
        self.table.insert_unique(hash, index, |&index| nodes[index as usize].hash);
        self.link_newest(index);
        replaced
    }

    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Evicted> {
        let nodes = &self.nodes;
        let slot = self.table.entry(
            hash,
            |&index| *nodes[index as usize].key == *key,
            |&index| nodes[index as usize].hash,
        );
        let Slot::Occupied(slot) = slot else { return None };
        let index = slot.remove().0;
        Some(self.take(index))
    }

    /// Takes out the entry that was used the longest ago.
    pub(crate) fn pop_oldest(&mut self) -> Option<Evicted> {
        let oldest = self.nodes.get(self.oldest as usize)?;
        let index = self.oldest;
        if let Ok(slot) = self.table.find_entry(oldest.hash, |&candidate| candidate == index) {
            slot.remove();
        }
        Some(self.take(index))
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The bytes of all entries, overhead included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.table.find(hash, |&index| *self.nodes[index as usize].key == *key).copied()
    }

    /// Takes a node that the table no longer holds out of the list and frees it.
    fn take(&mut self, index: u32) -> Evicted {
        self.unlink(index);
        let node = &mut self.nodes[index as usize];
        let evicted =
            Evicted { key: std::mem::take(&mut node.key), value: std::mem::take(&mut node.value) };
        node.older = self.free;
        self.free = index;
        self.bytes -= evicted.bytes();
        evicted
    }

    fn allocate(&mut self, node: Node) -> u32 {
        if let Some(free) = self.nodes.get_mut(self.free as usize) {
            let index = self.free;
            self.free = free.older;
            *free = node;
            return index;
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(NIL);
        assert!(index != NIL, "a shard holds at most 2^32 - 1 entries");
        self.nodes.push(node);
        index
    }

    fn link_newest(&mut self, index: u32) {
        let second = self.newest;
        self.nodes[index as usize].newer = NIL;
        self.nodes[index as usize].older = second;
        match self.nodes.get_mut(second as usize) {
            Some(node) => node.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: u32) {
        let Node { newer, older, .. } = self.nodes[index as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Checks every invariant: table, list, free list and byte count tell the same story. Gives
    /// the bytes counted.
    #[cfg(test)]
    pub(crate) fn validate(&self) -> usize {
        let (mut index, mut newer, mut listed, mut bytes) = (self.newest, NIL, 0, 0);
        while index != NIL {
            let node = &self.nodes[index as usize];
            assert_eq!(node.newer, newer, "links of node {index} disagree");
            assert_eq!(self.find(node.hash, &node.key), Some(index), "node {index} not in table");
            (listed, bytes) = (listed + 1, bytes + entry_bytes(node.key.len(), node.value.len()));
            (newer, index) = (index, node.older);
        }
        assert_eq!(self.oldest, newer, "the list ends at its oldest");
        assert_eq!(self.table.len(), listed, "as many in the table as in the list");
        assert_eq!(self.bytes, bytes, "bytes counted");
        let (mut free, mut freed) = (self.free, 0);
        while free != NIL {
            (freed, free) = (freed + 1, self.nodes[free as usize].older);
        }
        assert_eq!(self.nodes.len(), listed + freed, "every node is listed or free");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    /// A bad hash on purpose: keys share buckets.
    fn hash(key: &[u8]) -> u64 {
        u64::from(key.first().copied().unwrap_or(0) % 3)
    }

    fn get(lru: &mut Lru, key: &[u8], now: Tick) -> Option<ByteView> {
        match lru.get(hash(key), key, || now) {
            Lookup::Hit { value, .. } => Some(value),
            Lookup::Miss | Lookup::Expired(_) => None,
        }
    }

    #[test]
    fn the_oldest_leaves_first_and_a_get_makes_young() {
        let now = Clock::monotonic().now();
        let mut lru = Lru::new();
        for key in [b"a", b"b", b"c"] {
            assert_eq!(lru.insert(hash(key), key, key.into(), None), None);
        }
        assert_eq!(get(&mut lru, b"a", now).as_deref(), Some(b"a".as_slice()));
        let order: Vec<_> = std::iter::from_fn(|| lru.pop_oldest()).map(|e| e.key).collect();
        assert_eq!(order, [b"b".as_slice().into(), b"c".as_slice().into(), b"a".as_slice().into()]);
        assert_eq!((lru.len(), lru.bytes()), (0, 0));
    }

    #[test]
    fn replacing_counts_the_new_size_only() {
        let mut lru = Lru::new();
        lru.insert(0, b"k", vec![0; 100].into(), None);
        let old = lru.insert(0, b"k", vec![0; 7].into(), None).map(|old| old.value.len());
        assert_eq!(old, Some(100));
        assert_eq!((lru.len(), lru.bytes()), (1, entry_bytes(1, 7)));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Get(u8),
        Insert(u8, u8, Option<u8>),
        Remove(u8),
        PopOldest,
        Tick(u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        let key = 0..12u8;
        prop_oneof![
            3 => key.clone().prop_map(Op::Get),
            4 => (key.clone(), any::<u8>(), prop::option::of(0..9u8))
                .prop_map(|(key, len, ttl)| Op::Insert(key, len, ttl)),
            1 => key.prop_map(Op::Remove),
            1 => Just(Op::PopOldest),
            1 => (0..5u8).prop_map(Op::Tick),
        ]
    }

    /// The model: a list, oldest first, of key, value and expiry in milliseconds.
    type Model = Vec<(u8, u8, Option<u64>)>;

    fn take(model: &mut Model, key: u8) -> Option<(u8, u8, Option<u64>)> {
        let at = model.iter().position(|entry| entry.0 == key)?;
        Some(model.remove(at))
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_plain_list_would(ops in prop::collection::vec(op(), 0..200)) {
            let (clock, millis) = Clock::manual();
            let (mut lru, mut model, mut now) = (Lru::new(), Model::new(), 0);
            let value = |len: u8| ByteView::from(vec![len; usize::from(len)]);
            for op in ops {
                match op {
                    Op::Get(key) => {
                        let found = take(&mut model, key)
                            .filter(|(.., expires)| expires.is_none_or(|expires| expires > now));
                        model.extend(found);
                        prop_assert_eq!(
                            get(&mut lru, &[key], clock.now()),
                            found.map(|(_, len, _)| value(len))
                        );
                    }
                    Op::Insert(key, len, ttl) => {
                        let expires = ttl.map(|ttl| now + u64::from(ttl));
                        let tick = ttl.map(|ttl| clock.after(std::time::Duration::from_millis(ttl.into())));
                        let old = lru.insert(hash(&[key]), &[key], value(len), tick);
                        let expected = take(&mut model, key).map(|(_, len, _)| value(len));
                        prop_assert_eq!(old.map(|old| old.value), expected);
                        model.push((key, len, expires));
                    }
                    Op::Remove(key) => {
                        let removed = lru.remove(hash(&[key]), &[key]).map(|e| e.value);
                        prop_assert_eq!(removed, take(&mut model, key).map(|(_, len, _)| value(len)));
                    }
                    Op::PopOldest => {
                        let popped = lru.pop_oldest().map(|e| e.key.to_vec());
                        let expected = (!model.is_empty()).then(|| vec![model.remove(0).0]);
                        prop_assert_eq!(popped, expected);
                    }
                    Op::Tick(ms) => {
                        now += u64::from(ms);
                        millis.store(now, std::sync::atomic::Ordering::SeqCst);
                    }
                }
                lru.validate();
                prop_assert_eq!(lru.len(), model.len());
            }
        }
    }
}
