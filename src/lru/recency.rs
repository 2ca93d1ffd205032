//! The least recently used first.
//!
//! The newest eighth of the list is *young*: an entry that is used while it is young stays
//! where it is. Most uses are of young entries, and moving one writes to the nodes of three
//! others. An entry's place thus differs from strict order by an eighth of the list at most;
//! fewer than eight entries are in strict order.
//!
//! ```text
//!   newest  6 ◄► 2 ◄► 7 │ 4 ◄► 1 ◄► 9 ◄► ...  oldest
//!              young ◄──┘ boundary: the oldest that is young
//! ```

use super::list::List;
use super::table::{NIL, Table, renumbered};

/// Set in the bits of a node that is young.
const YOUNG: u16 = 1 << 3;

/// One part in so many of the entries is young.
const YOUNG_SHARE: u32 = 8;

#[derive(Debug)]
pub(super) struct Recency {
    list: List,
    boundary: u32,
    young: u32,
    len: u32,
}

impl Recency {
    pub(super) const fn new() -> Self {
        Self { list: List::new(), boundary: NIL, young: 0, len: 0 }
    }

    pub(super) fn insert(&mut self, table: &mut Table, index: u32, time: u32) {
        if let Some(node) = table.node_mut(index) {
            node.used = time;
        }
        self.len += 1;
        self.push_young(table, index);
    }

    #[inline]
    pub(super) fn hit(&mut self, table: &mut Table, index: u32, time: u32) {
        let Some(node) = table.node_mut(index) else { return };
        // Not written when it is so already: the line would leave another processor's cache.
        if node.used != time {
            node.used = time;
        }
        if !node.has(YOUNG) {
            self.list.unlink(table, index);
            self.push_young(table, index);
        }
    }

    pub(super) fn remove(&mut self, table: &mut Table, index: u32) {
        if index == self.boundary {
            self.age_one(table);
        } else if table.node(index).is_some_and(|node| node.has(YOUNG)) {
            self.young -= 1;
        }
        self.list.unlink(table, index);
        self.len -= 1;
        self.age(table);
    }

    pub(super) fn victim(&self) -> Option<u32> {
        self.list.oldest()
    }

    pub(super) fn list(&self) -> List {
        self.list
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        self.list.renumber(moved);
        self.boundary = renumbered(moved, self.boundary);
    }

    fn push_young(&mut self, table: &mut Table, index: u32) {
        self.list.push_newest(table, index);
        if let Some(node) = table.node_mut(index) {
            node.bits |= YOUNG;
        }
        self.young += 1;
        if self.boundary == NIL {
            self.boundary = index;
        }
        self.age(table);
    }

    /// Keeps no more than the newest part young.
    fn age(&mut self, table: &mut Table) {
        while self.young > self.len / YOUNG_SHARE {
            self.age_one(table);
        }
    }

    /// The oldest that is young no longer is.
    fn age_one(&mut self, table: &mut Table) {
        if let Some(node) = table.node_mut(self.boundary) {
            node.bits &= !YOUNG;
            self.boundary = node.newer;
            self.young -= 1;
        }
    }

    #[cfg(test)]
    pub(super) fn validate(&self, table: &Table) -> usize {
        let young: Vec<bool> = self
            .list
            .oldest_first(table)
            .map(|index| table.node(index).is_some_and(|node| node.has(YOUNG)))
            .collect();
        assert!(young.is_sorted(), "the young are the newest");
        let count = young.iter().filter(|&&young| young).count();
        assert_eq!((young.len(), count), (self.len as usize, self.young as usize));
        assert!(self.young <= self.len / YOUNG_SHARE, "{} of {} young", self.young, self.len);
        let first = self.list.oldest_first(table).nth(young.len() - count).unwrap_or(NIL);
        assert_eq!(self.boundary, first, "the boundary is the oldest that is young");
        self.list.validate(table)
    }
}
