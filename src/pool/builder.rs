//! The settings of a pool.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::api::Api;
use super::auth::{self, Auth};
use super::cluster::Writes;
use super::groups::Groups;
use super::peers::{PeerService, Peers};
use super::{HttpPool, Shared};
use crate::client::{Access, Scheme};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::serve::{Gate, Limits, Listener, Service};
use crate::tls::{Section, Tls, TlsConfig};
use crate::wire::Dialect;

/// The settings of an [`HttpPool`] about to be started.
///
/// ```
/// use larder::HttpPool;
///
/// let pool = HttpPool::builder()
///     .listen("http://127.0.0.1:0")
///     .api("127.0.0.1:0")
///     .start()?;
/// assert!(pool.api_addr().is_some());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a pool runs once it is started"]
pub struct HttpPoolBuilder {
    listen: Option<String>,
    advertise: Option<String>,
    api: Option<String>,
    peers: Option<Vec<String>>,
    connect_to: BTreeMap<String, String>,
    dialect: Dialect,
    limits: Limits,
    peer_tls: Option<TlsConfig>,
    api_tls: Option<TlsConfig>,
    drain_grace: Duration,
    groups: Vec<Group>,
    listener: Option<Arc<TcpListener>>,
    api_listener: Option<Arc<TcpListener>>,
    auth: auth::Settings,
}

impl HttpPoolBuilder {
    /// Listens for peers on this address (`http://host:port`, or `host:port`).
    ///
    /// Defaults to no listener: the program has a tiny_http server of its own and gives its
    /// requests to [`HttpPool::handle`].
    pub fn listen(self, address: &str) -> Self {
        Self { listen: Some(address.to_owned()), ..self }
    }

    /// The address by which the peers know this node (`http://host:port`), when it is another
    /// than the one listened on. Defaults to the address of [`listen`](Self::listen).
    pub fn advertise(self, url: &str) -> Self {
        Self { advertise: Some(url.to_owned()), ..self }
    }

    /// Listens for clients on this address (`host:port`): see the README for what they may
    /// ask. Defaults to no such listener.
    pub fn api(self, address: &str) -> Self {
        Self { api: Some(address.to_owned()), ..self }
    }

    /// Listens for peers on a socket that listens already, whatever [`listen`](Self::listen)
    /// says: systemd opened it, or a process that runs before this one and after it. Defaults
    /// to none.
    ///
    /// The socket may be others' too: it is put into blocking mode and otherwise left as it is.
    /// When the pool ends, connections that it has not taken stay in the socket's queue, for
    /// whoever takes over.
    pub fn listener(self, listener: TcpListener) -> Self {
        Self { listener: Some(Arc::new(listener)), ..self }
    }

    /// As [`listener`](Self::listener), for clients. Defaults to none.
    pub fn api_listener(self, listener: TcpListener) -> Self {
        Self { api_listener: Some(Arc::new(listener)), ..self }
    }

    /// The nodes of the ring, this one included. Defaults to this node alone.
    pub fn peers<S: AsRef<str>>(self, urls: impl IntoIterator<Item = S>) -> Self {
        let urls = urls.into_iter().map(|url| url.as_ref().trim().to_owned()).collect();
        Self { peers: Some(urls), ..self }
    }

    /// Connects to `address` (`host:port`) where the peer at `url` is meant: through a tunnel, or
    /// where its name means nothing. The peer is still asked for by `url`, and a certificate must
    /// be for that. May be called for each peer. Defaults to the host and port of the `url`.
    pub fn connect_to(mut self, url: &str, address: &str) -> Self {
        self.connect_to.insert(url.trim().to_owned(), address.trim().to_owned());
        self
    }

    /// What the nodes of the ring agree on. Defaults to [`Dialect::Native`].
    pub fn dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// What listeners and peer calls may take at most. Defaults to [`Limits::default`].
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Speaks TLS with the peers, in both directions: their addresses are `https://host:port`
    /// then, without exception. The certificate is shown to those who connect and to those who
    /// are connected to; [`TlsConfig::ca`] is needed. Defaults to no TLS.
    pub fn peer_tls(self, tls: TlsConfig) -> Self {
        Self { peer_tls: Some(tls), ..self }
    }

    /// Speaks TLS with the clients of [`api`](Self::api). Defaults to no TLS.
    pub fn api_tls(self, tls: TlsConfig) -> Self {
        Self { api_tls: Some(tls), ..self }
    }

    /// Groups that stood alone so far, and are served from the first request on: one that waits
    /// on a [`listener`](Self::listener) comes at once. More can be made later. Defaults to none.
    pub fn groups(self, groups: impl IntoIterator<Item = Group>) -> Self {
        Self { groups: groups.into_iter().collect(), ..self }
    }

    /// How long [`HttpPool::shutdown`] goes on as before while `/readyz` says that the node is
    /// draining: as long as a load balancer takes to see it and to send its requests elsewhere.
    /// Defaults to 0.
    pub fn drain_grace(self, drain_grace: Duration) -> Self {
        Self { drain_grace, ..self }
    }

    /// The secrets that the nodes of the ring share: this node signs what it asks of its peers,
    /// and refuses what is not signed with one of them. Defaults to none, and whoever reaches the
    /// listener is a peer.
    ///
    /// The clocks of the nodes must agree to a minute. What is answered is neither signed nor
    /// hidden: a secret keeps strangers out, and not those who can change what is under way.
    #[cfg(feature = "auth")]
    pub fn secrets(mut self, secrets: crate::Secrets) -> Self {
        self.auth.secrets = Some(secrets);
        self
    }

    /// The tokens by which clients show what they may do. Defaults to none, and whoever reaches
    /// the listener may do everything. `/healthz` and `/readyz` take no token.
    #[cfg(feature = "auth")]
    pub fn tokens(mut self, tokens: crate::Tokens) -> Self {
        self.auth.tokens = Some(tokens);
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// [`Error::BadPeer`] for an address that is not `http://host:port`,
    /// [`Error::SelfNotInPeers`], [`Error::GroupExists`], [`Error::BadSetting`] (also for the
    /// files of TLS), and [`Error::Io`] when an address cannot be listened on or threads cannot
    /// be started.
    pub fn start(self) -> Result<HttpPool> {
        let peer_tls = read(Section::Peer, self.peer_tls.as_ref())?;
        let api_tls = read(Section::Api, self.api_tls.as_ref())?;
        let listener = listener_of(self.listener.as_deref(), self.listen.as_deref())?;
        let api_listener = listener_of(self.api_listener.as_deref(), self.api.as_deref())?;
        let scheme = Scheme::of(peer_tls.as_ref());
        let own_url = self.own_url(scheme, listener.as_ref())?;
        check_connect_to(scheme, &self.connect_to)?;
        let (peer_meters, api_meters) = (Arc::default(), Arc::default());
        let spec = self.dialect.spec();
        let auth = Auth::new(self.auth, spec, &own_url, &peer_meters, &api_meters)?;
        let (tls, signer) = (peer_tls.clone(), auth.signer());
        let connect_to = Arc::new(self.connect_to);
        let access = Access { tls, signer, connect_to, ..Access::default() };
        let peers = Peers::new(own_url, self.dialect, self.limits.clone(), access)?;
        let peers = Arc::new(peers);
        if let Some(urls) = self.peers {
            peers.set(urls)?;
        }
        let shared = Arc::new_cyclic(|pool| Shared {
            dialect: self.dialect,
            writes: Arc::new(Writes::new(Arc::clone(&peers), pool.clone())),
            peers,
            groups: Groups::default(),
            auth,
            draining: AtomicBool::new(false),
            peer_meters,
            api_meters,
            tls: [&peer_tls, &api_tls].into_iter().flatten().cloned().collect(),
        });
        shared.peers.register(&shared);
        self.groups.into_iter().try_for_each(|group| shared.adopt(group))?;
        let gate = |name, listener: Option<_>, tls, service: Arc<dyn Service>, meters| {
            let start = |listener| Gate::start(name, listener, tls, service, &self.limits, meters);
            listener.map(start).transpose()
        };
        let service = Arc::new(PeerService::new(Arc::clone(&shared)));
        let peer_gate = gate("peer", listener, peer_tls, service, Arc::clone(&shared.peer_meters))?;
        let service = Arc::new(Api::new(Arc::clone(&shared)));
        let api_gate = gate("api", api_listener, api_tls, service, Arc::clone(&shared.api_meters))?;
        Ok(HttpPool { shared, peer_gate, api_gate, drain_grace: self.drain_grace })
    }

    fn own_url(&self, scheme: Scheme, listener: Option<&Listener>) -> Result<String> {
        if let Some(url) = &self.advertise {
            scheme.host_and_port(url)?;
            return Ok(url.clone());
        }
        let Some(listener) = listener else {
            let reason = "is needed when the pool has no listener: the address by which the \
                          peers know this node";
            return Err(Error::bad_setting("advertise", reason));
        };
        let addr = listener.addr().map_err(|error| Error::io("the listener", &error))?;
        if addr.ip().is_unspecified() {
            let reason = "is needed to listen on every address: the peers must be told one";
            return Err(Error::bad_setting("advertise", reason));
        }
        let (None, Some(listen)) = (&self.listener, &self.listen) else {
            return Ok(format!("{}{addr}", scheme.prefix()));
        };
        // As it was written, so that every node can write it the same way; only a port that
        // the system chose is put in.
        let host = listen.rsplit_once(':').map_or(listen.as_str(), |(host, _)| host);
        let url = format!("{}{}:{}", scheme.prefix(), without_scheme(host), addr.port());
        scheme.host_and_port(&url)?;
        Ok(url)
    }
}

fn check_connect_to(scheme: Scheme, connect_to: &BTreeMap<String, String>) -> Result<()> {
    connect_to.iter().try_for_each(|(url, address)| {
        scheme.host_and_port(url)?;
        match Scheme::Http.host_and_port(&format!("{}{address}", Scheme::Http.prefix())) {
            Ok(_) => Ok(()),
            Err(_) => {
                let reason = format!("{address:?}, for {url}, is not of the form host:port");
                Err(Error::bad_setting("connect_to", reason))
            }
        }
    })
}

fn read(section: Section, config: Option<&TlsConfig>) -> Result<Option<Arc<Tls>>> {
    config.map(|config| Tls::new(section, config.clone()).map(Arc::new)).transpose()
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// What listens: a socket that does already, or a new one where `address` says.
fn listener_of(socket: Option<&TcpListener>, address: Option<&str>) -> Result<Option<Listener>> {
    let Some(socket) = socket else {
        return Ok(address.map(bind).transpose()?.map(Listener::own));
    };
    let shared = socket.try_clone().and_then(Listener::shared);
    shared.map(Some).map_err(|error| Error::io("cannot use the listener", &error))
}

fn bind(address: &str) -> Result<TcpListener> {
    let host_and_port = without_scheme(address);
    let addresses = host_and_port.to_socket_addrs().map_err(|error| Error::BadPeer {
        peer: address.to_owned(),
        reason: format!("cannot be listened on ({error})"),
    })?;
    let mut failure = io::Error::other("the name has no address");
    for address in addresses {
        match bind_one(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(Error::io(format!("cannot listen on {address}"), &failure))
}

/// Which scheme a listener has is not for its address to say.
fn without_scheme(address: &str) -> &str {
    let schemes = [Scheme::Http, Scheme::Https];
    schemes.iter().find_map(|scheme| address.strip_prefix(scheme.prefix())).unwrap_or(address)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    // A restarted node can listen again while old connections time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
