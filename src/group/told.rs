//! What a node does for a write that it is told of, by itself or by a peer.

use std::time::Instant;

use super::Group;
use crate::error::{Error, Result};
use crate::fresh::{Step, Told, Version, What, is_before_purge};
use crate::getter::Loaded;
use crate::mutant::{self, Mutant};
use crate::sync::atomic::Ordering;

impl Group {
    /// Carries out one step of a write on this node; the time of the newest version known here.
    ///
    /// # Errors
    ///
    /// The step has not been confirmed then, and the write has to be repeated as a whole.
    pub(crate) fn hear(&self, told: &Told) -> Result<u64> {
        self.inner.stones.lock().see(told.version.time);
        match &told.step {
            Step::Drop(what) => self.hear_drop(what, told.version)?,
            Step::Put { key, loaded } => self.hear_put(key, loaded.clone(), told.version)?,
            Step::Lift(what) => self.hear_lift(what, told.version)?,
            Step::Missed(what) => self.drop_all_of(what, told.version.time)?,
        }
        Ok(self.inner.stones.lock().known())
    }

    /// The tombstone first: what a peer gave is kept before it stands, and found and dropped, or
    /// not kept.
    fn hear_drop(&self, what: &What, version: Version) -> Result<()> {
        if !mutant::active(Mutant::NoTombstone) {
            let mut stones = self.inner.stones.lock();
            stones.raise(what, version, Instant::now()).map_err(|_| Error::Overloaded {
                what: format!("too many keys of group {:?} are written at once", self.name()),
            })?;
            self.inner.standing.store(stones.standing(), Ordering::SeqCst);
        }
        self.drop_all_of(what, version.time)
    }

    /// All of them, whatever becomes of one.
    fn drop_all_of(&self, what: &What, epoch: u64) -> Result<()> {
        match what {
            What::Keys(keys) => {
                keys.iter().map(|key| self.remove_local(key)).fold(Ok(()), Result::and)
            }
            What::All => {
                self.inner.epoch.fetch_max(epoch, Ordering::SeqCst);
                self.clear()
            }
        }
    }

    fn hear_put(&self, key: &str, loaded: Loaded, version: Version) -> Result<()> {
        self.put_if(key, loaded, || self.admits(key, version))
    }

    /// Whether no other write of the key has been here since this one came.
    pub(super) fn admits(&self, key: &str, version: Version) -> bool {
        mutant::active(Mutant::PutBlindly)
            || self.inner.stones.lock().admits(key, version, Instant::now())
    }

    /// Flights first: one that lands in between finds the tombstone, or that it is doomed.
    fn hear_lift(&self, what: &What, version: Version) -> Result<()> {
        if !mutant::active(Mutant::NoSecondRound) {
            match what {
                What::Keys(keys) => keys.iter().for_each(|key| {
                    self.inner.asking.doom(key.as_bytes());
                }),
                What::All => self.inner.asking.doom_all(),
            }
        }
        let stood = {
            let mut stones = self.inner.stones.lock();
            let stood = stones.lift(what, version, Instant::now());
            self.inner.standing.store(stones.standing(), Ordering::SeqCst);
            stood
        };
        self.count_write();
        // Noted before anyone looks whether the ring has changed: see `pool/settle.rs`.
        if let Some(cluster) = self.inner.cluster.get() {
            cluster.note(self.name(), what);
        }
        if stood || mutant::active(Mutant::NoTombstone) {
            return Ok(());
        }
        Err(Error::Overloaded {
            what: "the write took too long: its tombstone has gone".to_owned(),
        })
    }

    /// Whether something that a peer gave may be kept: no write of the key is under way.
    pub(super) fn keeps_from_peers(&self, key: &str) -> bool {
        self.inner.standing.load(Ordering::SeqCst) == 0
            || self.inner.stones.lock().is_free(key, Instant::now())
    }

    /// The time of the newest purge that this node knows of; 0 when there was none.
    pub(crate) fn epoch(&self) -> u64 {
        self.inner.epoch.load(Ordering::SeqCst)
    }

    /// A peer is in this epoch. Whether what it says is newer than the newest purge known here;
    /// a purge that this node has missed is made up for.
    pub(crate) fn hear_epoch(&self, epoch: u64) -> bool {
        let own = self.inner.epoch.fetch_max(epoch, Ordering::SeqCst);
        if is_before_purge(epoch, own) {
            self.inner.counters.epoch_errors.add_one();
            return false;
        }
        if is_before_purge(own, epoch) {
            self.make_up_for(epoch);
        }
        true
    }

    /// A peer that asks is in this epoch.
    pub(crate) fn catch_up(&self, epoch: u64) {
        if is_before_purge(self.inner.epoch.fetch_max(epoch, Ordering::SeqCst), epoch) {
            self.make_up_for(epoch);
        }
    }

    fn make_up_for(&self, epoch: u64) {
        self.inner.stones.lock().see(epoch);
        // A snapshot that cannot be ended is counted; the next one takes its place.
        if self.clear().is_err() {
            self.inner.counters.snapshot_errors.add_one();
        }
    }
}
