//! The caches that are compared, all read in the same way.

mod larder;
mod map;
mod peers;

use ::larder::Eviction;

use crate::entries::Lengths;

/// A cache that makes what it misses.
pub trait Cache: Send + Sync {
    /// Gets the picked keys one by one; a missing value is made and kept. Touches every value.
    fn read_each(&self, keys: &[String], picks: &[u32]);

    /// The bytes that the cache says it holds.
    fn accounted_bytes(&self) -> Option<u64> {
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    Map,
    LarderGroup,
    LarderAges,
    LarderStore,
    LarderStoreAges,
    QuickCache,
    Moka,
    MokaFoldhash,
    MiniMoka,
    LruMutex,
    LruShards,
    FoyerLru,
    FoyerS3Fifo,
}

impl Variant {
    pub const ALL: [Self; 13] = [
        Self::Map,
        Self::LarderGroup,
        Self::LarderAges,
        Self::LarderStore,
        Self::LarderStoreAges,
        Self::QuickCache,
        Self::Moka,
        Self::MokaFoldhash,
        Self::MiniMoka,
        Self::LruMutex,
        Self::LruShards,
        Self::FoyerLru,
        Self::FoyerS3Fifo,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Map => "bare HashMap",
            Self::LarderGroup => "larder, Group::get",
            Self::LarderAges => "larder, S3-FIFO with ages",
            Self::LarderStore => "larder, store alone",
            Self::LarderStoreAges => "larder, store, S3-FIFO with ages",
            Self::QuickCache => "quick_cache",
            Self::Moka => "moka",
            Self::MokaFoldhash => "moka, foldhash",
            Self::MiniMoka => "mini-moka",
            Self::LruMutex => "lru, one Mutex",
            Self::LruShards => "lru, 64 shards",
            Self::FoyerLru => "foyer, LRU",
            Self::FoyerS3Fifo => "foyer, S3-FIFO",
        }
    }

    /// A cache with room for so many entries of these lengths, which holds the first `filled`.
    pub fn build(self, capacity: usize, lengths: Lengths, filled: usize) -> Box<dyn Cache> {
        let peer = peers::Filler { lengths, filled };
        match self {
            Self::Map => Box::new(map::Map::filled(lengths, filled)),
            Self::LarderGroup => Box::new(larder::group(capacity, lengths, filled, Eviction::Lru)),
            Self::LarderAges => {
                Box::new(larder::group(capacity, lengths, filled, Eviction::S3FifoAges))
            }
            Self::LarderStore => peer.fill(larder::store(capacity, lengths, Eviction::Lru)),
            Self::LarderStoreAges => {
                peer.fill(larder::store(capacity, lengths, Eviction::S3FifoAges))
            }
            Self::QuickCache => peer.fill(peers::quick_cache(capacity)),
            Self::Moka => peer.fill(peers::moka(capacity, std::hash::RandomState::new())),
            Self::MokaFoldhash => peer.fill(peers::moka(capacity, peers::Foldhash::default())),
            Self::MiniMoka => peer.fill(peers::mini_moka(capacity)),
            Self::LruMutex => peer.fill(peers::LruShards::new(1, capacity)),
            Self::LruShards => peer.fill(peers::LruShards::new(64, capacity)),
            Self::FoyerLru => peer.fill(peers::foyer(capacity, foyer::LruConfig::default())),
            Self::FoyerS3Fifo => peer.fill(peers::foyer(capacity, foyer::S3FifoConfig::default())),
        }
    }
}

/// Reads what a caller reads at least.
fn touch(value: &[u8]) {
    std::hint::black_box((value.len(), value[0]));
}
