//! Nodes that disagree about the ring: none waits on itself, and every get is answered.

use std::net::SocketAddr;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use larder::testing::{Fault, TestOrigin};
use larder::{Group, GroupOptions, HttpPool, Limits};

use crate::support::{Client, PATIENCE, get, wait_until};

const KEYS: usize = 200;
const THREADS: usize = 64;

/// A node with one worker in each lane, and waits so long that a circle would be a hang.
struct Node {
    pool: HttpPool,
    group: Group,
    origin: TestOrigin,
}

impl Node {
    fn start() -> Self {
        let mut limits = Limits::default();
        limits.lane_workers = 1;
        (limits.peer_connect, limits.peer_call, limits.lane_wait) = (PATIENCE, PATIENCE, PATIENCE);
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
        let pool = builder.limits(limits).start().unwrap();
        let origin = TestOrigin::new();
        // Each loads in the other's place: what is kept shortly would be loaded again.
        let options = GroupOptions::new(16 << 20).get_timeout(PATIENCE).successor_ttl(PATIENCE);
        let group = pool.group_with(options, "g", origin.clone()).unwrap();
        Self { pool, group, origin }
    }

    fn url(&self) -> &str {
        self.pool.url()
    }

    /// The same node by a name that the others do not use.
    fn alias(&self) -> String {
        self.url().replace("127.0.0.1", "localhost")
    }

    fn api(&self) -> SocketAddr {
        self.pool.api_addr().unwrap()
    }

    /// The keys that this node would ask `owner` for.
    fn asks(&self, owner: &str) -> Vec<String> {
        (0..KEYS).map(key).filter(|key| self.pool.owner(key) == owner).collect()
    }
}

fn key(i: usize) -> String {
    format!("key {i}")
}

/// Two nodes: each knows the other, one of them by another name, which gives another ring.
fn disagreeing_pair() -> [Node; 2] {
    let (a, b) = (Node::start(), Node::start());
    a.pool.set_peers([a.url(), b.url()]).unwrap();
    b.pool.set_peers([a.alias().as_str(), b.url()]).unwrap();
    [a, b]
}

/// Gets every key on every node, from many threads at once, by both doors.
fn ask_for_all(nodes: &[Node]) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let node = &nodes[thread % nodes.len()];
            let in_process = (thread / nodes.len()).is_multiple_of(2);
            scope.spawn(move || {
                let mut client = Client::connect(node.api());
                // Each starts elsewhere: different keys are loaded at once.
                for i in (0..KEYS).map(|i| (i + thread * 7) % KEYS) {
                    let (key, expected) = (key(i), TestOrigin::value(&key(i)));
                    if in_process {
                        assert_eq!(node.group.get(&key).unwrap(), expected.as_str());
                    } else {
                        let path = format!("/api/g/{}", key.replace(' ', "%20"));
                        let answer = client.get(&path).unwrap();
                        assert_eq!((answer.status, answer.text()), (200, expected));
                    }
                }
            });
        }
    });
}

/// All is answered, long before any timeout, and no node loads a key twice.
fn answers_all(nodes: &[Node]) {
    let started = Instant::now();
    ask_for_all(nodes);
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    for node in nodes {
        for key in (0..KEYS).map(key) {
            assert!(node.origin.loads(&key) <= 1, "{key:?} on {}", node.url());
        }
        let stats = node.group.stats();
        assert_eq!((stats.peer_errors, stats.deadlines_exceeded, stats.shed), (0, 0, 0));
    }
    for key in (0..KEYS).map(key) {
        assert!(nodes.iter().any(|node| node.origin.loads(&key) == 1), "{key:?}");
    }
}

#[test]
fn two_nodes_that_each_take_the_other_for_the_owner_answer() {
    let [a, b] = disagreeing_pair();
    let (from_a, from_b) = (a.asks(b.url()), b.asks(&a.alias()));
    let both: Vec<_> = from_a.iter().filter(|key| from_b.contains(key)).collect();
    assert!(!both.is_empty(), "the set-up has no disagreement");
    for key in both {
        std::thread::scope(|scope| {
            for node in [&a, &b] {
                scope.spawn(|| {
                    let value = node.group.get_within(key, Duration::from_secs(50)).unwrap();
                    assert_eq!(value, TestOrigin::value(key).as_str());
                });
            }
        });
        // Each asked the other, which loaded and did not ask back, unless it had the value.
        let loads = [&a, &b].map(|node| node.origin.loads(key));
        assert!(loads.iter().all(|&loads| loads <= 1) && loads != [0, 0], "{key:?}: {loads:?}");
    }
}

#[test]
fn a_pair_that_disagrees_answers_a_crowd() {
    answers_all(&disagreeing_pair());
}

#[test]
fn three_nodes_with_three_different_lists_answer_a_crowd() {
    let nodes = [Node::start(), Node::start(), Node::start()];
    let [a, b, d] = &nodes;
    a.pool.set_peers([a.url(), b.url()]).unwrap();
    b.pool.set_peers([&a.alias(), b.url(), d.url()]).unwrap();
    d.pool.set_peers([d.url(), a.url()]).unwrap();
    // There are keys for which the first asks the second, and that one the third.
    let chained = a.asks(b.url()).iter().any(|key| b.pool.owner(key) == d.url());
    assert!(chained, "the set-up has no disagreement");
    answers_all(&nodes);
}

#[test]
fn a_slow_key_that_each_takes_for_the_others_holds_no_other_key_up() {
    let [a, b] = disagreeing_pair();
    let from_b = b.asks(&a.alias());
    let key = a.asks(b.url()).into_iter().find(|key| from_b.contains(key)).unwrap();
    a.origin.set_fault_of(&key, Fault::Hang);
    b.origin.set_fault_of(&key, Fault::Hang);
    let path = format!("/api/g/{}", key.replace(' ', "%20"));
    std::thread::scope(|scope| {
        let path = &path;
        let asked = [&a, &b].map(|node| scope.spawn(move || get(node.api(), path)));
        let requests = |node: &Node| node.pool.api_listener_stats().requests;
        wait_until("both are asked, and load", || {
            requests(&a) == 1 && requests(&b) == 1 && a.origin.hanging() + b.origin.hanging() > 0
        });
        // Lanes have their only worker waiting now. Keys of this node need none of them.
        for node in [&a, &b] {
            let own = node.asks(node.url());
            assert_eq!(node.group.get(&own[0]).unwrap(), TestOrigin::value(&own[0]).as_str());
        }
        wait_until("both are answered", || {
            a.origin.release();
            b.origin.release();
            asked.iter().all(ScopedJoinHandle::is_finished)
        });
        for asked in asked {
            assert_eq!(asked.join().unwrap().text(), TestOrigin::value(&key));
        }
    });
}
