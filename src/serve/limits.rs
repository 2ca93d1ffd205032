//! The limits of a node's listeners.

use std::time::Duration;

/// What a node's listeners and peer calls may take at most.
///
/// ```
/// let mut limits = larder::Limits::default();
/// limits.connections = 256;
/// limits.lane_workers = 8;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of a listener at once; a further one gets a 503. Defaults to 1,024.
    pub connections: usize,
    /// Connections of a listener at once from one address (IPv6: from one network of 64 bits);
    /// a further one gets a 503. Defaults to 768, so that one host that opens all it can leaves
    /// a quarter of [`connections`](Self::connections) to the others, and a proxy in front of
    /// the node still has hundreds.
    pub connections_per_address: usize,
    /// Time for a TLS handshake, from the connect on; one with a peer must also be done within
    /// `peer_call`. Defaults to 5 s.
    pub handshake_timeout: Duration,
    /// Length of a request's head, in bytes. Defaults to 16 KiB.
    pub head_bytes: usize,
    /// Lines of a request's head. Defaults to 64.
    pub head_lines: usize,
    /// Time for a request's head, from its first byte to its last. Defaults to 5 s.
    pub head_timeout: Duration,
    /// Length of a request's body, in bytes. Defaults to 8 MiB.
    pub body_bytes: usize,
    /// Time for a request's body, from the end of its head. Defaults to 30 s.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request. Defaults to 60 s.
    pub idle_timeout: Duration,
    /// How long a write may stand still before a slow reader is cut off. Defaults to 10 s.
    pub write_timeout: Duration,
    /// Requests of a listener that may load at once; its worker threads. Defaults to 64.
    pub lane_workers: usize,
    /// Requests of a listener that may wait for a worker; a further one gets a 503.
    /// Defaults to 1,024.
    pub lane_waiting: usize,
    /// How long a request may wait for a worker before it gets a 503. Defaults to 1 s: half of
    /// [`peer_call`](Self::peer_call), so that a peer hears of it.
    pub lane_wait: Duration,
    /// Workers that the loads of one group may take, so that a group whose origin is slow leaves
    /// some to the others; of the requests that may wait, one group has half. Of no effect while
    /// a pool has one group. Defaults to none, which is half of
    /// [`lane_workers`](Self::lane_workers).
    pub lane_workers_per_group: Option<usize>,
    /// Time to connect to a peer. Defaults to 300 ms.
    pub peer_connect: Duration,
    /// Time for one call to a peer, connecting included. A peer that is still loading says so
    /// before, and is asked again. Defaults to 2 s.
    ///
    /// A peer that usually answers sooner is given up sooner: it is to say within a fortieth of
    /// this (50 ms) that it is loading, and has between a fortieth and a quarter more, by how
    /// late its answers have been. So on machines that are slow to answer this is to be longer.
    /// Among Go nodes, which cannot say that they are loading, each call has all of it.
    pub peer_call: Duration,
    /// Calls to one peer at once: so many threads wait for it at most, should it hang. What is
    /// more goes to the next node on the ring at once. Defaults to 32.
    pub peer_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_address: 768,
            handshake_timeout: Duration::from_secs(5),
            head_bytes: 16 << 10,
            head_lines: 64,
            head_timeout: Duration::from_secs(5),
            body_bytes: 8 << 20,
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            lane_workers: 64,
            lane_waiting: 1_024,
            lane_wait: Duration::from_secs(1),
            lane_workers_per_group: None,
            peer_connect: Duration::from_millis(300),
            peer_call: Duration::from_secs(2),
            peer_calls: 32,
        }
    }
}
