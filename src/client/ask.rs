//! One call to a peer: asked, understood, and asked again while it is loading.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ureq::http;

use super::admission::Told;
use super::wait::Wait;
use super::{HttpPeer, Limits, Timer};
use crate::error::Result;
use crate::getter::Loaded;
use crate::peer::PeerError;
use crate::wire::{self, ERROR_CODE, Nodes, Refused, code};

/// A peer asked to answer within less than this may well answer too early.
const SHORT: Duration = Duration::from_millis(20);

/// A peer is to say that it is loading after this share of `peer_call`, and when it is asked
/// again after twice the time, up to the other share.
pub(super) const FIRST_WITHIN: u32 = 40;
const LONGEST_WITHIN: u32 = 5;

/// How much longer an answer is waited for: shares of `peer_call` as well.
pub(super) fn timer(limits: &Limits) -> Timer {
    Timer::new(limits.peer_call / FIRST_WITHIN, limits.peer_call / 4)
}

impl HttpPeer {
    /// Asks, and as long as the peer says that it is loading asks again: first after a short
    /// while, so that one that hangs is known soon, then after longer ones.
    pub(super) fn ask_until(
        &self,
        group: &str,
        key: &str,
        deadline: Instant,
    ) -> Result<Loaded, PeerError> {
        let Some(mut call) = self.admission.enter() else { return Err(PeerError::NotAsked) };
        self.tried.store(true, Ordering::Relaxed);
        let (mut within, mut was_late) = (self.call / FIRST_WITHIN, false);
        loop {
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            let wait = Wait::new(self.spec.nodes, self.call, within, left, call.timeout());
            let (answer, told) = self.ask(group, key, &wait);
            call.tell(began, told);
            match answer {
                Err(PeerError::StillLoading) if wait.comes_again() => {
                    within = (within * 2).min(self.call / LONGEST_WITHIN);
                }
                // This node itself was held up: that is no reason to load the key elsewhere.
                Err(PeerError::Failed(_)) if told == Told::LateHere && !was_late => was_late = true,
                answer => return answer,
            }
        }
    }

    /// One request, and what it told of the peer.
    fn ask(&self, group: &str, key: &str, wait: &Wait) -> (Result<Loaded, PeerError>, Told) {
        let started = Instant::now();
        let uri = match self.uri(group, key) {
            Ok(uri) => uri,
            Err(error) => return (Err(self.failed(error)), Told::Nothing),
        };
        let response = match self.send(&uri, wait) {
            // The peer closed a pooled connection just when it was used; it has not answered,
            // and a get does no harm twice.
            Err(error) if is_cut(&error) => self.send(&uri, &wait.after(started.elapsed())),
            sent => sent,
        };
        let took = started.elapsed();
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let told = wait.told_by(&error, took);
                return (Err(self.not_answered(error)), told);
            }
        };
        let (head, body) = response.into_parts();
        let body = match self.read(&head, body) {
            Ok(body) => body,
            Err(error @ PeerError::Failed(_)) => return (Err(error), wait.told_by_silence()),
            Err(error) => return (Err(error), Told::Bad),
        };
        let answer = self.understand(group, key, &head, body);
        let told = match &answer {
            Err(PeerError::StillLoading) if wait.within > SHORT && took < wait.within / 2 => {
                let lie = "says that it is still loading, without having waited";
                return (Err(self.failed(lie)), Told::Bad);
            }
            Err(PeerError::StillLoading) => Told::Alive(Some(took.saturating_sub(wait.within))),
            Err(PeerError::BadAnswer(_)) => Told::Bad,
            Err(PeerError::Failed(_)) if head.status != 200 => self.told_by_refusal(&head),
            _ => Told::Alive(wait.lateness(took)),
        };
        (answer, told)
    }

    /// What an answer means that has come whole.
    fn understand(
        &self,
        group: &str,
        key: &str,
        head: &http::response::Parts,
        body: Vec<u8>,
    ) -> Result<Loaded, PeerError> {
        if head.status == 200 {
            let answer = wire::decode(self.spec, group, key, body);
            let (loaded, epoch) = answer.map_err(|error| self.bad(error))?;
            if self.is_told() && !self.epochs.hear(group, epoch) {
                return Err(self.failed("the value is from before a purge"));
            }
            return Ok(loaded);
        }
        let text = &String::from_utf8_lossy(&body);
        let refused = Refused { status: head.status.as_u16(), code: error_code(head), text };
        Err(wire::error_from_wire(self.spec, &self.url, group, key, refused))
    }

    /// What an answer that is of no use told of the peer.
    fn told_by_refusal(&self, head: &http::response::Parts) -> Told {
        match error_code(head) {
            // It has too many connections: leaving it alone for a while is what helps.
            Some(code::TURNED_AWAY) => Told::Struck,
            None if self.spec.nodes == Nodes::Alike => Told::Bad,
            _ => Told::Alive(None),
        }
    }

    fn not_answered(&self, error: ureq::Error) -> PeerError {
        match error {
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => self.bad(error),
            error => self.failed(error),
        }
    }
}

fn error_code(head: &http::response::Parts) -> Option<&str> {
    head.headers.get(ERROR_CODE).and_then(|value| value.to_str().ok())
}

/// Whether the connection ended before anything was answered.
pub(super) fn is_cut(error: &ureq::Error) -> bool {
    let ureq::Error::Io(error) = error else { return false };
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
