//! Clients that take their time.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::crowd;
use crate::node::{BIG, Node};
use crate::support::{Client, PATIENCE, get, request, wait_until};

#[test]
fn half_open_requests_are_ended_in_time_and_others_served_meanwhile() {
    const CLIENTS: usize = 500;
    let _alone = crowd();
    let mut node = Node::start(&[("head_timeout", 1_500)]);
    let mut taken = node.count("connections");
    for addr in [node.peer, node.api] {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(addr)).collect();
        for client in &clients {
            client.send("GET /healthz HTTP/1.1\r\nHo").unwrap();
        }
        taken += CLIENTS as u64;
        wait_until("all are taken", || node.count("connections") >= taken);
        node.serves();
        for client in &mut clients {
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 408, "{answer:?}");
            assert!(answer.has("Connection: close") && client.rest().unwrap().is_empty());
        }
    }
    assert_eq!(node.count("heads_too_slow"), 2 * CLIENTS as u64);
    node.settles();
}

/// Sends a head of which there is always one more byte, until there is an answer.
fn byte_by_byte(addr: SocketAddr) -> u16 {
    let mut client = Client::connect(addr);
    client.send("GET /healthz HTTP/1.1\r\nX: ").unwrap();
    client.socket().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    for _ in 0..PATIENCE.as_millis() / 20 {
        match client.socket().peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => client.send("x").unwrap(),
            _ => break,
        }
    }
    client.socket().set_read_timeout(Some(PATIENCE)).unwrap();
    client.answer().unwrap().status
}

#[test]
fn a_head_that_comes_byte_by_byte_has_no_more_time_than_any() {
    let mut node = Node::start(&[("head_timeout", 500)]);
    let (peer, api) = (node.peer, node.api);
    std::thread::scope(|scope| {
        let clients = (0..16).map(|i| {
            let addr = if i % 2 == 0 { peer } else { api };
            scope.spawn(move || byte_by_byte(addr))
        });
        let clients: Vec<_> = clients.collect();
        node.serves();
        for client in clients {
            assert_eq!(client.join().unwrap(), 408);
        }
    });
    assert_eq!(node.count("heads_too_slow"), 16);
    node.settles();
}

#[test]
fn a_body_that_never_comes_is_not_waited_for() {
    let mut node = Node::start(&[("body_timeout", 300)]);
    for addr in [node.peer, node.api] {
        for body in ["", "hal"] {
            let mut client = Client::connect(addr);
            let head = "PUT /api/g/good HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
            client.send(format!("{head}{body}")).unwrap();
            node.serves();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 408, "{answer:?}");
            assert!(answer.has("Connection: close") && client.rest().unwrap().is_empty());
        }
    }
    assert_eq!(node.count("heads_too_slow"), 4);
    node.settles();
}

#[test]
fn a_silent_connection_is_closed_after_its_idle_time() {
    let mut node = Node::start(&[("idle_timeout", 2_000)]);
    let mut silent = Vec::new();
    for addr in [node.peer, node.api] {
        let mut used = Client::connect(addr);
        assert_eq!(used.get("/healthz").unwrap().status, 200);
        silent.extend([used, Client::connect(addr)]);
    }
    node.serves();
    for mut client in silent {
        assert!(client.rest().unwrap().is_empty());
    }
    node.settles();
}

/// Asks for `path` with room for few bytes, and reads nothing.
fn slow_reader(addr: SocketAddr, path: &str) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&addr.into()).unwrap();
    let client = Client::from(TcpStream::from(socket));
    client.send(request(path)).unwrap();
    client
}

#[test]
fn a_reader_that_stands_still_is_cut_off_and_holds_no_worker() {
    const READERS: usize = 6;
    let mut node = Node::start(&[("write_timeout", 700), ("lane_workers", 1)]);
    for (addr, base) in [(node.api, "/api/g"), (node.peer, "/_larder/g")] {
        let cut = node.count("readers_too_slow");
        // A key of its own for each: none of them shares the other's load.
        let path = |i| format!("{base}/big{i}");
        let readers: Vec<Client> = (0..READERS).map(|i| slow_reader(addr, &path(i % 3))).collect();
        for i in 0..10 {
            let answer = get(addr, &format!("{base}/new{i}"));
            assert_eq!(answer.status, 200, "the one worker is free: {answer:?}");
        }
        let all = cut + READERS as u64;
        wait_until("all are cut off", || node.count("readers_too_slow") == all);
        for reader in readers {
            let mut got = Vec::new();
            let ended = reader.socket().read_to_end(&mut got);
            assert!(ended.is_err() || got.len() < BIG, "it got all of {} bytes", got.len());
        }
    }
    // The cached values stay; they are within the slack.
    node.serves();
    node.settles();
}
