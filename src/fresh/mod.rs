//! How a write becomes final on every node: its versions, its two rounds and its tombstones, as
//! decisions that hold no lock and open no socket.
//!
//! ```text
//!   round 1, every node      drop: keys leave the caches, flights are doomed, and a tombstone
//!                            stands: nothing that a peer gives is kept for these keys
//!   between (a set)          put: the owner takes the value, unless another write came meanwhile
//!   round 2, every node      lift: flights that ask peers are doomed again, the tombstone goes
//! ```
//!
//! After round 1 no cache holds what was there before, and no getter call that began before is
//! kept. Only answers of nodes that were reached late are still on their way to others, and
//! whatever asks for them was begun before round 2, which dooms it. A node confirms round 2 only
//! when its tombstone has stood all the time.

mod stones;
mod version;

pub(crate) use stones::Stones;
pub(crate) use version::{Version, wall_millis};

use crate::getter::Loaded;

/// The keys of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Keys(Vec<String>),
    /// The whole group.
    All,
}

/// One thing that a node is told to do for a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Round 1.
    Drop(What),
    /// Between the rounds, to the key's owner.
    Put { key: String, loaded: Loaded },
    /// Round 2.
    Lift(What),
    /// Writes that were over before the node was on the ring.
    Missed(What),
}

/// A step of the write that has this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) version: Version,
    pub(crate) step: Step,
}

/// A node has done what it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// The time of the newest version that the node knows.
    pub(crate) known: u64,
    /// The nodes of its ring, when these are not the ones that are told of the write.
    pub(crate) nodes: Vec<String>,
}

/// Whether what a peer says in the epoch `said` is older than a purge that this node knows of.
pub(crate) fn is_before_purge(said: u64, own: u64) -> bool {
    said < own
}
