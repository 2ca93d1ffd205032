//! In which order entries are evicted.

use super::list::List;
use super::table::Table;

/// The order of one cache of a shard.
#[derive(Debug)]
pub(super) enum Order {
    /// The least recently used first.
    Recency(List),
}

impl Order {
    pub(super) fn new() -> Self {
        Self::Recency(List::new())
    }

    /// A new entry.
    pub(super) fn insert(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(list) => list.push_newest(table, index),
        }
    }

    /// The entry was used.
    pub(super) fn hit(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(list) => {
                if list.newest() != index {
                    list.unlink(table, index);
                    list.push_newest(table, index);
                }
            }
        }
    }

    /// The entry leaves, for whatever reason.
    pub(super) fn remove(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(list) => list.unlink(table, index),
        }
    }

    /// The entry to evict next; it stays where it is.
    pub(super) fn victim(&mut self, _table: &mut Table) -> Option<u32> {
        match self {
            Self::Recency(list) => list.oldest(),
        }
    }

    /// All entries, those to be evicted first in front.
    pub(super) fn first_to_last(&self, table: &Table) -> Vec<u32> {
        match self {
            Self::Recency(list) => list.oldest_first(table).collect(),
        }
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        match self {
            Self::Recency(list) => list.renumber(moved),
        }
    }

    #[cfg(test)]
    pub(super) fn validate(&self, table: &Table) -> usize {
        match self {
            Self::Recency(list) => list.validate(table),
        }
    }
}
