//! What peers have missed that were not on the ring: each node keeps a log of the writes that it
//! took part in, and before it asks a peer that has come (back) onto its ring, it tells it those
//! since the peer left.
//!
//! ```text
//!   a write's round 2 here:   note it, then look which nodes are on the ring, and answer those
//!   the ring changes here:    note where the log ends, change the ring, then settle by the log
//! ```
//!
//! So a write either finds the new peer on the ring, and is told to it, or is in the log that the
//! peer is told.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::fresh::What;

/// Keys that are remembered, and their bytes; who has missed more is told to drop everything.
const LOG_KEYS: usize = 16 << 10;
const LOG_BYTES: usize = 2 << 20;
/// Peers that are remembered after they have left.
const MOST_GONE: usize = 1_024;

/// The writes that this node took part in, the newest last.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Groups and keys; without a key, all of them.
    entries: VecDeque<(String, Option<String>)>,
    /// The bytes of all keys.
    bytes: usize,
    /// How many entries there were before the first one.
    forgotten: u64,
    /// Where the log ended when a peer left the ring.
    left: HashMap<String, u64>,
    /// Peers on the ring that have not been told yet what they missed: all since this place.
    behind: BTreeMap<String, u64>,
    /// Counts the changes of the ring.
    changes: u64,
}

/// What a peer has missed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missed {
    Writes(BTreeMap<String, What>),
    /// More than is remembered.
    TooMuch,
}

impl Log {
    pub(super) fn note(&mut self, group: &str, what: &What) {
        match what {
            What::All => self.entries.push_back((group.to_owned(), None)),
            What::Keys(keys) => {
                let entry = |key: &String| (group.to_owned(), Some(key.clone()));
                self.entries.extend(keys.iter().map(entry));
                self.bytes += keys.iter().map(String::len).sum::<usize>();
            }
        }
        while self.entries.len() > LOG_KEYS || self.bytes > LOG_BYTES {
            let Some((_, key)) = self.entries.pop_front() else { break };
            self.bytes -= key.map_or(0, |key| key.len());
            self.forgotten += 1;
        }
    }

    fn end(&self) -> u64 {
        self.forgotten + self.entries.len() as u64
    }

    /// The ring changes, with this lock held, from `old` to `new`.
    pub(super) fn change(&mut self, old: &[String], new: &[String]) {
        self.changes += 1;
        let end = self.end();
        for gone in old.iter().filter(|node| !new.contains(node)) {
            let since = self.behind.remove(gone).unwrap_or(end);
            self.left.entry(gone.clone()).or_insert(since);
        }
        if self.left.len() > MOST_GONE {
            self.left.clear();
        }
        for come in new.iter().filter(|node| !old.contains(node)) {
            // One that was never here, or is forgotten, has missed everything.
            let since = self.left.remove(come).unwrap_or(0);
            if since < end {
                self.behind.insert(come.clone(), since);
            }
        }
    }

    /// This peer leaves, or has left, with a write that it has not confirmed.
    pub(super) fn owes(&mut self, node: &str) {
        self.left.insert(node.to_owned(), 0);
    }

    pub(super) fn behind(&self) -> Vec<String> {
        self.behind.keys().cloned().collect()
    }

    pub(super) fn is_behind(&self, node: &str) -> bool {
        self.behind.contains_key(node)
    }

    /// What this peer has to be told before it is asked for anything, and the number of the
    /// change of the ring since which that is so.
    pub(super) fn missed(&self, node: &str) -> Option<(Missed, u64)> {
        let since = *self.behind.get(node)?;
        let Some(skip) = since.checked_sub(self.forgotten) else {
            return Some((Missed::TooMuch, self.changes));
        };
        let mut keys: BTreeMap<&str, Option<BTreeSet<&String>>> = BTreeMap::new();
        for (group, key) in self.entries.iter().skip(skip as usize) {
            let keys = keys.entry(group).or_insert_with(|| Some(BTreeSet::new()));
            match key {
                None => *keys = None,
                Some(key) => drop(keys.as_mut().map(|keys| keys.insert(key))),
            }
        }
        let what = |keys: Option<BTreeSet<&String>>| match keys {
            None => What::All,
            Some(keys) => What::Keys(keys.into_iter().cloned().collect()),
        };
        let writes = keys.into_iter().map(|(group, keys)| (group.to_owned(), what(keys)));
        Some((Missed::Writes(writes.collect()), self.changes))
    }

    /// The peer has been told; what it has missed since then is another matter.
    pub(super) fn settled(&mut self, node: &str, change: u64) {
        if self.changes == change {
            self.behind.remove(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &str) -> Vec<String> {
        names.split(' ').map(str::to_owned).collect()
    }

    fn keys(keys: &[&str]) -> What {
        What::Keys(keys.iter().map(|&key| key.to_owned()).collect())
    }

    fn missed(log: &Log, node: &str) -> Option<Missed> {
        log.missed(node).map(|(missed, _)| missed)
    }

    fn settled(log: &mut Log, node: &str) {
        let (_, change) = log.missed(node).unwrap();
        log.settled(node, change);
    }

    fn writes(writes: &[(&str, What)]) -> Option<Missed> {
        let writes = writes.iter().map(|(group, what)| ((*group).to_owned(), what.clone()));
        Some(Missed::Writes(writes.collect()))
    }

    #[test]
    fn a_peer_that_comes_back_has_missed_what_was_written_meanwhile() {
        let mut log = Log::default();
        log.change(&nodes("a"), &nodes("a b c"));
        assert!(log.behind().is_empty(), "nothing has been written yet");
        log.note("g", &keys(&["1", "2"]));
        log.change(&nodes("a b c"), &nodes("a c"));
        log.note("g", &keys(&["3", "2", "3"]));
        log.note("h", &keys(&["x"]));
        log.note("h", &What::All);
        log.note("h", &keys(&["y"]));
        log.change(&nodes("a c"), &nodes("a b c"));
        assert_eq!(log.behind(), nodes("b"));
        assert_eq!(missed(&log, "b"), writes(&[("g", keys(&["2", "3"])), ("h", What::All)]));
        settled(&mut log, "b");
        assert_eq!(missed(&log, "b"), None);
    }

    #[test]
    fn a_peer_that_leaves_again_unsettled_or_owing_has_missed_it_all_the_same() {
        let mut log = Log::default();
        log.note("g", &keys(&["1"]));
        log.change(&nodes("a"), &nodes("a b"));
        log.change(&nodes("a b"), &nodes("a"));
        log.note("g", &keys(&["2"]));
        log.change(&nodes("a"), &nodes("a b"));
        assert_eq!(missed(&log, "b"), writes(&[("g", keys(&["1", "2"]))]));
        let (_, before) = log.missed("b").unwrap();
        log.change(&nodes("a b"), &nodes("a b c"));
        log.settled("b", before);
        assert!(missed(&log, "b").is_some(), "the ring has changed meanwhile");
        settled(&mut log, "b");
        log.change(&nodes("a b"), &nodes("a"));
        log.owes("b");
        log.change(&nodes("a"), &nodes("a b"));
        assert_eq!(missed(&log, "b"), writes(&[("g", keys(&["1", "2"]))]));
    }

    #[test]
    fn who_has_missed_more_than_is_remembered_drops_everything() {
        let mut log = Log::default();
        log.note("g", &keys(&["0"]));
        log.change(&nodes("a b"), &nodes("a"));
        let many: Vec<String> = (0..LOG_KEYS).map(|i| i.to_string()).collect();
        log.note("g", &What::Keys(many));
        log.change(&nodes("a"), &nodes("a b c"));
        assert!(matches!(missed(&log, "b"), Some(Missed::Writes(_))), "the log holds it just yet");
        assert_eq!(missed(&log, "c"), Some(Missed::TooMuch), "it was never here");
        log.note("g", &keys(&["1"]));
        assert_eq!(missed(&log, "b"), Some(Missed::TooMuch));
        let before = log.entries.len();
        log.note("g", &keys(&[&"long".repeat(LOG_BYTES / 4)]));
        assert!(log.entries.len() < before && log.bytes <= LOG_BYTES, "{} bytes", log.bytes);
    }
}
