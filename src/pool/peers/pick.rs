//! Whom a group asks for a key: the owner, and who stands in for it.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::super::cluster::Writes;
use super::Peers;
use crate::client::HttpPeer;
use crate::getter::Loaded;
use crate::peer::{Peer, PeerError, PeerPicker};
use crate::wire::Nodes;

/// A peer that has to be told what it missed before it is asked.
struct Behind {
    peer: Arc<HttpPeer>,
    writes: Option<Arc<Writes>>,
}

impl PeerPicker for Peers {
    /// Go nodes know no successors, and are told the whole time to live.
    fn bounds_stand_ins(&self) -> bool {
        self.dialect == crate::wire::Dialect::Native
    }

    fn pick(&self, key: &str) -> Option<Arc<dyn Peer>> {
        let view = self.view.load();
        let owner = view.ring.owner(key.as_bytes())?;
        Some(self.told(view.clients[owner].clone()?))
    }

    fn pick_after(&self, key: &str, nth: usize) -> Option<Arc<dyn Peer>> {
        if self.dialect.spec().nodes == Nodes::Mixed {
            return None;
        }
        let view = self.view.load();
        let next = *view.ring.owners(key.as_bytes(), nth + 1).get(nth)?;
        Some(self.told(view.clients[next].clone()?))
    }
}

impl Peers {
    /// The peer, which is told first what it has missed, when it has.
    fn told(&self, peer: Arc<HttpPeer>) -> Arc<dyn Peer> {
        if !self.any_behind() || !self.log.lock().is_behind(peer.url()) {
            return peer;
        }
        let writes = self.writes.get().and_then(Weak::upgrade);
        Arc::new(Behind { peer, writes })
    }
}

impl Peer for Behind {
    fn name(&self) -> &str {
        self.peer.url()
    }

    fn get(&self, group: &str, key: &str, deadline: Instant) -> Result<Loaded, PeerError> {
        // What it has missed waits until it is back; it is tried in the background.
        if self.peer.is_open() {
            return Err(PeerError::NotAsked);
        }
        if let Some(writes) = &self.writes {
            writes.settle(self.name(), deadline).map_err(PeerError::Failed)?;
        }
        self.peer.get(group, key, deadline)
    }
}
