//! Clients with tokens, and others.

use std::net::SocketAddr;

use larder::{HttpPool, Tokens};
use serde_json::Value;

use super::{Node, pool};
use crate::support::{Answer, Client};

const READ: &str = "reader-0123456789abcdef";
const WRITE: &str = "writer-0123456789abcdef";

fn node() -> Node {
    let tokens = Tokens::parse(&format!("read {READ}\nwrite {WRITE}\n")).unwrap();
    Node::start(pool().listen("http://127.0.0.1:0").api("127.0.0.1:0").tokens(tokens))
}

fn api(node: &Node) -> SocketAddr {
    node.pool.api_addr().unwrap()
}

fn request(method: &str, path: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{}\r\n", token.unwrap_or_default())
}

fn ask(node: &Node, method: &str, path: &str, token: Option<&str>) -> Answer {
    let mut client = Client::connect(api(node));
    client.send(request(method, path, token)).unwrap();
    client.answer().unwrap()
}

#[test]
fn a_token_allows_what_it_is_for() {
    let node = node();
    let status = |method, path, token| ask(&node, method, path, token).status;
    for path in ["/api/g/k", "/api?key=k", "/stats", "/metrics"] {
        let statuses = [None, Some("wrong"), Some(READ), Some(WRITE)];
        let statuses = statuses.map(|token| status("GET", path, token));
        assert_eq!(statuses, [401, 401, 200, 200], "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status("GET", path, None), 200, "{path}");
    }
    for method in ["PUT", "DELETE", "POST"] {
        for path in ["/api/g/k", "/healthz"] {
            let statuses = [None, Some("wrong"), Some(READ)];
            let statuses = statuses.map(|token| status(method, path, token));
            assert_eq!(statuses, [401, 401, 403], "{method} {path}");
            // Served or not: it is not refused for want of a right.
            assert!(![401, 403].contains(&status(method, path, Some(WRITE))));
        }
    }
}

#[test]
fn a_refusal_tells_nothing_of_what_is_there() {
    let node = node();
    node.group.get("cached").unwrap();
    let before = node.group.stats().main;
    let paths = ["/api/g/cached", "/api/g/other", "/api/nobody/k", "/stats", "/nowhere", "/api?x"];
    let refusals = |method, token: Option<&str>| {
        let refused = paths.map(|path| ask(&node, method, path, token).bytes());
        assert!(refused.iter().all(|answer| *answer == refused[0]), "{method} {token:?}");
        String::from_utf8(refused[0].clone()).unwrap()
    };
    let refused = refusals("GET", None);
    assert!(refused.contains("401 Unauthorized") && refused.contains("WWW-Authenticate: Bearer"));
    assert_eq!(refusals("GET", Some("wrong")), refused);
    assert_eq!(refusals("DELETE", None), refused);
    assert!(refusals("DELETE", Some(READ)).contains("403 Forbidden"));
    assert_eq!(node.group.stats().main, before, "the cache has not heard of it");
    assert_eq!(node.pool.api_listener_stats().requests, 0);
}

#[test]
fn none_of_ten_thousand_wrong_tokens_is_taken() {
    let node = node();
    let mut client = Client::connect(api(&node));
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..10_000 {
        let mut wrong = [READ, WRITE][n % 2].as_bytes().to_vec();
        let at = random.usize(..wrong.len());
        wrong[at] = b'!' + (wrong[at] - b'!' + random.u8(1..94)) % 94;
        let wrong = String::from_utf8(wrong).unwrap();
        client.send(request("GET", "/api/g/k", Some(&wrong))).unwrap();
        assert_eq!(client.answer().unwrap().status, 401, "{wrong}");
    }
    assert_eq!(node.pool.api_listener_stats().unauthorized, 10_000);
    assert_eq!(node.group.stats().gets, 0);
    client.send(request("GET", "/api/g/k", Some(READ))).unwrap();
    assert_eq!(client.answer().unwrap().status, 200, "the connection is still of use");
}

#[test]
fn a_body_without_a_right_is_neither_asked_for_nor_read() {
    let node = node();
    for expect in ["", "Expect: 100-continue\r\n"] {
        for (token, status) in [("wrong", 401), (READ, 403)] {
            let mut client = Client::connect(api(&node));
            let length = format!("\r\nContent-Length: 8000000\r\n{expect}\r\n");
            let head = request("PUT", "/api/g/k", Some(token)).replacen("\r\n\r\n", &length, 1);
            client.send(head).unwrap();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, status);
            assert!(answer.has("Connection: close"));
            assert!(client.rest().unwrap().is_empty());
        }
    }
}

#[test]
fn two_tokens_in_one_request_are_refused() {
    let node = node();
    let mut client = Client::connect(api(&node));
    let head = request("GET", "/api/g/k", Some("wrong"));
    let more = head.replacen("\r\n\r\n", &format!("\r\nAuthorization: Bearer {READ}\r\n\r\n"), 1);
    client.send(more).unwrap();
    assert_eq!(client.answer().unwrap().status, 400);
}

#[test]
fn tokens_change_while_connections_are_open() {
    let node = node();
    let mut client = Client::connect(api(&node));
    let mut status = |token| {
        client.send(request("GET", "/api/g/k", Some(token))).unwrap();
        client.answer().unwrap().status
    };
    assert_eq!((status(READ), status("another-0123456789")), (200, 401));
    node.pool.set_tokens(Tokens::parse("read another-0123456789").unwrap()).unwrap();
    assert_eq!((status(READ), status("another-0123456789")), (401, 200));
    let without = HttpPool::bind("http://127.0.0.1:0").unwrap();
    assert!(without.set_tokens(Tokens::parse(&format!("read {READ}")).unwrap()).is_err());
}

#[test]
fn what_was_refused_is_counted_where_operators_look() {
    let node = node();
    for (method, token) in [("GET", None), ("GET", Some("wrong")), ("PUT", Some(READ))] {
        ask(&node, method, "/api/g/k", token);
    }
    let stats = ask(&node, "GET", "/stats", Some(READ)).body;
    let stats: Value = serde_json::from_slice(&stats).unwrap();
    let api = &stats["listeners"]["api"];
    let counted = ["unauthorized", "forbidden", "replayed", "senders_refused"].map(|n| &api[n]);
    assert_eq!(counted.map(Value::as_u64), [Some(2), Some(1), Some(0), Some(0)]);
    let metrics = ask(&node, "GET", "/metrics", Some(READ)).text();
    for line in [
        "larder_listener_unauthorized_total{listener=\"api\"} 2",
        "larder_listener_forbidden_total{listener=\"api\"} 1",
        "larder_listener_replayed_total{listener=\"peer\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}
