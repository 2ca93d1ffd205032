//! Answers without a value that are remembered for a while: "no such key" above all.
//!
//! They are not in the store: a crawl of keys that do not exist would push out values that do.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Tick;
use crate::error::Error;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// They take this share of a group's budget at most, beside it, and never more than so many
/// bytes.
const BUDGET_SHARE: usize = 64;
const MOST_BYTES: usize = 1 << 20;

/// What one takes beside its key and its text: places in two maps, and the allocations.
const OVERHEAD_BYTES: usize = 256;

/// The answers of a group, oldest out first.
#[derive(Debug, Default)]
pub(super) struct Negatives {
    /// How many there are, so that a group without any takes no lock.
    len: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<Box<[u8]>, Negative>,
    /// Keys by the number of their answer.
    order: BTreeMap<u64, Box<[u8]>>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Negative {
    number: u64,
    error: Error,
    until: Tick,
    bytes: usize,
}

impl Negatives {
    /// What is known of `key`.
    pub(super) fn get(&self, key: &[u8], now: impl FnOnce() -> Tick) -> Option<Error> {
        if self.len.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let state = self.state.lock();
        let negative = state.answers.get(key)?;
        (negative.until > now()).then(|| negative.error.clone())
    }

    /// Remembers `error` as the answer to `key`, if a group of this budget has room for it.
    pub(super) fn add(&self, key: &[u8], error: Error, until: Tick, budget: usize) {
        let limit = (budget / BUDGET_SHARE).min(MOST_BYTES);
        let bytes = 2 * key.len() + text_bytes(&error) + OVERHEAD_BYTES;
        let mut state = self.state.lock();
        state.remove(key);
        while state.bytes + bytes > limit && state.remove_oldest() {}
        if bytes <= limit {
            let number = state.next;
            state.next += 1;
            state.bytes += bytes;
            state.order.insert(number, key.into());
            state.answers.insert(key.into(), Negative { number, error, until, bytes });
        }
        self.len.store(state.answers.len(), Ordering::SeqCst);
    }

    pub(super) fn remove(&self, key: &[u8]) {
        if self.len.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.remove(key);
        self.len.store(state.answers.len(), Ordering::SeqCst);
    }

    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        *state = State { next: state.next, ..State::default() };
        self.len.store(0, Ordering::SeqCst);
    }
}

impl State {
    fn remove(&mut self, key: &[u8]) {
        if let Some(gone) = self.answers.remove(key) {
            self.order.remove(&gone.number);
            self.bytes -= gone.bytes;
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_first() else { return false };
        self.remove(&key);
        true
    }
}

/// What an error's texts take.
fn text_bytes(error: &Error) -> usize {
    match error {
        Error::Getter { group, key, message } | Error::GetterPanicked { group, key, message } => {
            group.len() + key.len() + message.len()
        }
        Error::NotFound { group, key } | Error::ValueTooLarge { group, key, .. } => {
            group.len() + key.len()
        }
        other => other.to_string().len(),
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    fn error(key: &str) -> Error {
        Error::NotFound { group: "g".to_owned(), key: key.to_owned() }
    }

    #[test]
    fn an_answer_is_known_until_its_time_is_over_or_it_is_removed() {
        let (clock, millis) = Clock::manual();
        let negatives = Negatives::default();
        let get = |key: &str| negatives.get(key.as_bytes(), || clock.now());
        for key in ["a", "b", "c"] {
            let until = clock.after(Duration::from_secs(1));
            negatives.add(key.as_bytes(), error(key), until, 1 << 20);
        }
        negatives.remove(b"b");
        millis.store(999, Ordering::SeqCst);
        assert_eq!(["a", "b", "c"].map(get), [Some(error("a")), None, Some(error("c"))]);
        millis.store(1_000, Ordering::SeqCst);
        assert_eq!(get("a"), None);
        millis.store(0, Ordering::SeqCst);
        negatives.clear();
        assert_eq!(get("c"), None);
    }

    #[test]
    fn the_oldest_make_room_and_their_bytes_are_given_back() {
        let (clock, _) = Clock::manual();
        let (negatives, until) = (Negatives::default(), clock.after(Duration::from_secs(1)));
        let budget = 64 * 10 * (OVERHEAD_BYTES + 20);
        for n in 0..1_000 {
            let key = format!("key {}", n % 300);
            negatives.add(key.as_bytes(), error(&key), until, budget);
            let state = negatives.state.lock();
            assert!(state.bytes <= budget / BUDGET_SHARE);
            assert_eq!(state.answers.len(), state.order.len());
            let bytes: usize = state.answers.values().map(|negative| negative.bytes).sum();
            assert_eq!(state.bytes, bytes);
        }
        assert!(negatives.get(b"key 99", || clock.now()).is_some());
        assert!(negatives.get(b"key 80", || clock.now()).is_none());
        negatives.add(b"big", error(&"k".repeat(1 << 20)), until, usize::MAX);
        assert!(negatives.get(b"big", || clock.now()).is_none(), "larger than there is room");
        negatives.add(b"k", error("k"), until, 0);
        assert!(negatives.get(b"k", || clock.now()).is_none(), "a group that caches nothing");
    }
}
