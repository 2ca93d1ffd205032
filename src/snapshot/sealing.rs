//! Puts the sums of damaged files right, for fuzzing: chance alone never gets behind them.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::format::{HEAD_BYTES, HEADER_BYTES, Head, Header, Record, sum_at, take_u32, take_u64};
use super::journal;

const ID: u64 = 0x6c61_7264_6572;

/// A good snapshot, with its entries in one block.
pub(crate) fn sealed(group: &str, records: &[Record<'_>]) -> Vec<u8> {
    let header = Header { id: ID, written_ms: 0, group: group.into() };
    let mut bytes = header.encode().unwrap();
    let mut block = Vec::new();
    records.iter().for_each(|record| block.extend(encode(record)));
    let (len, sum) = (block.len() as u64, xxh3_64(&block));
    let entries = records.len() as u32;
    bytes.extend(Head::Block { entries, len, sum }.encode(ID, 0));
    bytes.extend(block);
    let (entries, len) = (records.len() as u64, (bytes.len() + HEAD_BYTES) as u64);
    bytes.extend(Head::End { entries, bytes: len }.encode(ID, 1));
    bytes
}

/// Puts the sums of a snapshot right, as far as its lengths can be followed.
pub(crate) fn seal(bytes: &mut [u8]) {
    let id = id_of(bytes);
    let group = bytes.get(12..16).and_then(|mut len| take_u32(&mut len)).unwrap_or(0) as usize;
    let header = HEADER_BYTES.saturating_add(group);
    let Some((covered, sum)) = bytes.split_at_mut_checked(header) else { return };
    let Some((sum, mut rest)) = sum.split_first_chunk_mut::<8>() else { return };
    *sum = xxh3_64(covered).to_le_bytes();
    for number in 0.. {
        let Some((head, records)) = rest.split_first_chunk_mut::<HEAD_BYTES>() else { return };
        let len = take_u64(&mut &head[8..16]).and_then(|len| usize::try_from(len).ok());
        let is_block = head[..4] == 1_u32.to_le_bytes();
        let (records, after) = match len.filter(|_| is_block) {
            Some(len) if len <= records.len() => records.split_at_mut(len),
            _ => (&mut [][..], records),
        };
        if is_block {
            head[16..24].copy_from_slice(&xxh3_64(records).to_le_bytes());
        }
        let sum = sum_at(id, number, &head[..24]);
        head[24..].copy_from_slice(&sum.to_le_bytes());
        rest = after;
    }
}

/// The good journal of a snapshot after which `keys` were removed.
pub(crate) fn journal_of(snapshot: &[u8], keys: &[&[u8]]) -> Vec<u8> {
    let id = id_of(snapshot);
    let mut bytes = journal::header(id).to_vec();
    for (number, key) in (0..).zip(keys) {
        let hash = xxh3_64(key).to_le_bytes();
        bytes.extend(hash);
        bytes.extend(sum_at(id, number, &hash).to_le_bytes());
    }
    bytes
}

/// Puts the sums of a journal of [`sealed`] right; its magic and id too, since all else would be
/// refused with them.
pub(crate) fn seal_journal(bytes: &mut [u8]) {
    let header = journal::header(ID);
    let Some((start, mut records)) = bytes.split_first_chunk_mut() else { return };
    *start = header;
    for number in 0.. {
        let Some((record, rest)) = records.split_first_chunk_mut::<16>() else { return };
        let sum = sum_at(ID, number, &record[..8]);
        record[8..].copy_from_slice(&sum.to_le_bytes());
        records = rest;
    }
}

/// Where the journal of these bytes belongs.
pub(crate) fn journal_path(path: &Path, snapshot: &[u8]) -> PathBuf {
    journal::path_of(path, id_of(snapshot))
}

/// A record that was read reads the same when it is written.
pub(crate) fn comes_back(record: &Record<'_>) {
    let bytes = encode(record);
    assert_eq!(bytes.len(), record.encoded_len());
    let mut rest = &bytes[..];
    assert_eq!(Record::decode(&mut rest).as_ref(), Some(record));
    assert!(rest.is_empty());
}

fn encode(record: &Record<'_>) -> Vec<u8> {
    [&record.head().unwrap()[..], record.key, record.value].concat()
}

fn id_of(snapshot: &[u8]) -> u64 {
    snapshot.get(16..24).and_then(|mut id| take_u64(&mut id)).unwrap_or(0)
}
