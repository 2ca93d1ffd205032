//! The pool: a node of the ring. It serves its peers, and reaches them.

#[cfg(feature = "auth")]
mod auth;
#[cfg(not(feature = "auth"))]
#[path = "no_auth.rs"]
mod auth;
mod builder;
mod cluster;
mod failure;
mod gets;
mod groups;
mod owed;
mod peers;
mod settle;
mod tell;
mod writes;
mod api;
mod api_writes;
mod report;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use builder::HttpPoolBuilder;

use crate::clock::deadline_after;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::getter::Getter;
use crate::group::{Cluster, Group, GroupOptions};
use crate::peer::PeerPicker;
use crate::serve::{Gate, ListenerStats, Meters};
use crate::tls::Tls;
use crate::wire::Dialect;
use auth::Auth;
use cluster::Writes;
use groups::Groups;
use peers::Peers;

/// A node: it serves its groups' keys to peers over HTTP, and gets from peers what they own.
///
/// ```no_run
/// use larder::{ByteView, HttpPool};
///
/// let pool = HttpPool::bind("http://10.0.0.1:8001")?;
/// pool.set_peers(["http://10.0.0.1:8001", "http://10.0.0.2:8001"])?;
/// let pages = pool.group("pages", 64 << 20, |path: &str| Ok(std::fs::read(path)?))?;
/// let page: ByteView = pages.get("index.html")?;
/// # Ok::<(), larder::Error>(())
/// ```
///
/// There are no globals: a process may have any number of pools. A pool that is dropped cuts
/// its connections off and ends its threads; [`shutdown`](Self::shutdown) lets requests finish
/// first. Groups that outlive their pool go on with what they have cached and can load.
pub struct HttpPool {
    shared: Arc<Shared>,
    /// The listener for peers; none when the program serves with [`HttpPool::handle`].
    peer_gate: Option<Gate>,
    api_gate: Option<Gate>,
    /// Between the failing of readiness and the end of accepting.
    drain_grace: Duration,
}

/// What the listeners and the groups of a pool share.
struct Shared {
    dialect: Dialect,
    peers: Arc<Peers>,
    writes: Arc<Writes>,
    groups: Groups,
    auth: Auth,
    draining: AtomicBool,
    peer_meters: Arc<Meters>,
    api_meters: Arc<Meters>,
    /// For peers and for clients, as far as there is any.
    tls: Vec<Arc<Tls>>,
}

impl HttpPool {
    /// A node that listens where `url` says, and whose peers know it by that `url`.
    ///
    /// The ring holds this node alone until [`set_peers`](Self::set_peers). With port 0 the
    /// system chooses one, which [`url`](Self::url) then tells.
    ///
    /// # Errors
    ///
    /// [`Error::BadPeer`] when `url` is not of the form `http://host:port`, [`Error::Io`] when
    /// it cannot be listened on.
    pub fn bind(url: &str) -> Result<Self> {
        Self::builder().listen(url).start()
    }

    /// A node with other than the default settings.
    pub fn builder() -> HttpPoolBuilder {
        HttpPoolBuilder::default()
    }

    /// The address by which the peers know this node.
    pub fn url(&self) -> &str {
        self.shared.peers.own_url()
    }

    /// Where the listener for peers listens, when there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_gate.as_ref().map(Gate::addr)
    }

    /// Where the listener for clients listens, when there is one.
    pub fn api_addr(&self) -> Option<SocketAddr> {
        self.api_gate.as_ref().map(Gate::addr)
    }

    /// Sets the nodes of the ring, this one included: every node must be given the same.
    ///
    /// The ring is swapped whole; gets that are under way finish with the old one.
    ///
    /// # Errors
    ///
    /// [`Error::SelfNotInPeers`] when this node is not among them (it would own nothing, and
    /// peers would ask it in vain), [`Error::BadPeer`] for an address that is not
    /// `http://host:port`. The ring stays as it was.
    pub fn set_peers<S: AsRef<str>>(&self, urls: impl IntoIterator<Item = S>) -> Result<()> {
        let urls = urls.into_iter().map(|url| url.as_ref().trim().to_owned()).collect();
        self.shared.peers.set(urls)
    }

    /// The nodes of the ring.
    pub fn peers(&self) -> Vec<String> {
        self.shared.peers.urls()
    }

    /// The node that owns `key`.
    pub fn owner(&self, key: &str) -> String {
        self.shared.peers.owners(key, 1).pop().unwrap_or_default()
    }

    /// The node that owns `key` and those that come next on the ring, `n` at most.
    pub fn owners(&self, key: &str, n: usize) -> Vec<String> {
        self.shared.peers.owners(key, n)
    }

    /// Makes a group with the default options, whose caches hold `cache_bytes` at most.
    ///
    /// # Errors
    ///
    /// [`Error::GroupExists`] when the pool has a group of this name, and as [`Group::new`].
    pub fn group(&self, name: &str, cache_bytes: usize, getter: impl Getter) -> Result<Group> {
        self.group_with(GroupOptions::new(cache_bytes), name, getter)
    }

    /// Makes a group with options.
    ///
    /// # Errors
    ///
    /// As [`group`](Self::group), and [`Error::BadSetting`].
    pub fn group_with(
        &self,
        options: GroupOptions,
        name: &str,
        getter: impl Getter,
    ) -> Result<Group> {
        let group = options.build(name, getter)?;
        self.shared.adopt(group.clone())?;
        Ok(group)
    }

    /// Answers a peer's request that a tiny_http server of the program's own has received.
    ///
    /// For a program that has such a server already; peers ask for paths below `/_larder/`, or
    /// below `/_groupcache/` or `/_geecache/` in the dialects that have it from there.
    /// The value is loaded while the calling thread waits, so it is to be one of several. A
    /// tiny_http server has none of the limits of a pool's own listeners: keep it off the open
    /// network.
    pub fn handle(&self, request: tiny_http::Request) {
        peers::handle(&self.shared, request);
    }

    /// What the listener for peers has done so far.
    pub fn peer_listener_stats(&self) -> ListenerStats {
        self.shared.peer_meters.snapshot()
    }

    /// What the listener for clients has done so far.
    pub fn api_listener_stats(&self) -> ListenerStats {
        self.shared.api_meters.snapshot()
    }

    /// Reads the files of TLS anew, for connections that are made from now on; the others go on
    /// with what they began with. Without TLS it does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`], which names the file; everything stays as it was then.
    pub fn reload_tls(&self) -> Result<()> {
        let fresh: Vec<_> = self.shared.tls.iter().map(|tls| tls.read()).collect::<Result<_>>()?;
        self.shared.tls.iter().zip(fresh).for_each(|(tls, fresh)| tls.swap(fresh));
        Ok(())
    }

    /// Drains: readiness fails, and after the [grace](HttpPoolBuilder::drain_grace) nothing new
    /// is accepted; requests in flight finish within `timeout`, what is left is cut off, and the
    /// threads end. Whether all finished in time.
    ///
    /// Every answer says from then on that its connection is to be closed. Idle connections stay
    /// open for up to a second, or half of `timeout`, since a request may be on its way.
    pub fn shutdown(self, timeout: Duration) -> bool {
        self.drain(timeout)
    }

    /// As [`shutdown`](Self::shutdown), the last threads aside: they end when it is dropped.
    pub(crate) fn drain(&self, timeout: Duration) -> bool {
        self.shared.draining.store(true, Ordering::SeqCst);
        std::thread::sleep(self.drain_grace);
        let deadline = deadline_after(timeout);
        let gates: Vec<&Gate> = [&self.api_gate, &self.peer_gate].into_iter().flatten().collect();
        gates.iter().for_each(|gate| gate.begin_drain(deadline));
        let unfinished = gates.iter().filter(|gate| !gate.finish_drain()).count();
        unfinished == 0
    }
}

impl Shared {
    /// Serves a group that stood alone so far.
    fn adopt(&self, group: Group) -> Result<()> {
        group.register_peers(Arc::clone(&self.peers) as Arc<dyn PeerPicker>)?;
        group.register_cluster(Arc::clone(&self.writes) as Arc<dyn Cluster>);
        self.groups.add(group)
    }

    /// Whose share of a lane a load of `group` takes; a group that is alone has it all.
    fn share(&self, group: &Group) -> Option<String> {
        (self.groups.view().iter().len() > 1).then(|| group.name().to_owned())
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writes.close();
    }
}

impl fmt::Debug for HttpPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpPool({:?})", self.url())
    }
}
