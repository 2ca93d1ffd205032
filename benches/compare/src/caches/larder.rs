//! larder's group.

use larder::{Group, GroupOptions};

use super::{Cache, touch};
use crate::entries::{Lengths, key, make};
use crate::support;

/// A group whose bytes are those of so many entries.
pub(super) fn group(capacity: usize, lengths: Lengths, filled: usize) -> Group {
    let getter = move |key: &str| Ok(make(key, lengths.value));
    let build = |cache_bytes| GroupOptions::new(cache_bytes).build("compared", getter);
    let probe = build(1 << 30).expect("a group");
    probe.get(&key(0, lengths.key)).expect("a value");
    let entry_bytes = probe.stats().main.bytes as usize;
    let group = build(capacity * entry_bytes).expect("a group");
    support::fill(&group, (0..filled).map(move |number| key(number, lengths.key)));
    group
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
