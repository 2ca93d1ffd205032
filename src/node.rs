//! A running node, out of a configuration.

#[cfg(feature = "auth")]
mod keys;
mod snapshots;

use std::fmt;
use std::net::TcpListener;
use std::time::Duration;

pub use snapshots::SnapshotEvent;

use crate::config::{GroupConfig, NodeConfig};
use crate::error::Result;
use crate::group::{Group, GroupOptions};
use crate::origin::Origin;
use crate::pool::HttpPool;
use snapshots::Snapshots;

/// A pool with its groups and their origins, started from a [`NodeConfig`].
///
/// What `larder serve` runs. Dropped, it stops at once; [`shutdown`](Self::shutdown) lets
/// requests finish first.
///
/// ```
/// use larder::{GroupConfig, Node, NodeConfig};
///
/// let mut config = NodeConfig::default();
/// config.listen = "127.0.0.1:0".to_owned();
/// config.api = None;
/// config.groups.insert("scores".to_owned(), GroupConfig::new("static:Tom=630,Jack=589"));
/// let node = Node::start(config)?;
/// assert_eq!(node.groups()[0].get("Tom")?, "630");
/// # Ok::<(), larder::Error>(())
/// ```
pub struct Node {
    pool: HttpPool,
    groups: Vec<Group>,
    #[cfg(feature = "auth")]
    keys: keys::Keys,
    /// None when the configuration names no folder for them.
    snapshots: Option<Snapshots>,
}

/// Sockets that listen already, as from systemd: see
/// [`HttpPoolBuilder::listener`](crate::HttpPoolBuilder::listener).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sockets {
    /// For peers. Defaults to none.
    pub peer: Option<TcpListener>,
    /// For clients. Defaults to none.
    pub api: Option<TcpListener>,
}

impl Node {
    /// Opens the origins, makes the groups, reads their snapshots, and starts the pool.
    ///
    /// # Errors
    ///
    /// Those of [`Origin::parse`], of
    /// [`HttpPoolBuilder::start`](crate::HttpPoolBuilder::start) and of
    /// [`HttpPool::group_with`]; [`Error::Io`](crate::Error::Io) when the folder for snapshots
    /// cannot be made, and [`Error::BadSetting`](crate::Error::BadSetting) when another
    /// process uses it. Nothing keeps running then. A snapshot that is refused is no error.
    pub fn start(config: NodeConfig) -> Result<Self> {
        Self::start_with(config, |_| ())
    }

    /// As [`start`](Self::start); `listener` is told what becomes of each snapshot. It runs on
    /// the thread that starts the node, and later on the one that writes snapshots.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(
        config: NodeConfig,
        listener: impl Fn(&SnapshotEvent) + Send + 'static,
    ) -> Result<Self> {
        Self::start_on(Sockets::default(), config, listener)
    }

    /// As [`start_with`](Self::start_with), on sockets that listen already: where `config` says
    /// to listen counts only for those that are missing.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_on(
        sockets: Sockets,
        config: NodeConfig,
        listener: impl Fn(&SnapshotEvent) + Send + 'static,
    ) -> Result<Self> {
        // Before anything listens: peers are not to meet a node whose origin is missing.
        let prepare = |(name, group): (&String, &GroupConfig)| {
            let origin = Origin::parse(&group.origin)?;
            Ok((name.clone(), options(group, &config), origin))
        };
        let prepared = config.groups.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        let make =
            |(name, options, origin): (String, GroupOptions, Origin)| options.build(&name, origin);
        let groups = prepared.into_iter().map(make).collect::<Result<Vec<_>>>()?;
        // Nobody asks yet, so that what is removed later is noted.
        let restored = match &config.snapshot {
            Some(folder) => Some(snapshots::restore(folder, &groups, &listener)?),
            None => None,
        };
        let pool = start_pool(sockets, &config, &groups)?;
        let start = |files| Snapshots::start(files, config.snapshot_every, listener);
        let snapshots = restored.map(start).transpose()?;
        Ok(Self {
            pool,
            groups,
            #[cfg(feature = "auth")]
            keys: keys::Keys::of(&config),
            snapshots,
        })
    }

    /// The pool.
    pub fn pool(&self) -> &HttpPool {
        &self.pool
    }

    /// The groups of the configuration, by name.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Reads anew the files of TLS, secrets and tokens: the first for connections that are made
    /// from now on, the others for the next request.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`](crate::Error::BadSetting), which names the file that cannot be read
    /// or used. Everything stays as it was then.
    pub fn reload(&self) -> Result<()> {
        #[cfg(feature = "auth")]
        let read = self.keys.read()?;
        self.pool.reload_tls()?;
        #[cfg(feature = "auth")]
        keys::Keys::set(&self.pool, read)?;
        Ok(())
    }

    /// Drains and stops, as [`HttpPool::shutdown`], and writes the snapshots, however long that
    /// takes. Whether all requests finished in time.
    pub fn shutdown(self, timeout: Duration) -> bool {
        let finished = self.pool.drain(timeout);
        // Before the pool's threads are waited for: a getter that hangs may hold one.
        if let Some(snapshots) = self.snapshots {
            snapshots.finish();
        }
        finished
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?})", self.pool.url())
    }
}

fn options(group: &GroupConfig, node: &NodeConfig) -> GroupOptions {
    type Set = fn(GroupOptions, Duration) -> GroupOptions;
    let mut options = GroupOptions::new(group.cache_bytes.unwrap_or(node.cache_bytes))
        .eviction(group.eviction.unwrap_or(node.eviction));
    if let Some(part) = group.ttl_jitter {
        options = options.ttl_jitter(part);
    }
    let times: [(Option<Duration>, Set); 8] = [
        (group.get_timeout, GroupOptions::get_timeout),
        (group.load_timeout, GroupOptions::load_timeout),
        (group.ttl, GroupOptions::ttl),
        (group.stale_while_revalidate, GroupOptions::stale_while_revalidate),
        (group.stale_if_error, GroupOptions::stale_if_error),
        (group.not_found_ttl, GroupOptions::not_found_ttl),
        (group.error_ttl, GroupOptions::error_ttl),
        (group.hot_ttl, GroupOptions::hot_ttl),
    ];
    let set = |options, (time, set): (Option<Duration>, Set)| match time {
        Some(time) => set(options, time),
        None => options,
    };
    times.into_iter().fold(options, set)
}

fn start_pool(sockets: Sockets, config: &NodeConfig, groups: &[Group]) -> Result<HttpPool> {
    let mut builder = HttpPool::builder()
        .listen(config.listen.trim_end_matches('/'))
        .dialect(config.dialect)
        .drain_grace(config.drain_grace)
        .groups(groups.iter().cloned())
        .limits(config.limits.clone());
    if let Some(tls) = &config.peer_tls {
        builder = builder.peer_tls(tls.clone());
    }
    if let Some(tls) = &config.api_tls {
        builder = builder.api_tls(tls.clone());
    }
    let scheme = if config.peer_tls.is_some() { "https" } else { "http" };
    if let Some(url) = &config.advertise {
        builder = builder.advertise(&as_url(url, scheme));
    }
    for (url, address) in &config.connect_to {
        builder = builder.connect_to(&as_url(url, scheme), address);
    }
    if let Some(address) = &config.api {
        builder = builder.api(address);
    }
    if let Some(socket) = sockets.peer {
        builder = builder.listener(socket);
    }
    if let Some(socket) = sockets.api {
        builder = builder.api_listener(socket);
    }
    if !config.peers.is_empty() {
        builder = builder.peers(config.peers.iter().map(|peer| as_url(peer, scheme)));
    }
    #[cfg(feature = "auth")]
    let builder = keys::build(config, builder)?;
    builder.start()
}

/// `scheme://host:port`, also for `host:port`.
fn as_url(address: &str, scheme: &str) -> String {
    let address = address.trim().trim_end_matches('/');
    match address.contains("://") {
        true => address.to_owned(),
        false => format!("{scheme}://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn config() -> NodeConfig {
        let listen = "127.0.0.1:0".to_owned();
        NodeConfig { listen, api: None, ..NodeConfig::default() }
    }

    #[test]
    fn a_nodes_groups_answer_from_their_origins() {
        let mut config = config();
        for (name, origin) in [("b", "static:k=2"), ("a", "static:k=1")] {
            config.groups.insert(name.to_owned(), GroupConfig::new(origin));
        }
        let node = Node::start(config).unwrap();
        let found: Vec<_> =
            node.groups().iter().map(|g| (g.name().to_owned(), g.get("k").unwrap())).collect();
        assert_eq!(found, [("a".to_owned(), "1".into()), ("b".to_owned(), "2".into())]);
        assert!(node.shutdown(Duration::from_secs(10)));
    }

    #[test]
    fn a_missing_origin_is_told_and_nothing_listens() {
        let mut config = config();
        config.groups.insert("g".to_owned(), GroupConfig::new("dir:/no/such/folder"));
        // Listening there would be another error.
        config.listen = "no address".to_owned();
        let error = Node::start(config).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }

    #[test]
    fn peers_are_taken_with_and_without_http() {
        for (given, url) in [
            ("10.0.0.1:8001", "http://10.0.0.1:8001"),
            (" http://10.0.0.1:8001/ ", "http://10.0.0.1:8001"),
            ("https://10.0.0.1:8001", "https://10.0.0.1:8001"),
        ] {
            assert_eq!(as_url(given, "http"), url);
        }
        assert_eq!(as_url("10.0.0.1:8001", "https"), "https://10.0.0.1:8001");
        let mut config = config();
        config.advertise = Some("node-1:8001".to_owned());
        config.peers = vec!["node-1:8001".to_owned(), "http://node-2:8001".to_owned()];
        let node = Node::start(config).unwrap();
        assert_eq!(node.pool().url(), "http://node-1:8001");
        assert_eq!(node.pool().peers().len(), 2);
    }

    #[test]
    fn a_list_of_peers_without_this_node_is_refused() {
        let mut config = config();
        config.peers = vec!["http://10.0.0.1:8001".to_owned()];
        assert!(matches!(Node::start(config), Err(Error::SelfNotInPeers { .. })));
    }
}
