//! What is sent over TLS arrives as it was sent, also when it is much or often.

use larder::{Dialect, HttpPool, NotFound};

use super::authority::{Authority, HOST};
use super::client::{Client, config_for};
use super::ring::{Node, limits};
use crate::support::PATIENCE;

/// Bytes of which no two runs are alike.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn values_of_8_mib_reach_clients_and_peers() {
    const LEN: usize = 8 << 20;
    let authority = Authority::new("ring");
    let pools = ["a", "b"].map(|name| {
        let files = authority.good(name);
        let builder = HttpPool::builder().listen(&format!("{HOST}:0")).peer_tls(files.clone());
        let mut limits = limits();
        limits.peer_call = PATIENCE;
        let api = larder::TlsConfig::new(&files.cert, &files.key);
        builder.api(&format!("{HOST}:0")).api_tls(api).limits(limits).start().unwrap()
    });
    let urls = pools.each_ref().map(|pool| pool.url().to_owned());
    for pool in &pools {
        pool.set_peers(&urls).unwrap();
        let options = larder::GroupOptions::new(64 << 20).get_timeout(PATIENCE);
        pool.group_with(options, "g", |_: &str| Ok(noise(LEN))).unwrap();
    }
    // Through both listeners: the one that is asked does not own the key.
    let key = (0..).map(|i| format!("k{i}")).find(|key| pools[0].owner(key) == urls[1]).unwrap();
    let config = config_for(&authority.ca(), None);
    let mut client = Client::connect(pools[0].api_addr().unwrap(), &config);
    for source in ["peer", "hot"] {
        let answer = client.get(&format!("/api/g/{key}")).unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body == noise(LEN), "{source}: {} bytes", answer.body.len());
    }
    assert_eq!(pools[1].peer_listener_stats().lane_requests, 1);
}

#[test]
fn a_body_of_8_mib_is_taken_over_tls() {
    const LEN: usize = 8 << 20;
    let authority = Authority::new("ring");
    let files = authority.good("node");
    let builder = HttpPool::builder().listen(&format!("{HOST}:0")).peer_tls(files.clone());
    // A dialect in which peers write.
    let pool = builder.dialect(Dialect::GroupcacheGo).limits(limits()).start().unwrap();
    let none = |_: &str| Err::<Vec<u8>, _>(NotFound.into());
    let group = pool.group("g", 64 << 20, none).unwrap();
    let mut message = vec![0x0a, 1, b'g', 0x12, 1, b'k', 0x1a];
    let mut len = LEN - 64;
    let value = noise(len);
    while len >= 0x80 {
        message.push(len as u8 | 0x80);
        len >>= 7;
    }
    message.push(len as u8);
    message.extend_from_slice(&value);
    let config = config_for(&authority.ca(), Some(&files));
    let mut client = Client::connect(pool.peer_addr().unwrap(), &config);
    let head = format!(
        "PUT /_groupcache/g/k HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(&message).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(group.get("k").unwrap() == *value);
}

#[test]
fn a_thousand_requests_are_answered_on_one_connection() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let config = config_for(&authority.ca(), None);
    let mut client = Client::connect(node.api(), &config);
    for i in 0..1_000 {
        let answer = client.get(&format!("/api/g/k{}", i % 50)).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), format!("value of k{}", i % 50));
    }
    let stats = node.pool.api_listener_stats();
    assert_eq!((stats.connections, stats.requests), (1, 1_000));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let mut client = Client::connect(node.api(), &config_for(&authority.ca(), None));
    let requests: String =
        (0..100).map(|i| crate::support::request(&format!("/api/g/k{i}"))).collect();
    client.send(requests.as_bytes()).unwrap();
    for i in 0..100 {
        assert_eq!(client.answer().unwrap().text(), format!("value of k{i}"));
    }
}
