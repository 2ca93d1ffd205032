//! The bytes of the parts of a snapshot, as `mod.rs` draws them.

use std::time::Duration;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, Result};

/// Not text, and spoiled by whatever changes ends of lines: PNG's trick.
pub(super) const MAGIC: [u8; 8] = *b"\x89LRD\r\n\x1a\n";
pub(super) const VERSION: u32 = 1;

/// A block's size with its head; a larger record has a block of its own.
pub(super) const BLOCK_BYTES: usize = 128 << 10;

/// The longest group name; larder's own are shorter.
pub(super) const GROUP_BYTES: usize = 1_024;

/// What stands before the group's name.
pub(super) const HEADER_BYTES: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Random: no part of one file passes for a part of another.
    pub(super) id: u64,
    pub(super) written_ms: u64,
    pub(super) group: Vec<u8>,
}

impl Header {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let group = u32::try_from(self.group.len()).ok().filter(|&len| len as usize <= GROUP_BYTES);
        let Some(group) = group else {
            let group = String::from_utf8_lossy(&self.group).into_owned();
            let reason = "is longer than the 1,024 bytes that a snapshot has for it";
            return Err(Error::BadGroupName { group, reason });
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.group.len() + size_of::<u64>());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(group.to_le_bytes());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.written_ms.to_le_bytes());
        bytes.extend(&self.group);
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        Ok(bytes)
    }
}

/// The size of what stands before a block's records, and of the end.
pub(super) const HEAD_BYTES: usize = 32;

/// What may follow the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// Before so many bytes of records.
    Block { entries: u32, len: u64, sum: u64 },
    /// After the last block: what the whole file holds, this end included.
    End { entries: u64, bytes: u64 },
}

impl Head {
    /// The head of part `number` of file `id`.
    pub(super) fn encode(self, id: u64, number: u64) -> [u8; HEAD_BYTES] {
        let (kind, entries, a, b): (u32, u32, u64, u64) = match self {
            Self::Block { entries, len, sum } => (1, entries, len, sum),
            Self::End { entries, bytes } => (2, 0, entries, bytes),
        };
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&kind.to_le_bytes());
        head[4..8].copy_from_slice(&entries.to_le_bytes());
        head[8..16].copy_from_slice(&a.to_le_bytes());
        head[16..24].copy_from_slice(&b.to_le_bytes());
        let sum = sum_at(id, number, &head[..24]);
        head[24..].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// None when these bytes are not the head of part `number` of file `id`.
    pub(super) fn decode(mut head: &[u8], id: u64, number: u64) -> Option<Self> {
        let sum = sum_at(id, number, head.get(..24)?);
        let (kind, entries) = (take_u32(&mut head)?, take_u32(&mut head)?);
        let (a, b) = (take_u64(&mut head)?, take_u64(&mut head)?);
        match kind {
            _ if take_u64(&mut head)? != sum => None,
            1 => Some(Self::Block { entries, len: a, sum: b }),
            2 => Some(Self::End { entries: a, bytes: b }),
            _ => None,
        }
    }
}

/// The sum of a part that belongs to one place of one file.
pub(super) fn sum_at(id: u64, number: u64, part: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(&id.to_le_bytes());
    sum.update(&number.to_le_bytes());
    sum.update(part);
    sum.digest()
}

/// An entry of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// What is left of it, in milliseconds when it is written.
    pub(crate) ttl: Option<Duration>,
    /// Whether it is a copy of a key that a peer owns.
    pub(crate) hot: bool,
}

const RECORD_HEAD_BYTES: usize = 21;

/// The flags of a record; one that is not known here is of a newer version.
const HAS_TTL: u8 = 1;
const HOT: u8 = 2;

impl<'a> Record<'a> {
    pub(super) fn encoded_len(&self) -> usize {
        RECORD_HEAD_BYTES + self.key.len() + self.value.len()
    }

    /// What stands before key and value.
    pub(super) fn head(&self) -> Result<[u8; RECORD_HEAD_BYTES]> {
        let len = self.key.len();
        let key = u32::try_from(len).map_err(|_| {
            Error::bad_setting("snapshot", format!("cannot hold a key of {len} bytes"))
        })?;
        let flags = if self.ttl.is_some() { HAS_TTL } else { 0 } | if self.hot { HOT } else { 0 };
        let ttl = self.ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let mut head = [flags; RECORD_HEAD_BYTES];
        head[1..5].copy_from_slice(&key.to_le_bytes());
        head[5..13].copy_from_slice(&(self.value.len() as u64).to_le_bytes());
        head[13..].copy_from_slice(&ttl.to_le_bytes());
        Ok(head)
    }

    /// The first record of `bytes`, which are cut to what follows it. None when they hold none.
    pub(super) fn decode(bytes: &mut &'a [u8]) -> Option<Self> {
        let flags =
            bytes.split_off_first().copied().filter(|flags| flags & !(HAS_TTL | HOT) == 0)?;
        let key = usize::try_from(take_u32(bytes)?).ok()?;
        let value = usize::try_from(take_u64(bytes)?).ok()?;
        let ttl = Duration::from_millis(take_u64(bytes)?);
        Some(Self {
            key: bytes.split_off(..key)?,
            value: bytes.split_off(..value)?,
            ttl: (flags & HAS_TTL != 0).then_some(ttl),
            hot: flags & HOT != 0,
        })
    }
}

pub(super) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*taken))
}

pub(super) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*taken))
}
