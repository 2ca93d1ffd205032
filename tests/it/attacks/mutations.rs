//! Thousands of requests that were good before chance changed them.

use std::net::{Shutdown, SocketAddr};

use crate::node::Node;
use crate::support::Client;

const BATCHES: usize = 100;
const BATCH: usize = 100;
/// Another one is tried by setting the variable to a number.
const SEED: &str = "LARDER_SEED";

const GOOD: &[&str] = &[
    "GET /api/g/good HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /_larder/g/good HTTP/1.1\r\nHost: x\r\nLarder-Within-Ms: 900\r\n\r\n",
    "HEAD /api/g/good HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "PUT /api/g/good HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "GET /api?key=good&group=g HTTP/1.0\r\nAccept: */*\r\n\r\n",
    "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
];

const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    "%",
    "%2F",
    "/",
    "?",
    "\u{e4}",
    "\r\n\r\n",
    "HTTP/2.0",
    "Content-Length: 5\r\n",
    "Content-Length: 99999999999999\r\n",
    "Content-Length: +5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Host: y\r\n",
    "0\r\n\r\n",
    "larder-lane-id: 1\r\n",
    "Larder-Within-Ms: 0\r\n",
    "Connection: upgrade\r\n",
];

fn mutated(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = rng.choice(GOOD).unwrap().as_bytes().to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=bytes.len());
        let end = rng.usize(at..=bytes.len().min(at + 20));
        match rng.u8(..6) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            3 => bytes.truncate(at),
            4 => bytes.extend_from_slice(rng.choice(GOOD).unwrap().as_bytes()),
            _ => drop(bytes.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
        }
    }
    bytes
}

/// Sends `bytes` and no more, and waits for the end of whatever is answered.
fn attack(addr: SocketAddr, bytes: &[u8]) {
    let mut client = Client::connect(addr);
    // It may be refused, and the connection closed, before all is sent.
    let _ = client.send(bytes);
    let _ = client.socket().shutdown(Shutdown::Write);
    let answers = client.rest().unwrap();
    let answers = String::from_utf8_lossy(&answers);
    assert!(
        answers.is_empty() || answers.starts_with("HTTP/1.1 "),
        "{answers:?} to {}",
        bytes.escape_ascii()
    );
}

#[test]
fn ten_thousand_mutated_requests_harm_nobody() {
    let seed = std::env::var(SEED).map_or(0x1a4d_e401, |seed| seed.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut node = Node::start(&[]);
    for batch in 0..BATCHES {
        for i in 0..BATCH {
            let addr = if i % 2 == 0 { node.peer } else { node.api };
            let bytes = mutated(&mut rng);
            attack(addr, &bytes);
        }
        node.serves();
        assert_eq!(node.count("panics"), 0, "{SEED}={seed}, batch {batch}");
    }
    assert_eq!(node.count("lane_breaks"), 0, "{SEED}={seed}");
    node.settles();
}
