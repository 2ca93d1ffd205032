//! What changes a key of this node's cache from outside a get.

use super::load::Asked;
use super::{Fetched, Group, Source};
use crate::error::Result;
use crate::getter::Loaded;
use crate::mutant::{self, Mutant};
use crate::store::{Eviction, Left, Which};
use crate::sync::atomic::Ordering;

impl Group {
    /// Removes `key` from this node. Whoever asks afterwards does not get what was there, nor
    /// what a load that began before brings.
    pub(crate) fn remove_local(&self, key: &str) {
        let mut left = Left::new();
        if mutant::active(Mutant::RemoveBeforeDoom) {
            self.inner.store.remove(key.as_bytes(), Eviction::Removed, &mut left);
        }
        // Flights first: one that lands in between must find that it is not to keep its value.
        self.inner.asking.doom(key.as_bytes());
        self.inner.loading.doom(key.as_bytes());
        if !mutant::active(Mutant::RemoveBeforeDoom) {
            self.inner.store.remove(key.as_bytes(), Eviction::Removed, &mut left);
        }
        self.count_write();
        self.tell(left);
    }

    /// Puts a value into this node's main cache, in place of what is there or being loaded.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`](crate::Error::KeyTooLong) and
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge); nothing has changed then.
    pub(crate) fn set_local(&self, key: &str, loaded: Loaded) -> Result<()> {
        self.check_key(key)?;
        self.check_value(key, &loaded)?;
        if mutant::active(Mutant::SetBesideFlights) {
            self.inner.asking.doom(key.as_bytes());
            self.inner.loading.doom(key.as_bytes());
            self.replace(key, &self.fetched(loaded, Source::Main));
            return Ok(());
        }
        // As a flight of its own: a load that began between dooming and keeping would bring the
        // old value back.
        let asking = self.inner.asking.take_over(key.as_bytes());
        let loading = self.inner.loading.take_over(key.as_bytes());
        let fetched = self.fetched(loaded, Source::Main);
        let left = loading.land(Ok(fetched.clone()), |_| self.replace(key, &fetched));
        asking.land(Asked::Answered(Ok(fetched)), |_| ());
        self.count_write();
        self.tell(left.unwrap_or_default());
        Ok(())
    }

    /// Changes whenever a key is removed or set: who has asked with the same number has asked
    /// before or after it.
    pub(crate) fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::SeqCst)
    }

    /// Counted last: what is loaded for a later number was begun after the write.
    fn count_write(&self) {
        self.inner.writes.fetch_add(1, Ordering::SeqCst);
    }

    /// Out with the old value first: the new one may be too large to be kept.
    fn replace(&self, key: &str, fetched: &Fetched) -> Left {
        let mut left = Left::new();
        self.inner.store.remove(key.as_bytes(), Eviction::Replaced, &mut left);
        left.extend(self.keep(Which::Main, key, fetched));
        left
    }
}
