//! The end of a pool: dropped, or drained first.

use std::net::TcpStream;
use std::time::Duration;

use larder::testing::{Fault, TestOrigin};
use larder::{Group, GroupOptions, HttpPool};

use crate::node::Node;
use crate::support::{Client, PATIENCE, request, wait_until};

#[test]
fn a_dropped_pool_leaves_no_thread_and_no_file() {
    let mut node = Node::start(&[]);
    for _ in 0..2 {
        let mut idle = [Client::connect(node.api), Client::connect(node.peer)];
        for client in &mut idle {
            assert_eq!(client.get("/healthz").unwrap().status, 200);
        }
        let half = Client::connect(node.api);
        half.send("GET /healthz HTT").unwrap();
        assert_eq!(node.tell("drop"), "true");
        for client in &mut idle {
            assert!(client.rest().unwrap().is_empty(), "its connections are cut");
        }
        assert!(TcpStream::connect(node.api).is_err() && TcpStream::connect(node.peer).is_err());
        node.settles_to(node.bare);
        let addresses = node.tell("start");
        let (peer, api) = addresses.split_once(' ').unwrap();
        (node.peer, node.api) = (peer.parse().unwrap(), api.parse().unwrap());
        node.serves();
    }
}

fn pool() -> (HttpPool, Group, TestOrigin) {
    let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
    let pool = builder.start().unwrap();
    let origin = TestOrigin::new();
    let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE);
    let group = pool.group_with(options, "g", origin.clone()).unwrap();
    (pool, group, origin)
}

#[test]
fn a_shutdown_lets_requests_in_flight_finish_and_takes_no_new_ones() {
    for peer in [false, true] {
        let (pool, _group, origin) = pool();
        let (addr, path) = match peer {
            true => (pool.peer_addr().unwrap(), "/_larder/g/k"),
            false => (pool.api_addr().unwrap(), "/api/g/k"),
        };
        origin.set_fault_of("k", Fault::Hang);
        let (mut asking, mut idle) = (Client::connect(addr), Client::connect(addr));
        assert_eq!(idle.get("/healthz").unwrap().status, 200);
        asking.send(request(path)).unwrap();
        wait_until("the load is under way", || origin.hanging() == 1);
        std::thread::scope(|scope| {
            let stopping = scope.spawn(|| pool.shutdown(PATIENCE));
            wait_until("no connection is taken", || TcpStream::connect(addr).is_err());
            assert!(idle.rest().unwrap().is_empty(), "those that wait for nothing are closed");
            assert!(!stopping.is_finished());
            origin.release();
            let answer = asking.answer().unwrap();
            assert!(answer.body.ends_with(TestOrigin::value("k").as_bytes()), "{answer:?}");
            assert!(answer.has("Connection: close"), "{answer:?}");
            assert!(asking.rest().unwrap().is_empty());
            assert!(stopping.join().unwrap(), "all finished in time");
        });
    }
}

#[test]
fn a_shutdown_cuts_off_what_is_not_finished_in_time() {
    let (pool, group, origin) = pool();
    let addr = pool.api_addr().unwrap();
    origin.set_fault_of("k", Fault::Hang);
    let mut asking = Client::connect(addr);
    asking.send(request("/api/g/k")).unwrap();
    wait_until("the load is under way", || origin.hanging() == 1);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| pool.shutdown(Duration::from_millis(200)));
        assert!(asking.rest().unwrap().is_empty());
        origin.release();
        assert!(!stopping.join().unwrap(), "not all finished");
    });
    // The group outlives its pool.
    assert_eq!(group.get("k").unwrap(), TestOrigin::value("k").as_str());
}

#[test]
fn a_request_behind_the_last_one_is_not_begun() {
    let (pool, _group, origin) = pool();
    let addr = pool.api_addr().unwrap();
    origin.set_fault_of("k", Fault::Hang);
    let mut asking = Client::connect(addr);
    asking.send(request("/api/g/k") + &request("/api/g/l")).unwrap();
    wait_until("the load is under way", || origin.hanging() == 1);
    std::thread::scope(|scope| {
        scope.spawn(|| pool.shutdown(PATIENCE));
        wait_until("no connection is taken", || TcpStream::connect(addr).is_err());
        origin.release();
        assert_eq!(asking.answer().unwrap().status, 200);
        assert!(asking.rest().unwrap().is_empty());
    });
    assert_eq!(origin.loads("l"), 0);
}
