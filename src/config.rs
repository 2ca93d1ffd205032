//! What a node is to be, as plain data; with the feature `cli` also out of TOML.

#[cfg(feature = "cli")]
mod form;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::serve::Limits;
use crate::store::Eviction;
use crate::tls::TlsConfig;
use crate::wire::Dialect;

/// What a [`Node`](crate::Node) is to be: where it listens, who its peers are, what it serves.
///
/// ```
/// use larder::{GroupConfig, NodeConfig};
///
/// let mut config = NodeConfig::default();
/// config.listen = "127.0.0.1:0".to_owned();
/// config.groups.insert("scores".to_owned(), GroupConfig::new("static:Tom=630,Jack=589"));
/// ```
///
/// With the feature `cli` it can be read from TOML. Sizes are numbers of bytes or texts such as
/// `"64MiB"`, times are texts such as `"10s"`, and all that is missing has its default:
///
/// ```
/// # #[cfg(feature = "cli")] {
/// let config = larder::NodeConfig::from_toml(r#"
///     listen = "10.0.0.1:8001"
///     peers = ["http://10.0.0.1:8001", "http://10.0.0.2:8001"]
///
///     [groups.pages]
///     origin = "dir:/srv/pages"
///     cache_bytes = "256MiB"
///     eviction = "s3-fifo-ages"
///
///     [limits]
///     connections = 256
/// "#)?;
/// assert_eq!(config.groups["pages"].cache_bytes, Some(256 << 20));
/// # }
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct NodeConfig {
    /// Where to listen for peers: `host:port` or `http://host:port`; with port 0 the system
    /// chooses one. Defaults to `127.0.0.1:8001`.
    pub listen: String,
    /// The address by which the peers know this node, when it is another than
    /// [`listen`](Self::listen). Defaults to none.
    pub advertise: Option<String>,
    /// Where to listen for clients. Defaults to `127.0.0.1:9999`.
    pub api: Option<String>,
    /// The nodes of the ring, this one included. Defaults to none, which is this node alone.
    pub peers: Vec<String>,
    /// A file with the secrets that the nodes of the ring share, as
    /// [`Secrets::parse`](crate::Secrets::parse) takes them. Defaults to none, and whoever reaches
    /// [`listen`](Self::listen) is a peer.
    #[cfg(feature = "auth")]
    pub secret_file: Option<PathBuf>,
    /// The secrets themselves, in place of a file with them; they cannot be written in TOML.
    /// Defaults to none.
    #[cfg(feature = "auth")]
    #[cfg_attr(feature = "cli", serde(skip))]
    pub secrets: Option<crate::auth::Secrets>,
    /// A file with the tokens of the clients, as [`Tokens::parse`](crate::Tokens::parse) takes
    /// them. Defaults to none, and whoever reaches [`api`](Self::api) may ask.
    #[cfg(feature = "auth")]
    pub tokens_file: Option<PathBuf>,
    /// Where to connect to (`host:port`) for a peer that is not to be reached by its own address,
    /// as with [`HttpPoolBuilder::connect_to`](crate::HttpPoolBuilder::connect_to). Defaults to
    /// none.
    pub connect_to: BTreeMap<String, String>,
    /// What the nodes of the ring agree on. Defaults to [`Dialect::Native`].
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::dialect"))]
    pub dialect: Dialect,
    /// The budget of each group that has none of its own, in bytes. Defaults to 64 MiB.
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::size"))]
    pub cache_bytes: usize,
    /// Which entries a full cache gives up, of each group that does not say. Defaults to
    /// [`Eviction::Lru`].
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::eviction"))]
    pub eviction: Eviction,
    /// The folder for the groups' snapshots, which is made if it is missing: they are read at
    /// the start and written at shutdown. Defaults to none, and every start is cold.
    pub snapshot: Option<PathBuf>,
    /// How often they are written in between. Defaults to 10 minutes.
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::time"))]
    pub snapshot_every: Duration,
    /// How long a node that is told to stop goes on as before, with `/readyz` failing. Defaults
    /// to 0; see [`HttpPoolBuilder::drain_grace`](crate::HttpPoolBuilder::drain_grace).
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::time"))]
    pub drain_grace: Duration,
    /// The groups, by name. Defaults to none.
    pub groups: BTreeMap<String, GroupConfig>,
    /// TLS with the peers, whose addresses are `https://host:port` then. Defaults to none.
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::tls"))]
    pub peer_tls: Option<TlsConfig>,
    /// TLS with the clients. Defaults to none.
    #[cfg_attr(feature = "cli", serde(deserialize_with = "form::tls"))]
    pub api_tls: Option<TlsConfig>,
    /// What listeners and peer calls may take at most. Defaults to [`Limits::default`].
    #[cfg_attr(feature = "cli", serde(with = "form::LimitsForm"))]
    pub limits: Limits,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8001".to_owned(),
            advertise: None,
            api: Some("127.0.0.1:9999".to_owned()),
            peers: Vec::new(),
            #[cfg(feature = "auth")]
            secret_file: None,
            #[cfg(feature = "auth")]
            secrets: None,
            #[cfg(feature = "auth")]
            tokens_file: None,
            connect_to: BTreeMap::new(),
            dialect: Dialect::default(),
            cache_bytes: 64 << 20,
            eviction: Eviction::default(),
            snapshot: None,
            snapshot_every: Duration::from_secs(600),
            drain_grace: Duration::ZERO,
            groups: BTreeMap::new(),
            peer_tls: None,
            api_tls: None,
            limits: Limits::default(),
        }
    }
}

/// What a group of a [`NodeConfig`] is to be.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct GroupConfig {
    /// Where its values come from, as [`Origin::parse`](crate::origin::Origin::parse) takes it.
    pub origin: String,
    /// Its budget in bytes. Defaults to [`NodeConfig::cache_bytes`].
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_size"))]
    pub cache_bytes: Option<usize>,
    /// Which entries its cache gives up when it is full. Defaults to [`NodeConfig::eviction`].
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_eviction"))]
    pub eviction: Option<Eviction>,
    /// How long a get waits. Defaults to that of [`GroupOptions`](crate::GroupOptions).
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub get_timeout: Option<Duration>,
    /// When a load counts as lost. Defaults to that of [`GroupOptions`](crate::GroupOptions).
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub load_timeout: Option<Duration>,
    /// How long its values live. This and what follows defaults to what
    /// [`GroupOptions`](crate::GroupOptions) says.
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub ttl: Option<Duration>,
    /// By what part of itself that time is shortened at most, by chance.
    #[cfg_attr(feature = "cli", serde(default))]
    pub ttl_jitter: Option<f64>,
    /// For how long an expired value is served while it is loaded anew in the background.
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub stale_while_revalidate: Option<Duration>,
    /// For how long an expired value is served when it cannot be loaded anew.
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub stale_if_error: Option<Duration>,
    /// How long it is remembered that there is no such key.
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub not_found_ttl: Option<Duration>,
    /// How long an error of the origin is remembered.
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub error_ttl: Option<Duration>,
    /// How long copies of what peers own are kept at most.
    #[cfg_attr(feature = "cli", serde(default, deserialize_with = "form::optional_time"))]
    pub hot_ttl: Option<Duration>,
}

impl GroupConfig {
    /// A group whose values come from `origin`, with defaults for the rest.
    pub fn new(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            cache_bytes: None,
            eviction: None,
            get_timeout: None,
            load_timeout: None,
            ttl: None,
            ttl_jitter: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            not_found_ttl: None,
            error_ttl: None,
            hot_ttl: None,
        }
    }
}
