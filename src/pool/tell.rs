//! Telling peers of a write: a few threads for each peer, so that one that hangs holds up nobody
//! else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::peers::Peers;
use crate::client::HttpPeer;
use crate::clock::deadline_after;
use crate::error::{Error, Result};
use crate::fresh::{Ack, Step, Told, What};
use crate::loaders::Loaders;
use crate::serve::Method;
use crate::sync::Mutex;
use crate::sync::channel;
use crate::wire::{self, Write};

/// Calls to one peer at once; further ones wait.
const CALLS_AT_ONCE: usize = 4;
/// Calls that may wait for one peer; further ones have failed.
const CALLS_WAITING: usize = 1_024;
/// Peers that have left the ring are forgotten when there are so many.
const MOST_GONE: usize = 64;
/// How much later than its deadline a call's end may be heard of.
const GRACE: Duration = Duration::from_millis(100);

/// The threads that tell peers.
pub(super) struct Lanes {
    peers: Arc<Peers>,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

struct Lane {
    peer: Arc<HttpPeer>,
    threads: Loaders,
}

/// What a peer is asked to do: in the native dialect one call, in others one for each key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    method: Method,
    path: String,
    body: Arc<[u8]>,
}

impl Lanes {
    pub(super) fn new(peers: Arc<Peers>) -> Self {
        Self { peers, lanes: Mutex::default() }
    }

    pub(super) fn tell(
        &self,
        group: &str,
        nodes: &[String],
        all: &[String],
        told: &Told,
        deadline: Instant,
    ) -> Vec<Result<Ack>> {
        // Also when its threads are all busy, a peer that hangs holds a write up for one call.
        let deadline = deadline.min(deadline_after(self.peers.call()));
        let late = |node: &String| {
            Err(Error::Peer { peer: node.clone(), message: "has not answered in time".to_owned() })
        };
        let mut answers: Vec<Result<Ack>> = nodes.iter().map(late).collect();
        let sealed = self
            .takes(Write::Told)
            .then(|| wire::encode_told(group, told, wire::nodes_hash(all)).into());
        let (send, receive) = channel::bounded(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            let send = send.clone();
            let answer = move |answer| drop(send.send((at, answer)));
            let submitted = self.calls(group, node, told, sealed.clone()).and_then(|calls| {
                self.lane(node)?.submit(group.to_owned(), calls, deadline, answer)
            });
            if let Err(error) = submitted {
                answers[at] = Err(error);
            }
        }
        drop(send);
        while let Ok((at, answer)) = receive.recv_deadline(deadline + GRACE) {
            answers[at] = answer;
        }
        answers
    }

    fn takes(&self, write: Write) -> bool {
        self.peers.dialect().spec().writes.contains(&write)
    }

    fn lane(&self, node: &str) -> Result<Arc<Lane>> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(node) {
            return Ok(Arc::clone(lane));
        }
        let on_ring = self.peers.urls();
        if lanes.len() >= on_ring.len() + MOST_GONE {
            lanes.retain(|node, _| on_ring.contains(node));
        }
        let threads = Loaders::new(format!("writes to {node}"), CALLS_AT_ONCE, CALLS_WAITING);
        let lane = Arc::new(Lane { peer: self.peers.client(node)?, threads });
        lanes.insert(node.to_owned(), Arc::clone(&lane));
        Ok(lane)
    }

    /// The calls that carry a step out at `node`.
    fn calls(
        &self,
        group: &str,
        node: &str,
        told: &Told,
        sealed: Option<Arc<[u8]>>,
    ) -> Result<Vec<Call>> {
        let escaped = wire::escape(group);
        if let Some(body) = sealed {
            return Ok(vec![Call { method: Method::Post, path: format!("{escaped}/"), body }]);
        }
        let cannot = |what: &str| {
            let dialect = self.peers.dialect();
            let message = format!("{what} in the dialect {dialect}");
            Err(Error::Peer { peer: node.to_owned(), message })
        };
        if !self.takes(Write::Delete) {
            return cannot("it cannot be told of writes");
        }
        let keys = match &told.step {
            Step::Put { key, loaded } => {
                let body = wire::write_set(group, key, loaded).into();
                let path = format!("{escaped}/{}", wire::escape(key));
                return Ok(vec![Call { method: Method::Put, path, body }]);
            }
            Step::Drop(What::Keys(keys)) | Step::Missed(What::Keys(keys)) => keys.clone(),
            // The owner has been told, and may have a new value by now.
            Step::Lift(What::Keys(keys)) => {
                keys.iter().filter(|key| self.peers.owner(key) != node).cloned().collect()
            }
            Step::Drop(What::All) | Step::Lift(What::All) | Step::Missed(What::All) => {
                return cannot("it cannot be told to remove all keys");
            }
        };
        if keys.len() > 1 && self.takes(Write::RemoveKeys) {
            let body = wire::write_remove_keys(group, &keys).into();
            let path = format!("{escaped}/_remove-keys/");
            return Ok(vec![Call { method: Method::Post, path, body }]);
        }
        let delete = |key: &String| {
            let path = format!("{escaped}/{}", wire::escape(key));
            Call { method: Method::Delete, path, body: Arc::default() }
        };
        Ok(keys.iter().map(delete).collect())
    }
}

impl Lane {
    /// Carries the calls out on a thread, one after the other, and answers.
    fn submit(
        &self,
        group: String,
        calls: Vec<Call>,
        deadline: Instant,
        answer: impl FnOnce(Result<Ack>) + Send + 'static,
    ) -> Result<()> {
        let peer = Arc::clone(&self.peer);
        self.threads.submit(Box::new(move || answer(carry_out(&peer, &group, calls, deadline))))
    }
}

fn carry_out(peer: &HttpPeer, group: &str, calls: Vec<Call>, deadline: Instant) -> Result<Ack> {
    let failed = |message| Error::Peer { peer: peer.url().to_owned(), message };
    let mut ack = Ack::default();
    for Call { method, path, body } in calls {
        if Instant::now() >= deadline {
            return Err(failed("there was no time left to tell it".to_owned()));
        }
        // A node without the group has nothing of it.
        let Some(answer) = peer.write(method, &path, &body, deadline)? else { continue };
        if peer.is_told() {
            ack = wire::decode_ack(group, &answer).map_err(failed)?;
        }
    }
    Ok(ack)
}
