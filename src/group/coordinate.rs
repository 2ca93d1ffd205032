//! Writes, as their coordinator carries them out: the two rounds of `fresh`, over all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cluster, Group};
use crate::byte_view::ByteView;
use crate::clock::deadline_after;
use crate::error::{Error, Result, Unconfirmed};
use crate::fresh::{Ack, Step, Told, Version, What, wall_millis};
use crate::getter::Loaded;

/// A write that every node has confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The nodes, this one among them; empty for a group that stands alone.
    pub nodes: Vec<String>,
}

/// A write takes no longer, whatever its deadline: less than a tombstone stands.
const LONGEST: Duration = Duration::from_secs(30);
/// Nodes may turn up that others have on their rings; then all rounds are gone through again.
const ATTEMPTS: usize = 4;
/// What one message of a write may hold.
const KEYS_AT_ONCE: usize = 4 << 10;
const KEY_BYTES_AT_ONCE: usize = 1 << 20;

impl Group {
    /// Sets `key` to a value, on every node: whoever gets it afterwards, anywhere, gets this value
    /// or what the origin has by then, and nothing older.
    ///
    /// For a program that has *written the origin first*: the value saves the next load. It is put
    /// where it will be looked for, into the cache of the key's owner; when it is evicted there,
    /// or too large for it, the origin is asked. So it is when two writes of one key overlap: only
    /// the origin knows which value is the newer one, and all nodes get that.
    ///
    /// ```
    /// # let scores = larder::Group::new("scores", 1 << 20, |_: &str| Ok("589"))?;
    /// use std::time::Duration;
    ///
    /// scores.set("Tom", "630", Some(Duration::from_secs(60)))?;
    /// assert_eq!(scores.get("Tom")?, "630");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`] and [`Error::ValueTooLarge`]; nothing has changed then. Else as
    /// [`remove`](Self::remove).
    pub fn set(
        &self,
        key: &str,
        value: impl Into<ByteView>,
        ttl: Option<Duration>,
    ) -> Result<Written> {
        self.set_within(key, value, ttl, self.get_timeout())
    }

    /// As [`set`](Self::set), waiting `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_within(
        &self,
        key: &str,
        value: impl Into<ByteView>,
        ttl: Option<Duration>,
        timeout: Duration,
    ) -> Result<Written> {
        let loaded = Loaded { ttl, ..Loaded::new(value) };
        self.check_key(key)?;
        self.check_value(key, &loaded)?;
        self.write(What::Keys(vec![key.to_owned()]), Some(loaded), timeout)
    }

    /// Removes `key` on every node: whoever gets it after this has returned, anywhere, gets
    /// nothing that was loaded before it was called.
    ///
    /// Call it when the origin has changed. Loads that are under way reach those who wait for
    /// them, and are not kept.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfirmed`] when a node could not be reached, or has no means to be told
    /// ([`Dialect::Groupcache`](crate::Dialect::Groupcache),
    /// [`Dialect::Geecache`](crate::Dialect::Geecache)): it is written everywhere else. Nodes that
    /// could not be reached are tried again in the background, and the write is repeated, as a
    /// removal, when they answer. [`Error::Io`] for a group that stands alone and whose snapshot
    /// cannot be told.
    pub fn remove(&self, key: &str) -> Result<Written> {
        self.remove_within(key, self.get_timeout())
    }

    /// As [`remove`](Self::remove), waiting `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_within(&self, key: &str, timeout: Duration) -> Result<Written> {
        self.remove_many_within([key], timeout)
    }

    /// Removes many keys, in one call to each node and round for thousands of them.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove); all keys have been tried.
    pub fn remove_many<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Written> {
        self.remove_many_within(keys, self.get_timeout())
    }

    /// As [`remove_many`](Self::remove_many), waiting `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`remove_many`](Self::remove_many).
    pub fn remove_many_within<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Duration,
    ) -> Result<Written> {
        let deadline = deadline_after(timeout);
        let mut written = Ok(Written::default());
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for key in keys {
            let key = key.as_ref();
            self.check_key(key)?;
            bytes += key.len();
            chunk.push(key.to_owned());
            if chunk.len() == KEYS_AT_ONCE || bytes >= KEY_BYTES_AT_ONCE {
                let keys = What::Keys(std::mem::take(&mut chunk));
                bytes = 0;
                written = both(written, self.write(keys, None, left(deadline)));
            }
        }
        if chunk.is_empty() {
            return written;
        }
        both(written, self.write(What::Keys(chunk), None, left(deadline)))
    }

    /// Removes every key of the group, on every node.
    ///
    /// It begins a new epoch: what a node that was cut off says of an older one is not taken, and
    /// it empties its caches when it hears of the new one.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove). Nodes of the Go libraries cannot be told.
    pub fn purge(&self) -> Result<Written> {
        self.purge_within(self.get_timeout())
    }

    /// As [`purge`](Self::purge), waiting `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`purge`](Self::purge).
    pub fn purge_within(&self, timeout: Duration) -> Result<Written> {
        self.write(What::All, None, timeout)
    }

    /// One write, whole.
    fn write(&self, what: What, put: Option<Loaded>, timeout: Duration) -> Result<Written> {
        self.inner.counters.writes.add_one();
        let Some(cluster) = self.inner.cluster.get() else {
            return self.write_alone(&what, put);
        };
        let (nodes, failed) = self.write_everywhere(cluster, &what, put.as_ref(), timeout);
        if failed.is_empty() {
            return Ok(Written { nodes });
        }
        self.inner.counters.writes_unconfirmed.add_one();
        cluster.repeat(self.name(), what, failed.keys().cloned().collect());
        let confirmed = nodes.into_iter().filter(|node| !failed.contains_key(node)).collect();
        let unconfirmed = failed.into_iter().map(|(node, why)| Unconfirmed::new(node, why));
        let (group, unconfirmed) = (self.name().to_owned(), unconfirmed.collect());
        Err(Error::NotConfirmed { group, confirmed, unconfirmed })
    }

    /// Repeats a write that was not confirmed, as a removal: the nodes that still have not done
    /// what they were told.
    pub(crate) fn write_again(&self, what: &What, timeout: Duration) -> Vec<String> {
        let Some(cluster) = self.inner.cluster.get() else { return Vec::new() };
        let (_, failed) = self.write_everywhere(cluster, what, None, timeout);
        if failed.is_empty() {
            self.inner.counters.writes_repeated.add_one();
        }
        failed.into_keys().collect()
    }

    /// All nodes that were told, and why some of them have not done it.
    fn write_everywhere(
        &self,
        cluster: &Arc<dyn Cluster>,
        what: &What,
        put: Option<&Loaded>,
        timeout: Duration,
    ) -> (Vec<String>, BTreeMap<String, String>) {
        let version = self.inner.stones.lock().begin(wall_millis());
        let deadline = deadline_after(timeout.min(LONGEST));
        let (nodes, failed) = (Vec::new(), BTreeMap::new());
        let mut write = Write { group: self, cluster, version, deadline, nodes, failed };
        write.run(what, put);
        (write.nodes, write.failed)
    }

    fn write_alone(&self, what: &What, put: Option<Loaded>) -> Result<Written> {
        match (what, put) {
            (What::Keys(keys), Some(loaded)) => {
                keys.iter().try_for_each(|key| self.set_local(key, loaded.clone()))?;
            }
            (What::Keys(keys), None) => {
                keys.iter().map(|key| self.remove_local(key)).fold(Ok(()), Result::and)?;
            }
            (What::All, _) => self.clear()?,
        }
        if self.inner.peers.get().is_some() {
            // A picker of the program's own: nobody knows how its peers are told.
            let (group, confirmed) = (self.name().to_owned(), Vec::new());
            let reason = "the group's PeerPicker is not a pool: tell them yourself";
            let unconfirmed = vec![Unconfirmed::new("its peers", reason)];
            return Err(Error::NotConfirmed { group, confirmed, unconfirmed });
        }
        Ok(Written::default())
    }
}

/// A write under way.
struct Write<'a> {
    group: &'a Group,
    cluster: &'a Arc<dyn Cluster>,
    version: Version,
    deadline: Instant,
    /// All that are told, this node first.
    nodes: Vec<String>,
    /// Those that have not done what they were told, and why.
    failed: BTreeMap<String, String>,
}

impl Write<'_> {
    fn run(&mut self, what: &What, put: Option<&Loaded>) {
        self.nodes = vec![self.cluster.own()];
        self.nodes.extend(self.cluster.others());
        for attempt in 0..ATTEMPTS {
            // Rings may differ: also the nodes are told that only others may ask.
            let mut from = 0;
            while from < self.nodes.len() {
                let nodes = self.nodes[from..].to_vec();
                from = self.nodes.len();
                let found = self.tell(&nodes, &Step::Drop(what.clone()));
                self.nodes.extend(found);
            }
            // Once only: another write may have come and gone between two attempts.
            if let (Some(loaded), What::Keys(keys), 0) = (put, what, attempt) {
                keys.iter().for_each(|key| self.put(key, loaded));
            }
            let nodes = self.nodes.clone();
            let found = self.tell(&nodes, &Step::Lift(what.clone()));
            if found.is_empty() {
                return;
            }
            // One came onto a ring between the rounds, and others may have asked it.
            self.nodes.extend(found);
        }
        for node in &self.nodes {
            self.failed.entry(node.clone()).or_insert_with(|| "the rings keep changing".to_owned());
        }
    }

    /// Tells nodes a step; those of other nodes' rings that have not been told of the write.
    fn tell(&mut self, nodes: &[String], step: &Step) -> Vec<String> {
        let own = self.cluster.own();
        let (here, there): (Vec<_>, Vec<_>) = nodes
            .iter()
            .filter(|node| !self.failed.contains_key(*node))
            .cloned()
            .partition(|node| *node == own);
        let told = Told { version: self.version, step: step.clone() };
        let mut found = Vec::new();
        for node in here {
            match self.group.hear(&told) {
                Ok(_) => found.extend(self.cluster.others()),
                Err(error) => drop(self.failed.insert(node, error.to_string())),
            }
        }
        if !there.is_empty() {
            let acks =
                self.cluster.tell(self.group.name(), &there, &self.nodes, told, self.deadline);
            for (node, ack) in there.into_iter().zip(acks) {
                match ack {
                    Ok(Ack { known, nodes }) => {
                        self.group.inner.stones.lock().see(known);
                        found.extend(nodes);
                    }
                    Err(error) => drop(self.failed.insert(node, reason(&error))),
                }
            }
        }
        found.retain(|node| !self.nodes.contains(node));
        found.sort();
        found.dedup();
        found
    }

    /// It saves a load and no more: a value that does not arrive is loaded when it is asked for.
    ///
    /// Whether another write came meanwhile is asked here and at the owner. One that began later,
    /// and was over at the owner before this one came there, has been here since this one began.
    fn put(&mut self, key: &str, loaded: &Loaded) {
        if !self.group.admits(key, self.version) {
            return;
        }
        let step = Step::Put { key: key.to_owned(), loaded: loaded.clone() };
        let told = Told { version: self.version, step };
        match self.cluster.owner(key) {
            None => drop(self.group.hear(&told)),
            Some(owner) if self.failed.contains_key(&owner) => {}
            Some(owner) => {
                let name = self.group.name();
                self.cluster.tell(name, &[owner], &self.nodes, told, self.deadline);
            }
        }
    }
}

/// The node's name stands beside it.
fn reason(error: &Error) -> String {
    match error {
        Error::Peer { message, .. } => message.clone(),
        error => error.to_string(),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// What became of two parts of a write.
fn both(one: Result<Written>, other: Result<Written>) -> Result<Written> {
    match (one, other) {
        (Ok(one), Ok(other)) if one.nodes.is_empty() => Ok(other),
        (Ok(one), Ok(_)) => Ok(one),
        (
            Err(Error::NotConfirmed { group, mut confirmed, mut unconfirmed }),
            Err(Error::NotConfirmed { unconfirmed: more, .. }),
        ) => {
            for node in more {
                confirmed.retain(|confirmed| *confirmed != node.node);
                if !unconfirmed.iter().any(|known| known.node == node.node) {
                    unconfirmed.push(node);
                }
            }
            Err(Error::NotConfirmed { group, confirmed, unconfirmed })
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}
