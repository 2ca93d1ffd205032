//! Thousands of requests that were good before chance changed them.

use super::mutator::mutated;
use crate::doors::{Door, Kind};
use crate::node::Node;

on_listeners_of_each_kind! {
    ten_thousand_mutated_requests_harm_nobody,
}

const BATCHES: usize = 100;
const BATCH: usize = 100;
/// Another one is tried by setting the variable to a number.
const SEED: &str = "LARDER_SEED";

const GOOD: &[&str] = &[
    "GET /api/g/good HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /_larder/g/good HTTP/1.1\r\nHost: x\r\nLarder-Within-Ms: 900\r\n\r\n",
    "HEAD /api/g/good HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    // A body, but nothing that writes: what is set would no longer be the value that is checked.
    "GET /api/g/good HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "GET /api?key=good&group=g HTTP/1.0\r\nAccept: */*\r\n\r\n",
    "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
];

fn admitted(door: &Door, good: &str) -> String {
    let (head, body) = good.split_at(good.find("\r\n\r\n").unwrap() + 4);
    door.admitted(head, body) + body
}

/// Sends `bytes` and no more, and waits for the end of whatever is answered.
fn attack(door: &Door, bytes: &[u8]) {
    let mut client = door.connect();
    // It may be refused, and the connection closed, before all is sent.
    let _ = client.send(bytes);
    client.finish();
    let answers = client.rest_of_half().unwrap();
    let answers = String::from_utf8_lossy(&answers);
    assert!(
        answers.is_empty() || answers.starts_with("HTTP/1.1 "),
        "{answers:?} to {}",
        bytes.escape_ascii()
    );
}

fn ten_thousand_mutated_requests_harm_nobody(kind: Kind) {
    let seed = std::env::var(SEED).map_or(0x1a4d_e401, |seed| seed.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut node = Node::start_as(kind, &[]);
    let doors = node.doors();
    for batch in 0..BATCHES {
        for i in 0..BATCH {
            let door = &doors[i % 2];
            let good: Vec<String> = GOOD.iter().map(|good| admitted(door, good)).collect();
            attack(door, &mutated(&mut rng, &good));
        }
        node.serves();
        assert_eq!(node.count("panics"), 0, "{SEED}={seed}, batch {batch}");
    }
    assert_eq!(node.count("lane_breaks"), 0, "{SEED}={seed}");
    node.settles();
}
