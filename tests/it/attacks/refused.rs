//! Requests that are not plainly right, or over a limit.

use std::io::Write;

use crate::doors::{Door, Kind};
use crate::node::Node;
use crate::support::{Answer, request};

on_listeners_of_each_kind! {
    a_body_of_unclear_length_is_refused_and_nothing_behind_it_is_answered,
    a_head_that_readers_could_read_in_two_ways_is_refused,
    an_endless_head_is_refused_long_before_it_ends_and_takes_no_memory,
    a_method_that_is_known_but_not_served_is_told_so_and_its_body_is_no_request,
}

const SMUGGLED: &str = "/api/g/smuggled";

/// A head for `GET` with more lines, and what follows it.
fn with(lines: &str) -> String {
    format!("GET /api/g/good HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

/// Sends `attack` with a second request behind it, which must not be answered.
fn refusal(door: &Door, attack: &str) -> Answer {
    let mut client = door.connect();
    client.send(door.admitted(attack, "") + &door.request(SMUGGLED)).unwrap();
    let answer = client.answer().unwrap();
    assert!(answer.has("Connection: close"), "{answer:?} to {attack:?}");
    // Also one that comes later; the other side may have gone.
    let _ = client.send(door.request(SMUGGLED));
    let rest = client.rest().unwrap();
    assert!(rest.is_empty(), "{} to {attack:?}", rest.escape_ascii());
    answer
}

fn refused_by_both(kind: Kind, attacks: &[(String, u16)]) {
    let mut node = Node::start_as(kind, &[]);
    let loads = node.count("loads");
    for (attack, status) in attacks {
        for door in node.doors() {
            let answer = refusal(&door, attack);
            assert_eq!(answer.status, *status, "{answer:?} to {attack:?}");
            assert!(answer.text().lines().count() == 1, "one line of reason: {answer:?}");
        }
        node.serves();
    }
    assert_eq!(node.count("requests_refused"), 2 * attacks.len() as u64);
    assert_eq!(node.count("loads"), loads, "nothing was smuggled");
    node.settles();
}

fn a_body_of_unclear_length_is_refused_and_nothing_behind_it_is_answered(kind: Kind) {
    let smuggled = request(SMUGGLED);
    let length = smuggled.len();
    let cases = [
        ("Content-Length: 99999999999999\r\n".to_owned(), 413),
        (format!("Content-Length: {}\r\n", usize::MAX), 413),
        ("Content-Length: 99999999999999999999999999\r\n".to_owned(), 413),
        (format!("Content-Length: {}\r\n", (8 << 20) + 1), 413),
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), 400),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n".to_owned(), 400),
        (format!("Content-Length: 5\r\nContent-Length: {length}\r\n"), 400),
        ("Content-Length: +5\r\n".to_owned(), 400),
        ("Content-Length: -5\r\n".to_owned(), 400),
        ("Content-Length: 5 5\r\n".to_owned(), 400),
        ("Content-Length: 0x5\r\n".to_owned(), 400),
        ("Content-Length: 30, 30\r\n".to_owned(), 400),
        ("Content-Length:\r\n".to_owned(), 400),
        ("Transfer-Encoding: identity\r\n".to_owned(), 501),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), 501),
        ("Transfer-Encoding: gzip\r\n".to_owned(), 501),
        ("Transfer-Encoding: gzip, chunked\r\n".to_owned(), 501),
        ("Transfer-Encoding: chunked\r\n".to_owned(), 501),
        ("X: a\r\n Transfer-Encoding: chunked\r\n".to_owned(), 400),
        ("X: a\r\n\tContent-Length: 5\r\n".to_owned(), 400),
        ("Content-Length : 5\r\n".to_owned(), 400),
    ];
    let mut attacks: Vec<_> =
        cases.map(|(lines, status)| (with(&lines) + &smuggled, status)).into();
    let chunked = with("Transfer-Encoding: chunked\r\n");
    attacks.push((format!("{chunked}40;x={smuggled}\r\n0\r\n\r\n"), 501));
    attacks.push((format!("{chunked}0\r\n\r\n"), 501));
    refused_by_both(kind, &attacks);
}

fn a_head_that_readers_could_read_in_two_ways_is_refused(kind: Kind) {
    let line = |line: &str| format!("{line}\r\nHost: x\r\n\r\n");
    let attacks = [
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        (line("GET / HTTP/2.0"), 505),
        (line("GET / HTTP/3.0"), 505),
        (line("GET / HTTP/1.2"), 505),
        (line("GET / HTTP/0.9"), 505),
        (line("GET /"), 400),
        (line("GET / HTTP/1.1 junk"), 400),
        (line("GET  / HTTP/1.1"), 400),
        (line("\r\nGET / HTTP/1.1"), 400),
        (line("GET http://evil/api/g/good HTTP/1.1"), 400),
        (line("GET * HTTP/1.1"), 400),
        (line("GET api/g/good HTTP/1.1"), 400),
        (line("CONNECT evil:80 HTTP/1.1"), 400),
        (line("GET /api/g/gööd HTTP/1.1"), 400),
        (line("GET /api/g/\x07 HTTP/1.1"), 400),
        (line("GET /api/g/\0 HTTP/1.1"), 400),
        ("GET /api/g/good HTTP/1.1\nHost: x\n\n".to_owned(), 400),
        ("GET /api/g/good HTTP/1.1\r\n\r\n".to_owned(), 400),
        (with("Host: y\r\n"), 400),
        (with("X: a\nY: b\r\n"), 400),
        (with("X: a\rY: b\r\n"), 400),
        (with("X: a\0b\r\n"), 400),
        (with("X: a\x0bb\r\n"), 400),
        (with(": nameless\r\n"), 400),
        (with("no colon\r\n"), 400),
        (with(" folded: at once\r\n"), 400),
        (with("Expect: the-unexpected\r\n"), 417),
        (with("Larder-Within-Ms: soon\r\n"), 400),
        (line("BREW / HTTP/1.1"), 501),
        (line("OPTIONS / HTTP/1.1"), 501),
        (line("get / HTTP/1.1"), 501),
        (with(&"a:\r\n".repeat(64)), 431),
        (with(&format!("X: {}\r\n", "y".repeat(16 << 10))), 431),
    ];
    refused_by_both(kind, &attacks);
}

/// Sends `start`, then `piece` over and over, until the other side has enough: its answer, and
/// how many bytes it let itself be sent.
fn endless(door: &Door, start: &[u8], piece: &[u8], total: usize) -> (Answer, usize) {
    let mut client = door.connect();
    let mut writer = client.writer();
    let pieces = piece.repeat((64 << 10) / piece.len());
    client.send(start).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut sent = 0;
            while sent < total && writer.write_all(&pieces).is_ok() {
                sent += pieces.len();
            }
            sent
        });
        let answer = client.answer().unwrap();
        assert!(client.rest().unwrap().is_empty());
        (answer, writing.join().unwrap())
    })
}

fn an_endless_head_is_refused_long_before_it_ends_and_takes_no_memory(kind: Kind) {
    let mut node = Node::start_as(kind, &[]);
    let before = node.usage();
    for door in node.doors() {
        for (start, piece, total) in [
            (&b"GET / HTTP/1.1\r\nX: "[..], &b"x"[..], 256 << 20),
            (b"GET / HTTP/1.1\r\n", b"a:\r\n", 31 << 20),
            (b"GET /", b"x", 256 << 20),
            (b"", b"G", 256 << 20),
        ] {
            let (answer, sent) = endless(&door, start, piece, total);
            assert_eq!(answer.status, 431, "{answer:?}");
            assert!(answer.has("Connection: close"));
            assert!(sent < total, "all {sent} bytes were taken");
            let memory_kib = node.usage().memory_kib;
            assert!(memory_kib < before.memory_kib + (64 << 10), "{memory_kib} KiB");
        }
    }
    node.serves();
    node.settles();
}

fn a_method_that_is_known_but_not_served_is_told_so_and_its_body_is_no_request(kind: Kind) {
    let mut node = Node::start_as(kind, &[]);
    for door in node.doors() {
        let mut client = door.connect();
        for method in ["PUT", "DELETE"] {
            let body = request(SMUGGLED);
            let length = body.len();
            let head =
                format!("{method} /stats HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n");
            client.send(door.admitted(&format!("{head}\r\n"), &body) + &body).unwrap();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 405, "{answer:?}");
            assert!(answer.head.contains("\r\nAllow: GET, HEAD"), "{answer:?}");
            let head = format!("{head}Expect: 100-continue\r\n\r\n");
            client.send(door.admitted(&head, &body)).unwrap();
            assert_eq!(client.answer().unwrap().status, 100);
            client.send(&body).unwrap();
            assert_eq!(client.answer().unwrap().status, 405);
        }
        // The connection's framing is in order: it goes on.
        assert_eq!(client.get("/healthz").unwrap().text(), "ok\n");
    }
    assert_eq!(node.count("requests_refused"), 0);
    node.settles();
}
