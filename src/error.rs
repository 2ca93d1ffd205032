//! The one error of the crate.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A result whose error is larder's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, boxed: what a getter may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// "There is no such key": a getter's way to say that the origin answered, and has none.
///
/// Not a failure: it travels between nodes as what it is, and reaches every caller as
/// [`Error::NotFound`].
///
/// ```
/// use larder::{Group, NotFound};
///
/// let scores = Group::new("scores", 1 << 20, |name: &str| match name {
///     "Tom" => Ok("630"),
///     _ => Err(NotFound.into()),
/// })?;
/// assert!(scores.get("Ann").unwrap_err().is_not_found());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFound;

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such key")
    }
}

impl std::error::Error for NotFound {}

/// A node that has not confirmed a write, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unconfirmed {
    /// The node, as `http://10.0.0.2:8001`.
    pub node: String,
    /// What became of telling it.
    pub reason: String,
}

impl Unconfirmed {
    pub(crate) fn new(node: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { node: node.into(), reason: reason.into() }
    }
}

/// What can go wrong, named so that the reader knows which thing and what to do.
///
/// Cheap enough to clone: one error reaches every caller of a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the line above each variant tells of its fields")]
pub enum Error {
    /// The origin has no such key: the getter said [`NotFound`].
    NotFound { group: String, key: String },
    /// The getter returned an error; it is not cached, so the next get tries again.
    Getter { group: String, key: String, message: String },
    /// The getter panicked; the key stays usable, so the next get tries again.
    GetterPanicked { group: String, key: String, message: String },
    /// A getter asked its own group for the key that it is loading.
    AskedForItself { group: String, key: String },
    /// The value did not come within the caller's deadline; the load may still go on.
    DeadlineExceeded { group: String, key: String, waited: Duration },
    /// A limit was reached and the work was shed; trying again later may do.
    Overloaded { what: String },
    /// The pool has no group of this name.
    NoSuchGroup { group: String },
    /// The pool has a group of this name already.
    GroupExists { group: String },
    /// A group's name cannot stand in a path: see `reason`.
    BadGroupName { group: String, reason: &'static str },
    /// The key is longer than the limit (bytes).
    KeyTooLong { group: String, len: usize, limit: usize },
    /// The getter's value is longer than the limit (bytes).
    ValueTooLarge { group: String, key: String, len: usize, limit: usize },
    /// A peer's address is not of the form `http://host:port` (`https:` with TLS for peers).
    BadPeer { peer: String, reason: String },
    /// The list of peers does not hold this node's own address.
    SelfNotInPeers { url: String, peers: String },
    /// The peer at `peer` gave no valid answer.
    Peer { peer: String, message: String },
    /// A setting has a value that cannot work.
    BadSetting { setting: String, reason: String },
    /// The operating system refused something: a bind, a thread, a folder.
    Io { what: String, message: String },
    /// A snapshot was refused, whole, and no entry of it was taken: see `reason`.
    Snapshot { path: PathBuf, reason: String },
    /// A write was carried out, and not every node has confirmed it: the others may still have
    /// what was there before.
    NotConfirmed { group: String, confirmed: Vec<String>, unconfirmed: Vec<Unconfirmed> },
    /// The pool or the group is shutting down.
    ShuttingDown,
}

impl Error {
    /// Whether the origin answered that there is no such key.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn io(what: impl Into<String>, error: &std::io::Error) -> Self {
        Self::Io { what: what.into(), message: error.to_string() }
    }

    pub(crate) fn bad_setting(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadSetting { setting: setting.into(), reason: reason.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { group, key } => write!(f, "no such key: {key:?} in group {group:?}"),
            Self::Getter { group, key, message } => {
                write!(f, "getter of group {group:?} failed for key {key:?}: {message}")
            }
            Self::GetterPanicked { group, key, message } => {
                write!(f, "getter of group {group:?} panicked for key {key:?}: {message}")
            }
            Self::AskedForItself { group, key } => write!(
                f,
                "getter of group {group:?} asked its own group for key {key:?} while loading \
                 that key: load it from the origin instead"
            ),
            Self::DeadlineExceeded { group, key, waited } => write!(
                f,
                "no value for key {key:?} of group {group:?} within {waited:?}: the origin is \
                 slow, try again or allow more time"
            ),
            Self::Overloaded { what } => write!(f, "overloaded: {what}; try again later"),
            Self::NoSuchGroup { group } => {
                write!(f, "no such group: {group:?}; make it on every node before it is asked for")
            }
            Self::GroupExists { group } => {
                write!(f, "group {group:?} exists already: choose another name or share the Group")
            }
            Self::BadGroupName { group, reason } => {
                write!(f, "group name {group:?} {reason}: choose another name")
            }
            Self::KeyTooLong { group, len, limit } => write!(
                f,
                "key of {len} bytes for group {group:?} is over the limit of {limit}: shorten \
                 or hash it, or raise `key_bytes`"
            ),
            Self::ValueTooLarge { group, key, len, limit } => write!(
                f,
                "value of {len} bytes for key {key:?} of group {group:?} is over the limit of \
                 {limit}: split it, or raise `value_bytes`"
            ),
            Self::BadPeer { peer, reason } => {
                write!(f, "peer {peer:?} {reason}: write it as http://host:port (or https:)")
            }
            Self::SelfNotInPeers { url, peers } => write!(
                f,
                "this node, {url}, is not in the list of peers ({peers}): add it, written the \
                 same way on every node"
            ),
            Self::Peer { peer, message } => write!(f, "peer {peer}: {message}"),
            Self::BadSetting { setting, reason } => write!(f, "{setting}: {reason}"),
            Self::Io { what, message } => write!(f, "{what}: {message}"),
            Self::Snapshot { path, reason } => write!(
                f,
                "snapshot {}: {reason}; it is ignored: delete it, or let the next snapshot \
                 replace it",
                path.display()
            ),
            Self::NotConfirmed { .. } => self.fmt_not_confirmed(f),
            Self::ShuttingDown => f.write_str("shutting down: no new work is taken"),
        }
    }
}

impl Error {
    fn fmt_not_confirmed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NotConfirmed { group, confirmed, unconfirmed } = self else { return Ok(()) };
        let (count, total) = (unconfirmed.len(), confirmed.len() + unconfirmed.len());
        write!(f, "{count} of {total} nodes have not confirmed a write to group {group:?}")?;
        if let Some(Unconfirmed { node, reason }) = unconfirmed.first() {
            write!(f, " ({node}: {reason})")?;
        }
        f.write_str("; they may have old values: it is repeated when they can be reached")
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_thing_and_the_fix() {
        let error = Error::KeyTooLong { group: "pages".into(), len: 5_000, limit: 4_096 };
        let text = error.to_string();
        for word in ["pages", "5000", "4096", "key_bytes"] {
            assert!(text.contains(word), "{word} is missing in {text:?}");
        }
    }

    #[test]
    fn not_found_is_told_apart_from_a_failing_getter() {
        let (group, key) = ("g".to_owned(), "k".to_owned());
        assert!(Error::NotFound { group: group.clone(), key: key.clone() }.is_not_found());
        assert!(!Error::Getter { group, key, message: String::new() }.is_not_found());
    }
}
