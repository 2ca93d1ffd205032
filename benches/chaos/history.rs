//! What a get may return: the checker of every byte and of freshness.
//!
//! A writer gives the origin version n+1 of a key, and then removes or sets the key on some node.
//! Once that is confirmed, a get that begins later must not return an older version. Of a write
//! that is not confirmed, or is under way, both versions are right. No get may return what was
//! never written. Each key has one writer at a time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::value;

/// The versions of some keys; all other keys have version 1 for ever.
#[derive(Debug)]
pub(crate) struct History {
    keys: Vec<Versions>,
}

#[derive(Debug)]
struct Versions {
    /// The newest that the origin may have.
    written: AtomicU64,
    /// The newest whose write was confirmed.
    confirmed: AtomicU64,
}

/// A get that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    key: u64,
    /// The oldest version that it may return.
    oldest: u64,
}

/// What became of a get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// Right to the byte, and older than what was confirmed before the get began.
    Stale {
        got: u64,
        oldest: u64,
    },
    /// Never written: another key's, damaged, cut, or from the future.
    Wrong(String),
}

impl History {
    /// The first `keys` keys may be written.
    pub(crate) fn new(keys: u64) -> Self {
        let first = || Versions { written: AtomicU64::new(1), confirmed: AtomicU64::new(1) };
        Self { keys: (0..keys).map(|_| first()).collect() }
    }

    /// The version that a write of `key` brings: to be told before the origin has it.
    pub(crate) fn begin_write(&self, key: u64) -> u64 {
        self.keys[key as usize].written.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A write is confirmed by all nodes.
    pub(crate) fn confirm(&self, key: u64, version: u64) {
        self.keys[key as usize].confirmed.fetch_max(version, Ordering::SeqCst);
    }

    pub(crate) fn begin_get(&self, key: u64) -> Begun {
        let versions = self.keys.get(key as usize);
        let oldest = versions.map_or(1, |versions| versions.confirmed.load(Ordering::SeqCst));
        Begun { key, oldest }
    }

    pub(crate) fn end_get(&self, begun: Begun, bytes: &[u8]) -> Verdict {
        let Begun { key, oldest } = begun;
        let versions = self.keys.get(key as usize);
        let newest = versions.map_or(1, |versions| versions.written.load(Ordering::SeqCst));
        match value::version(&value::key(key), bytes) {
            None => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
                Verdict::Wrong(format!("{} bytes, beginning {start:?}", bytes.len()))
            }
            Some(got) if got > newest => {
                Verdict::Wrong(format!("version {got}, when {newest} was the newest"))
            }
            Some(got) if got < oldest => Verdict::Stale { got, oldest },
            Some(_) => Verdict::Right,
        }
    }
}
