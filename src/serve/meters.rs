//! Counters of a listener.

use crate::stats::Counter;

/// The counters of a gate and its lane, live.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) connections: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) addresses_refused: Counter,
    pub(crate) connections_ended: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) requests: Counter,
    pub(crate) requests_refused: Counter,
    pub(crate) unauthorized: Counter,
    pub(crate) forbidden: Counter,
    pub(crate) replayed: Counter,
    pub(crate) senders_refused: Counter,
    pub(crate) heads_too_slow: Counter,
    pub(crate) readers_too_slow: Counter,
    pub(crate) lane_requests: Counter,
    pub(crate) lane_shed: Counter,
    pub(crate) lane_abandoned: Counter,
    pub(crate) lane_breaks: Counter,
    pub(crate) lane_rebuilds: Counter,
}

/// What a listener has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStats {
    /// Connections open now.
    pub open: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections answered with a 503 because of the limit on connections or threads.
    pub connections_refused: u64,
    /// Of these, those whose address had as many as one address may have.
    pub addresses_refused: u64,
    /// Failed accepts, after each of which the listener pauses and goes on.
    pub accept_errors: u64,
    /// Connections that ended in their TLS handshake: wrong or missing certificates, no TLS at
    /// all, or not in time.
    pub handshakes_failed: u64,
    /// Requests read whole.
    pub requests: u64,
    /// Requests refused because they were malformed or over a limit.
    pub requests_refused: u64,
    /// Requests refused for want of a valid signature or token.
    pub unauthorized: u64,
    /// Requests refused because their token has no right to write.
    pub forbidden: u64,
    /// Requests refused because their signature was used before; also in `unauthorized`.
    pub replayed: u64,
    /// Requests refused because more nodes signed than are remembered.
    pub senders_refused: u64,
    /// Heads or bodies that were not complete in time; also in `requests_refused`.
    pub heads_too_slow: u64,
    /// Connections cut because their reader stood still.
    pub readers_too_slow: u64,
    /// Requests that a worker of the lane carried out.
    pub lane_requests: u64,
    /// Requests refused because too many waited for a worker, or they waited too long.
    pub lane_shed: u64,
    /// Requests whose client had gone before a worker was free: they were not begun.
    pub lane_abandoned: u64,
    /// Connections to the lane that broke and were replaced.
    pub lane_breaks: u64,
    /// Times the lane's server had died and was built anew.
    pub lane_rebuilds: u64,
}

impl Meters {
    pub(crate) fn snapshot(&self) -> ListenerStats {
        let connections = self.connections.get();
        let connections_refused = self.connections_refused.get();
        let gone = connections_refused + self.connections_ended.get();
        ListenerStats {
            // Read one by one while connections come and go: never below zero.
            open: connections.saturating_sub(gone),
            connections,
            connections_refused,
            addresses_refused: self.addresses_refused.get(),
            accept_errors: self.accept_errors.get(),
            handshakes_failed: self.handshakes_failed.get(),
            requests: self.requests.get(),
            requests_refused: self.requests_refused.get(),
            unauthorized: self.unauthorized.get(),
            forbidden: self.forbidden.get(),
            replayed: self.replayed.get(),
            senders_refused: self.senders_refused.get(),
            heads_too_slow: self.heads_too_slow.get(),
            readers_too_slow: self.readers_too_slow.get(),
            lane_requests: self.lane_requests.get(),
            lane_shed: self.lane_shed.get(),
            lane_abandoned: self.lane_abandoned.get(),
            lane_breaks: self.lane_breaks.get(),
            lane_rebuilds: self.lane_rebuilds.get(),
        }
    }
}
