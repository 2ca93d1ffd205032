//! Clients that take their time.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use super::crowd;
use crate::doors::{Door, Kind};
use crate::node::{BIG, Node};
use crate::support::{Client, PATIENCE, wait_until};

on_listeners_of_each_kind! {
    half_open_requests_are_ended_in_time_and_others_served_meanwhile,
    a_head_that_comes_byte_by_byte_has_no_more_time_than_any,
    a_body_that_never_comes_is_not_waited_for,
    a_silent_connection_is_closed_after_its_idle_time,
    a_reader_that_stands_still_is_cut_off_and_holds_no_worker,
}

fn half_open_requests_are_ended_in_time_and_others_served_meanwhile(kind: Kind) {
    const CLIENTS: usize = 500;
    let _alone = crowd();
    let mut node = Node::start_as(kind, &[("head_timeout", 1_500)]);
    let mut taken = node.count("connections");
    for door in node.doors() {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| door.connect()).collect();
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
fn byte_by_byte(door: &Door) -> u16 {
    let mut client = door.connect();
    client.send("GET /healthz HTTP/1.1\r\nX: ").unwrap();
    client.socket().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    for _ in 0..PATIENCE.as_millis() / 20 {
        match client.begins() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => client.send("x").unwrap(),
            _ => break,
        }
    }
    client.socket().set_read_timeout(Some(PATIENCE)).unwrap();
    client.answer().unwrap().status
}

fn a_head_that_comes_byte_by_byte_has_no_more_time_than_any(kind: Kind) {
    let mut node = Node::start_as(kind, &[("head_timeout", 500)]);
    let doors = node.doors();
    std::thread::scope(|scope| {
        let clients = (0..16).map(|i| {
            let door = &doors[i % 2];
            scope.spawn(move || byte_by_byte(door))
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

fn a_body_that_never_comes_is_not_waited_for(kind: Kind) {
    let mut node = Node::start_as(kind, &[("body_timeout", 300)]);
    for door in node.doors() {
        for body in ["", "hal"] {
            let mut client = door.connect();
            let head = "PUT /api/g/good HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
            client.send(door.admitted(head, "") + body).unwrap();
            node.serves();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 408, "{answer:?}");
            assert!(answer.has("Connection: close") && client.rest().unwrap().is_empty());
        }
    }
    assert_eq!(node.count("heads_too_slow"), 4);
    node.settles();
}

fn a_silent_connection_is_closed_after_its_idle_time(kind: Kind) {
    let mut node = Node::start_as(kind, &[("idle_timeout", 2_000)]);
    let mut silent = Vec::new();
    for door in node.doors() {
        let mut used = door.connect();
        assert_eq!(used.get("/healthz").unwrap().status, 200);
        silent.extend([used, door.connect()]);
    }
    node.serves();
    for mut client in silent {
        assert!(client.rest().unwrap().is_empty());
    }
    node.settles();
}

/// Asks for `path` with room for few bytes, and reads nothing.
fn slow_reader(door: &Door, path: &str) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&door.addr.into()).unwrap();
    let client = door.enter(TcpStream::from(socket));
    client.send(door.request(path)).unwrap();
    client
}

fn a_reader_that_stands_still_is_cut_off_and_holds_no_worker(kind: Kind) {
    const READERS: usize = 6;
    let mut node = Node::start_as(kind, &[("write_timeout", 700), ("lane_workers", 1)]);
    for door in node.doors() {
        let cut = node.count("readers_too_slow");
        // A key of its own for each: none of them shares the other's load.
        let base = door.base;
        let path = |i| format!("{base}/big{i}");
        let readers: Vec<Client> = (0..READERS).map(|i| slow_reader(&door, &path(i % 3))).collect();
        for i in 0..10 {
            let answer = door.get(&format!("{base}/new{i}"));
            assert_eq!(answer.status, 200, "the one worker is free: {answer:?}");
        }
        let all = cut + READERS as u64;
        wait_until("all are cut off", || node.count("readers_too_slow") == all);
        for mut reader in readers {
            let got = reader.rest().map_or(0, |got| got.len());
            assert!(got < BIG, "it got all of {got} bytes");
        }
    }
    // The cached values stay; they are within the slack.
    node.serves();
    node.settles();
}
