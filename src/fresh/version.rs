//! The names of writes.

use std::time::{SystemTime, UNIX_EPOCH};

/// The name of a write, and the order of purges.
///
/// A hybrid logical clock (Kulkarni and others, 2014): a write that begins after another was
/// confirmed has a higher time, whichever node it begins on and whatever that node's clock says,
/// because every node that confirms a write has seen its version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version {
    /// Milliseconds since 1970 and a counter of 16 bits; ahead of the clock when it has to be.
    pub(crate) time: u64,
    /// Two nodes may begin a write at the same time.
    pub(crate) node: u64,
}

const COUNTER_BITS: u32 = 16;

/// A node's clock of versions.
#[derive(Debug)]
pub(super) struct Clock {
    node: u64,
    last: u64,
}

impl Clock {
    pub(super) fn new(node: u64) -> Self {
        Self { node, last: 0 }
    }

    /// A version that is newer than all that were made or seen here.
    pub(super) fn next(&mut self, wall_millis: u64) -> Version {
        self.last = (wall_millis << COUNTER_BITS).max(self.last.saturating_add(1));
        Version { time: self.last, node: self.node }
    }

    pub(super) fn see(&mut self, time: u64) {
        self.last = self.last.max(time);
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }
}

/// The wall clock, which versions start from. In a model it stands still, so that its failures
/// can be replayed.
pub(crate) fn wall_millis() -> u64 {
    if cfg!(shuttle) {
        return 0;
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_newer_than_all_that_were_made_or_seen_whatever_the_wall_clock_says() {
        let (mut ahead, mut behind) = (Clock::new(1), Clock::new(2));
        let first = ahead.next(1_000_000);
        behind.see(first.time);
        let second = behind.next(5);
        let third = behind.next(6);
        assert!(first < second && second < third);
        ahead.see(third.time);
        assert!(ahead.next(1_000_000) > third);
    }

    #[test]
    fn two_nodes_never_make_the_same_version() {
        let [a, b] = [1, 2].map(|node| Clock::new(node).next(7));
        assert!(a != b && a.time == b.time);
    }
}
