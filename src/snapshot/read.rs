//! Reading a snapshot: whole before the first entry is handed out, then once more.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_64;

use super::format::{
    BLOCK_BYTES, GROUP_BYTES, HEAD_BYTES, HEADER_BYTES, Head, Header, MAGIC, Record, VERSION,
    take_u32, take_u64,
};
use super::write::unix_ms;
use crate::error::{Error, Result};

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Handed out.
    pub(crate) entries: u64,
    /// Skipped, because their time to live was over.
    pub(crate) expired: u64,
    /// Skipped, because they were removed after the snapshot was written.
    pub(crate) removed: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

/// A snapshot that has been found sound.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    file: File,
    header: Header,
    bytes: u64,
}

impl Reader {
    /// Opens the snapshot of `group` and checks all of it. None when there is no such file.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] when the file is not a sound snapshot of this group, [`Error::Io`]
    /// when it cannot be read.
    pub(crate) fn open(path: &Path, group: &str) -> Result<Option<Self>> {
        let Some((mut file, bytes)) = open_file(path)? else { return Ok(None) };
        let header = read_header(&mut file, bytes, group).map_err(|fault| fault.at(path))?;
        let mut reader = Self { path: path.to_owned(), file, header, bytes };
        reader.walk(|_| ())?;
        Ok(Some(reader))
    }

    pub(super) fn id(&self) -> u64 {
        self.header.id
    }

    /// Hands out the entries that are still alive, their times to live shortened by the time
    /// since the snapshot was begun. By the wall clock: it alone goes on while no process runs.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] or [`Error::Io`] when the file has changed since it was opened.
    pub(crate) fn each(&mut self, each: impl FnMut(Record<'_>)) -> Result<Restored> {
        self.each_at(SystemTime::now(), each)
    }

    pub(super) fn each_at(
        &mut self,
        now: SystemTime,
        mut each: impl FnMut(Record<'_>),
    ) -> Result<Restored> {
        // A clock that was set back says nothing: as if no time had passed.
        let passed = Duration::from_millis(unix_ms(now).saturating_sub(self.header.written_ms));
        let mut expired = 0;
        let entries = self.walk(|record| {
            let ttl = record.ttl.map(|ttl| ttl.saturating_sub(passed));
            if ttl == Some(Duration::ZERO) {
                expired += 1;
            } else {
                each(Record { ttl, ..record });
            }
        })?;
        Ok(Restored { entries: entries - expired, expired, removed: 0, bytes: self.bytes })
    }

    /// Reads all blocks, checks all there is to check, and returns the number of entries.
    fn walk(&mut self, each: impl FnMut(Record<'_>)) -> Result<u64> {
        self.walk_blocks(each).map_err(|fault| fault.at(&self.path))
    }

    fn walk_blocks(&mut self, mut each: impl FnMut(Record<'_>)) -> Result<u64, Fault> {
        let start = (HEADER_BYTES + self.header.group.len() + size_of::<u64>()) as u64;
        self.file.seek(SeekFrom::Start(start))?;
        let mut left = self.bytes - start;
        let (mut number, mut entries, mut block) = (0, 0, Vec::new());
        loop {
            left = left.checked_sub(HEAD_BYTES as u64).ok_or(Fault::CutOff)?;
            let mut head = [0; HEAD_BYTES];
            self.file.read_exact(&mut head)?;
            match Head::decode(&head, self.header.id, number).ok_or(Fault::Block(number))? {
                Head::Block { entries: count, len, sum } => {
                    left = left.checked_sub(len).ok_or(Fault::CutOff)?;
                    let records = read_block(&mut self.file, len, sum, &mut block)?;
                    hand_out(records.ok_or(Fault::Block(number))?, count, &mut each)
                        .ok_or(Fault::Block(number))?;
                    entries += u64::from(count);
                    number += 1;
                }
                _ if left > 0 => return Err(Fault::Trailing),
                end if end == (Head::End { entries, bytes: self.bytes }) => return Ok(entries),
                Head::End { .. } => return Err(Fault::Counts),
            }
        }
    }
}

/// The bytes of a block, when they are what its head says.
fn read_block<'a>(
    file: &mut File,
    len: u64,
    sum: u64,
    block: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Fault> {
    let len = usize::try_from(len).map_err(|_| Fault::CutOff)?;
    if block.len() > BLOCK_BYTES {
        // One large record must not be held until the end.
        *block = Vec::new();
    }
    if block.len() < len {
        block.resize(len.max(BLOCK_BYTES), 0);
    }
    let records = &mut block[..len];
    file.read_exact(records)?;
    Ok((xxh3_64(records) == sum).then_some(records))
}

/// Hands out the records of a block. None when they are not what its head says.
fn hand_out(mut records: &[u8], entries: u32, each: &mut impl FnMut(Record<'_>)) -> Option<()> {
    for _ in 0..entries {
        each(Record::decode(&mut records)?);
    }
    records.is_empty().then_some(())
}

fn read_header(file: &mut File, bytes: u64, group: &str) -> Result<Header, Fault> {
    let mut start = Vec::with_capacity(HEADER_BYTES + GROUP_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let mut fields = start.strip_prefix(&MAGIC).ok_or(Fault::Foreign)?;
    match take_u32(&mut fields).ok_or(Fault::CutOff)? {
        VERSION => {}
        newer if newer > VERSION => return Err(Fault::Newer(newer)),
        _ => return Err(Fault::Header),
    }
    let group_len = take_u32(&mut fields).ok_or(Fault::CutOff)? as usize;
    let id = take_u64(&mut fields).ok_or(Fault::CutOff)?;
    let written_ms = take_u64(&mut fields).ok_or(Fault::CutOff)?;
    if group_len > GROUP_BYTES {
        return Err(Fault::Header);
    }
    let rest = group_len + size_of::<u64>();
    if bytes < (HEADER_BYTES + rest) as u64 {
        return Err(Fault::CutOff);
    }
    file.take(rest as u64).read_to_end(&mut start)?;
    let (covered, mut sum) =
        start.split_at_checked(HEADER_BYTES + group_len).ok_or(Fault::CutOff)?;
    if take_u64(&mut sum) != Some(xxh3_64(covered)) {
        return Err(Fault::Header);
    }
    let header = Header { id, written_ms, group: covered[HEADER_BYTES..].to_vec() };
    if header.group != group.as_bytes() {
        let found = String::from_utf8_lossy(&header.group).into_owned();
        return Err(Fault::Group { found, wanted: group.to_owned() });
    }
    Ok(header)
}

/// The file and its length. None when there is none.
fn open_file(path: &Path) -> Result<Option<(File, u64)>> {
    let opened = || -> io::Result<_> {
        // Looked at first: opening a pipe would wait for who writes to it.
        let found = fs::metadata(path)?;
        if !found.is_file() {
            return Ok(None);
        }
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Some((file, bytes)))
    };
    match opened() {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => Err(Fault::NoFile.at(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::Io(error).at(path)),
    }
}

/// The id of the snapshot at `path`, of whatever version and group. None when there is none.
pub(super) fn id_at(path: &Path) -> Result<Option<u64>> {
    let found = match open_file(path) {
        Err(Error::Snapshot { .. }) => return Ok(None),
        found => found?,
    };
    let Some((file, _)) = found else { return Ok(None) };
    let mut start = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|error| Fault::Io(error).at(path))?;
    let id = start.strip_prefix(&MAGIC).and_then(|rest| rest.get(8..));
    Ok(id.and_then(|mut id| take_u64(&mut id)))
}

/// Why a snapshot is refused.
#[derive(Debug)]
pub(super) enum Fault {
    NoFile,
    Foreign,
    Newer(u32),
    Group {
        found: String,
        wanted: String,
    },
    Header,
    Block(u64),
    CutOff,
    Counts,
    Trailing,
    /// Its journal of removed keys.
    JournalMissing,
    JournalDamaged,
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Shorter than it was when its length was asked for.
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Io(error),
        }
    }
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> Error {
        let reason = match self {
            Self::NoFile => "is not a file".to_owned(),
            Self::Foreign => "is not a snapshot of larder".to_owned(),
            Self::Newer(version) => {
                format!("is of version {version}, and this program reads up to {VERSION}")
            }
            Self::Group { found, wanted } => format!("is of group {found:?}, not of {wanted:?}"),
            Self::Header => "is damaged in its header".to_owned(),
            Self::Block(number) => format!("is damaged at block {number}"),
            Self::CutOff => "is cut off: its end is missing".to_owned(),
            Self::Counts => "is damaged: its end counts other entries or bytes".to_owned(),
            Self::Trailing => "is damaged: bytes follow its end".to_owned(),
            Self::JournalMissing => {
                "has no journal of the keys that were removed since, which could come back"
                    .to_owned()
            }
            Self::JournalDamaged => {
                "has a damaged journal of the keys that were removed since, which could come back"
                    .to_owned()
            }
            Self::Io(error) => {
                return Error::io(format!("cannot read snapshot {}", path.display()), &error);
            }
        };
        Error::Snapshot { path: path.to_owned(), reason }
    }
}
