//! The other nodes, as a group sees them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::getter::Loaded;

/// Another node that can be asked for a key.
pub trait Peer: Send + Sync {
    /// The peer's name on the ring, as `http://10.0.0.2:8001`.
    fn name(&self) -> &str;

    /// Asks the peer for a key, and comes back at `deadline` at the latest.
    ///
    /// The peer must answer from its cache or its origin, never by asking another peer.
    ///
    /// # Errors
    ///
    /// See [`PeerError`]: it decides whether this node loads the key itself.
    fn get(&self, group: &str, key: &str, deadline: Instant) -> Result<Loaded, PeerError>;
}

/// Why a peer gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerError {
    /// The peer did its work and this is its answer: final, the key is not loaded here.
    Answered(Error),
    /// The peer is alive and still loading; it may be asked again.
    StillLoading,
    /// No answer: refused, cut off or too slow. The next node is asked, or the key loaded here.
    Failed(Error),
    /// An answer that cannot be believed: damaged, cut, or one to another key. As with
    /// [`Failed`](Self::Failed).
    BadAnswer(Error),
    /// The peer was not asked: it has failed just before, or too many calls to it are under way.
    /// The next node is asked.
    NotAsked,
}

/// Says which peer owns a key.
pub trait PeerPicker: Send + Sync {
    /// The key's owner, or none when that is this node.
    fn pick(&self, key: &str) -> Option<Arc<dyn Peer>>;

    /// Who stands in for the owner of `key`: the `nth` node after it, the first being 1. None when
    /// that is this node, or there is none: the key is loaded here then.
    fn pick_after(&self, key: &str, nth: usize) -> Option<Arc<dyn Peer>> {
        let _ = (key, nth);
        None
    }

    /// Whether what this node loads of others' keys is kept for a short time only.
    fn bounds_stand_ins(&self) -> bool {
        true
    }
}

/// A picker for a node that stands alone: it never finds a peer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

impl PeerPicker for NoPeers {
    fn pick(&self, _key: &str) -> Option<Arc<dyn Peer>> {
        None
    }
}

impl fmt::Debug for dyn Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.name())
    }
}

impl fmt::Debug for dyn PeerPicker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerPicker")
    }
}
