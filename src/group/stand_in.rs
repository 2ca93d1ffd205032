//! A get whose key another node owns: whom it asks, and what becomes of what is loaded in an
//! owner's place.
//!
//! ```text
//!   owner ──failed, or not asked──► the next on the ring ──the same──► ... ──► loaded here
//!     half of the time                half of what is left                     the rest
//! ```
//!
//! All nodes go on to the same one, so that a key whose owner is gone is loaded once. Two peers at
//! most are asked in vain; those that are not asked cost nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fetched, Group};
use crate::error::Error;
use crate::getter::Loaded;
use crate::peer::{Peer, PeerError};
use crate::store::{Left, Which};

/// Less time than this is not worth another call to a peer.
const MOMENT: Duration = Duration::from_millis(20);
/// Peers that a get asks in vain: each may cost half of its time.
const MOST_IN_VAIN: usize = 2;

/// How asking the peers has ended.
pub(super) enum Asking {
    Loaded(Loaded),
    /// Final: the key is not loaded here.
    Answered(Error),
    /// The caller's time is over.
    TooLate,
    /// No peer gave a valid answer: the key is loaded here.
    Failed,
}

impl Group {
    /// Asks the owner of `key`, and who stands in for it.
    pub(super) fn ask_in_turn(&self, owner: &dyn Peer, key: &str, deadline: Instant) -> Asking {
        let started = Instant::now();
        // What comes this close to the deadline comes too late: a call so short tells nothing
        // of the peer, and a load begun here could only be a second one.
        let late = deadline - MOMENT.min(deadline.saturating_duration_since(started) / 8);
        let (mut in_vain, mut stand_in) = (0, None::<Arc<dyn Peer>>);
        for nth in 1.. {
            let peer = stand_in.as_deref().unwrap_or(owner);
            let answer = self.ask_one(peer, key, late, deadline);
            if matches!(answer, Err(PeerError::BadAnswer(_))) {
                self.inner.counters.peer_bad_answers.add_one();
            }
            match answer {
                Ok(loaded) => {
                    if stand_in.is_some() {
                        self.inner.counters.successor_loads.add_one();
                    }
                    return Asking::Loaded(loaded);
                }
                Err(PeerError::Answered(error)) => return Asking::Answered(error),
                Err(PeerError::NotAsked) => {}
                Err(PeerError::StillLoading | PeerError::Failed(_)) if Instant::now() >= late => {
                    return Asking::TooLate;
                }
                Err(PeerError::StillLoading | PeerError::Failed(_) | PeerError::BadAnswer(_)) => {
                    self.inner.counters.peer_errors.add_one();
                    in_vain += 1;
                }
            }
            let peers = self.inner.peers.get().filter(|_| in_vain < MOST_IN_VAIN);
            stand_in = peers.and_then(|peers| peers.pick_after(key, nth));
            if stand_in.is_none() {
                break;
            }
        }
        Asking::Failed
    }

    fn ask_one(
        &self,
        peer: &dyn Peer,
        key: &str,
        late: Instant,
        deadline: Instant,
    ) -> Result<Loaded, PeerError> {
        let now = Instant::now();
        // Half of the time is for the peer: should it be dead, the other half is for those who
        // come after it. Once it has said that it is loading it is not dead, and gets the rest.
        let mut until = now + deadline.saturating_duration_since(now) / 2;
        loop {
            match peer.get(self.name(), key, until) {
                // The peer is alive and its origin slow: a load elsewhere would be a second one.
                Err(PeerError::StillLoading) if Instant::now() < late => until = deadline,
                answer => return answer,
            }
        }
    }

    /// Whether another node owns `key`, so that this one only stands in for it.
    pub(super) fn stands_in(&self, key: &str) -> bool {
        self.inner
            .peers
            .get()
            .is_some_and(|peers| peers.bounds_stand_ins() && peers.pick(key).is_some())
    }

    /// Keeps what was loaded here; for a short time only in another's place. Its owner is asked
    /// again when it is back, and what this node has is not to be in the way for long then.
    pub(super) fn keep_loaded(&self, key: &str, fetched: &Fetched, stands_in: bool) -> Left {
        if !stands_in {
            return self.keep(Which::Main, key, fetched);
        }
        let bound = self.inner.store.clock().after(self.inner.options.successor_ttl);
        let expires = fetched.expires.map_or(bound, |expires| expires.min(bound));
        self.keep(Which::Main, key, &Fetched { expires: Some(expires), ..fetched.clone() })
    }
}
