//! The writes of a pool's groups: told to the other nodes, repeated when one was not reached, and
//! made up for when a peer comes onto the ring.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Shared;
use super::owed::{Debt, Owed, Task};
use super::peers::Peers;
use super::settle::Missed;
use super::tell::Lanes;
use crate::clock::deadline_after;
use crate::error::{Error, Result};
use crate::fresh::{Ack, Step, Told, Version, What};
use crate::group::{Cluster, Group};
use crate::sync;
use crate::wire::{self, Write};

/// A peer that is tried in the background gets so long to answer.
const TRIAL: Duration = Duration::from_secs(2);
/// Keys of one message to a peer that has missed them.
const KEYS_AT_ONCE: usize = 4 << 10;

/// What a pool's groups need for their writes.
pub(super) struct Writes {
    peers: Arc<Peers>,
    lanes: Lanes,
    owed: Arc<Owed>,
    pool: Weak<Shared>,
}

impl Writes {
    pub(super) fn new(peers: Arc<Peers>, pool: Weak<Shared>) -> Self {
        let lanes = Lanes::new(Arc::clone(&peers));
        Self { peers, lanes, owed: Arc::default(), pool }
    }

    /// The nodes of this node's ring, when they are not the ones that `ring` is the hash of.
    pub(super) fn unlike(&self, ring: u64) -> Vec<String> {
        let nodes = self.peers.urls();
        if wire::nodes_hash(&nodes) == ring { Vec::new() } else { nodes }
    }

    /// Peers have come onto the ring.
    pub(super) fn settle_soon(&self) {
        if self.peers.any_behind() && self.owed.settle(Instant::now()) {
            self.start();
        }
    }

    /// The pool ends, and its thread with it.
    pub(super) fn close(&self) {
        self.owed.close();
    }

    /// Tells `node` what it missed while it was not on the ring.
    pub(super) fn settle(&self, node: &str, deadline: Instant) -> Result<()> {
        let Some(shared) = self.pool.upgrade() else { return Err(Error::ShuttingDown) };
        let Some((missed, change)) = self.peers.missed(node) else { return Ok(()) };
        if self.peers.dialect().spec().writes.contains(&Write::Told) {
            let groups = shared.groups.view();
            let writes: Vec<(Group, What)> = match missed {
                Missed::TooMuch => groups.iter().map(|group| (group.clone(), What::All)).collect(),
                Missed::Writes(writes) => writes
                    .into_iter()
                    .filter_map(|(group, what)| Some((groups.find(&group).ok()?.clone(), what)))
                    .collect(),
            };
            for (group, what) in &writes {
                self.tell_missed(group, what, node, deadline)?;
            }
        }
        self.peers.settled(node, change);
        Ok(())
    }

    fn tell_missed(&self, group: &Group, what: &What, node: &str, deadline: Instant) -> Result<()> {
        let version = Version { time: group.epoch(), node: 0 };
        let chunks = match what {
            What::All => vec![What::All],
            What::Keys(keys) => {
                keys.chunks(KEYS_AT_ONCE).map(|keys| What::Keys(keys.to_vec())).collect()
            }
        };
        chunks.into_iter().try_for_each(|what| {
            let told = Told { version, step: Step::Missed(what) };
            let nodes = [node.to_owned()];
            let acks = self.lanes.tell(group.name(), &nodes, &nodes, &told, deadline);
            acks.into_iter().try_for_each(|ack| ack.map(drop))
        })
    }

    fn start(&self) {
        let (owed, pool) = (Arc::clone(&self.owed), self.pool.clone());
        let see_to = move || loop {
            match (owed.next(), pool.upgrade()) {
                (Task::End, _) | (_, None) => return,
                (task, Some(shared)) => shared.writes.see_to(&shared, task),
            }
        };
        if sync::spawn("larder writes".to_owned(), see_to).is_err() {
            self.owed.not_started();
        }
    }

    fn see_to(&self, shared: &Shared, task: Task) {
        match task {
            Task::Settle => {
                for node in self.peers.behind() {
                    if self.settle(&node, deadline_after(TRIAL)).is_err() {
                        self.owed.settle(deadline_after(TRIAL));
                    }
                }
            }
            Task::Repeat(name, debt) => {
                if let Ok(group) = shared.groups.view().find(&name).cloned() {
                    self.repeat_debt(&group, debt);
                }
            }
            Task::End => {}
        }
    }

    /// Repeats a write once one of the nodes that it is owed to answers again.
    fn repeat_debt(&self, group: &Group, mut debt: Debt) {
        debt.nodes = self.peers.still_there(&debt.nodes);
        if debt.nodes.is_empty() {
            return;
        }
        let (own, nodes) = (self.own(), debt.nodes.iter().cloned().collect::<Vec<_>>());
        let probe = Step::Missed(debt.probe());
        let told = Told { version: Version::default(), step: probe };
        let others: Vec<String> = nodes.iter().filter(|node| **node != own).cloned().collect();
        let is_own = others.len() < nodes.len();
        let acks = self.lanes.tell(group.name(), &others, &nodes, &told, deadline_after(TRIAL));
        if is_own || acks.iter().any(Result::is_ok) {
            debt.nodes = group.write_again(&debt.what(), group.get_timeout()).into_iter().collect();
        }
        if !debt.nodes.is_empty() {
            self.owed.add(group.name(), debt.put_off());
        }
    }
}

impl Cluster for Writes {
    fn own(&self) -> String {
        self.peers.own_url().to_owned()
    }

    fn others(&self) -> Vec<String> {
        let mut urls = self.peers.urls();
        urls.retain(|url| url != self.peers.own_url());
        urls
    }

    fn owner(&self, key: &str) -> Option<String> {
        Some(self.peers.owner(key)).filter(|owner| owner != self.peers.own_url())
    }

    fn tell(
        &self,
        group: &str,
        nodes: &[String],
        all: &[String],
        told: Told,
        deadline: Instant,
    ) -> Vec<Result<Ack>> {
        self.lanes.tell(group, nodes, all, &told, deadline)
    }

    fn note(&self, group: &str, what: &What) {
        self.peers.note(group, what);
    }

    fn repeat(&self, group: &str, what: What, nodes: Vec<String>) {
        let writes = self.peers.dialect().spec().writes;
        let ever = match what {
            What::All => writes.contains(&Write::Told),
            What::Keys(_) => !writes.is_empty(),
        };
        if ever && self.owed.add(group, Debt::new(what, nodes)) {
            self.start();
        }
    }
}
