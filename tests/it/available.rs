//! Nodes that fail: who stands in for them, how soon they are left alone, and their return.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use larder::testing::{Cluster, Fault, TestOrigin};
use larder::{Group, GroupOptions, HttpPool, Limits};
use serde_json::Value;

use crate::stub::{Reply, StubPeer};
use crate::support::{PATIENCE, get, wait_until};

const KEYS: usize = 200;
const THREADS: usize = 16;

fn options() -> GroupOptions {
    GroupOptions::new(16 << 20).get_timeout(PATIENCE).successor_ttl(PATIENCE)
}

/// Keys that `owner` has on the ring of `pool`.
fn keys_of(pool: &HttpPool, owner: &str) -> impl Iterator<Item = String> {
    let keys = (0..).map(|n| format!("key {n}"));
    keys.filter(move |key| pool.owner(key) == owner)
}

/// Has many threads of every node ask for the same key at the same time, key after key.
fn herd(groups: &[Group], keys: &[String]) {
    let barrier = Barrier::new(groups.len() * THREADS);
    std::thread::scope(|scope| {
        for group in groups {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for key in keys {
                        barrier.wait();
                        assert_eq!(group.get(key).unwrap(), TestOrigin::value(key).as_str());
                    }
                });
            }
        }
    });
}

fn sum(groups: &[Group], counter: impl Fn(larder::Stats) -> u64) -> u64 {
    groups.iter().map(|group| counter(group.stats())).sum()
}

#[test]
fn keys_whose_owner_is_gone_are_loaded_once_by_its_successor() {
    let origin = TestOrigin::new();
    let mut cluster = Cluster::start(5).unwrap();
    let mut groups = cluster.group_with(&options(), "g", &origin).unwrap();
    let gone = cluster.nodes()[2].url().to_owned();
    let keys: Vec<String> = keys_of(&cluster.nodes()[0], &gone).take(KEYS).collect();
    groups.remove(2);
    cluster.stop(2);
    herd(&groups, &keys);
    let loads = keys.iter().map(|key| origin.loads(key));
    assert!(loads.clone().all(|loads| loads <= 2), "a key was loaded more than twice");
    let mean = loads.sum::<u64>() as f64 / KEYS as f64;
    assert!(mean <= 1.05, "{mean} loads a key");
    // Three of four nodes ask; only while the breakers are closed is the one that is gone tried.
    assert!(sum(&groups, |stats| stats.successor_loads) >= 3 * KEYS as u64 * 9 / 10);
    let in_vain = sum(&groups, |stats| stats.peer_errors);
    assert!((4..KEYS as u64).contains(&in_vain), "asked in vain {in_vain} times");
}

#[test]
fn half_of_the_nodes_on_an_old_ring_load_a_key_twice_at_most() {
    let origin = TestOrigin::new();
    let cluster = Cluster::start(4).unwrap();
    let groups = cluster.group_with(&options(), "g", &origin).unwrap();
    let urls: Vec<String> = cluster.nodes().iter().map(|node| node.url().to_owned()).collect();
    // The last one has joined, and half of the others have not heard of it.
    for node in &cluster.nodes()[..2] {
        node.set_peers(&urls[..3]).unwrap();
    }
    let keys: Vec<String> = (0..KEYS).map(|n| format!("key {n}")).collect();
    herd(&groups, &keys);
    assert!(keys.iter().all(|key| (1..=2).contains(&origin.loads(key))));
    let twice = keys.iter().filter(|key| origin.loads(key) == 2).count();
    assert!(twice < KEYS / 2, "{twice} keys were loaded twice");
    assert_eq!(sum(&groups, |stats| stats.peer_errors + stats.deadlines_exceeded), 0);
}

/// A node whose only peer is a stub.
struct Pair {
    pool: HttpPool,
    group: Group,
    origin: TestOrigin,
    stub: StubPeer,
}

impl Pair {
    fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(Duration::from_secs(2), reply)
    }

    fn start_with(
        peer_call: Duration,
        reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let mut limits = Limits::default();
        (limits.lane_workers, limits.peer_calls, limits.peer_call) = (2, 4, peer_call);
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
        let pool = builder.limits(limits).start().unwrap();
        let (origin, stub) = (TestOrigin::new(), StubPeer::start(reply));
        let group = pool.group_with(options(), "g", origin.clone()).unwrap();
        pool.set_peers([pool.url(), &stub.url()]).unwrap();
        Self { pool, group, origin, stub }
    }

    /// What `/stats` tells of the peer.
    fn peer(&self) -> Value {
        let answer = get(self.pool.api_addr().unwrap(), "/stats");
        let stats: Value = serde_json::from_slice(&answer.body).unwrap();
        let peers = stats["peers"].as_array().unwrap();
        peers.iter().find(|peer| peer["url"] == self.stub.url()).unwrap().clone()
    }

    fn gets(&self, key: &str) {
        assert_eq!(self.group.get(key).unwrap(), TestOrigin::value(key).as_str());
    }
}

#[test]
fn a_peer_that_hangs_is_left_alone_soon_and_used_again_when_it_is_back() {
    let (well, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let behind = HttpPool::builder().listen("http://127.0.0.1:0").start().unwrap();
    behind.group_with(options(), "g", TestOrigin::new()).unwrap();
    let (is_well, count) = (Arc::clone(&well), Arc::clone(&asked));
    let pair = Pair::start(move |path, _| {
        count.fetch_add(1, Ordering::SeqCst);
        if is_well.load(Ordering::SeqCst) {
            return Reply::Answer(get(behind.peer_addr().unwrap(), path).bytes());
        }
        Reply::Silence
    });
    assert_eq!(pair.peer()["state"], "untried");
    let url = pair.stub.url();
    let mut keys = keys_of(&pair.pool, &url);
    wait_until("it is left alone", || {
        pair.gets(&keys.next().unwrap());
        pair.peer()["state"] == "open"
    });
    assert_eq!(pair.peer()["breaker_opens"], 1);
    let before = asked.load(Ordering::SeqCst);
    assert!(before >= 3 && pair.group.stats().peer_errors >= 3);
    // Probes come one after the other, each after a longer pause.
    keys.by_ref().take(100).for_each(|key| pair.gets(&key));
    let probes = asked.load(Ordering::SeqCst) - before;
    assert!(probes < 50, "{probes} probes");
    well.store(true, Ordering::SeqCst);
    wait_until("it is used again", || {
        pair.gets(&keys.next().unwrap());
        pair.group.stats().peer_loads > 0
    });
    assert_eq!(pair.peer()["state"], "up");
    let metrics = get(pair.pool.api_addr().unwrap(), "/metrics").text();
    for family in
        ["larder_peer_breaker_opens_total", "larder_peer_calls_shed_total", "larder_peer_up"]
    {
        let line = format!("{family}{{peer=\"{}\"}}", pair.stub.url());
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[test]
fn a_peer_that_only_closes_is_left_alone_and_one_that_answers_is_not_whatever_it_says() {
    let refusal = "HTTP/1.1 500 No\r\nLarder-Error: no-such-group\r\nContent-Length: 0\r\n\r\n";
    let garbage = "garbage\r\n\r\n";
    for (answer, state, errors) in [("", "open", 3), (garbage, "failing", 10), (refusal, "up", 10)]
    {
        let pair = Pair::start_with(PATIENCE, move |_, _| Reply::Last(answer.into()));
        keys_of(&pair.pool, &pair.stub.url()).take(10).for_each(|key| pair.gets(&key));
        let peer = pair.peer();
        assert_eq!((&peer["state"], peer["up"] == 0), (&state.into(), state == "open"), "{peer}");
        assert!(pair.group.stats().peer_errors >= errors, "{answer:?}: {:?}", pair.group.stats());
    }
}

#[test]
fn few_threads_wait_for_a_peer_that_hangs_and_the_others_go_on_at_once() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let pair = Pair::start_with(PATIENCE / 2, move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Silence
    });
    let keys: Vec<String> = keys_of(&pair.pool, &pair.stub.url()).take(64).collect();
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(|| pair.gets(key));
        }
        wait_until("all but a few are answered", || pair.origin.total_loads() >= 60);
        assert_eq!(pair.peer()["calls"], 4);
    });
    assert_eq!((waiting.load(Ordering::SeqCst), pair.group.stats().peer_errors), (4, 4));
    let peer = pair.peer();
    assert_eq!((&peer["calls"], &peer["calls_shed"]), (&0.into(), &60.into()), "{peer}");
}

#[test]
fn a_load_keeps_its_turn_while_who_wants_it_comes_again() {
    let origin = TestOrigin::new();
    let mut limits = Limits::default();
    // Asked every 200 ms or more often, and given up after two seconds of silence.
    (limits.lane_workers, limits.peer_call) = (2, Duration::from_secs(8));
    let cluster = Cluster::start_with(2, &limits).unwrap();
    let groups = cluster.group_with(&options().max_getters(1), "g", &origin).unwrap();
    let (asking, owner) = (&groups[0], &groups[1]);
    let owned = keys_of(&cluster.nodes()[0], cluster.nodes()[1].url()).take(2);
    let [first, second] = owned.collect::<Vec<_>>().try_into().unwrap();
    origin.set_fault_of(&first, Fault::Hang);
    std::thread::scope(|scope| {
        let hangs = scope.spawn(|| owner.get(&first).unwrap());
        wait_until("the only getter is busy", || origin.hanging() == 1);
        let waits = scope.spawn(|| asking.get(&second).unwrap());
        wait_until("it was asked for three times", || owner.stats().server_requests >= 3);
        assert_eq!(owner.stats().getters_queued, 1);
        origin.release();
        assert_eq!(waits.join().unwrap(), TestOrigin::value(&second).as_str());
        hangs.join().unwrap();
    });
    assert_eq!((origin.loads(&first), origin.loads(&second)), (1, 1));
    let (asking, owner) = (asking.stats(), owner.stats());
    assert_eq!((asking.peer_errors, asking.local_loads), (0, 0));
    assert_eq!(owner.deadlines_exceeded, 0, "nobody's time was over");
}

#[test]
fn what_is_loaded_in_anothers_place_is_kept_for_a_short_time() {
    let refusing = |_: &str, _| Reply::Last(Vec::new());
    let pair = Pair::start(refusing);
    let short = options().successor_ttl(Duration::from_millis(50));
    let group = pair.pool.group_with(short, "short", pair.origin.clone()).unwrap();
    let key = keys_of(&pair.pool, &pair.stub.url()).next().unwrap();
    let own = keys_of(&pair.pool, pair.pool.url()).next().unwrap();
    for key in [&key, &own] {
        group.get(key).unwrap();
        pair.gets(key);
    }
    wait_until("its time is over", || group.peek(&key).is_none());
    assert!(group.peek(&own).is_some(), "this node owns it");
    assert!(pair.group.peek(&key).is_some(), "this group keeps it for longer");
}

#[test]
fn an_early_word_that_a_key_is_being_loaded_is_no_reason_to_serve_it_stale() {
    let origin = TestOrigin::new();
    let mut limits = Limits::default();
    (limits.lane_workers, limits.peer_call) = (2, Duration::from_secs(8));
    let cluster = Cluster::start_with(2, &limits).unwrap();
    let stale = options().ttl(Duration::from_millis(1)).stale_if_error(PATIENCE);
    let groups = cluster.group_with(&stale, "g", &origin).unwrap();
    let (asking, owner) = (&groups[0], &groups[1]);
    let key = keys_of(&cluster.nodes()[0], cluster.nodes()[1].url()).next().unwrap();
    owner.get(&key).unwrap();
    wait_until("it has expired", || owner.peek(&key).is_none());
    origin.set_fault(Fault::Hang);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| asking.get(&key).unwrap());
        wait_until("it was asked for three times", || owner.stats().server_requests >= 3);
        origin.release();
        assert_eq!(waits.join().unwrap(), TestOrigin::value(&key).as_str());
    });
    assert_eq!((origin.loads(&key), owner.stats().stale_served), (2, 0));
}
