//! The file of a warm restart: a group's entries, and the keys removed since they were written.
//!
//! ```text
//! PATH                     the snapshot: replaced whole, or not at all
//! PATH.removed-ID          its journal: what was removed since; ID is the snapshot's own
//! PATH.lock                held while a group uses PATH
//! PATH.tmp-PID-RANDOM      a snapshot that is being written
//!
//! snapshot  header · block · block · … · end, and nothing after it
//! header    magic 8 · version 4 · length of group 4 · id 8 · written (Unix ms) 8 · group · sum 8
//! block     1: 4 · entries 4 · length 8 · sum of the records 8 · sum 8 · records
//! end       2: 4 · zero 4 · entries 8 · length of the file 8 · sum 8
//! record    flags 1 · length of key 4 · of value 8 · time to live (ms) 8 · key · value
//! journal   magic 8 · zero 8 · id 8 · sum 8 · records of 16 bytes: XXH3 of the key 8 · sum 8
//! ```
//!
//! Numbers are little-endian, a sum is XXH3-64. The sums of a block, the end and a journal's
//! record also cover the file's id and the part's number: one of another file, a repeated or a
//! swapped one is noticed, and no length is believed before its sum is checked.
//!
//! Magic, version and id stay where they are in every version, and so does the journal's form:
//! a program that cannot read a newer snapshot still keeps its journal.

mod format;
mod journal;
mod read;
mod write;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod sealing;
#[cfg(all(test, not(shuttle)))]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use format::Record;
pub(crate) use read::{Reader, Restored};
pub(crate) use write::{Summary, Writer};

use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use journal::Journal;

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) group: String,
    /// Not after the first entry was read: from here on its time to live runs.
    pub(crate) written: SystemTime,
}

impl About {
    pub(crate) fn now(group: &str) -> Self {
        Self { group: group.to_owned(), written: SystemTime::now() }
    }
}

/// The snapshots of one group, and the journal of what is removed between them.
///
/// A snapshot counts only with its journal, which is there before the snapshot is and goes when
/// it can no longer be kept. So whatever goes wrong ends in a cold start, and never brings a
/// removed key back. The journal is written but not synced: it survives a killed process, while
/// a power cut may lose its last removals.
#[derive(Debug)]
pub(crate) struct Snapshotter {
    path: PathBuf,
    group: String,
    /// Whether there is a journal, so that removing costs nothing where none is.
    journalling: AtomicBool,
    state: Mutex<State>,
    journal_bytes: u64,
    /// Held, so that two processes or groups do not replace each other's files.
    _lock: File,
}

#[derive(Debug, Default)]
struct State {
    /// One of the snapshot on disk, and one of the snapshot that is being written.
    journals: Vec<Journal>,
    writing: bool,
}

impl Snapshotter {
    /// The largest journal: 4 million removals. More make the snapshot unusable.
    const JOURNAL_BYTES: u64 = 64 << 20;

    /// Takes `path` for `group`, and goes on with the journal of a snapshot that is there.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when another process or group uses `path`, [`Error::Io`] when its
    /// folder cannot be used.
    pub(crate) fn new(path: impl Into<PathBuf>, group: &str) -> Result<Self> {
        let path = path.into();
        let lock = lock(&path)?;
        let id = read::id_at(&path)?;
        sweep(&path, id);
        let journal = match id {
            Some(id) => Journal::open(&path, id)?,
            None => None,
        };
        Ok(Self {
            group: group.to_owned(),
            journalling: AtomicBool::new(journal.is_some()),
            state: Mutex::new(State { journals: journal.into_iter().collect(), writing: false }),
            journal_bytes: Self::JOURNAL_BYTES,
            path,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands out the snapshot's entries that are still alive and were not removed since. None
    /// when there is no snapshot: a cold start.
    ///
    /// Call it before the group is used: a key that is removed meanwhile could come back.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] when the file or its journal is not what this group has written. As
    /// a rule no entry has been handed out then: both are checked whole before.
    pub(crate) fn restore(&self, mut each: impl FnMut(Record<'_>)) -> Result<Option<Restored>> {
        let Some(mut reader) = Reader::open(&self.path, &self.group)? else { return Ok(None) };
        let removed = journal::read_removed(&self.path, reader.id())?;
        let mut skipped = 0;
        let mut restored = reader.each(|record| {
            if removed.contains(record.key) {
                skipped += 1;
            } else {
                each(record);
            }
        })?;
        restored.entries -= skipped;
        restored.removed = skipped;
        Ok(Some(restored))
    }

    /// Notes that `key` was removed or set anew, so that no restart brings its old value back.
    ///
    /// Call it after the old value has left the cache, and before the caller is told: earlier,
    /// a snapshot that begins in between would hold the value and its journal not the removal.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the removal could neither be noted nor the snapshot be given up.
    pub(crate) fn removed(&self, key: &[u8]) -> Result<()> {
        if !self.journalling.load(Ordering::Acquire) {
            return Ok(());
        }
        // One that is full or failed no longer holds every removal.
        self.keep_journals(|journal| journal.append(key, self.journal_bytes).is_ok())
    }

    /// Ends the snapshot on disk, and the one that is being written: nothing of them is to come
    /// back.
    ///
    /// Call it after the entries have left the cache, as with [`removed`](Self::removed).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a snapshot could not be given up.
    pub(crate) fn forget(&self) -> Result<()> {
        self.keep_journals(|_| false)
    }

    /// Writes a snapshot of what `entries` pushes, in place of the one before.
    ///
    /// # Errors
    ///
    /// An error of `entries`; [`Error::Overloaded`] when a snapshot is being written already,
    /// or its journal could not be kept meanwhile; [`Error::Io`]. The snapshot before
    /// stays what it was, except when its own journal is given up.
    pub(crate) fn write(&self, entries: impl FnOnce(&mut Writer) -> Result<()>) -> Result<Summary> {
        let mut writer = Writer::create(&self.path, &About::now(&self.group))?;
        let id = writer.id();
        // Before the first entry is read: what is removed after it was read is in the journal.
        let _turn = self.begin(id)?;
        entries(&mut writer)?;
        self.check_journal(id)?;
        let summary = writer.finish()?;
        // It may have been given up just before it had a snapshot to take along.
        self.check_journal(id).inspect_err(|_| drop(fs::remove_file(&self.path)))?;
        Ok(summary)
    }

    /// Starts the journal of snapshot `id` beside the one that is kept.
    fn begin(&self, id: u64) -> Result<Turn<'_>> {
        // Made outside of the lock: it is synced, and removals would wait for it.
        let mut journal = Journal::create(&self.path, id)?;
        let mut state = self.state.lock();
        if state.writing {
            drop(state);
            journal.delete()?;
            let what = format!("a snapshot of group {:?} is being written already", self.group);
            return Err(Error::Overloaded { what });
        }
        state.writing = true;
        state.journals.push(journal);
        self.journalling.store(true, Ordering::Release);
        Ok(Turn(self))
    }

    fn check_journal(&self, id: u64) -> Result<()> {
        let whole = |journal: &Journal| journal.id() == id && journal.is_whole();
        if self.state.lock().journals.iter().any(whole) {
            return Ok(());
        }
        let what = format!(
            "a snapshot of group {:?} was given up while it was written: the group was cleared, \
             or its journal or disk was full",
            self.group
        );
        Err(Error::Overloaded { what })
    }

    /// Gives up the journals that are not to be kept.
    fn keep_journals(&self, mut is_kept: impl FnMut(&mut Journal) -> bool) -> Result<()> {
        let mut state = self.state.lock();
        let mut result = Ok(());
        state.journals.retain_mut(|journal| {
            if is_kept(journal) {
                return true;
            }
            let given_up = self.give_up(journal);
            let stays = given_up.is_err();
            result = result.clone().and(given_up);
            stays
        });
        self.journalling.store(!state.journals.is_empty(), Ordering::Release);
        result
    }

    /// Ends a journal that misses removals, and its snapshot with it. The journal goes first:
    /// without it the snapshot is refused.
    fn give_up(&self, journal: &mut Journal) -> Result<()> {
        journal.delete()?;
        if read::id_at(&self.path).is_ok_and(|id| id == Some(journal.id())) {
            // It is useless, and may be large; who cannot delete it finds it refused.
            let _ = fs::remove_file(&self.path);
        }
        Ok(())
    }

    /// Keeps the journal of the snapshot that is there now, and ends the others.
    fn settle(&self) {
        let id = read::id_at(&self.path);
        let mut state = self.state.lock();
        state.writing = false;
        // Which one counts is not known: both go on.
        let Ok(id) = id else { return };
        let all = std::mem::take(&mut state.journals);
        let (kept, ended): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|journal| id == Some(journal.id()));
        self.journalling.store(!kept.is_empty(), Ordering::Release);
        state.journals = kept;
        drop(state);
        for mut journal in ended {
            // One that stays behind is swept at the next start.
            let _ = journal.delete();
        }
    }
}

/// The turn of the one snapshot that is being written; its end, however it comes, settles which
/// journal counts.
#[derive(Debug)]
struct Turn<'a>(&'a Snapshotter);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

fn lock(path: &Path) -> Result<File> {
    let lock = beside(path, ".lock");
    let failed = |error| Error::io(format!("cannot lock {}", lock.display()), &error);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(PRIVATE)
        .open(&lock)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::bad_setting(
            format!("snapshot {}", path.display()),
            "is in use by another process or group: give each its own path",
        )),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Deletes what killed processes have left beside `path`: unfinished snapshots, and journals of
/// snapshots other than `id`.
fn sweep(path: &Path, id: Option<u64>) {
    let Some(name) = path.file_name() else { return };
    let kept = id.map(|id| journal::path_of(path, id));
    for entry in fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let rest = file.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let ours = rest.is_some_and(|rest| write::is_temporary(rest) || journal::is_journal(rest));
        if ours && kept.as_deref() != Some(&path.with_file_name(&file)) {
            // What cannot be deleted lies there and does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Entries may be secrets: for the owner's eyes only.
const PRIVATE: u32 = 0o600;

/// The file of this ending beside `path`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
