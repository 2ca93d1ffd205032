//! Warm restarts: a group's entries written to a file, and read again.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use super::Group;
use crate::error::{Error, Result};
use crate::snapshot::{Record, Snapshotter};
use crate::sync::{KeyHasher, Mutex, MutexGuard};

/// What [`Group::snapshot`] has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotStats {
    /// Entries of main and hot cache.
    pub entries: u64,
    /// The length of the file.
    pub bytes: u64,
}

/// What [`Group::restore`] has read; all zero when there is no file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreStats {
    /// Entries put into the cache. In a smaller budget than before, the coldest of them have
    /// left it again.
    pub entries: u64,
    /// Entries left out, because their time to live was over.
    pub expired: u64,
    /// Entries left out, because they were removed or set since the snapshot.
    pub removed: u64,
    /// Entries left out, because the cache had their keys already.
    pub present: u64,
    /// The length of the file.
    pub bytes: u64,
}

impl Group {
    /// Writes both caches of this node into the file `path`, in place of what is there, for
    /// [`restore`](Self::restore) after a restart.
    ///
    /// The group can be used meanwhile, and no second copy of the cache is made. From the first
    /// call of either on, the group keeps `path` for itself, with a lock and a journal beside
    /// it: what is removed after a snapshot is noted there before the removal is answered, so
    /// that no restart brings it back. The folder must be there.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("squares.larder");
    /// use larder::Group;
    ///
    /// let square = |n: &str| Ok((n.parse::<u64>()? * 2).to_string());
    /// let squares = Group::new("squares", 1 << 20, square)?;
    /// squares.get("12")?;
    /// assert_eq!(squares.snapshot(&path)?.entries, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when another process or group uses `path`, or this group another
    /// path; [`Error::Io`] when the file cannot be written; [`Error::Overloaded`] when a
    /// snapshot is being written already or the group was cleared meanwhile. The snapshot
    /// before is kept as long as its journal is.
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<SnapshotStats> {
        let written = self.warm(path.as_ref()).and_then(|warm| {
            warm.snapshotter
                .write(|writer| self.inner.store.carry_out(|record| writer.push(record)))
        });
        match written {
            Ok(summary) => {
                self.inner.counters.snapshots.add_one();
                Ok(SnapshotStats { entries: summary.entries, bytes: summary.bytes })
            }
            Err(error) => {
                self.inner.counters.snapshot_errors.add_one();
                Err(error)
            }
        }
    }

    /// Puts what [`snapshot`](Self::snapshot) has written to `path` into the caches: what has
    /// been used last is evicted last, and times to live have gone on. No file is no error.
    ///
    /// Call it before the group is used: a key that was removed before its first call is not
    /// noted yet. Later is allowed: what the cache has, gets, or removes by then is newer than
    /// the file, and stays as it is.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("squares.larder");
    /// # larder::Group::new("squares", 1 << 20, |_: &str| Ok("144"))
    /// #     .and_then(|group| group.get("12").and_then(|_| group.snapshot(&path)))?;
    /// use larder::{Error, Group};
    ///
    /// let squares = Group::new("squares", 1 << 20, |_: &str| Err::<&str, _>("not asked".into()))?;
    /// match squares.restore(&path) {
    ///     Ok(restored) => println!("{} entries", restored.entries),
    ///     Err(error @ Error::Snapshot { .. }) => println!("a cold start: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// assert_eq!(squares.get("12")?, "144");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] when the file or its journal is damaged, or not of this group:
    /// nothing was loaded then, unless the file has been changed while it was read.
    /// [`Error::BadSetting`] when another process or group uses `path`, or this group another
    /// path; [`Error::Io`] when it cannot be read; [`Error::Overloaded`] when it is being
    /// restored already. The group can be used in each case, and the next snapshot takes the
    /// refused one's place.
    pub fn restore(&self, path: impl AsRef<Path>) -> Result<RestoreStats> {
        let restored = self.warm(path.as_ref()).and_then(|warm| self.read(warm));
        if restored.is_err() {
            self.inner.counters.snapshot_errors.add_one();
        }
        restored
    }

    fn read(&self, warm: &Warm) -> Result<RestoreStats> {
        // Begun before the journal is read: a removal is in it, or noted here.
        let reading = warm.read(self.name())?;
        let mut stats = RestoreStats::default();
        let read = warm.snapshotter.restore(|record| {
            let mut left = self.left();
            let count = match reading
                .take(&record, |record| self.inner.store.carry_in(record, &mut left))
            {
                None => &mut stats.removed,
                Some(false) => &mut stats.present,
                Some(true) => &mut stats.entries,
            };
            *count += 1;
            self.tell(left);
        })?;
        if let Some(read) = read {
            stats.expired += read.expired;
            stats.removed += read.removed;
            stats.bytes = read.bytes;
        }
        Ok(stats)
    }

    /// What belongs to the one path of this group.
    fn warm(&self, path: &Path) -> Result<&Warm> {
        let what = || format!("snapshot {}", path.display());
        // The working folder may change.
        let path = std::path::absolute(path).map_err(|error| Error::io(what(), &error))?;
        let make = || Warm::new(path.clone(), self.name());
        let warm = self.inner.warm.get_or_try_init(make)?;
        if warm.snapshotter.path() == path {
            return Ok(warm);
        }
        let own = warm.snapshotter.path().display();
        let reason = format!("group {:?} has its snapshots at {own}: use one path", self.name());
        Err(Error::bad_setting(what(), reason))
    }
}

/// The file of a group, and the order between its reading and what is removed meanwhile.
#[derive(Debug)]
pub(super) struct Warm {
    snapshotter: Snapshotter,
    /// What was removed since the reading began; none when nothing is being read.
    gone: Mutex<Option<Gone>>,
}

/// So many keys may be removed while a file is read; with more, its rest is left out.
const MOST_GONE: usize = 1 << 16;

/// Keys that were removed while a file is read.
#[derive(Debug, Default)]
struct Gone {
    hasher: KeyHasher,
    /// A key of the same hash is left out as well: a cold miss.
    hashes: HashSet<u64>,
    all: bool,
}

impl Gone {
    fn add(&mut self, key: &[u8]) {
        self.hashes.insert(self.hasher.hash_one(key));
        if self.hashes.len() > MOST_GONE {
            self.add_all();
        }
    }

    fn add_all(&mut self) {
        (self.all, self.hashes) = (true, HashSet::new());
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.all || !self.hashes.is_empty() && self.hashes.contains(&self.hasher.hash_one(key))
    }
}

impl Warm {
    fn new(path: PathBuf, group: &str) -> Result<Self> {
        Ok(Self { snapshotter: Snapshotter::new(path, group)?, gone: Mutex::new(None) })
    }

    /// To be held while something is taken out of the cache, until it is noted.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn { snapshotter: &self.snapshotter, gone: self.gone.lock() }
    }

    fn read(&self, group: &str) -> Result<Reading<'_>> {
        let mut gone = self.gone.lock();
        if gone.is_some() {
            let what = format!("group {group:?} is being restored already");
            return Err(Error::Overloaded { what });
        }
        *gone = Some(Gone::default());
        Ok(Reading(self))
    }
}

/// The turn of who removes: what is read from the file comes before it, and is removed with the
/// rest, or after it, and is left out.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    snapshotter: &'a Snapshotter,
    gone: MutexGuard<'a, Option<Gone>>,
}

impl Turn<'_> {
    /// Notes that `key` has left the cache.
    pub(super) fn removed(mut self, key: &[u8]) -> Result<()> {
        if let Some(gone) = &mut *self.gone {
            gone.add(key);
        }
        self.snapshotter.removed(key)
    }

    /// Notes that everything has.
    pub(super) fn cleared(mut self) -> Result<()> {
        if let Some(gone) = &mut *self.gone {
            gone.add_all();
        }
        self.snapshotter.forget()
    }
}

/// A file is being read, until this is dropped.
#[derive(Debug)]
struct Reading<'a>(&'a Warm);

impl Reading<'_> {
    /// Has `put` take a record, unless its key has been removed; no removal comes in between.
    fn take(&self, record: &Record<'_>, put: impl FnOnce(&Record<'_>) -> bool) -> Option<bool> {
        let gone = self.0.gone.lock();
        let is_gone = gone.as_ref().is_some_and(|gone| gone.contains(record.key));
        (!is_gone).then(|| put(record))
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        *self.0.gone.lock() = None;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
