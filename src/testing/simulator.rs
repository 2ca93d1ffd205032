//! Hit ratios of a sequence of keys.

use std::fmt;

use crate::byte_view::ByteView;
use crate::clock::{Clock, Tick};
use crate::lru::{Entry, Lookup, Lru, Which};
use crate::store::Eviction;

/// One shard of a cache with room for a number of entries, to be asked for keys.
///
/// Answers, from a log of the keys that a program asks for, which [`Eviction`] suits it and how
/// large a cache is worth its memory.
///
/// ```
/// use larder::Eviction;
/// use larder::testing::Simulator;
///
/// // A loop over 100 keys, with room for 90 of them.
/// let keys: Vec<u64> = (0..1_000).map(|n| n % 100).collect();
/// let hits = |eviction| {
///     let mut cache = Simulator::new(eviction, 90);
///     keys.iter().filter(|key| cache.request(**key)).count()
/// };
/// assert_eq!(hits(Eviction::Lru), 0);
/// assert!(hits(Eviction::S3FifoAges) > 700);
/// ```
pub struct Simulator {
    lru: Lru,
    entries: usize,
    now: Tick,
}

impl Simulator {
    /// An empty cache with room for so many entries.
    pub fn new(eviction: Eviction, entries: usize) -> Self {
        Self { lru: Lru::new(eviction), entries, now: Clock::monotonic().now() }
    }

    /// Asks for a key, which is put in when it is not there; says whether it was.
    pub fn request(&mut self, key: u64) -> bool {
        let bytes = key.to_be_bytes();
        let hash = spread(key);
        if let Lookup::Hit { .. } = self.lru.get(hash, &bytes, 0, || self.now) {
            return true;
        }
        if self.lru.len(Which::Main) >= self.entries {
            self.lru.evict(Which::Main, 0);
        }
        if let Some(entry) = Entry::pack(&bytes, ByteView::new(), None) {
            self.lru.insert(Which::Main, hash, entry, 0);
        }
        false
    }
}

/// The finaliser of SplitMix64 (G. Steele and others, OOPSLA 14): the same in every run.
fn spread(key: u64) -> u32 {
    let key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    (key ^ key >> 31) as u32
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulator({} of {} entries)", self.lru.len(Which::Main), self.entries)
    }
}
