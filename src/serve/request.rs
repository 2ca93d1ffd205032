//! A request that the gate has read whole, and what answers it.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::conditional::Conditions;
use super::guard::Guard;
use super::head::Method;

/// A request, read whole and bounded; what its head says lies in its connection's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Path and query, not decoded.
    pub(crate) target: &'a str,
    /// How long the caller waits for the answer, when it said so.
    pub(crate) within: Option<Duration>,
    /// How long it will come again for the answer if it is not there by then.
    pub(crate) left: Option<Duration>,
    pub(crate) conditions: Conditions<'a>,
    pub(crate) body: Vec<u8>,
}

impl Request<'_> {
    /// Whether the caller only wants to hear early that its answer will take longer.
    pub(crate) fn comes_again(&self) -> bool {
        self.within.zip(self.left).is_some_and(|(within, left)| left > within)
    }
}

/// What a [`Service`] makes of a request without waiting for work of its own.
#[derive(Debug)]
pub(crate) enum AtOnce {
    Answer(Answer),
    /// A worker has to load. Requests with the same `flight` want the same: one of them is
    /// carried out and its answer given to all.
    Work {
        flight: Vec<u8>,
        deadline: Instant,
        /// The group from whose share of the workers one is taken; none when it has them all.
        share: Option<String>,
    },
}

/// What a listener serves.
pub(crate) trait Service: Send + Sync + 'static {
    /// Who decides which requests may be carried out; none when all may.
    fn guard(&self) -> Option<&dyn Guard> {
        None
    }

    /// Answers on the connection's own thread: from memory, or by parking on a load that is
    /// under way already.
    fn at_once(&self, request: &Request<'_>) -> AtOnce;

    /// Answers on a worker's thread, by `within` at the latest.
    fn work(&self, request: &Request<'_>) -> Answer;

    /// `answer` was given to this request, which parked while another one was carried out.
    fn shared(&self, request: &Request<'_>, answer: &Answer);

    /// What this request alone gets of an answer that others may have got as well.
    fn finish(&self, request: &Request<'_>, answer: Answer) -> Answer {
        let _ = request;
        answer
    }
}
