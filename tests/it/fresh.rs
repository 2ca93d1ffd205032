//! Promise 2: once a write has returned, no node gives anything older.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::{BoxError, Dialect, Error, Group, GroupOptions, HttpPool, Limits};

use crate::proxy::Proxy;
use crate::support::{PATIENCE, key_owned_by, wait_until};

const KEYS: usize = 4;

/// An origin whose values are numbers that only grow, and what its readers may rely on.
#[derive(Default)]
struct Origin {
    values: [AtomicU64; KEYS],
    /// What a write has told everyone of.
    told: [AtomicU64; KEYS],
}

impl Origin {
    fn load(&self, key: &str) -> Result<String, BoxError> {
        let value = self.values[key_number(key)].load(Ordering::SeqCst);
        // Loads that take a moment meet more of what happens meanwhile.
        if value.is_multiple_of(3) {
            std::thread::yield_now();
        }
        Ok(value.to_string())
    }

    fn change(&self, key: usize) -> u64 {
        self.values[key].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Gets a key, which must not be older than what has been told of.
    fn check(&self, group: &Group, key: usize, whence: &str) {
        let told = self.told[key].load(Ordering::SeqCst);
        let got = group.get(&key_name(key)).unwrap();
        let got: u64 = got.as_str().unwrap().parse().unwrap();
        assert!(got >= told, "{whence}: {got} after {told} of key {key} had been told of");
    }
}

fn key_name(key: usize) -> String {
    format!("{key} key")
}

fn key_number(key: &str) -> usize {
    key.split(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0) % KEYS
}

/// Nodes on loopback with one group over one origin.
struct Nodes {
    pools: Vec<HttpPool>,
    groups: Vec<Group>,
    origin: Arc<Origin>,
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.lane_workers = 4;
    // A busy machine is no failed peer.
    (limits.peer_connect, limits.peer_call) = (PATIENCE / 4, PATIENCE / 4);
    limits
}

impl Nodes {
    fn start(count: usize) -> Self {
        let start = |_| HttpPool::builder().listen("http://127.0.0.1:0").limits(limits()).start();
        Self::of((0..count).map(start).collect::<Result<_, _>>().unwrap())
    }

    fn of(pools: Vec<HttpPool>) -> Self {
        let origin = Arc::<Origin>::default();
        let group = |pool: &HttpPool| {
            let origin = Arc::clone(&origin);
            let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE / 2);
            pool.group_with(options, "g", move |key: &str| origin.load(key)).unwrap()
        };
        let groups = pools.iter().map(group).collect();
        let nodes = Self { pools, groups, origin };
        nodes.ring(&(0..count(&nodes)).collect::<Vec<_>>());
        nodes
    }

    fn urls(&self, nodes: &[usize]) -> Vec<String> {
        nodes.iter().map(|&node| self.pools[node].url().to_owned()).collect()
    }

    /// Makes these the ring of each of them.
    fn ring(&self, nodes: &[usize]) {
        for &node in nodes {
            self.pools[node].set_peers(self.urls(nodes)).unwrap();
        }
    }

    /// Changes a key at the origin and tells everyone by way of one node.
    fn write(&self, key: usize, round: usize, by: &Group) {
        let value = self.origin.change(key);
        match round % 8 {
            0 => by.purge().map(drop),
            1 | 2 => by.set(&key_name(key), value.to_string(), None).map(drop),
            3 => by.remove_many([key_name(key), "another".to_owned()]).map(drop),
            _ => by.remove(&key_name(key)).map(drop),
        }
        .unwrap();
        self.origin.told[key].fetch_max(value, Ordering::SeqCst);
    }

    /// Rounds of a write and a get from every one of `readers`, for each key by a writer of its
    /// own, while others get all the time.
    fn rounds(&self, rounds: usize, nodes: usize, meanwhile: impl Fn(usize) + Sync) {
        let writing = AtomicU64::new(KEYS as u64);
        let is_over = || writing.load(Ordering::SeqCst) == 0;
        std::thread::scope(|scope| {
            for key in 0..KEYS {
                let writing = &writing;
                scope.spawn(move || {
                    let _done = Done(writing);
                    for round in 0..rounds {
                        self.write(key, round + key, &self.groups[(round + key) % nodes]);
                        for (node, group) in self.groups[..nodes].iter().enumerate() {
                            self.origin.check(group, key, &format!("node {node}, round {round}"));
                        }
                    }
                });
            }
            for (node, group) in self.groups[..nodes].iter().enumerate() {
                scope.spawn(move || {
                    for key in (0..KEYS).cycle() {
                        if is_over() {
                            return;
                        }
                        self.origin.check(group, key, &format!("node {node}, meanwhile"));
                    }
                });
            }
            for step in 0.. {
                if is_over() {
                    break;
                }
                meanwhile(step);
            }
        });
    }
}

/// Counts a thread out, also one that panics.
struct Done<'a>(&'a AtomicU64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn count(nodes: &Nodes) -> usize {
    nodes.pools.len()
}

fn got(group: &Group, key: &str) -> u64 {
    group.get(key).unwrap().as_str().unwrap().parse().unwrap()
}

fn sorted(mut nodes: Vec<String>) -> Vec<String> {
    nodes.sort();
    nodes
}

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(5));
}

#[test]
fn once_a_write_has_returned_no_node_gives_anything_older() {
    Nodes::start(4).rounds(400, 4, |_| pause());
}

#[test]
fn nor_while_a_node_leaves_the_ring_and_comes_back_on_one_node_after_the_other() {
    let nodes = Nodes::start(4);
    let rings = [nodes.urls(&[0, 1, 2]), nodes.urls(&[0, 1, 2, 3])];
    nodes.rounds(250, 3, |step| {
        nodes.pools[step % 3].set_peers(&rings[step / 3 % 2]).unwrap();
        pause();
    });
}

#[test]
fn of_sets_that_race_one_wins_on_every_node() {
    let nodes = Nodes::start(3);
    for round in 0..60 {
        let key = format!("{round} raced");
        std::thread::scope(|scope| {
            for node in 0..2 {
                let (group, key) = (&nodes.groups[node], &key);
                scope.spawn(move || group.set(key, format!("90{node}"), None).unwrap());
            }
        });
        let values: Vec<u64> = nodes.groups.iter().map(|group| got(group, &key)).collect();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?} of {key}");
    }
}

#[test]
fn what_is_set_spares_the_load_and_lives_as_long_as_it_was_told() {
    let nodes = Nodes::start(3);
    for node in 0..3 {
        let key = key_owned_by(&nodes.pools[0], nodes.pools[node].url());
        let written = nodes.groups[0].set(&key, "7", None).unwrap();
        assert_eq!(sorted(written.nodes), sorted(nodes.urls(&[0, 1, 2])));
        assert!(nodes.groups.iter().all(|group| got(group, &key) == 7));
        let ttl = Some(std::time::Duration::ZERO);
        nodes.groups[0].set(&key, "8", ttl).unwrap();
        assert!(nodes.groups.iter().all(|group| got(group, &key) == 0), "loaded, since it is over");
    }
}

/// Three nodes, of which the last is reached over a link that can be cut.
fn behind_a_link() -> (Nodes, Proxy) {
    let proxy = Proxy::start();
    let start = |node: usize| {
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").limits(limits());
        let builder = if node == 2 { builder.advertise(&proxy.url()) } else { builder };
        builder.start().unwrap()
    };
    let pools: Vec<HttpPool> = (0..3).map(start).collect();
    proxy.forward_to(pools[2].peer_addr().unwrap());
    (Nodes::of(pools), proxy)
}

#[test]
fn a_node_that_is_cut_off_is_named_and_told_when_it_is_back() {
    let (nodes, proxy) = behind_a_link();
    let key = key_owned_by(&nodes.pools[0], nodes.pools[2].url());
    assert!(nodes.groups.iter().all(|group| got(group, &key) == 0), "every node knows the old one");
    proxy.cut();
    nodes.origin.values.iter().for_each(|value| value.store(5, Ordering::SeqCst));
    let Err(Error::NotConfirmed { confirmed, unconfirmed, .. }) = nodes.groups[0].remove(&key)
    else {
        panic!("node 2 cannot be reached");
    };
    assert_eq!(sorted(confirmed), sorted(nodes.urls(&[0, 1])));
    assert_eq!(unconfirmed.len(), 1);
    assert_eq!(unconfirmed[0].node, nodes.pools[2].url());
    assert!(!unconfirmed[0].reason.is_empty());
    assert_eq!([0, 1].map(|node| got(&nodes.groups[node], &key)), [5, 5], "they load it");
    assert_eq!(got(&nodes.groups[2], &key), 0, "it cannot know");
    proxy.mend();
    wait_until("node 2 is told", || nodes.groups[0].stats().writes_repeated == 1);
    assert!(nodes.groups.iter().all(|group| got(group, &key) == 5));
    let stats = nodes.groups[0].stats();
    assert_eq!((stats.writes, stats.writes_unconfirmed), (1, 1));
}

#[test]
fn a_purge_that_a_node_has_missed_is_made_up_for() {
    let (nodes, proxy) = behind_a_link();
    let keys: Vec<String> = (0..50).map(|i| format!("{i} purged")).collect();
    let all_are = |value: u64| {
        keys.iter().all(|key| nodes.groups.iter().all(|group| got(group, key) == value))
    };
    assert!(all_are(0));
    proxy.cut();
    nodes.origin.values.iter().for_each(|value| value.store(5, Ordering::SeqCst));
    assert!(matches!(nodes.groups[1].purge(), Err(Error::NotConfirmed { .. })));
    proxy.mend();
    wait_until("node 2 is told", || nodes.groups[1].stats().writes_repeated == 1);
    assert!(all_are(5));
    assert_eq!(nodes.groups[0].purge().unwrap().nodes.len(), 3);
}

#[test]
fn a_node_that_only_others_have_on_their_rings_is_told_as_well() {
    let nodes = Nodes::start(3);
    nodes.pools[0].set_peers(nodes.urls(&[0, 1])).unwrap();
    let key = key_owned_by(&nodes.pools[1], nodes.pools[2].url());
    assert_eq!(got(&nodes.groups[1], &key), 0);
    nodes.origin.values.iter().for_each(|value| value.store(5, Ordering::SeqCst));
    let written = nodes.groups[0].remove(&key).unwrap();
    assert_eq!(sorted(written.nodes), sorted(nodes.urls(&[0, 1, 2])));
    assert_eq!(got(&nodes.groups[1], &key), 5);
}

#[test]
fn a_node_that_comes_back_onto_the_ring_is_told_what_it_missed_before_it_is_asked() {
    let nodes = Nodes::start(3);
    let key = key_owned_by(&nodes.pools[0], nodes.pools[2].url());
    for round in 1..20 {
        nodes.ring(&[0, 1, 2]);
        assert!(nodes.groups.iter().all(|group| got(group, &key) == round - 1));
        nodes.ring(&[0, 1]);
        nodes.origin.values.iter().for_each(|value| value.store(round, Ordering::SeqCst));
        assert_eq!(nodes.groups[0].remove(&key).unwrap().nodes.len(), 2);
        assert_eq!(got(&nodes.groups[2], &key), round - 1, "it is nobody's peer");
        nodes.pools[1].set_peers(nodes.urls(&[0, 1, 2])).unwrap();
        assert_eq!(got(&nodes.groups[1], &key), round);
        wait_until("node 2 drops it", || got(&nodes.groups[2], &key) == round);
    }
}

#[test]
fn many_keys_are_removed_at_once() {
    let nodes = Nodes::start(2);
    let keys: Vec<String> = (0..10_000).map(|i| format!("{i} of many")).collect();
    keys.iter().step_by(100).for_each(|key| assert_eq!(got(&nodes.groups[1], key), 0));
    nodes.origin.values.iter().for_each(|value| value.store(5, Ordering::SeqCst));
    let before = nodes.pools[1].peer_listener_stats().requests;
    nodes.groups[0].remove_many(&keys).unwrap();
    let requests = nodes.pools[1].peer_listener_stats().requests - before;
    assert_eq!(requests, 3 * 2, "4,096 keys in one");
    keys.iter().step_by(100).for_each(|key| assert_eq!(got(&nodes.groups[1], key), 5));
    assert_eq!(nodes.groups[0].remove_many::<&str>([]).unwrap().nodes.len(), 0);
}

#[test]
fn peers_that_cannot_be_told_are_named_and_never_sent_anything() {
    for dialect in [Dialect::Groupcache, Dialect::Geecache] {
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").dialect(dialect);
        let pool = builder.start().unwrap();
        let group = pool.group("g", 1 << 20, |_: &str| Ok("v")).unwrap();
        assert!(group.remove("k").is_ok() && group.set("k", "w", None).is_ok());
        assert!(group.purge().is_ok(), "alone it can");
        let stub = crate::stub::StubPeer::start(|_, _| panic!("it loads whatever it is sent"));
        pool.set_peers([pool.url(), &stub.url()]).unwrap();
        let error = group.remove("k").unwrap_err();
        let text = error.to_string();
        assert!(text.contains(dialect.name()) && text.contains(&stub.url()), "{text}");
        assert!(group.set("k", "w", None).is_err() && group.purge().is_err());
        assert_eq!(group.peek("k"), None);
    }
}

#[test]
fn nodes_on_a_go_ring_are_told_by_put_delete_and_remove_keys() {
    for dialect in [Dialect::Mailgun, Dialect::GroupcacheGo] {
        let start = || HttpPool::builder().listen("http://127.0.0.1:0").dialect(dialect).start();
        let nodes = Nodes::of((0..3).map(|_| start().unwrap()).collect());
        let keys: Vec<String> = (0..9).map(|i| format!("{i} key")).collect();
        let all_are = |value: u64| {
            keys.iter().all(|key| nodes.groups.iter().all(|group| got(group, key) == value))
        };
        assert!(all_are(0));
        nodes.origin.values.iter().for_each(|value| value.store(5, Ordering::SeqCst));
        nodes.groups[0].remove_many(&keys).unwrap();
        assert!(all_are(5), "{dialect}");
        for key in &keys {
            assert_eq!(nodes.groups[1].set(key, "6", None).unwrap().nodes.len(), 3);
        }
        assert!(all_are(6), "{dialect}");
        let text = nodes.groups[2].purge().unwrap_err().to_string();
        assert!(text.contains("remove all keys"), "{text}");
    }
}

#[test]
fn a_group_that_stands_alone_is_written_where_it_is() {
    let group = Group::new("g", 1 << 20, |_: &str| Ok("loaded")).unwrap();
    assert_eq!(group.set("k", "set", None).unwrap().nodes.len(), 0);
    assert_eq!(group.get("k").unwrap(), "set");
    group.remove("k").unwrap();
    assert_eq!(group.get("k").unwrap(), "loaded");
    group.set("k", "set", None).unwrap();
    group.purge().unwrap();
    assert_eq!(group.get("k").unwrap(), "loaded");
    assert!(matches!(group.remove(&"k".repeat(70_000)), Err(Error::KeyTooLong { .. })));
    let long = vec![0; 9 << 20];
    assert!(matches!(group.set("k", long, None), Err(Error::ValueTooLarge { .. })));
}
