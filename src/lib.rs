//! larder is a distributed read-through cache for programs that block: no async runtime.
//!
//! Many processes need the same slow data: database rows, rendered pages, remote files. A
//! program names a [`Group`], says how a missing key is loaded (its [`Getter`]), and calls
//! [`Group::get`]. The nodes form a ring: each key has one owner, which loads it once for all,
//! and the others ask the owner over HTTP. It is golang/groupcache for Rust threads.
//!
//! ```no_run
//! use larder::{ByteView, HttpPool};
//!
//! # fn main() -> Result<(), larder::Error> {
//! let pool = HttpPool::bind("http://10.0.0.1:8001")?;
//! pool.set_peers(["http://10.0.0.1:8001", "http://10.0.0.2:8001"])?;
//! let pages = pool.group("pages", 64 << 20, |path: &str| Ok(std::fs::read(path)?))?;
//! let page: ByteView = pages.get("index.html")?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Group`] on its own is a cache that loads each key once, for one process. With an
//! [`HttpPool`] it shares its keys with the peers. [`origin`] has getters that need no code,
//! [`testing`] a cluster in one process for your tests.
//!
//! When the origin has changed, [`Group::remove`] or [`Group::set`] tells every node; once it has
//! returned, no node gives anything older.
//!
//! Every wait has a deadline and everything that grows has a limit: see [`Limits`] and
//! [`GroupOptions`]. Past a limit work is shed with [`Error::Overloaded`].
//!
//! # Features
//!
//! - `cli` (default): the binary, with its flags, configuration file and signals.
//! - `tls` (default): TLS for both listeners and towards peers, with rustls.
//! - `auth` (in `cli`): `Secrets` by which nodes know each other, `Tokens` for clients.
//! - `dir`, `sqlite` (both in `cli`): the origins of these names.
//!
//! Without default features the library is lean. It runs on Unix.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::print_stdout, clippy::print_stderr)]

// Floor 0: vocabulary.
mod byte_view;
mod error;
mod clock;
mod mutant;
mod sync;
// Floor 1: mechanisms, each alone.
#[cfg(feature = "auth")]
mod auth;
mod lru;
mod ring;
mod flight;
mod loaders;
mod stats;
mod getter;
mod snapshot;
mod tls;
// Floor 2: what a group is made of.
mod fresh;
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
// Floor 7: what is made of nodes, and of settings.
pub mod testing;
mod config;
// Floor 8: a node out of settings.
mod node;
// Every order of events that matters, tried.
#[cfg(all(test, shuttle))]
mod models;
// Arbitrary bytes, read.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

#[cfg(feature = "auth")]
pub use auth::{Secrets, Tokens};
pub use byte_view::ByteView;
pub use config::{GroupConfig, NodeConfig};
pub use error::{BoxError, Error, NotFound, Result, Unconfirmed};
pub use getter::{Getter, Loaded};
pub use group::{GetterThread, Group, GroupOptions, RestoreStats, SnapshotStats, Written};
pub use node::{Node, SnapshotEvent, Sockets};
pub use peer::{NoPeers, Peer, PeerError, PeerPicker};
pub use pool::{HttpPool, HttpPoolBuilder};
pub use serve::{Limits, ListenerStats};
pub use stats::{CacheStats, Stats};
pub use store::{Eviction, RemovalCause};
pub use tls::{ClientCerts, TlsConfig};
pub use wire::Dialect;
