//! Writes that not every node has confirmed: they are repeated in the background, whole, when a
//! node that was not reached answers again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::fresh::What;
use crate::sync::{Condvar, Mutex};

/// Keys of a group that are remembered; with more, the whole group is written.
const MOST_KEYS: usize = 4 << 10;
/// How long until a node is tried again: twice as long each time, from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What is owed, by group.
#[derive(Debug, Default)]
pub(super) struct Owed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, Debt>,
    /// When to look for peers that are behind.
    settle: Option<Instant>,
    closed: bool,
    /// A thread sees to it.
    running: bool,
}

/// What is owed to some nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Debt {
    /// None is all keys.
    keys: Option<BTreeSet<String>>,
    pub(super) nodes: BTreeSet<String>,
    pause: Duration,
    due: Instant,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Repeat(String, Debt),
    Settle,
    /// The pool is gone.
    End,
}

impl Debt {
    pub(super) fn new(what: What, nodes: Vec<String>) -> Self {
        let keys = match what {
            What::All => None,
            What::Keys(keys) => Some(keys.into_iter().collect()),
        };
        let nodes = nodes.into_iter().collect();
        Self { keys, nodes, pause: FIRST_PAUSE, due: Instant::now() + FIRST_PAUSE }
    }

    pub(super) fn what(&self) -> What {
        self.keys.as_ref().map_or(What::All, |keys| What::Keys(keys.iter().cloned().collect()))
    }

    /// Something that shows whether a node answers again, and does no harm.
    pub(super) fn probe(&self) -> What {
        What::Keys(self.keys.iter().flatten().take(1).cloned().collect())
    }

    /// It is tried again later, and then later still.
    pub(super) fn put_off(mut self) -> Self {
        // Nodes that miss the same peer do not all come at once when it is back.
        let jitter = self.pause.mul_f64(fastrand::f64() / 2.0);
        self.due = Instant::now() + self.pause + jitter;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        self
    }

    fn join(&mut self, other: Self) {
        self.nodes.extend(other.nodes);
        self.pause = self.pause.max(other.pause);
        self.due = self.due.max(other.due);
        self.keys = match (self.keys.take(), other.keys) {
            (Some(mut keys), Some(more)) => {
                keys.extend(more);
                (keys.len() <= MOST_KEYS).then_some(keys)
            }
            _ => None,
        };
    }
}

impl Owed {
    /// Whether a thread has to be started for it.
    pub(super) fn add(&self, group: &str, debt: Debt) -> bool {
        self.change(|state| match state.groups.get_mut(group) {
            Some(known) => known.join(debt),
            None => drop(state.groups.insert(group.to_owned(), debt)),
        })
    }

    /// Whether a thread has to be started for it.
    pub(super) fn settle(&self, when: Instant) -> bool {
        self.change(|state| state.settle = Some(state.settle.map_or(when, |due| due.min(when))))
    }

    /// The thread could not be started: the next one to owe something tries again.
    pub(super) fn not_started(&self) {
        self.state.lock().running = false;
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> bool {
        let mut state = self.state.lock();
        change(&mut state);
        let start = !state.running && !state.closed;
        state.running = true;
        drop(state);
        self.changed.notify_all();
        start
    }

    /// Waits for something to do.
    pub(super) fn next(&self) -> Task {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Task::End;
            }
            let now = Instant::now();
            if state.settle.is_some_and(|due| due <= now) {
                state.settle = None;
                return Task::Settle;
            }
            let next = state.groups.iter().min_by_key(|(_, debt)| debt.due);
            let next = next.map(|(group, debt)| (debt.due, group.clone()));
            if let Some((due, group)) = &next
                && *due <= now
                && let Some(debt) = state.groups.remove(group)
            {
                return Task::Repeat(group.clone(), debt);
            }
            let due = next.map(|(due, _)| due).into_iter().chain(state.settle).min();
            // A whole hour: whatever is to be done sooner wakes it.
            let due = due.unwrap_or_else(|| now + Duration::from_secs(3_600));
            self.changed.wait_until(&mut state, due);
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn debt(keys: impl IntoIterator<Item = String>, node: &str) -> Debt {
        Debt::new(What::Keys(keys.into_iter().collect()), vec![node.to_owned()])
    }

    #[test]
    fn what_is_owed_of_a_group_is_joined_and_becomes_the_group_when_it_is_much() {
        let owed = Owed::default();
        assert!(owed.add("g", debt(["a".to_owned()], "x")));
        assert!(!owed.add("g", debt(["b".to_owned()], "y")), "the thread runs already");
        let Task::Repeat(group, both) = owed.next() else { panic!("it is due") };
        assert_eq!((group.as_str(), both.what()), ("g", What::Keys(vec!["a".into(), "b".into()])));
        assert_eq!(both.nodes, ["x".to_owned(), "y".to_owned()].into());
        owed.add("g", both.put_off());
        owed.add("g", debt((0..=MOST_KEYS).map(|i| i.to_string()), "x"));
        let Task::Repeat(_, many) = owed.next() else { panic!("it is due") };
        assert_eq!((many.what(), many.probe()), (What::All, What::Keys(Vec::new())));
        owed.settle(Instant::now());
        assert_eq!(owed.next(), Task::Settle);
        owed.close();
        assert_eq!(owed.next(), Task::End);
    }
}
