//! New certificates for a node that runs.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use larder::TlsConfig;
use rustls::ClientConfig;

use super::authority::{Authority, HOST, Until};
use super::client::{Client, config_for};
use super::ring::{Node, does_without, join};
use crate::support::key_owned_by;

/// The certificate that a new connection is shown.
fn shown(addr: SocketAddr, config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut client = Client::connect(addr, config);
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    client.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// Puts the files of one in the place of another's.
fn replace(old: &TlsConfig, new: &TlsConfig) {
    fs::copy(&new.cert, &old.cert).unwrap();
    fs::copy(&new.key, &old.key).unwrap();
}

#[test]
fn new_connections_are_shown_the_new_certificate_and_old_ones_go_on() {
    let authority = Authority::new("ring");
    let files = authority.good("node");
    let node = Node::start(&files);
    // Full handshakes: a resumed one shows no certificate.
    let config = || config_for(&authority.ca(), None);
    let before = shown(node.api(), &config());
    let mut old = Client::connect(node.api(), &config());
    assert_eq!(old.get("/healthz").unwrap().status, 200);
    replace(&files, &authority.good("new"));
    assert_eq!(shown(node.api(), &config()), before, "nothing changes by itself");
    node.pool.reload_tls().unwrap();
    assert_ne!(shown(node.api(), &config()), before);
    assert_eq!(old.get("/api/g/k").unwrap().status, 200);
}

#[test]
fn an_expired_certificate_is_replaced_without_a_restart() {
    let authority = Authority::new("ring");
    let expired = authority.sign("expired", HOST, Until::LongAgo);
    let nodes = [Node::start(&authority.good("good")), Node::start(&expired)];
    join(&nodes);
    does_without(&nodes[0], &nodes[1]);
    replace(&expired, &authority.good("new"));
    nodes[1].pool.reload_tls().unwrap();
    // In both directions.
    for (asker, owner) in [(0, 1), (1, 0)] {
        let theirs = |key: &String| nodes[asker].pool.owner(key) == nodes[owner].pool.url();
        let key = (0..).map(|i| format!("new key {i}")).find(theirs).unwrap();
        nodes[asker].group.get(&key).unwrap();
        assert_eq!(nodes[owner].origin.loads(&key), 1, "{asker} asks {owner}");
    }
}

#[test]
fn an_authority_that_is_taken_away_lets_nobody_in_who_came_by_it() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = old.good("node");
    let node = Node::start(&files);
    let config = config_for(&old.ca(), Some(&old.good("client")));
    let asks = || super::client::get(node.peer(), &config, "/healthz");
    assert_eq!(asks().unwrap().status, 200);
    fs::copy(new.ca(), old.ca()).unwrap();
    node.pool.reload_tls().unwrap();
    // It would resume its session, which knows its certificate.
    assert!(asks().is_err());
}

#[test]
fn broken_files_are_named_and_all_stays_as_it_was() {
    let authority = Authority::new("ring");
    let (files, other) = (authority.good("node"), authority.good("other"));
    let nodes = [Node::start(&files), Node::start(&authority.good("peer"))];
    join(&nodes);
    let config = || config_for(&authority.ca(), None);
    let before = shown(nodes[0].api(), &config());
    let key = fs::read(&files.key).unwrap();
    for broken in [&b"no key"[..], &fs::read(&other.key).unwrap(), b""] {
        fs::write(&files.key, broken).unwrap();
        let error = nodes[0].pool.reload_tls().unwrap_err().to_string();
        assert!(error.contains("peer_tls.key") && error.contains("node.key"), "{error}");
        assert_eq!(shown(nodes[0].api(), &config()), before);
    }
    let key_of_peer = key_owned_by(&nodes[0].pool, nodes[1].pool.url());
    nodes[0].group.get(&key_of_peer).unwrap();
    assert_eq!(nodes[0].group.stats().peer_errors, 0);
    fs::write(&files.key, key).unwrap();
    nodes[0].pool.reload_tls().unwrap();
}
