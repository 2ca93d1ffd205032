//! The nodes that a write is told to, as a group sees them.

use std::time::Instant;

use crate::error::Error;
use crate::fresh::{Ack, Told, What};

/// The other nodes of a group's pool.
pub(crate) trait Cluster: Send + Sync {
    /// This node's name on the ring.
    fn own(&self) -> String;

    /// The nodes that this one may ask for keys, itself left out.
    fn others(&self) -> Vec<String>;

    /// The key's owner, none when that is this node.
    fn owner(&self, key: &str) -> Option<String>;

    /// Tells `nodes` one step of a write, all at once, and comes back at `deadline` at the latest
    /// with an answer of each. `all` are all nodes that are told of this write, this one included.
    fn tell(
        &self,
        group: &str,
        nodes: &[String],
        all: &[String],
        told: Told,
        deadline: Instant,
    ) -> Vec<Result<Ack, Error>>;

    /// Round 2 of a write has been carried out here.
    fn note(&self, group: &str, what: &What);

    /// These nodes have not confirmed a write; it is to be repeated.
    fn repeat(&self, group: &str, what: What, nodes: Vec<String>);
}
