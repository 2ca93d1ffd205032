//! Values that name their key and version and carry a checksum: whoever gets one can tell
//! whether it is right to the byte, and how old it is.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Beyond the buffers and blocks that larder treats in a way of their own.
const LONG_BYTES: usize = 20_000;
/// One key in so many has a long value.
const LONG_EVERY: u64 = 16;

/// The name of the key with this number.
pub(crate) fn key(number: u64) -> String {
    format!("key-{number}")
}

/// The one value that `key` has at `version`.
pub(crate) fn make(key: &str, version: u64) -> Vec<u8> {
    let hash = xxh3_64_with_seed(key.as_bytes(), 0);
    let filler_bytes = match hash % LONG_EVERY {
        0 => LONG_BYTES,
        _ => 50 + (hash >> 32) as usize % 1_000,
    };
    let checksum = xxh3_64_with_seed(key.as_bytes(), version);
    let mut value = format!("{key} {version} {checksum:016x}\n").into_bytes();
    let filler = checksum.to_be_bytes();
    value.extend(filler.iter().cycle().take(filler_bytes));
    value
}

/// The version that `value` is of, when it is a value of `key` to the last byte.
pub(crate) fn version(key: &str, value: &[u8]) -> Option<u64> {
    let line = value.split(|&byte| byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let version = words.nth(1)?.parse().ok()?;
    (make(key, version) == value).then_some(version)
}
