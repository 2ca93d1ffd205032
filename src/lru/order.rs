//! In which order entries are evicted.

use super::recency::Recency;
use super::table::Table;

/// The order of one cache of a shard.
#[derive(Debug)]
pub(super) enum Order {
    /// The least recently used first.
    Recency(Recency),
}

impl Order {
    pub(super) fn new() -> Self {
        Self::Recency(Recency::new())
    }

    /// A new entry.
    pub(super) fn insert(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(recency) => recency.insert(table, index),
        }
    }

    /// The entry was used.
    #[inline]
    pub(super) fn hit(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(recency) => recency.hit(table, index),
        }
    }

    /// The entry leaves, for whatever reason.
    pub(super) fn remove(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(recency) => recency.remove(table, index),
        }
    }

    /// The entry to evict next; it stays where it is.
    pub(super) fn victim(&mut self, _table: &mut Table) -> Option<u32> {
        match self {
            Self::Recency(recency) => recency.victim(),
        }
    }

    #[cfg(test)]
    /// All entries, those to be evicted first in front.
    pub(super) fn first_to_last(&self, table: &Table) -> Vec<u32> {
        match self {
            Self::Recency(recency) => recency.list().oldest_first(table).collect(),
        }
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        match self {
            Self::Recency(recency) => recency.renumber(moved),
        }
    }

    #[cfg(test)]
    pub(super) fn validate(&self, table: &Table) -> usize {
        match self {
            Self::Recency(recency) => recency.validate(table),
        }
    }
}
