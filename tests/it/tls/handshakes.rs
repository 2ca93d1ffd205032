//! Handshakes that take their time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, HandshakeKind};

use super::authority::{Authority, HOST};
use super::client::{Client, config, config_for, get};
use super::ring::{Node, limits};
use crate::support::{PATIENCE, wait_until};

/// A node that gives a handshake little time.
fn hasty(authority: &Authority) -> Node {
    let mut limits = limits();
    limits.handshake_timeout = Duration::from_secs(2);
    Node::start_with(&authority.good("node"), limits)
}

/// The first bytes of a client.
fn hello(authority: &Authority) -> Vec<u8> {
    let config = config_for(&authority.ca(), None);
    let mut connection = ClientConnection::new(config, HOST.try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Whether the other side closes, in whatever way, before patience is over.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_handshake_that_never_comes_or_stops_is_cut_while_others_are_served() {
    const EACH: usize = 20;
    let authority = Authority::new("ring");
    let node = hasty(&authority);
    let (addr, hello) = (node.api(), hello(&authority));
    let halves = [&[][..], &hello[..1], &hello[..hello.len() / 2], &hello];
    let silent = halves.iter().cycle().take(halves.len() * EACH).map(|half| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(half).unwrap();
        stream
    });
    let silent: Vec<_> = silent.collect();
    let config = config_for(&authority.ca(), None);
    for _ in 0..10 {
        assert_eq!(get(addr, &config, "/healthz").unwrap().status, 200);
    }
    assert!(silent.into_iter().all(is_closed));
    let expected = (halves.len() * EACH) as u64;
    let stats = || node.pool.api_listener_stats();
    wait_until("all are counted and gone", || {
        stats().handshakes_failed == expected && stats().open == 0
    });
}

#[test]
fn a_handshake_that_drips_has_no_more_time_than_any() {
    let authority = Authority::new("ring");
    let node = hasty(&authority);
    let (addr, hello) = (node.api(), hello(&authority));
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // Enough bytes for half a minute.
    let mut bytes = hello.iter().chain(std::iter::repeat(&0)).take(600);
    let config = config_for(&authority.ca(), None);
    loop {
        let byte = bytes.next().expect("it is cut before all bytes are sent");
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    assert_eq!(get(addr, &config, "/healthz").unwrap().status, 200);
    wait_until("it is counted", || node.pool.api_listener_stats().handshakes_failed == 1);
}

#[test]
fn a_damaged_handshake_is_refused_and_the_node_goes_on() {
    let authority = Authority::new("ring");
    let node = hasty(&authority);
    let (addr, hello) = (node.api(), hello(&authority));
    // The first byte is what tells TLS from anything else.
    let damaged = (1..hello.len()).step_by(3).map(|at| {
        let mut bytes = hello.clone();
        bytes[at] ^= 0x55;
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(&bytes).unwrap();
        stream
    });
    let damaged: Vec<_> = damaged.collect();
    let sent = damaged.len() as u64;
    let config = config_for(&authority.ca(), None);
    assert_eq!(get(addr, &config, "/healthz").unwrap().status, 200);
    assert!(damaged.into_iter().all(is_closed));
    let stats = || node.pool.api_listener_stats();
    wait_until("all are counted and gone", || {
        stats().handshakes_failed == sent && stats().open == 0
    });
}

#[test]
fn a_client_that_comes_again_resumes_its_session() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let shown = authority.good("client");
    for version in rustls::ALL_VERSIONS {
        let config = config(&authority.ca(), Some(&shown), &[version]);
        let kinds = [0, 1].map(|_| {
            let mut client = Client::connect(node.peer(), &config);
            assert_eq!(client.get("/healthz").unwrap().status, 200);
            client.stream.conn.handshake_kind()
        });
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed].map(Some);
        assert_eq!(kinds, expected, "{version:?}");
    }
}

#[test]
fn the_end_of_a_connection_is_told_inside_tls() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let mut client = Client::connect(node.api(), &config_for(&authority.ca(), None));
    client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    // An end without a farewell would be an error.
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_pool_that_stops_ends_its_connections_inside_tls() {
    let authority = Authority::new("ring");
    let node = Node::start(&authority.good("node"));
    let config = config_for(&authority.ca(), None);
    let mut client = Client::connect(node.api(), &config);
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    // This one says nothing, and is not waited for.
    let silent = TcpStream::connect(node.api()).unwrap();
    wait_until("it is taken", || node.pool.api_listener_stats().connections == 2);
    assert!(node.pool.shutdown(PATIENCE));
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    assert!(is_closed(silent));
}
