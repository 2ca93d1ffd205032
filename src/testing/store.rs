//! The cache of a group alone, for measuring it.

use std::fmt;

use crate::byte_view::ByteView;
use crate::clock::Clock;
use crate::store::{Eviction, Left, Look, Store, Which};

/// A group's main cache without its group: no getter, no flights, no counters of gets.
///
/// For benchmarks and simulations; a program caches with a [`Group`](crate::Group).
///
/// ```
/// use larder::Eviction;
/// use larder::testing::BareStore;
///
/// let store = BareStore::new(1 << 20, Eviction::Lru);
/// store.insert("k", "v".into());
/// assert_eq!(store.get("k").unwrap(), "v");
/// ```
pub struct BareStore(Store);

impl BareStore {
    /// A store that holds `cache_bytes` at most, overhead included.
    pub fn new(cache_bytes: usize, eviction: Eviction) -> Self {
        Self(Store::with_eviction(cache_bytes, eviction, Clock::monotonic()))
    }

    /// The value of `key`, which counts as used.
    pub fn get(&self, key: &str) -> Option<ByteView> {
        Some(self.0.get(key.as_bytes(), Look::Peek, drop)?.value)
    }

    /// Puts a value in, in place of an older one, and evicts what has to give way for it.
    pub fn insert(&self, key: &str, value: ByteView) {
        self.0.insert(Which::Main, key.as_bytes(), value, None, &mut Left::default());
    }

    /// Entries held now.
    pub fn len(&self) -> usize {
        self.0.stats(Which::Main).items as usize
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held now, overhead included.
    pub fn bytes(&self) -> usize {
        self.0.stats(Which::Main).bytes as usize
    }
}

impl fmt::Debug for BareStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
