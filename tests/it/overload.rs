//! More than a node can carry: it says so at once, and carries on.

use std::net::SocketAddr;
use std::time::Duration;

use larder::testing::{Fault, TestOrigin};
use larder::{Group, GroupOptions, HttpPool, Limits};

use crate::support::{Answer, Client, PATIENCE, get, request, wait_until};

const WORKERS: usize = 4;
/// Ten times the capacity.
const BURST: usize = 10 * WORKERS;

struct Overloaded {
    pool: HttpPool,
    origin: TestOrigin,
    groups: Vec<Group>,
}

impl Overloaded {
    /// A node with these groups, whose loads all come from one origin.
    fn new(groups: &[&str], lane_wait: Duration) -> Self {
        let mut limits = Limits::default();
        limits.lane_workers = WORKERS;
        limits.lane_wait = lane_wait;
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
        let pool = builder.limits(limits).start().unwrap();
        let origin = TestOrigin::new();
        let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE);
        let group = |name: &&str| pool.group_with(options.clone(), name, origin.clone()).unwrap();
        let groups = groups.iter().map(group).collect();
        Self { pool, origin, groups }
    }

    fn addr(&self) -> SocketAddr {
        self.pool.api_addr().unwrap()
    }

    /// So many clients that have asked for keys which nobody has, and wait.
    fn asking(&self, group: &str, clients: usize) -> Vec<Client> {
        let ask = |n: usize| {
            let client = Client::connect(self.addr());
            client.send(request(&format!("/api/{group}/held{n}"))).unwrap();
            client
        };
        (0..clients).map(ask).collect()
    }

    fn hang(&self, hang: bool) {
        for n in 0..BURST {
            self.origin.set_fault_of(&format!("held{n}"), hang.then_some(Fault::Hang));
        }
    }
}

fn all_good(answers: impl Iterator<Item = Answer>) -> usize {
    answers.inspect(|answer| assert_eq!(answer.status, 200, "{answer:?}")).count()
}

/// The answers that say 503; the rest of the clients go on waiting.
fn shed(clients: Vec<Client>, rest: usize) -> Vec<Client> {
    let mut waiting = Vec::new();
    for mut client in clients {
        client.socket().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut byte = [0];
        let silent = client.socket().peek(&mut byte).is_err();
        client.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        if silent && waiting.len() < rest {
            waiting.push(client);
            continue;
        }
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.has("Retry-After: 1"), "{answer:?}");
    }
    assert_eq!(waiting.len(), rest);
    waiting
}

#[test]
fn a_slow_group_leaves_the_others_their_workers_and_everyone_their_hits() {
    let node = Overloaded::new(&["slow", "quick"], Duration::from_millis(10));
    node.groups[0].get("cached").unwrap();
    node.hang(true);
    let asking = node.asking("slow", BURST);
    let share = WORKERS / 2;
    wait_until("its share is full", || node.origin.hanging() == share);
    let refused = (BURST - share) as u64;
    wait_until("the rest is shed", || node.pool.api_listener_stats().lane_shed == refused);
    let mut client = Client::connect(node.addr());
    for key in 0..50 {
        for path in ["/api/slow/cached".to_owned(), format!("/api/quick/{key}")] {
            assert_eq!(client.get(&path).unwrap().status, 200, "{path}");
        }
    }
    assert_eq!(node.origin.hanging(), share);
    let waiting = shed(asking, share);
    node.origin.release();
    assert_eq!(all_good(waiting.into_iter().map(|mut client| client.answer().unwrap())), share);
    let held = |n: usize| node.origin.loads(&format!("held{n}"));
    assert_eq!((0..BURST).map(held).sum::<u64>(), share as u64, "what was shed was not begun");
}

#[test]
fn a_burst_that_ends_leaves_no_backlog() {
    let node = Overloaded::new(&["g"], Duration::from_millis(10));
    node.hang(true);
    let asking = node.asking("g", BURST);
    wait_until("all workers load", || node.origin.hanging() == WORKERS);
    let refused = (BURST - WORKERS) as u64;
    wait_until("the rest is shed", || node.pool.api_listener_stats().lane_shed == refused);
    let waiting = shed(asking, WORKERS);
    node.hang(false);
    node.origin.release();
    assert_eq!(all_good(waiting.into_iter().map(|mut client| client.answer().unwrap())), WORKERS);
    assert_eq!(node.origin.total_loads(), WORKERS as u64);
    // Goodput is back by itself: each of these is loaded, and none is refused.
    let after = (0..BURST).map(|n| get(node.addr(), &format!("/api/g/after{n}")));
    assert_eq!(all_good(after), BURST);
    assert_eq!(node.origin.total_loads(), (WORKERS + BURST) as u64);
    assert_eq!(node.pool.api_listener_stats().lane_shed, refused);
}

#[test]
fn what_waits_for_a_client_that_has_gone_is_not_begun() {
    let node = Overloaded::new(&["g"], PATIENCE);
    node.hang(true);
    let mut asking = node.asking("g", BURST);
    wait_until("all workers load", || node.origin.hanging() == WORKERS);
    wait_until("all have asked", || node.pool.api_listener_stats().requests == BURST as u64);
    let begun: Vec<usize> =
        (0..BURST).filter(|n| node.origin.loads(&format!("held{n}")) == 1).collect();
    for n in (0..BURST).rev().filter(|n| !begun.contains(n)) {
        drop(asking.remove(n));
    }
    node.hang(false);
    node.origin.release();
    assert_eq!(all_good(asking.into_iter().map(|mut client| client.answer().unwrap())), WORKERS);
    let gone = (BURST - WORKERS) as u64;
    wait_until("the rest is let go", || node.pool.api_listener_stats().lane_abandoned == gone);
    assert_eq!(node.origin.total_loads(), WORKERS as u64);
    let stats = get(node.addr(), "/stats").text();
    assert!(stats.contains(&format!("\"lane_abandoned\":{gone}")), "{stats}");
}
