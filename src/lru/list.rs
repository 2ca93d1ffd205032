//! A doubly linked list through the nodes of a table.

use super::table::{NIL, Table, renumbered};

#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { newest: NIL, oldest: NIL }
    }

    pub(super) fn oldest(self) -> Option<u32> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    pub(super) fn push_newest(&mut self, table: &mut Table, index: u32) {
        let second = self.newest;
        if let Some(node) = table.node_mut(index) {
            (node.newer, node.older) = (NIL, second);
        }
        match table.node_mut(second) {
            Some(node) => node.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
    }

    pub(super) fn unlink(&mut self, table: &mut Table, index: u32) {
        let Some(node) = table.node(index) else { return };
        let (newer, older) = (node.newer, node.older);
        match table.node_mut(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match table.node_mut(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        self.newest = renumbered(moved, self.newest);
        self.oldest = renumbered(moved, self.oldest);
    }

    /// The nodes, oldest first.
    pub(super) fn oldest_first(self, table: &Table) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(self.oldest), |&index| Some(table.node(index)?.newer))
            .take_while(|&index| index != NIL)
    }

    /// Checks the links; gives how many there are.
    #[cfg(test)]
    pub(super) fn validate(self, table: &Table) -> usize {
        let (mut older, mut listed) = (NIL, 0);
        for index in self.oldest_first(table) {
            assert_eq!(table.node(index).map(|node| node.older), Some(older), "links of {index}");
            (older, listed) = (index, listed + 1);
        }
        assert_eq!(self.newest, older, "the list ends at its newest");
        listed
    }
}
