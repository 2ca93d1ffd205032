//! Many connections at once, and connections that end the wrong way.

use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::Duration;

use larder::testing::TestOrigin;

use super::crowd;
use crate::node::Node;
use crate::support::{Client, get, request, wait_until};

const ROUNDS: usize = 20;

/// So many clients connect at once and ask for the same new key; all are answered.
fn burst(node: &Node, clients: usize) {
    let barrier = Barrier::new(clients);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let key = format!("{clients}-{round}");
                    barrier.wait();
                    let (addr, base) = [(node.api, "/api/g"), (node.peer, "/_larder/g")][round % 2];
                    let answer = get(addr, &format!("{base}/{key}"));
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert!(answer.body.ends_with(TestOrigin::value(&key).as_bytes()));
                }
            });
        }
    });
}

#[test]
fn a_burst_of_connects_is_answered_whole() {
    let _alone = crowd();
    let mut node = Node::start(&[]);
    for clients in [64, 256] {
        let loads = node.count("loads");
        burst(&node, clients);
        assert_eq!(node.count("loads"), loads + ROUNDS as u64);
    }
    node.settles();
}

#[test]
fn connections_over_the_cap_get_a_503_and_accepting_goes_on() {
    const CAP: usize = 8;
    let mut node = Node::start(&[("connections", CAP)]);
    for addr in [node.peer, node.api] {
        let mut taken: Vec<Client> = (0..CAP).map(|_| Client::connect(addr)).collect();
        for client in &mut taken {
            assert_eq!(client.get("/healthz").unwrap().status, 200);
        }
        for _ in 0..2 * CAP {
            let mut client = Client::connect(addr);
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.has("Connection: close") && answer.has("Retry-After: 1"));
            assert!(client.rest().unwrap().is_empty());
        }
        for client in &mut taken {
            assert_eq!(client.get("/healthz").unwrap().status, 200, "those inside stay");
        }
        drop(taken);
        wait_until("there is room again", || {
            Client::connect(addr).get("/healthz").is_ok_and(|answer| answer.status == 200)
        });
    }
    assert!(node.count("connections_refused") >= 4 * CAP as u64);
    node.settles();
}

/// A client of another address of this machine.
fn elsewhere(addr: SocketAddr) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&addr.into()).unwrap();
    Client::from(TcpStream::from(socket))
}

#[test]
fn an_address_over_its_cap_gets_a_503_and_others_are_served() {
    const CAP: usize = 8;
    let mut node = Node::start(&[("connections_per_address", CAP)]);
    for addr in [node.peer, node.api] {
        let mut taken: Vec<Client> = (0..CAP).map(|_| Client::connect(addr)).collect();
        for client in &mut taken {
            assert_eq!(client.get("/healthz").unwrap().status, 200);
        }
        let answer = Client::connect(addr).answer().unwrap();
        assert!(answer.text().contains("from this address"), "{answer:?}");
        assert_eq!(elsewhere(addr).get("/healthz").unwrap().status, 200);
        drop(taken.pop());
        wait_until("there is room again", || {
            Client::connect(addr).get("/healthz").is_ok_and(|answer| answer.status == 200)
        });
    }
    assert!(node.count("addresses_refused") >= 2);
    assert!(node.count("connections_refused") >= node.count("addresses_refused"));
    node.settles();
}

#[test]
fn a_listener_out_of_files_accepts_again_when_there_are_some() {
    let mut node = Node::start_with_files(96, &[("lane_workers", 2)]);
    for addr in [node.api, node.peer] {
        let before = node.count("accept_errors");
        let mut inside = Client::connect(addr);
        assert_eq!(inside.get("/healthz").unwrap().status, 200);
        let crowd: Vec<Client> = (0..120).map(|_| Client::connect(addr)).collect();
        wait_until("an accept failed", || node.count("accept_errors") > before);
        assert_eq!(inside.get("/healthz").unwrap().status, 200, "those inside are served");
        let mut waiting = Client::connect(addr);
        waiting.send(request("/healthz")).unwrap();
        drop(crowd);
        assert_eq!(waiting.answer().unwrap().status, 200, "those that waited are served");
        node.serves();
    }
    node.settles();
}

/// Closes so that the other side gets a reset, not an end.
fn reset(client: Client) {
    socket2::SockRef::from(client.socket()).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn connections_reset_at_any_moment_leave_nothing_behind() {
    let mut node = Node::start(&[]);
    let attack = |addr: SocketAddr, path: &str, sent: usize| {
        let client = Client::connect(addr);
        let request = request(path);
        let _ = client.send(&request[..sent.min(request.len())]);
        reset(client);
    };
    for i in 0..200 {
        for (addr, base) in [(node.api, "/api/g"), (node.peer, "/_larder/g")] {
            attack(addr, &format!("{base}/good"), usize::MAX);
            attack(addr, &format!("{base}/{i}"), usize::MAX);
            attack(addr, &format!("{base}/good"), i % 40);
        }
    }
    node.serves();
    node.settles();
}

#[test]
fn a_client_that_leaves_while_its_load_is_under_way_leaves_nothing_behind() {
    let mut node = Node::start(&[("lane_workers", 2)]);
    for (addr, base) in [(node.api, "/api/g"), (node.peer, "/_larder/g")] {
        let loads = node.count("loads");
        let key = format!("hang{}", base.len());
        let path = format!("{base}/{key}");
        let client = Client::connect(addr);
        client.send(request(&path)).unwrap();
        wait_until("the load is under way", || node.count("hanging") == 1);
        drop(client);
        node.serves();
        node.tell("release");
        wait_until("the load ends", || node.count("hanging") == 0);
        // It was not in vain.
        let answer = get(addr, &path);
        assert!(answer.body.ends_with(TestOrigin::value(&key).as_bytes()), "{answer:?}");
        assert_eq!(node.count("loads"), loads + 1);
    }
    node.settles();
}
