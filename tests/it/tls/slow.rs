//! Clients that take their time once they have been let in.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use larder::{HttpPool, Limits, TlsConfig};

use super::authority::{Authority, HOST};
use super::client::{Client, config_for};
use super::ring::{Node, limits};
use crate::support::{PATIENCE, request, wait_until};

/// Bytes that a socket's buffers do not hold.
const BIG: usize = 7 << 20;

/// A node whose API has TLS, and values of [`BIG`] bytes.
fn start(authority: &Authority, limits: Limits) -> HttpPool {
    let files = authority.good("node");
    let builder = HttpPool::builder().listen(&format!("{HOST}:0")).api(&format!("{HOST}:0"));
    let api = TlsConfig::new(files.cert, files.key);
    let pool = builder.api_tls(api).limits(limits).start().unwrap();
    pool.group("g", 64 << 20, |_: &str| Ok(vec![7; BIG])).unwrap();
    pool
}

/// A client that has its session, and what `bytes` are inside it.
fn encrypted(client: &mut Client, bytes: &[u8]) -> Vec<u8> {
    let mut outside = Vec::new();
    client.stream.conn.writer().write_all(bytes).unwrap();
    while client.stream.conn.wants_write() {
        client.stream.conn.write_tls(&mut outside).unwrap();
    }
    outside
}

#[test]
fn a_request_that_comes_a_byte_at_a_time_is_understood() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let mut client = Client::connect(node.api(), &config_for(&authority.ca(), None));
    client.stream.sock.set_nodelay(true).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/healthz").unwrap().status, 200);
        for byte in encrypted(&mut client, request("/api/g/k").as_bytes()) {
            client.stream.sock.write_all(&[byte]).unwrap();
        }
        assert_eq!(client.answer().unwrap().text(), "value of k");
    }
}

#[test]
fn a_head_that_stops_within_a_record_is_told_so_inside_tls() {
    let authority = Authority::new("ring");
    let mut limits = limits();
    limits.head_timeout = Duration::from_millis(500);
    let pool = start(&authority, limits);
    let config = config_for(&authority.ca(), None);
    let mut client = Client::connect(pool.api_addr().unwrap(), &config);
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    client.send(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let record = encrypted(&mut client, b"Host: larder\r\n\r\n");
    client.stream.sock.write_all(&record[..record.len() / 2]).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 408, "{answer:?}");
    assert_eq!(pool.api_listener_stats().heads_too_slow, 1);
}

#[test]
fn a_record_that_stops_between_requests_ends_the_connection() {
    let authority = Authority::new("ring");
    let mut limits = limits();
    (limits.head_timeout, limits.idle_timeout) = (Duration::from_millis(500), 10 * PATIENCE);
    let pool = start(&authority, limits);
    let config = config_for(&authority.ca(), None);
    let mut client = Client::connect(pool.api_addr().unwrap(), &config);
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    let record = encrypted(&mut client, request("/healthz").as_bytes());
    client.stream.sock.write_all(&record[..record.len() / 2]).unwrap();
    // Long before its idle time.
    wait_until("it has ended", || pool.api_listener_stats().open == 0);
}

#[test]
fn a_reader_that_stands_still_is_cut_off() {
    let authority = Authority::new("ring");
    let mut limits = limits();
    limits.write_timeout = Duration::from_millis(700);
    let pool = start(&authority, limits);
    let addr = pool.api_addr().unwrap();
    let config = config_for(&authority.ca(), None);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&addr.into()).unwrap();
    let mut slow = Client::over(TcpStream::from(socket), &config);
    slow.send(request("/api/g/k").as_bytes()).unwrap();
    let answer = super::client::get(addr, &config, "/api/g/k").unwrap();
    assert_eq!(answer.body.len(), BIG, "others are served");
    wait_until("it is cut off", || pool.api_listener_stats().readers_too_slow == 1);
    assert!(slow.answer().is_err(), "the end is missing");
}

#[test]
fn a_connection_too_many_is_closed_at_once() {
    let authority = Authority::new("ring");
    let mut limits = limits();
    limits.connections = 1;
    let pool = start(&authority, limits);
    let addr = pool.api_addr().unwrap();
    let config = config_for(&authority.ca(), None);
    let mut first = Client::connect(addr, &config);
    assert_eq!(first.get("/healthz").unwrap().status, 200);
    let started = std::time::Instant::now();
    assert!(super::client::get(addr, &config, "/healthz").is_err());
    assert!(started.elapsed() < PATIENCE / 4, "sooner than any deadline");
    assert_eq!(pool.api_listener_stats().connections_refused, 1);
    assert_eq!(first.get("/healthz").unwrap().status, 200);
}

#[test]
fn handshakes_that_failed_are_told_by_stats_and_metrics() {
    let authority = Authority::new("ring");
    let pool = start(&authority, limits());
    let addr = pool.api_addr().unwrap();
    assert_eq!(crate::support::get(addr, "/healthz").status, 400);
    let mut client = Client::connect(addr, &config_for(&authority.ca(), None));
    let stats = client.get("/stats").unwrap().text();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["listeners"]["api"]["handshakes_failed"], 1);
    let metrics = client.get("/metrics").unwrap().text();
    let line = "larder_listener_handshakes_failed_total{listener=\"api\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}
