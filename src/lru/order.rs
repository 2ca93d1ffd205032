//! In which order entries are evicted.

use std::fmt;
use std::str::FromStr;

use super::ages::Ages;
use super::ghosts::GHOST_BYTES;
use super::recency::Recency;
use super::table::{Node, Table};
use crate::error::Error;

/// Which entries a full cache gives up; the same for its main and its hot cache.
///
/// With either, entries whose time to live is over go first.
///
/// ```
/// use larder::Eviction;
///
/// let eviction: Eviction = "s3-fifo-ages".parse()?;
/// assert_eq!(eviction, Eviction::S3FifoAges);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Eviction {
    /// The least recently used first, as in groupcache. An entry's place differs from the
    /// strict order by an eighth of its shard at most.
    #[default]
    Lru,
    /// S3-FIFO with ages: keeps what is used often when keys that are used once pass through,
    /// and in loops that are larger than the cache; becomes an LRU where that hits more often.
    /// Costs 10 bytes of memory more for an entry.
    S3FifoAges,
}

impl Eviction {
    const ALL: [Self; 2] = [Self::Lru, Self::S3FifoAges];

    /// The name, as flags and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::S3FifoAges => "s3-fifo-ages",
        }
    }

    /// Bytes of memory beside each entry's node.
    pub(super) const fn bytes_per_node(self) -> usize {
        match self {
            Self::Lru => 0,
            Self::S3FifoAges => GHOST_BYTES,
        }
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Eviction {
    type Err = Error;

    /// Reads a [`name`](Self::name).
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`], which lists the names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|eviction| eviction.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::bad_setting("eviction", format!("{name:?} is not one of {names}"))
        })
    }
}

/// The order of one cache of a shard. It owns a node's links, the upper bits of
/// [`Node::bits`], and [`Node::used`].
#[derive(Debug)]
pub(super) enum Order {
    Recency(Recency),
    Ages(Box<Ages>),
}

impl Order {
    pub(super) fn new(eviction: Eviction) -> Self {
        match eviction {
            Eviction::Lru => Self::Recency(Recency::new()),
            Eviction::S3FifoAges => Self::Ages(Box::new(Ages::new())),
        }
    }

    /// A new entry of so many bytes, at a coarse time.
    pub(super) fn insert(&mut self, table: &mut Table, index: u32, bytes: usize, time: u32) {
        match self {
            Self::Recency(recency) => recency.insert(table, index, time),
            Self::Ages(ages) => ages.insert(table, index, bytes, time),
        }
    }

    /// The entry was used, at a coarse time.
    #[inline]
    pub(super) fn hit(&mut self, table: &mut Table, index: u32, time: u32) {
        match self {
            Self::Recency(recency) => recency.hit(table, index, time),
            Self::Ages(ages) => ages.hit(table, index, time),
        }
    }

    /// The entry leaves, for whatever reason.
    pub(super) fn remove(&mut self, table: &mut Table, index: u32) {
        match self {
            Self::Recency(recency) => recency.remove(table, index),
            Self::Ages(ages) => ages.remove(table, index),
        }
    }

    /// The entry to evict next; it stays where it is.
    pub(super) fn victim(&mut self, table: &mut Table) -> Option<u32> {
        match self {
            Self::Recency(recency) => recency.victim(),
            Self::Ages(ages) => ages.victim(table),
        }
    }

    /// The coarse time of an entry's last use.
    pub(super) fn last_used(&self, node: Node, now: u32) -> u32 {
        match self {
            Self::Recency(_) => node.used,
            Self::Ages(ages) => ages.last_used(node, now),
        }
    }

    /// All entries, those that are worth least in front.
    pub(super) fn first_to_last(&self, table: &Table) -> Vec<u32> {
        match self {
            Self::Recency(recency) => recency.list().oldest_first(table).collect(),
            Self::Ages(ages) => {
                ages.lists().into_iter().flat_map(|list| list.oldest_first(table)).collect()
            }
        }
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        match self {
            Self::Recency(recency) => recency.renumber(moved),
            Self::Ages(ages) => ages.renumber(moved),
        }
    }

    #[cfg(test)]
    pub(super) fn validate(&self, table: &Table) -> usize {
        match self {
            Self::Recency(recency) => recency.validate(table),
            Self::Ages(ages) => ages.validate(table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for eviction in Eviction::ALL {
            assert_eq!(eviction.to_string().parse(), Ok(eviction));
        }
        let error = "LRU".parse::<Eviction>().unwrap_err().to_string();
        assert_eq!(error, "eviction: \"LRU\" is not one of lru, s3-fifo-ages");
    }
}
