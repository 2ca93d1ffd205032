//! Who may ask: secrets that nodes of one cluster share, and tokens of clients.
//!
//! Nothing here knows of sockets. A request comes as its parts, a clock as a number, and what is
//! refused is told as a [`Denied`].
//!
//! A signature is a header:
//!
//! ```text
//! Larder-Auth: v1 KEY TIME SENDER-COUNTER BODY MAC
//!
//! KEY      which secret: 8 hexadecimal digits of its fingerprint
//! TIME     milliseconds since 1970
//! SENDER   32 hexadecimal digits, drawn when the sender started
//! COUNTER  one more for each signature of this sender
//! BODY     SHA-256 of the body, or `-` when there is none
//! MAC      HMAC-SHA256 with the secret, over these lines without their ends' spaces:
//!
//! larder-auth
//! METHOD
//! TARGET
//! RECEIVER, the address by which the peers know the node that is asked
//! v1 KEY TIME SENDER-COUNTER BODY
//! ```
//!
//! None of these parts can hold a line feed, so no two requests have the same lines. All but the
//! body is verified from the head alone: a stranger's body is never read.

mod replay;
mod secrets;
mod signature;
mod tokens;

pub use secrets::Secrets;
pub(crate) use signature::{Denied, Question, Sender, Verifier, is_of, now};
pub(crate) use tokens::Right;
pub use tokens::Tokens;

use std::path::Path;

use crate::error::{Error, Result};

/// The lines of a file of secrets or tokens, with their numbers: blank ones and those that start
/// with `#` say nothing.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Reads a file and makes of it what `parse` makes; an error names the file.
fn read<T>(path: &Path, parse: impl Fn(&str) -> Result<T>) -> Result<T> {
    let bad = |reason: String| Error::bad_setting(path.display().to_string(), reason);
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    parse(&text).map_err(|error| match error {
        Error::BadSetting { reason, .. } => bad(reason),
        error => error,
    })
}
