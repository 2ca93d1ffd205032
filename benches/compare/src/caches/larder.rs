//! larder's group, and its store alone.

use larder::testing::BareStore;
use larder::{ByteView, Eviction, GetterThread, Group, GroupOptions};

use super::peers::Peer;
use super::{Cache, touch};
use crate::entries::{Lengths, key, make};
use crate::support;

/// A group whose bytes are those of so many entries. Its getter is called on the caller's thread,
/// as those of the other caches are.
pub(super) fn group(capacity: usize, lengths: Lengths, filled: usize, eviction: Eviction) -> Group {
    let getter = move |key: &str| Ok(make(key, lengths.value));
    let options = GroupOptions::new(bytes_for(capacity, lengths, eviction))
        .eviction(eviction)
        .getter_thread(GetterThread::Caller);
    let group = options.build("compared", getter).expect("a group");
    support::fill(&group, (0..filled).map(move |number| key(number, lengths.key)));
    group
}

/// A store whose bytes are those of so many entries.
pub(super) fn store(capacity: usize, lengths: Lengths, eviction: Eviction) -> BareStore {
    BareStore::new(bytes_for(capacity, lengths, eviction), eviction)
}

/// What so many entries take, their share of the tables included.
fn bytes_for(capacity: usize, lengths: Lengths, eviction: Eviction) -> usize {
    const PROBED: usize = 10_000;
    let probe = BareStore::new(1 << 30, eviction);
    for number in 0..PROBED {
        let key = key(number, lengths.key);
        probe.insert(&key, make(&key, lengths.value).into());
    }
    capacity * probe.bytes() / PROBED
}

impl Peer for BareStore {
    type Value = ByteView;

    fn get(&self, key: &String) -> Option<ByteView> {
        Self::get(self, key)
    }

    fn insert(&self, key: &str, value: ByteView) {
        Self::insert(self, key, value);
    }
}

impl Cache for Group {
    fn read_each(&self, keys: &[String], picks: &[u32]) {
        for &pick in picks {
            touch(&self.get(&keys[pick as usize]).expect("a value"));
        }
    }

    fn accounted_bytes(&self) -> Option<u64> {
        let stats = self.stats();
        Some(stats.main.bytes + stats.hot.bytes)
    }
}
