//! Rings whose nodes know each other by their certificates.

use std::net::SocketAddr;

use larder::testing::TestOrigin;
use larder::{Group, GroupOptions, HttpPool, Limits, ListenerStats, TlsConfig};

use super::authority::{Authority, HOST, Until};
use super::client::{config_for, get};
use crate::support::{PATIENCE, key_owned_by, wait_until};

/// A node with an origin of its own.
pub(super) struct Node {
    pub(super) pool: HttpPool,
    pub(super) group: Group,
    pub(super) origin: TestOrigin,
}

pub(super) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.lane_workers = 2;
    // A busy machine is no failed peer.
    (limits.peer_connect, limits.peer_call) = (PATIENCE / 4, PATIENCE / 4);
    limits.handshake_timeout = PATIENCE / 4;
    limits
}

impl Node {
    /// A node that speaks TLS with peers, and with clients by the same files, but asks these for
    /// nothing.
    pub(super) fn start(peer: &TlsConfig) -> Self {
        Self::start_with(peer, limits())
    }

    pub(super) fn start_with(peer: &TlsConfig, limits: Limits) -> Self {
        let (listen, api) = (format!("{HOST}:0"), TlsConfig::new(&peer.cert, &peer.key));
        let builder = HttpPool::builder().listen(&listen).peer_tls(peer.clone());
        let pool = builder.api(&listen).api_tls(api).limits(limits).start().unwrap();
        let (origin, options) = (TestOrigin::new(), GroupOptions::new(64 << 20));
        let group = pool.group_with(options.get_timeout(PATIENCE), "g", origin.clone()).unwrap();
        Self { pool, group, origin }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.pool.peer_addr().unwrap()
    }

    pub(super) fn api(&self) -> SocketAddr {
        self.pool.api_addr().unwrap()
    }

    pub(super) fn listener(&self) -> ListenerStats {
        self.pool.peer_listener_stats()
    }
}

/// Puts `nodes` on one ring.
pub(super) fn join(nodes: &[Node]) {
    let urls: Vec<_> = nodes.iter().map(|node| node.pool.url().to_owned()).collect();
    for node in nodes {
        node.pool.set_peers(&urls).unwrap();
    }
}

/// Gets a key of `owner` from `asker`, which finds it to be a failed peer and loads the key.
pub(super) fn does_without(asker: &Node, owner: &Node) {
    let before = asker.group.stats();
    let key = key_owned_by(&asker.pool, owner.pool.url());
    assert_eq!(asker.group.get(&key).unwrap(), *TestOrigin::value(&key));
    let stats = asker.group.stats();
    assert_eq!(stats.peer_errors, before.peer_errors + 1);
    assert_eq!((asker.origin.loads(&key), owner.origin.loads(&key)), (1, 0));
}

#[test]
fn nodes_get_each_others_keys_over_tls_and_load_each_once() {
    let authority = Authority::new("ring");
    for n in [2, 3] {
        let nodes: Vec<_> =
            (0..n).map(|i| Node::start(&authority.good(&format!("node-{i}")))).collect();
        join(&nodes);
        for owner in &nodes {
            assert!(owner.pool.url().starts_with("https://127.0.0.1:"), "{}", owner.pool.url());
            let key = key_owned_by(&owner.pool, owner.pool.url());
            for node in &nodes {
                assert_eq!(node.group.get(&key).unwrap(), *TestOrigin::value(&key));
            }
            let loads: u64 = nodes.iter().map(|node| node.origin.loads(&key)).sum();
            assert_eq!((loads, owner.origin.loads(&key)), (1, 1));
        }
        for node in &nodes {
            assert_eq!(node.group.stats().peer_errors, 0);
            assert_eq!(node.listener().handshakes_failed, 0);
        }
    }
}

#[test]
fn a_nodes_connections_to_its_peers_are_kept_and_used_again() {
    let authority = Authority::new("ring");
    let nodes = [0, 1].map(|i| Node::start(&authority.good(&format!("node-{i}"))));
    join(&nodes);
    let theirs = |key: &String| nodes[0].pool.owner(key) == nodes[1].pool.url();
    for key in (0..).map(|i| format!("key {i}")).filter(theirs).take(200) {
        nodes[0].group.get(&key).unwrap();
    }
    let stats = nodes[1].listener();
    assert!(stats.requests >= 200, "{stats:?}");
    assert!(stats.connections <= 2, "{stats:?}");
}

#[test]
fn the_api_shows_its_certificate_and_asks_clients_for_none() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let answer = get(node.api(), &config_for(&authority.ca(), None), "/api/g/k").unwrap();
    assert_eq!((answer.status, answer.text()), (200, TestOrigin::value("k")));
    assert_eq!(node.pool.api_listener_stats().handshakes_failed, 0);
}

#[test]
fn a_peer_whose_certificate_has_expired_is_a_failed_peer() {
    let authority = Authority::new("ring");
    let good = Node::start(&authority.good("good"));
    let expired = Node::start(&authority.sign("expired", HOST, Until::LongAgo));
    let nodes = [good, expired];
    join(&nodes);
    does_without(&nodes[0], &nodes[1]);
    // And the other way round: it is not let in.
    does_without(&nodes[1], &nodes[0]);
    let counted = |node: &Node| node.listener().handshakes_failed > 0;
    wait_until("both have counted it", || nodes.iter().all(counted));
}

#[test]
fn a_peer_whose_certificate_names_another_host_is_a_failed_peer() {
    let authority = Authority::new("ring");
    let good = Node::start(&authority.good("good"));
    let other = authority.sign("other", "node-7.example", Until::The4thMillennium);
    let nodes = [good, Node::start(&other)];
    join(&nodes);
    does_without(&nodes[0], &nodes[1]);
    // As a client it is of the ring, whatever its name.
    let key = key_owned_by(&nodes[1].pool, nodes[0].pool.url());
    nodes[1].group.get(&key).unwrap();
    assert_eq!(nodes[0].origin.loads(&key), 1);
}

#[test]
fn a_peer_of_another_authority_is_a_failed_peer_and_not_let_in() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let nodes = [Node::start(&ours.good("node")), Node::start(&theirs.good("node"))];
    join(&nodes);
    does_without(&nodes[0], &nodes[1]);
    does_without(&nodes[1], &nodes[0]);
    assert!(nodes.iter().all(|node| node.listener().requests == 0));
}

#[test]
fn a_peer_that_does_not_speak_tls_is_a_failed_peer_and_never_asked_in_the_clear() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let plain = HttpPool::bind("http://127.0.0.1:0").unwrap();
    let origin = TestOrigin::new();
    plain.group("g", 1 << 20, origin.clone()).unwrap();
    let url = plain.url().replace("http:", "https:");
    node.pool.set_peers([node.pool.url(), &url]).unwrap();
    let key = key_owned_by(&node.pool, &url);
    assert_eq!(node.group.get(&key).unwrap(), *TestOrigin::value(&key));
    assert_eq!((node.group.stats().peer_errors, origin.total_loads()), (1, 0));
    assert_eq!(plain.peer_listener_stats().requests, 0);
}
