//! What changes a key of this node's cache from outside a get.

use super::load::Asked;
use super::warm::{Turn, Warm};
use super::{Fetched, Group, Source};
use crate::error::Result;
use crate::getter::Loaded;
use crate::mutant::{self, Mutant};
use crate::store::{Left, RemovalCause, Which};
use crate::sync::atomic::Ordering;

impl Group {
    /// Empties both caches of this node. A load that is under way reaches those who wait for
    /// it and is not kept.
    ///
    /// Each part of the cache is locked for a moment only, so gets go on meanwhile; what they
    /// load anew is kept. The eviction listener hears of every entry, as
    /// [`RemovalCause::Removed`]. The group's [`snapshot`](Self::snapshot) ends as well.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when the snapshot cannot be ended: the caches are empty,
    /// and a restart would bring back what they held. Without a snapshot it cannot fail.
    pub fn clear(&self) -> Result<()> {
        let turn = self.inner.warm.get().map(Warm::turn);
        self.inner.asking.doom_all();
        self.inner.loading.doom_all();
        let mut left = self.left();
        self.inner.store.clear(&mut left);
        self.inner.negatives.clear();
        let noted = turn.map_or(Ok(()), Turn::cleared);
        self.count_write();
        self.tell(left);
        noted
    }

    /// Changes how many bytes of memory both caches together may hold; when it returns they
    /// hold no more. With 0 nothing is cached.
    ///
    /// Entries leave one by one, with a lock held for one at a time, so gets go on meanwhile.
    /// How many locks share the work was chosen by the group's first budget, one for each
    /// 256 KiB and 64 at most: a cache that is to grow from very small to very large serves
    /// many threads better when it begins large.
    pub fn set_cache_bytes(&self, cache_bytes: usize) {
        let mut left = self.left();
        self.inner.store.set_budget(cache_bytes, &mut left);
        self.tell(left);
    }

    /// Removes `key` from this node. Whoever asks afterwards does not get what was there, nor
    /// what a load that began before brings.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when a snapshot holds the key and the removal cannot be
    /// noted: it is removed, and a restart would bring it back.
    pub(crate) fn remove_local(&self, key: &str) -> Result<()> {
        let turn = self.inner.warm.get().map(Warm::turn);
        let mut left = self.left();
        if mutant::active(Mutant::RemoveBeforeDoom) {
            self.inner.store.remove(key.as_bytes(), RemovalCause::Removed, &mut left);
        }
        // Flights first: one that lands in between must find that it is not to keep its value.
        self.inner.asking.doom(key.as_bytes());
        self.inner.loading.doom(key.as_bytes());
        if !mutant::active(Mutant::RemoveBeforeDoom) {
            self.inner.store.remove(key.as_bytes(), RemovalCause::Removed, &mut left);
        }
        if !mutant::active(Mutant::KeepNegative) {
            self.inner.negatives.remove(key.as_bytes());
        }
        let noted = turn.map_or(Ok(()), |turn| turn.removed(key.as_bytes()));
        self.count_write();
        self.tell(left);
        noted
    }

    /// Puts a value into this node's main cache, in place of what is there or being loaded.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`](crate::Error::KeyTooLong) and
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge); nothing has changed then.
    /// [`Error::Io`](crate::Error::Io) as of [`remove_local`](Self::remove_local).
    pub(crate) fn set_local(&self, key: &str, loaded: Loaded) -> Result<()> {
        if mutant::active(Mutant::SetBesideFlights) {
            self.inner.asking.doom(key.as_bytes());
            self.inner.loading.doom(key.as_bytes());
            self.replace(key, &self.fetched(self.with_ttl(loaded), Source::Main));
            return Ok(());
        }
        self.put_if(key, loaded, || true)
    }

    /// The same, if `admits`: it is asked when later writes doom the flight that this is.
    pub(super) fn put_if(
        &self,
        key: &str,
        loaded: Loaded,
        admits: impl FnOnce() -> bool,
    ) -> Result<()> {
        self.check_key(key)?;
        self.check_value(key, &loaded)?;
        let loaded = self.with_ttl(loaded);
        let turn = self.inner.warm.get().map(Warm::turn);
        // As a flight of its own: a load that began between dooming and keeping would bring the
        // old value back.
        let asking = self.inner.asking.take_over(key.as_bytes());
        let loading = self.inner.loading.take_over(key.as_bytes());
        if !admits() {
            return Ok(());
        }
        let fetched = self.fetched(loaded, Source::Main);
        let left = loading.land(Ok(fetched.clone()), |_| self.replace(key, &fetched));
        asking.land(Asked::Answered(Ok(fetched)), |_| ());
        let noted = turn.map_or(Ok(()), |turn| turn.removed(key.as_bytes()));
        self.count_write();
        self.tell(left.unwrap_or_default());
        noted
    }

    /// Changes whenever a key is removed or set: who has asked with the same number has asked
    /// before or after it.
    pub(crate) fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::SeqCst)
    }

    /// Counted last: what is loaded for a later number was begun after the write.
    pub(super) fn count_write(&self) {
        self.inner.writes.fetch_add(1, Ordering::SeqCst);
    }

    /// Out with the old value first: the new one may be too large to be kept.
    fn replace(&self, key: &str, fetched: &Fetched) -> Left {
        let mut left = self.left();
        self.inner.store.remove(key.as_bytes(), RemovalCause::Replaced, &mut left);
        left.extend(self.keep(Which::Main, key, fetched));
        // After the value: who found neither joins the flight that this is a part of.
        self.inner.negatives.remove(key.as_bytes());
        left
    }
}
