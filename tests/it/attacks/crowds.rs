//! Many connections at once, and connections that end the wrong way.

use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::Duration;

use larder::testing::TestOrigin;

use super::crowd;
use crate::doors::{Door, Kind};
use crate::node::Node;
use crate::support::{Client, wait_until};

on_listeners_of_each_kind! {
    a_burst_of_connects_is_answered_whole,
    connections_over_the_cap_get_a_503_and_accepting_goes_on,
    an_address_over_its_cap_gets_a_503_and_others_are_served,
    a_listener_out_of_files_accepts_again_when_there_are_some,
    connections_reset_at_any_moment_leave_nothing_behind,
    a_client_that_leaves_while_its_load_is_under_way_leaves_nothing_behind,
}

const ROUNDS: usize = 20;

/// So many clients connect at once and ask for the same new key; all are answered.
fn burst(node: &Node, clients: usize) {
    let (barrier, doors) = (Barrier::new(clients), node.doors());
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let key = format!("{clients}-{round}");
                    barrier.wait();
                    let door = &doors[round % 2];
                    let answer = door.get(&format!("{}/{key}", door.base));
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert!(answer.body.ends_with(TestOrigin::value(&key).as_bytes()));
                }
            });
        }
    });
}

fn a_burst_of_connects_is_answered_whole(kind: Kind) {
    let _alone = crowd();
    let mut node = Node::start_as(kind, &[]);
    for clients in [64, 256] {
        let loads = node.count("loads");
        burst(&node, clients);
        assert_eq!(node.count("loads"), loads + ROUNDS as u64);
    }
    node.settles();
}

fn connections_over_the_cap_get_a_503_and_accepting_goes_on(kind: Kind) {
    const CAP: usize = 8;
    let mut node = Node::start_as(kind, &[("connections", CAP)]);
    for door in node.doors() {
        let mut taken: Vec<Client> = (0..CAP).map(|_| door.connect()).collect();
        for client in &mut taken {
            assert_eq!(client.get("/healthz").unwrap().status, 200);
        }
        for _ in 0..2 * CAP {
            is_turned_away(&door, "");
        }
        for client in &mut taken {
            assert_eq!(client.get("/healthz").unwrap().status, 200, "those inside stay");
        }
        drop(taken);
        wait_until("there is room again", || {
            door.connect().get("/healthz").is_ok_and(|answer| answer.status == 200)
        });
    }
    assert!(node.count("connections_refused") >= 4 * CAP as u64);
    node.settles();
}

/// Whoever connects is told why it is not served; or nothing, where that would take a handshake.
fn is_turned_away(door: &Door, reason: &str) {
    let mut client = door.connect();
    if door.is_secure() {
        assert!(client.get("/healthz").is_err());
        return;
    }
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.has("Connection: close") && answer.has("Retry-After: 1"));
    assert!(answer.text().contains(reason), "{answer:?}");
    assert!(client.rest().unwrap().is_empty());
}

/// A client of another address of this machine.
fn elsewhere(door: &Door) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&door.addr.into()).unwrap();
    door.enter(TcpStream::from(socket))
}

fn an_address_over_its_cap_gets_a_503_and_others_are_served(kind: Kind) {
    const CAP: usize = 8;
    let mut node = Node::start_as(kind, &[("connections_per_address", CAP)]);
    for door in node.doors() {
        let mut taken: Vec<Client> = (0..CAP).map(|_| door.connect()).collect();
        for client in &mut taken {
            assert_eq!(client.get("/healthz").unwrap().status, 200);
        }
        is_turned_away(&door, "from this address");
        assert_eq!(elsewhere(&door).get("/healthz").unwrap().status, 200);
        drop(taken.pop());
        wait_until("there is room again", || {
            door.connect().get("/healthz").is_ok_and(|answer| answer.status == 200)
        });
    }
    assert!(node.count("addresses_refused") >= 2);
    assert!(node.count("connections_refused") >= node.count("addresses_refused"));
    node.settles();
}

fn a_listener_out_of_files_accepts_again_when_there_are_some(kind: Kind) {
    let mut node = Node::start_with_files(96, kind, &[("lane_workers", 2)]);
    for door in node.doors() {
        let before = node.count("accept_errors");
        let mut inside = door.connect();
        assert_eq!(inside.get("/healthz").unwrap().status, 200);
        let crowd: Vec<Client> = (0..120).map(|_| door.connect()).collect();
        wait_until("an accept failed", || node.count("accept_errors") > before);
        assert_eq!(inside.get("/healthz").unwrap().status, 200, "those inside are served");
        let mut waiting = door.connect();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| waiting.get("/healthz").unwrap());
            drop(crowd);
            assert_eq!(answer.join().unwrap().status, 200, "those that waited are served");
        });
        node.serves();
    }
    node.settles();
}

/// Closes so that the other side gets a reset, not an end.
fn reset(client: Client) {
    socket2::SockRef::from(client.socket()).set_linger(Some(Duration::ZERO)).unwrap();
}

fn connections_reset_at_any_moment_leave_nothing_behind(kind: Kind) {
    let mut node = Node::start_as(kind, &[]);
    let attack = |door: &Door, key: &str, sent: usize| {
        let client = door.connect();
        let request = door.request(&format!("{}/{key}", door.base));
        let _ = client.send(&request[..sent.min(request.len())]);
        reset(client);
    };
    for i in 0..200 {
        for door in node.doors() {
            attack(&door, "good", usize::MAX);
            attack(&door, &i.to_string(), usize::MAX);
            attack(&door, "good", i % 40);
        }
    }
    node.serves();
    node.settles();
}

fn a_client_that_leaves_while_its_load_is_under_way_leaves_nothing_behind(kind: Kind) {
    let mut node = Node::start_as(kind, &[("lane_workers", 2)]);
    for door in node.doors() {
        let loads = node.count("loads");
        let key = format!("hang{}", door.base.len());
        let path = format!("{}/{key}", door.base);
        let client = door.connect();
        client.send(door.request(&path)).unwrap();
        wait_until("the load is under way", || node.count("hanging") == 1);
        drop(client);
        node.serves();
        node.tell("release");
        wait_until("the load ends", || node.count("hanging") == 0);
        // It was not in vain.
        let answer = door.get(&path);
        assert!(answer.body.ends_with(TestOrigin::value(&key).as_bytes()), "{answer:?}");
        assert_eq!(node.count("loads"), loads + 1);
    }
    node.settles();
}
