//! How long values live, and what is served when they no longer do.
//!
//! ```text
//!   load ──fresh──► expiry ──stale_while_revalidate──►  one load refreshes, all get the old value
//!                          ──stale_if_error───────────► the old value when a load has failed; at
//!                                                       once while the origin is known to fail
//! ```
//!
//! A refresh is a load like any other: one of its key's flights, on a thread of the group's. It
//! is for the keys that are loaded here; of others the owner is asked, who may have them stale.

use std::time::Duration;

use super::outage::{PROBE_EVERY, Probe};
use super::{Asker, Fetched, Group, Inner, Source};
use crate::byte_view::ByteView;
use crate::clock::Tick;
use crate::error::{Error, Result};
use crate::flight::Role;
use crate::getter::Loaded;
use crate::mutant::{self, Mutant};
use crate::store::{Left, Look, RemovalCause};
use crate::sync;

/// How long it is remembered that a value is too large: it is not to be loaded again and again.
const TOO_LARGE_TTL: Duration = Duration::from_secs(1);

/// A value that has expired and is still kept.
struct Stale {
    value: ByteView,
    expires: Tick,
    expired_for: Duration,
}

impl Group {
    /// What a getter gave, with its time to live: its own or else the group's, and shorter by
    /// chance, so that what was loaded together is not loaded again together.
    pub(super) fn with_jitter(&self, loaded: Loaded) -> Loaded {
        let loaded = self.with_ttl(loaded);
        let jitter = self.inner.options.ttl_jitter;
        let shorter = |ttl: Duration| {
            let part = 1.0 - jitter * sync::fraction();
            Duration::try_from_secs_f64(ttl.as_secs_f64() * part).unwrap_or(ttl).min(ttl)
        };
        Loaded { ttl: loaded.ttl.map(shorter), ..loaded }
    }

    /// A value with its own time to live, or else the group's.
    pub(super) fn with_ttl(&self, loaded: Loaded) -> Loaded {
        Loaded { ttl: loaded.ttl.or(self.inner.options.ttl), ..loaded }
    }

    /// The hit of a get that has found nothing fresh: a stale value that is to be served at
    /// once. None when there is none, or when a peer owns the key and so is to be asked.
    #[inline(never)]
    pub(super) fn stale_hit(&self, key: &str, asker: Asker) -> Option<Fetched> {
        let stale = self.stale(key)?;
        let peers = self.inner.peers.get().filter(|_| !asker.is_peer());
        if peers.is_some_and(|peers| peers.pick(key).is_some()) {
            return None;
        }
        let hit = self.at_once(key, stale)?;
        self.count_get(asker);
        self.inner.counters.cache_hits.add_one();
        Some(hit)
    }

    /// A stale value that is to be served instead of waiting for a load.
    pub(super) fn stale_at_once(&self, key: &str) -> Option<Fetched> {
        self.at_once(key, self.stale(key)?)
    }

    /// Serves a stale value, and sees to it that a load is under way, if it may be served before
    /// that load has ended.
    fn at_once(&self, key: &str, stale: Stale) -> Option<Fetched> {
        let options = &self.inner.options;
        let fails = self.inner.outage.is_on();
        let failed_lately = self.remembered(key).is_some();
        let revalidates = stale.expired_for < options.stale_while_revalidate;
        let goes_without = stale.expired_for < options.stale_if_error && (fails || failed_lately);
        if !revalidates && !goes_without {
            return None;
        }
        if fails {
            let now = self.inner.store.clock().now();
            if let Some(probe) = self.inner.outage.probe(now, options.load_timeout) {
                self.refresh(key, Some(probe));
            }
        } else if !failed_lately {
            self.refresh(key, None);
        }
        Some(self.serve_stale(stale))
    }

    /// Loads `key` on a thread of the group's, unless it is being loaded already. It need not
    /// work out: the next who wants the key tries again.
    fn refresh(&self, key: &str, probe: Option<Probe>) {
        let Role::Leader(leader) = self.inner.loading.join(key.as_bytes()) else { return };
        if let Some(fresh) = self.look_twice(key) {
            leader.land(Ok(fresh), |_| ());
            return;
        }
        let counters = &self.inner.counters;
        let counter = if probe.is_some() { &counters.probes } else { &counters.revalidations };
        counter.add_one();
        let (group, key) = (self.clone(), key.to_owned());
        let job = move || {
            group.carry_out(leader, &key);
            drop(probe);
        };
        // One that is refused is dropped, and with it its flight.
        let _ = self.inner.loaders.submit(Box::new(job));
    }

    /// The outcome of a get; or, when that is a failure, the value that went stale not too long
    /// ago.
    ///
    /// A peer that comes again only wanted to hear that its key is being loaded.
    pub(super) fn or_stale(
        &self,
        key: &str,
        asker: Asker,
        result: Result<Fetched>,
    ) -> Result<Fetched> {
        if asker == Asker::ReturningPeer && matches!(result, Err(Error::DeadlineExceeded { .. })) {
            return result;
        }
        let options = &self.inner.options;
        let Err(error) = result else { return result };
        if options.stale_if_error.is_zero() || !is_failure(&error) {
            return Err(error);
        }
        let stale = self.stale(key).filter(|stale| stale.expired_for < options.stale_if_error);
        let Some(stale) = stale else { return Err(error) };
        // A caller in a hurry tells nothing of the origin.
        if let Error::DeadlineExceeded { waited, .. } = &error
            && *waited >= options.get_timeout / 2
        {
            self.inner.outage.begin();
        }
        Ok(self.serve_stale(stale))
    }

    /// What a load brought, put where later gets find it.
    pub(super) fn keep_outcome(
        &self,
        key: &str,
        outcome: &Result<Fetched>,
        stands_in: bool,
    ) -> Left {
        match outcome {
            Ok(fetched) => {
                self.inner.outage.end();
                self.keep_loaded(key, fetched, stands_in)
            }
            Err(error) => self.keep_error(key, error),
        }
    }

    fn keep_error(&self, key: &str, error: &Error) -> Left {
        let Inner { options, outage, .. } = &*self.inner;
        let mut left = self.left();
        let ttl = match error {
            Error::NotFound { .. } => {
                outage.end();
                self.inner.store.remove(key.as_bytes(), RemovalCause::Expired, &mut left);
                options.not_found_ttl
            }
            Error::ValueTooLarge { .. } => {
                outage.end();
                TOO_LARGE_TTL
            }
            Error::Getter { .. } | Error::GetterPanicked { .. } if self.stale(key).is_some() => {
                outage.begin();
                // Should other keys be better off, this one is still not to be tried by every
                // get.
                options.error_ttl.max(PROBE_EVERY)
            }
            Error::Getter { .. } | Error::GetterPanicked { .. } => options.error_ttl,
            _ => Duration::ZERO,
        };
        if !ttl.is_zero() {
            let (until, budget) = (self.inner.store.clock().after(ttl), self.inner.store.budget());
            self.inner.negatives.add(key.as_bytes(), error.clone(), until, budget);
        }
        left
    }

    /// The error that a load of `key` ended with not long ago.
    pub(super) fn remembered(&self, key: &str) -> Option<Error> {
        self.inner.negatives.get(key.as_bytes(), || self.inner.store.clock().now())
    }

    /// The outcome of a get whose answer is known to be none.
    pub(super) fn negative_hit(&self, key: &str, asker: Asker) -> Option<Result<Fetched>> {
        let error = self.remembered(key)?;
        self.count_get(asker);
        self.inner.counters.negative_hits.add_one();
        Some(self.or_stale(key, asker, Err(error)))
    }

    /// Looks in the cache from inside a flight: the value may have come between the first look
    /// and the joining, when the flight before this one landed.
    pub(super) fn look_twice(&self, key: &str) -> Option<Fetched> {
        if mutant::active(Mutant::NoSecondLookup) {
            return None;
        }
        self.lookup(key, Look::Peek)
    }

    fn stale(&self, key: &str) -> Option<Stale> {
        let (value, expires) = self.inner.store.stale(key.as_bytes())?;
        let expired_for = self.inner.store.clock().now().since(expires).unwrap_or_default();
        Some(Stale { value, expires, expired_for: Duration::from_millis(expired_for) })
    }

    fn serve_stale(&self, stale: Stale) -> Fetched {
        self.inner.counters.stale_served.add_one();
        let age_secs = self.inner.store.clock().age_secs(stale.expires);
        let Stale { value, expires, .. } = stale;
        Fetched { value, source: Source::Stale { age_secs }, expires: Some(expires) }
    }
}

/// Whether an error says that the value could not be had, not that there is none.
fn is_failure(error: &Error) -> bool {
    matches!(
        error,
        Error::Getter { .. }
            | Error::GetterPanicked { .. }
            | Error::DeadlineExceeded { .. }
            | Error::Overloaded { .. }
            | Error::Peer { .. }
            | Error::Io { .. }
    )
}

#[cfg(all(test, not(shuttle)))]
mod tests;
