//! The keys that were removed since a snapshot was begun.
//!
//! A record holds the key's hash only. All are of one length then, so that no damaged length
//! can pass for a record that was torn, and a key of the same hash costs one cold miss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::format::{sum_at, take_u64};
use super::read::Fault;
use super::{PRIVATE, beside};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"\x89LRJ\r\n\x1a\n";
const HEADER_BYTES: u64 = 32;
const RECORD_BYTES: u64 = 16;

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    id: u64,
    records: u64,
    /// Whether it misses a removal.
    broken: bool,
}

impl Journal {
    /// Begins the journal of snapshot `id`. Its header is synced: with the snapshot it survives
    /// a power cut.
    pub(super) fn create(snapshot: &Path, id: u64) -> Result<Self> {
        let path = path_of(snapshot, id);
        let made = || {
            let mut file =
                OpenOptions::new().append(true).create_new(true).mode(PRIVATE).open(&path)?;
            file.write_all(&header(id))?;
            file.sync_all()?;
            Ok(file)
        };
        let file = made().map_err(|error| failed("write", &path, &error))?;
        Ok(Self { path, file, id, records: 0, broken: false })
    }

    /// Goes on with the journal of snapshot `id`. None when it is missing or damaged: the
    /// snapshot is refused then, and needs none.
    pub(super) fn open(snapshot: &Path, id: u64) -> Result<Option<Self>> {
        let path = path_of(snapshot, id);
        let opened = || -> io::Result<_> {
            let file = OpenOptions::new().read(true).append(true).open(&path)?;
            let mut records = 0;
            if !scan(&file, id, |_| records += 1)? {
                return Ok(None);
            }
            // The last process may have been killed within a record.
            file.set_len(HEADER_BYTES + records * RECORD_BYTES)?;
            Ok(Some((file, records)))
        };
        match opened() {
            Ok(found) => {
                Ok(found.map(|(file, records)| Self { path, file, id, records, broken: false }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// The snapshot's.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether it holds every removal.
    pub(super) fn is_whole(&self) -> bool {
        !self.broken
    }

    /// Adds a key with one write call.
    pub(super) fn append(&mut self, key: &[u8], limit: u64) -> io::Result<()> {
        let result = self.try_append(key, limit);
        self.broken |= result.is_err();
        result
    }

    fn try_append(&mut self, key: &[u8], limit: u64) -> io::Result<()> {
        let bytes = HEADER_BYTES + (self.records + 1) * RECORD_BYTES;
        if self.broken || bytes > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let hash = xxh3_64(key).to_le_bytes();
        let mut record = [0; RECORD_BYTES as usize];
        record[..8].copy_from_slice(&hash);
        record[8..].copy_from_slice(&sum_at(self.id, self.records, &hash).to_le_bytes());
        self.file.write_all(&record)?;
        self.records += 1;
        Ok(())
    }

    pub(super) fn delete(&mut self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("delete", &self.path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// The keys of a journal.
#[derive(Debug)]
pub(super) struct Removed {
    /// Hashes, sorted.
    hashes: Vec<u64>,
}

impl Removed {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        !self.hashes.is_empty() && self.hashes.binary_search(&xxh3_64(key)).is_ok()
    }
}

/// Reads the journal of snapshot `id`, whose last record may be torn.
pub(super) fn read_removed(snapshot: &Path, id: u64) -> Result<Removed> {
    let path = path_of(snapshot, id);
    let mut hashes = Vec::new();
    match File::open(&path).and_then(|file| scan(&file, id, |hash| hashes.push(hash))) {
        Ok(true) => {
            hashes.sort_unstable();
            hashes.dedup();
            Ok(Removed { hashes })
        }
        Ok(false) => Err(Fault::JournalDamaged.at(snapshot)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Fault::JournalMissing.at(snapshot))
        }
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// Hands out the hashes; false when something other than a torn last record is wrong.
fn scan(file: &File, id: u64, mut each: impl FnMut(u64)) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    let mut record = Vec::with_capacity(HEADER_BYTES as usize);
    reader.by_ref().take(HEADER_BYTES).read_to_end(&mut record)?;
    if record != header(id) {
        return Ok(false);
    }
    for number in 0.. {
        record.clear();
        reader.by_ref().take(RECORD_BYTES).read_to_end(&mut record)?;
        let mut fields = &record[..];
        let (Some(hash), Some(sum)) = (take_u64(&mut fields), take_u64(&mut fields)) else {
            break;
        };
        if sum != sum_at(id, number, &hash.to_le_bytes()) {
            return Ok(false);
        }
        each(hash);
    }
    Ok(true)
}

pub(super) fn header(id: u64) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[16..24].copy_from_slice(&id.to_le_bytes());
    let sum = xxh3_64(&header[..24]);
    header[24..].copy_from_slice(&sum.to_le_bytes());
    header
}

const ENDING: &str = ".removed-";

/// Where the journal of snapshot `id` is.
pub(super) fn path_of(snapshot: &Path, id: u64) -> PathBuf {
    beside(snapshot, &format!("{ENDING}{id:016x}"))
}

/// Whether a name that goes on like this after the snapshot's is that of a journal.
pub(super) fn is_journal(ending: &[u8]) -> bool {
    ending
        .strip_prefix(ENDING.as_bytes())
        .is_some_and(|id| id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::io(format!("cannot {what} the journal {}", path.display()), error)
}
