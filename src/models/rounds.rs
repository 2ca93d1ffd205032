//! Models of writes over several nodes: the real groups, told of each other without sockets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::gets::options;
use super::{Gate, on_threads, switch};
use crate::error::Error;
use crate::fresh::{Ack, Told, What};
use crate::getter::Loaded;
use crate::group::{Asker, Cluster, Group};
use crate::peer::{Peer, PeerError, PeerPicker};
use crate::sync::join_spawned;

/// Nodes of which the first owns every key; the gate opens when the first step of a write is told.
struct Nodes(Vec<Group>, Gate);

/// One node's view of the others.
struct View {
    own: usize,
    nodes: Weak<Nodes>,
}

/// The owner, over a network on which answers may take long.
struct Owner(Weak<Nodes>);

impl Peer for Owner {
    fn name(&self) -> &'static str {
        "0"
    }

    fn get(&self, _: &str, key: &str, deadline: Instant) -> Result<Loaded, PeerError> {
        let nodes = self.0.upgrade().unwrap();
        let fetched = nodes.0[0].fetch(key, deadline, Asker::Peer).unwrap();
        switch();
        Ok(Loaded::new(fetched.value))
    }
}

impl PeerPicker for View {
    fn pick(&self, _: &str) -> Option<Arc<dyn Peer>> {
        (self.own != 0).then(|| Arc::new(Owner(Weak::clone(&self.nodes))) as Arc<dyn Peer>)
    }
}

impl Cluster for View {
    fn own(&self) -> String {
        self.own.to_string()
    }

    fn others(&self) -> Vec<String> {
        let count = self.nodes.upgrade().unwrap().0.len();
        (0..count).filter(|node| *node != self.own).map(|node| node.to_string()).collect()
    }

    fn owner(&self, _: &str) -> Option<String> {
        (self.own != 0).then(|| "0".to_owned())
    }

    fn tell(
        &self,
        _: &str,
        nodes: &[String],
        _: &[String],
        told: Told,
        _: Instant,
    ) -> Vec<Result<Ack, Error>> {
        let all = self.nodes.upgrade().unwrap();
        all.1.open();
        let tell = |node: &String| {
            switch();
            let known = all.0[node.parse::<usize>().unwrap()].hear(&told)?;
            Ok(Ack { known, nodes: Vec::new() })
        };
        // The owner last, so that the others have time to ask it.
        let mut acks: Vec<_> = nodes.iter().rev().map(tell).collect();
        acks.reverse();
        acks
    }

    fn note(&self, _: &str, _: &What) {}

    fn repeat(&self, _: &str, _: What, nodes: Vec<String>) {
        panic!("{nodes:?} have not confirmed");
    }
}

/// A number at the origin that only grows.
type Origin = Arc<AtomicUsize>;

fn nodes(count: usize) -> (Arc<Nodes>, Origin) {
    let origin = Origin::default();
    let group = |_| {
        let origin = Arc::clone(&origin);
        let load = move |_: &str| {
            let value = origin.load(Ordering::SeqCst);
            switch();
            Ok(value.to_string())
        };
        options(4).build("model", load).unwrap()
    };
    let nodes = Arc::new(Nodes((0..count).map(group).collect(), Gate::default()));
    for (own, group) in nodes.0.iter().enumerate() {
        let view = || Arc::new(View { own, nodes: Arc::downgrade(&nodes) });
        group.register_peers(view()).unwrap();
        group.register_cluster(view());
    }
    (nodes, origin)
}

fn got(group: &Group) -> usize {
    group.get("k").unwrap().as_str().unwrap().parse().unwrap()
}

fn end(nodes: Arc<Nodes>) {
    let flights: Vec<_> = nodes.0.iter().map(Group::flights).collect();
    drop(nodes);
    join_spawned();
    assert!(flights.iter().all(|flights| flights() == 0), "every key is free");
}

/// A key is removed by way of the second node while that node and a third get it.
pub(super) fn what_was_removed_everywhere_is_got_nowhere() {
    let (nodes, origin) = nodes(2);
    got(&nodes.0[0]);
    let shared = Arc::clone(&nodes);
    on_threads(2, move |thread| {
        if thread == 0 {
            got(&shared.0[1]);
        } else {
            let changed = origin.fetch_add(1, Ordering::SeqCst) + 1;
            shared.0[1].remove("k").unwrap();
            for group in &shared.0 {
                let got = got(group);
                assert!(got >= changed, "got {got} after {changed} had been told of");
            }
        }
    });
    end(nodes);
}

/// A node that asks while the rounds go by: before the owner has dropped the key it gets what was
/// there, and must not hand that to who comes after the write.
pub(super) fn what_a_node_has_asked_for_before_is_not_joined_after() {
    let (nodes, origin) = nodes(3);
    got(&nodes.0[0]);
    let shared = Arc::clone(&nodes);
    on_threads(2, move |thread| {
        if thread == 0 {
            got(&shared.0[1]);
        } else {
            let changed = origin.fetch_add(1, Ordering::SeqCst) + 1;
            shared.0[2].purge().unwrap();
            assert!(got(&shared.0[1]) >= changed);
        }
    });
    end(nodes);
}

/// A set has begun when a second node removes the key: the value that was set is not got after
/// the removal, from either node.
pub(super) fn a_set_does_not_outlive_a_removal_that_came_after_it() {
    let (nodes, origin) = nodes(2);
    let shared = Arc::clone(&nodes);
    on_threads(2, move |node| {
        if node == 1 {
            let value = origin.fetch_add(1, Ordering::SeqCst) + 1;
            shared.0[1].set("k", value.to_string(), None).unwrap();
            return;
        }
        shared.1.pass();
        let changed = origin.fetch_add(1, Ordering::SeqCst) + 1;
        shared.0[0].remove("k").unwrap();
        for group in &shared.0 {
            let got = got(group);
            assert!(got >= changed, "got {got} after {changed} had been told of");
        }
    });
    end(nodes);
}
