//! Values past their time to live, and keys without a value, over HTTP.

use std::time::Duration;

use larder::testing::{Cluster, Fault, TestOrigin};
use larder::{Group, GroupOptions, HttpPool};

use crate::support::{Answer, get, key_owned_by, wait_until};

const HOUR: Duration = Duration::from_secs(3_600);

/// Two nodes, and a key that the first of them owns.
struct Pair {
    cluster: Cluster,
    groups: Vec<Group>,
    origin: TestOrigin,
    key: String,
}

impl Pair {
    fn start(options: &GroupOptions) -> Self {
        let (cluster, origin) = (Cluster::start(2).unwrap(), TestOrigin::new());
        let groups = cluster.group_with(options, "g", &origin).unwrap();
        let owner = &cluster.nodes()[0];
        let key = key_owned_by(owner, owner.url());
        Self { cluster, groups, origin, key }
    }

    fn node(&self, n: usize) -> &HttpPool {
        &self.cluster.nodes()[n]
    }

    fn ask(&self, n: usize) -> Answer {
        get(self.node(n).api_addr().unwrap(), &format!("/api/g/{}", self.key.replace(' ', "%20")))
    }

    /// Asks the node for the value, which expires.
    fn expire(&self, n: usize) {
        assert_eq!(self.ask(n).status, 200);
        wait_until("it expires", || self.groups.iter().all(|g| g.peek(&self.key).is_none()));
    }

    fn is_stale(&self, answer: &Answer) {
        assert_eq!((answer.status, answer.text()), (200, TestOrigin::value(&self.key)));
        assert!(answer.has("X-Larder: stale"), "{}", answer.head);
        let age = answer.head.split("\r\n").find_map(|line| line.strip_prefix("Age: "));
        let age: u64 = age.unwrap().parse().unwrap();
        assert!(age < 3_600, "{age} s");
    }
}

fn options() -> GroupOptions {
    GroupOptions::new(1 << 20).ttl(Duration::from_millis(1)).get_timeout(HOUR)
}

#[test]
fn what_is_stale_is_marked_by_the_owner_and_by_who_asks_it() {
    let pair = Pair::start(&options().stale_if_error(HOUR));
    pair.expire(1);
    pair.origin.set_fault(Fault::Fail);
    for n in [0, 1, 1, 0] {
        pair.is_stale(&pair.ask(n));
    }
    for group in &pair.groups {
        assert_eq!(group.get(&pair.key).unwrap(), TestOrigin::value(&pair.key).as_str());
        assert!(group.stats().stale_served > 0);
    }
    assert_eq!(pair.groups[1].stats().local_load_errs, 0, "the owner has answered");
    let stats = get(pair.node(0).api_addr().unwrap(), "/stats").text();
    let metrics = get(pair.node(0).api_addr().unwrap(), "/metrics").text();
    for name in ["stale_served", "revalidations", "probes", "negative_hits"] {
        assert!(stats.contains(&format!("\"{name}\":")), "{stats}");
        assert!(metrics.contains(&format!("larder_{name}_total{{group=\"g\"}}")), "{metrics}");
    }
    pair.origin.set_fault(None);
    wait_until("the owner has a new one", || !pair.ask(0).has("X-Larder: stale"));
}

#[test]
fn who_asks_while_a_value_is_refreshed_has_the_old_one_at_once() {
    let pair = Pair::start(&options().stale_while_revalidate(HOUR));
    pair.expire(0);
    pair.origin.set_fault(Fault::Hang);
    // Each would hang with the load if it waited for it.
    for n in [0, 1, 0, 1] {
        pair.is_stale(&pair.ask(n));
    }
    wait_until("it is refreshed", || pair.origin.hanging() == 1);
    assert_eq!(pair.origin.loads(&pair.key), 2);
    pair.origin.set_fault(None);
    pair.origin.release();
}

#[test]
fn an_owner_that_dies_with_the_origin_leaves_copies_to_serve() {
    let mut pair = Pair::start(&options().hot_ttl(Duration::from_millis(1)).stale_if_error(HOUR));
    // One copy in some is kept.
    let kept = || pair.groups[1].stats().hot.admitted > 0;
    wait_until("a copy is kept", || pair.ask(1).status == 200 && kept());
    pair.expire(1);
    pair.origin.set_fault(Fault::Fail);
    pair.cluster.stop(0);
    pair.groups.remove(0);
    for _ in 0..2 {
        pair.is_stale(&pair.ask(0));
    }
}

#[test]
fn that_there_is_none_is_asked_of_the_origin_once() {
    let pair = Pair::start(&options().not_found_ttl(HOUR));
    pair.origin.set_fault(Fault::NotFound);
    for n in [0, 1, 1, 0] {
        let answer = pair.ask(n);
        assert_eq!((answer.status, answer.has("Larder-Error: not-found")), (404, true));
    }
    assert_eq!(pair.origin.total_loads(), 1);
    let owner = pair.groups[0].stats();
    assert_eq!((owner.negative_hits, owner.server_requests, owner.gets), (3, 2, 4));
}

#[test]
fn a_key_that_is_asked_for_often_is_copied_and_one_that_is_not_is_not() {
    let pair = Pair::start(&GroupOptions::new(1 << 20).get_timeout(HOUR));
    let (asking, owner) = (&pair.groups[1], &pair.groups[0]);
    for _ in 0..1_000 {
        asking.get(&pair.key).unwrap();
    }
    let asked = owner.stats().server_requests;
    assert!((2..20).contains(&asked), "asked {asked} times for a hot key");
    assert_eq!(asking.stats().hot.items, 1);
    let (pool, url) = (pair.node(0), pair.node(0).url());
    let others = (0..).map(|n| format!("other {n}")).filter(|key| pool.owner(key) == url);
    for key in others.take(200) {
        asking.get(&key).unwrap();
    }
    // One in ten of them would be 20.
    assert!(asking.stats().hot.items < 10, "{:?}", asking.stats().hot);
}
