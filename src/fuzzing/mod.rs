//! What `fuzz/` does with arbitrary bytes: one function for each target, for no one else.
//!
//! Each reads the bytes as something that comes from outside, panics when a promise is broken,
//! and tells whether they were taken. The inputs kept in `fuzz/corpus` are replayed by
//! `cargo test`.

#[cfg(feature = "auth")]
mod access;
mod files;
mod lab;
mod network;
mod settings;
#[cfg(test)]
mod tests;

#[cfg(feature = "auth")]
pub use access::access;
pub use files::{journal, snapshot};
pub use network::{answer, head, target, writes};
#[cfg(feature = "cli")]
pub use settings::config;
pub use settings::origin;

use std::borrow::Cow;

/// The first byte, which chooses what the others are, and the others.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(&choice, rest)| (choice, rest))
}

/// As many bytes as the first one says, if there are, and the rest.
fn part(data: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = choice(data);
    rest.split_at(rest.len().min(len.into()))
}

fn text(data: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(data)
}
