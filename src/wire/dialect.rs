//! The dialects: what nodes of one ring agree on, as values.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::ring::{self, Recipe};

/// How the nodes of a ring name places and talk; the same on every node of it.
///
/// Choose [`Native`](Self::Native) unless Go nodes are to be on the same ring. The others make a
/// larder node one of theirs, with the same owner for every key, and cost what theirs costs:
///
/// - **Balance.** A Go ring has 50 points a peer. Among ten peers the fullest has about 1.3 times
///   the mean with CRC-32, about 1.8 times with MD5 and FNV-1, which also gives whole runs of
///   numbered keys to one peer. Natively it is 1.1.
/// - **The list's order.** When points of two peers fall on the same place the last on the list
///   has it, so every node is to be given the list in the same order.
/// - **Slow loads.** A Go peer cannot say that it is still loading. A load there that takes longer
///   than [`Limits::peer_call`](crate::Limits::peer_call) counts as a failed peer, and the key is
///   loaded here as well. Between larder nodes one load holds in every dialect.
/// - **Damage.** Answers of Go peers have no checksum.
/// - **Writes.** [`Mailgun`](Self::Mailgun) and [`GroupcacheGo`](Self::GroupcacheGo) peers are told by
///   PUT, DELETE and `_remove-keys`; what they load meanwhile may bring the old value back, and none
///   can be told to remove all keys. The other two can be told nothing.
/// - **Clocks.** Go peers send and read the moment at which a value expires
///   ([`Mailgun`](Self::Mailgun), [`GroupcacheGo`](Self::GroupcacheGo)), so clocks must agree; or
///   no time to live at all (the other two): what larder sends them stays until it is evicted.
///   Copies of theirs live for [`hot_ttl`](crate::GroupOptions::hot_ttl) at most.
///
/// ```
/// use larder::Dialect;
///
/// let dialect: Dialect = "groupcache-go".parse()?;
/// assert_eq!(dialect, Dialect::GroupcacheGo);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Between larder nodes.
    #[default]
    Native,
    /// On a ring with golang/groupcache.
    ///
    /// Among themselves such Go peers load `a b` as `a+b`: they write a space as forms do and do
    /// not read it so. What a larder node asks or owns is right.
    Groupcache,
    /// On a ring with geecache, day 7; otherwise as [`Groupcache`](Self::Groupcache).
    Geecache,
    /// On a ring with mailgun/groupcache v2, from 2.4.2 on.
    ///
    /// Any caller that reaches the listener for peers may set and remove keys of this node.
    Mailgun,
    /// On a ring with groupcache/groupcache-go v3, which names peers on the ring as `host:port`.
    ///
    /// Peers are still given as `http://host:port`. Any caller that reaches the listener for
    /// peers may set and remove keys of this node.
    GroupcacheGo,
}

/// What a dialect consists of.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) ring: Recipe,
    pub(crate) ring_name: RingName,
    /// The path below which peers are served; starts and ends with a slash.
    pub(crate) base: &'static str,
    /// What a `+` in a path stands for.
    pub(crate) plus: Plus,
    /// The header lines of an answer with a value.
    pub(crate) value_lines: &'static str,
    pub(crate) statuses: Statuses,
    pub(crate) answers: Answers,
    pub(crate) expiry: Expiry,
    pub(crate) unmarked: Unmarked,
    pub(crate) writes: &'static [Write],
    pub(crate) nodes: Nodes,
}

/// What can be expected of the other nodes on the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// All are larder's: they say in time that they are loading, and stand in for each other.
    Alike,
    /// Go nodes are among them, which load in place of an owner that fails, each for itself.
    Mixed,
}

/// How a peer's address is written on the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingName {
    Url,
    HostAndPort,
}

/// What a `+` in a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    Plus,
    /// The peers escape as forms are escaped; a plus comes as `%2B`.
    Space,
}

/// The statuses in which the dialects differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statuses {
    pub(crate) not_found: u16,
    /// The getter failed.
    pub(crate) getter: u16,
    pub(crate) no_such_group: u16,
}

/// What an answer must have to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// A `Content-Length` and a checksum.
    Sealed,
    /// Go peers send large bodies chunked, and no checksum; one that is there must be right.
    Plain,
}

/// How a message says until when a value lives, beside what is left of its time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Unsaid,
    /// The moment, in nanoseconds since 1970; 0 is never.
    UnixNanos,
}

/// What an error means that is not marked with a code of larder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmarked {
    /// The peer has failed, whatever the status.
    Failed,
    /// 404 is "no such key" and 503 a failed getter, both final; otherwise the peer has failed.
    FinalByStatus,
}

/// What peers may do to this node's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Put,
    Delete,
    /// `POST {base}{group}/_remove-keys/`.
    RemoveKeys,
    /// `POST {base}{group}/`: a step of a write, as `WriteRequest`.
    Told,
}

const NATIVE: Spec = Spec {
    name: "native",
    ring: ring::NATIVE,
    ring_name: RingName::Url,
    base: "/_larder/",
    plus: Plus::Plus,
    value_lines: "Content-Type: application/x-protobuf\r\n",
    statuses: Statuses { not_found: 404, getter: 502, no_such_group: 500 },
    answers: Answers::Sealed,
    expiry: Expiry::Unsaid,
    unmarked: Unmarked::Failed,
    writes: &[Write::Told],
    nodes: Nodes::Alike,
};

const GROUPCACHE: Spec = Spec {
    name: "groupcache",
    ring: ring::GROUPCACHE,
    base: "/_groupcache/",
    plus: Plus::Space,
    statuses: Statuses { not_found: 500, getter: 500, no_such_group: 404 },
    answers: Answers::Plain,
    writes: &[],
    nodes: Nodes::Mixed,
    ..NATIVE
};

const GEECACHE: Spec = Spec {
    name: "geecache",
    base: "/_geecache/",
    value_lines: "Content-Type: application/octet-stream\r\n",
    ..GROUPCACHE
};

const MAILGUN: Spec = Spec {
    name: "mailgun",
    ring: ring::MAILGUN,
    plus: Plus::Plus,
    // An unknown group must not be a 404: that is "no such key" here, and final.
    statuses: Statuses { not_found: 404, getter: 503, no_such_group: 500 },
    expiry: Expiry::UnixNanos,
    unmarked: Unmarked::FinalByStatus,
    writes: &[Write::Put, Write::Delete],
    ..GROUPCACHE
};

const GROUPCACHE_GO: Spec = Spec {
    name: "groupcache-go",
    ring_name: RingName::HostAndPort,
    writes: &[Write::Put, Write::Delete, Write::RemoveKeys],
    ..MAILGUN
};

impl RingName {
    /// The name on the ring of the peer at `url`.
    pub(crate) fn of(self, url: &str) -> &str {
        match self {
            Self::Url => url,
            Self::HostAndPort => url.split_once("://").map_or(url, |(_, rest)| rest),
        }
    }
}

impl Dialect {
    const ALL: [Self; 5] =
        [Self::Native, Self::Groupcache, Self::Geecache, Self::Mailgun, Self::GroupcacheGo];

    /// The dialect's name, as flags and messages spell it.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    pub(crate) fn spec(self) -> &'static Spec {
        match self {
            Self::Native => &NATIVE,
            Self::Groupcache => &GROUPCACHE,
            Self::Geecache => &GEECACHE,
            Self::Mailgun => &MAILGUN,
            Self::GroupcacheGo => &GROUPCACHE_GO,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = Error;

    /// Reads a [`name`](Self::name).
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`], which lists the names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::bad_setting("dialect", format!("{name:?} is not one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        let error = "galaxy".parse::<Dialect>().unwrap_err().to_string();
        let names = "native, groupcache, geecache, mailgun, groupcache-go";
        assert_eq!(error, format!("dialect: \"galaxy\" is not one of {names}"));
    }

    #[test]
    fn only_groupcache_go_names_peers_without_the_scheme() {
        for dialect in Dialect::ALL {
            for url in ["http://10.0.0.1:8080", "https://10.0.0.1:8080"] {
                let name = dialect.spec().ring_name.of(url);
                let bare = dialect == Dialect::GroupcacheGo;
                assert_eq!(name, if bare { "10.0.0.1:8080" } else { url });
            }
        }
    }

    #[test]
    fn groupcache_and_geecache_nodes_are_sent_and_take_no_writes() {
        for dialect in [Dialect::Groupcache, Dialect::Geecache] {
            assert!(dialect.spec().writes.is_empty());
        }
    }
}
