//! Who is not let in.

use std::sync::Arc;
use std::time::Instant;

use larder::{ClientCerts, HttpPool, TlsConfig};
use rustls::ClientConfig;

use super::authority::{Authority, HOST, Until};
use super::client::{Client, config, config_for, get};
use super::ring::{Node, limits};
use crate::support::{Client as PlainClient, PATIENCE, wait_until};

/// What comes of a request for a key to a listener for peers.
fn outcome(node: &Node, config: &Arc<ClientConfig>) -> Result<u16, String> {
    let answer = get(node.peer(), config, "/_larder/g/k");
    answer.map(|answer| answer.status).map_err(|error| error.to_string())
}

#[test]
fn a_client_is_let_in_to_the_peers_listener_by_its_authoritys_certificate_alone() {
    let (ring, other) = (Authority::new("ring"), Authority::new("other"));
    let node = Node::start(&ring.good("node"));
    let good = ring.good("client");
    for version in rustls::ALL_VERSIONS {
        let config = config(&ring.ca(), Some(&good), &[version]);
        assert_eq!(outcome(&node, &config), Ok(200), "{version:?}");
    }
    let strangers =
        [None, Some(other.good("client")), Some(ring.sign("expired", HOST, Until::LongAgo))];
    let mut refused = 0;
    for version in rustls::ALL_VERSIONS {
        for stranger in &strangers {
            let config = config(&ring.ca(), stranger.as_ref(), &[version]);
            let outcome = outcome(&node, &config);
            assert!(outcome.is_err(), "{version:?}: {outcome:?}");
            refused += 1;
        }
    }
    wait_until("all are counted", || node.listener().handshakes_failed == refused);
    assert_eq!(node.listener().requests, 2, "no stranger's request was read");
}

#[test]
fn clients_of_the_api_need_certificates_when_it_is_said() {
    let authority = Authority::new("clients");
    let (other, files) = (Authority::new("other"), authority.good("api"));
    let with = config_for(&authority.ca(), Some(&authority.good("client")));
    let without = config_for(&authority.ca(), None);
    let wrong = config_for(&authority.ca(), Some(&other.good("client")));
    for (asked, expected) in [
        (None, [true, false, false]),
        (Some(ClientCerts::Required), [true, false, false]),
        (Some(ClientCerts::Optional), [true, true, false]),
        (Some(ClientCerts::None), [true, true, true]),
    ] {
        let mut files = files.clone();
        files.client_certs = asked;
        let builder = HttpPool::builder().listen("127.0.0.1:0").api("127.0.0.1:0");
        let pool = builder.api_tls(files).limits(limits()).start().unwrap();
        let addr = pool.api_addr().unwrap();
        let let_in = [&with, &without, &wrong].map(|c| get(addr, c, "/healthz").is_ok());
        assert_eq!(let_in, expected, "{asked:?}");
        let failed = expected.iter().filter(|let_in| !**let_in).count() as u64;
        wait_until("all are counted", || pool.api_listener_stats().handshakes_failed == failed);
    }
}

#[test]
fn http_in_the_clear_to_a_port_with_tls_gets_a_400_and_the_port_goes_on() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    for addr in [node.peer(), node.api()] {
        let started = Instant::now();
        let mut client = PlainClient::connect(addr);
        let answer = client.get("/healthz").unwrap();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text().contains("https://"), "{answer:?}");
        assert!(client.rest().unwrap().is_empty());
        assert!(started.elapsed() < PATIENCE / 4, "sooner than any deadline");
    }
    assert_eq!(node.listener().handshakes_failed, 1);
    assert_eq!(node.pool.api_listener_stats().handshakes_failed, 1);
    let config = config_for(&authority.ca(), Some(&authority.good("client")));
    assert_eq!(outcome(&node, &config), Ok(200));
}

#[test]
fn tls_to_a_port_without_it_is_refused_and_the_port_goes_on() {
    let authority = Authority::new("ring");
    let pool = HttpPool::builder().listen("127.0.0.1:0").api("127.0.0.1:0").start().unwrap();
    let config = config_for(&authority.ca(), None);
    for addr in [pool.peer_addr().unwrap(), pool.api_addr().unwrap()] {
        let mut client = Client::connect(addr, &config);
        assert!(client.get("/healthz").is_err());
        let answer = crate::support::get(addr, "/healthz");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(pool.peer_listener_stats().requests_refused, 1);
}

#[test]
fn another_protocol_inside_tls_is_refused() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let mut config = (*config_for(&authority.ca(), None)).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(get(node.api(), &Arc::new(config), "/healthz").is_err());
    wait_until("it is counted", || node.pool.api_listener_stats().handshakes_failed == 1);
}

#[test]
fn a_peers_listener_can_do_without_client_certificates() {
    let authority = Authority::new("ring");
    let files = TlsConfig::with_client_certs(authority.good("node"), ClientCerts::None);
    let node = Node::start(&files);
    assert_eq!(outcome(&node, &config_for(&authority.ca(), None)), Ok(200));
}
