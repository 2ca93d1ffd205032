//! Stopped and started again, seen from outside.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;

use super::process::{Node, get};
use crate::drains::{Habit, Tally, how_many};
use crate::support::wait_until;

const CLIENTS: usize = 8;

#[test]
fn a_restart_on_sockets_that_are_kept_refuses_nobody_and_loses_nothing() {
    let [peer, api] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [peer_addr, api_addr] = [&peer, &api].map(|listener| listener.local_addr().unwrap());
    let start = || Node::on(&peer, &api, &["--group", "g=static:k=v"]);
    let tally = Tally::default();
    let answered = || tally.answered.load(Ordering::SeqCst);
    let mut node = start();
    assert_eq!(
        (node.peer.clone(), node.api.clone()),
        (peer_addr.to_string(), api_addr.to_string())
    );
    thread::scope(|scope| {
        for n in 0..CLIENTS {
            let doors = [(api_addr, "/api/g/k"), (peer_addr, "/_larder/g/k")];
            let (addr, path) = doors[n % 2];
            let habit = if n < CLIENTS / 2 { Habit::KeepsIt } else { Habit::OneForEach };
            let tally = &tally;
            scope.spawn(move || tally.client(addr, habit, std::iter::repeat(path.to_owned())));
        }
        for _ in 0..how_many() {
            let enough = answered() + 20 * CLIENTS;
            wait_until("there is load", || answered() > enough);
            node.process.signal("TERM");
            assert_eq!(node.process.wait_for_end().code(), Some(0));
            node = start();
        }
        let enough = answered() + 20 * CLIENTS;
        wait_until("it is served again", || answered() > enough);
        tally.stop.store(true, Ordering::SeqCst);
    });
    println!("{} restarts: {tally:?}", how_many());
    assert_eq!(tally.lost.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.refused.load(Ordering::SeqCst), 0, "{tally:?}");
}

#[test]
fn readiness_fails_for_the_time_of_grace_and_all_else_goes_on() {
    let args = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--group", "g=static:k=v"];
    let mut node = Node::start(&[&args[..], &["--drain-grace", "1h"]].concat(), &[]).unwrap();
    assert_eq!(node.get("/readyz").0, 200);
    node.process.signal("TERM");
    wait_until("readiness fails", || {
        node.get("/readyz") == (503, b"draining: about to stop\n".into())
    });
    for _ in 0..10 {
        assert_eq!(get(&node.api, "/api/g/k"), (200, b"v".into()));
    }
    node.process.signal("TERM");
    assert_eq!(node.process.wait_for_end().code(), Some(143));
}
