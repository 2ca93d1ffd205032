//! What a group knows of its origin: whether it fails, and when it may be tried again.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::mutant::{self, Mutant};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A failing origin is tried by one load at a time, this long after the one before.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// On from the failed load of a key that had a value until any load is answered. Keys that have
/// never been loaded do not count: they may well be what the origin has always refused.
#[derive(Debug, Default)]
pub(super) struct Outage {
    on: AtomicBool,
    probes: Mutex<Probes>,
}

#[derive(Debug, Default)]
struct Probes {
    last: Option<Tick>,
    running: bool,
}

impl Outage {
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        // Read first: loads that succeed would all write to one cache line.
        if self.is_on() {
            self.on.store(false, Ordering::Relaxed);
        }
    }

    /// Leave to try the origin now; none when another does, or has done so just before. One that
    /// runs for longer than `patience` counts as lost.
    pub(super) fn probe(self: &Arc<Self>, now: Tick, patience: Duration) -> Option<Probe> {
        let mut probes = self.probes.lock();
        let since = probes.last.map(|last| Duration::from_millis(now.since(last).unwrap_or(0)));
        let early = since.is_some_and(|since| since < PROBE_EVERY);
        let beside = probes.running && since.is_some_and(|since| since < patience);
        if mutant::active(Mutant::ProbeInTwoSteps) {
            drop(probes);
            probes = self.probes.lock();
        }
        if early || beside {
            return None;
        }
        *probes = Probes { last: Some(now), running: true };
        Some(Probe { outage: Arc::clone(self), begun: now })
    }
}

/// A load that tries the origin, until it is dropped.
#[derive(Debug)]
pub(super) struct Probe {
    outage: Arc<Outage>,
    begun: Tick,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut probes = self.outage.probes.lock();
        // One that had counted as lost must not end the one after it.
        if probes.last == Some(self.begun) {
            probes.running = false;
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn one_probe_runs_at_a_time_and_not_sooner_than_it_may() {
        let (clock, millis) = Clock::manual();
        let outage = Arc::new(Outage::default());
        let probe = |at| {
            millis.store(at, Ordering::SeqCst);
            outage.probe(clock.now(), Duration::from_secs(30))
        };
        let first = probe(0);
        assert!(first.is_some());
        assert!(probe(5_000).is_none(), "the first is still under way");
        drop(first);
        let second = probe(5_000);
        assert!(second.is_some());
        drop(second);
        assert!(probe(5_999).is_none(), "the second has only just been");
        assert!(probe(6_000).is_some());
    }

    #[test]
    fn a_probe_that_hangs_is_given_up_and_does_not_end_the_next() {
        let (clock, millis) = Clock::manual();
        let outage = Arc::new(Outage::default());
        let probe = |at| {
            millis.store(at, Ordering::SeqCst);
            outage.probe(clock.now(), Duration::from_secs(30))
        };
        let hangs = probe(0);
        assert!(probe(29_999).is_none());
        let next = probe(30_000);
        assert!(next.is_some());
        drop(hangs);
        assert!(probe(40_000).is_none(), "the next is under way");
    }
}
