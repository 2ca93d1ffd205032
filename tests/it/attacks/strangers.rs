//! Attackers without a good certificate, signature or token, where these are asked for.

use super::mutator::mutated;
use crate::doors::{Door, Kind};
use crate::node::Node;
use crate::support::{request, wait_until};

const REQUESTS: usize = 2_000;
/// Connections of each kind.
const EACH: usize = 50;

const GOOD: &[&str] = &[
    "GET /api/g/good HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n",
    "GET /_larder/g/good HTTP/1.1\r\nHost: x\r\nLarder-Auth: v1 0 0 0-0 - 0\r\n\r\n",
    "PUT /api/g/good HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "DELETE /_larder/g/good HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /api?key=good&group=g HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
];

/// All answers to `bytes`.
fn answers(door: &Door, bytes: &[u8]) -> String {
    let mut client = door.connect();
    let _ = client.send(bytes);
    client.finish();
    String::from_utf8_lossy(&client.rest_of_half().unwrap()).into_owned()
}

#[test]
fn a_pipeline_of_strangers_requests_is_refused_one_by_one() {
    let mut node = Node::start_as(Kind::Guarded, &[]);
    let (loads, requests) = (node.count("loads"), node.count("requests"));
    for door in node.doors().map(|door| door.of_a_stranger()) {
        let mut client = door.connect();
        client.send(request(&format!("{}/unheard", door.base)).repeat(1_000)).unwrap();
        for _ in 0..1_000 {
            assert_eq!(client.answer().unwrap().status, 401);
        }
        assert_eq!(client.get("/healthz").unwrap().status, 200, "that is no secret");
    }
    assert_eq!(node.count("unauthorized"), 2_000);
    assert_eq!((node.count("loads"), node.count("requests")), (loads, requests + 2));
    node.serves();
    node.settles();
}

#[test]
fn no_mutated_request_of_a_stranger_is_accepted() {
    let mut rng = fastrand::Rng::with_seed(7);
    let good: Vec<String> = GOOD.iter().map(|&good| good.to_owned()).collect();
    let mut node = Node::start_as(Kind::Guarded, &[]);
    let (loads, requests) = (node.count("loads"), node.count("requests"));
    let doors = node.doors().map(|door| door.of_a_stranger());
    for i in 0..REQUESTS {
        let bytes = mutated(&mut rng, &good);
        let answers = answers(&doors[i % 2], &bytes);
        let accepted = answers.contains("HTTP/1.1 2");
        assert!(!accepted, "{answers:?} to {}", bytes.escape_ascii());
    }
    assert!(node.count("unauthorized") > 0);
    assert_eq!((node.count("loads"), node.count("requests")), (loads, requests));
    node.serves();
    node.settles();
}

#[test]
fn strangers_without_a_good_certificate_get_no_further_than_the_handshake() {
    let mut node = Node::start_as(Kind::Guarded, &[]);
    let requests = node.count("requests");
    let doors = node.doors_of_strangers();
    for door in &doors {
        for _ in 0..EACH {
            assert!(door.connect().get("/healthz").is_err());
        }
        node.serves();
    }
    let serves = 2 * doors.len() as u64;
    assert_eq!(node.count("requests"), requests + serves, "no stranger's was read");
    let refused = (EACH * doors.len()) as u64;
    wait_until("all are counted", || node.count("handshakes_failed") == refused);
    node.settles();
}

#[test]
fn a_signed_request_that_is_sent_again_is_refused_each_time() {
    let mut node = Node::start_as(Kind::Guarded, &[]);
    let [peer, _] = node.doors();
    let heard = peer.request(&format!("{}/good", peer.base));
    let statuses = (0..EACH).flat_map(|_| {
        let mut client = peer.connect();
        client.send(heard.repeat(10)).unwrap();
        [(); 10].map(|()| client.answer().unwrap().status)
    });
    let statuses: Vec<u16> = statuses.collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 401), "{statuses:?}");
    node.serves();
    node.settles();
}
