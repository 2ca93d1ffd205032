//! larder, a distributed read-through cache for programs that block.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// Floor 0: vocabulary.
mod byte_view;
mod error;
mod clock;
mod mutant;
mod sync;
// Floor 1: mechanisms, each alone.
mod lru;
mod ring;
mod flight;
mod loaders;
mod stats;
// Floor 2: what a group is made of.
mod getter;
mod peer;
mod store;
// Floor 3: the order of things in one get.
mod group;
// Floor 4: what goes over the wire, and where values come from.
mod wire;
pub mod origin;
// Floor 5: sockets.
mod serve;
mod client;
// Floor 6: a node.
mod pool;
// Floor 7: what is made of nodes.
pub mod testing;

pub use byte_view::ByteView;
pub use error::{BoxError, Error, NotFound, Result};
pub use getter::{Getter, Loaded};
pub use group::{Group, GroupOptions};
pub use peer::{NoPeers, Peer, PeerError, PeerPicker};
pub use pool::{HttpPool, HttpPoolBuilder};
pub use serve::{Limits, ListenerStats};
pub use stats::{CacheStats, Stats};
pub use store::Eviction;
pub use wire::Dialect;
