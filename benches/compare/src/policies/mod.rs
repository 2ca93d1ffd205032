//! Eviction policies behind one face, each holding a number of entries.

pub mod belady;
mod crates;
mod fifos;
mod larder;

use ::larder::Eviction;

/// A cache that holds keys alone.
pub trait Policy {
    /// Asks for `key`, which a miss inserts; says whether it was there.
    fn request(&mut self, key: u32) -> bool;
}

/// Makes an empty cache of so many entries.
pub type Make = fn(usize) -> Box<dyn Policy>;

/// What is compared, in the order of the columns.
pub const POLICIES: &[(&str, Make)] = &[
    ("larder", |size| Box::new(larder::Larder::new(Eviction::S3FifoAges, size, 1))),
    ("64 shards", |size| Box::new(larder::Larder::new(Eviction::S3FifoAges, size, 64))),
    ("larder LRU", |size| Box::new(larder::Larder::new(Eviction::Lru, size, 1))),
    ("LRU", |size| Box::new(crates::Lru::new(size))),
    ("SIEVE", |size| Box::new(fifos::Sieve::new(size))),
    ("S3-FIFO", |size| Box::new(fifos::S3Fifo::new(size))),
    ("moka", |size| Box::new(crates::Moka::new(size))),
    ("quick_cache", |size| Box::new(crates::Quick::new(size))),
    ("foyer S3-FIFO", |size| Box::new(crates::Foyer::s3_fifo(size))),
    ("foyer LFU", |size| Box::new(crates::Foyer::lfu(size))),
];
