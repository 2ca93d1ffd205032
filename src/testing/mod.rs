//! For tests, larder's own and yours: a cluster of real nodes in one process, and an origin
//! that counts its loads and misbehaves on command.
//!
//! ```
//! use larder::testing::{Cluster, TestOrigin};
//!
//! let origin = TestOrigin::new();
//! let cluster = Cluster::start(3)?;
//! let scores = cluster.group("scores", 1 << 20, &origin)?;
//! for group in &scores {
//!     assert_eq!(group.get("Tom")?, "value of Tom");
//! }
//! assert_eq!(origin.loads("Tom"), 1);
//! # Ok::<(), larder::Error>(())
//! ```

mod cluster;
mod origin;
mod simulator;
mod store;

pub use cluster::Cluster;
pub use origin::{Fault, TestOrigin};
pub use simulator::Simulator;
pub use store::BareStore;
