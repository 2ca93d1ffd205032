//! The client to one peer: the door of ureq.
//!
//! One agent for each peer, because ureq's pool of connections has one lock and a search that
//! is linear in the hosts.

pub(crate) mod admission;
mod ask;
mod breaker;
mod secure;
mod transport;
pub(crate) mod timer;
mod wait;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout};
use ureq::{Agent, Body, http};

use crate::error::{Error, Result};
use crate::getter::Loaded;
use crate::peer::{Peer, PeerError};
use crate::serve::Limits;
use crate::sync::Mutex;
use crate::tls::Tls;
use crate::wire::{self, Answers, Dialect, Spec};
use admission::Admission;
pub(crate) use admission::Suspects;
use ask::timer;
use breaker::Position;
use secure::Secure;
use timer::Timer;
use transport::Tcp;
use wait::Wait;
pub(crate) use write::Epochs;

/// Bytes of a peer's answer beyond the value itself, at most.
const FRAME_BYTES: usize = 1 << 10;
/// An idle connection is not used after this long: before the peer's gate closes it.
const IDLE_AGE: Duration = Duration::from_secs(20);
const INPUT_BUFFER_BYTES: usize = 64 << 10;
/// How long a name's addresses are used before they are looked up again.
const ADDRESS_AGE: Duration = Duration::from_secs(10);

/// [`wire::WITHIN_MS`], as ureq has names.
const WITHIN: http::HeaderName = http::HeaderName::from_static("larder-within-ms");
/// [`LEFT_MS`](wire::LEFT_MS), likewise.
const LEFT: http::HeaderName = http::HeaderName::from_static("larder-left-ms");
/// [`SIGNATURE`](wire::SIGNATURE), likewise.
const SIGNATURE: http::HeaderName = http::HeaderName::from_static("larder-auth");

/// Signs what peers are asked.
pub(crate) trait Sign: fmt::Debug + Send + Sync + 'static {
    /// The value of the header [`SIGNATURE`], for a request to the node at `receiver`. Each is
    /// good for one request.
    fn sign(&self, method: &str, target: &str, receiver: &str, body: &[u8]) -> String;
}

/// How peers are reached, and how they are shown who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// None in the clear.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) signer: Option<Arc<dyn Sign>>,
    pub(crate) suspects: Arc<Suspects>,
    /// `host:port` to connect to instead of that of the address.
    pub(crate) connect_to: Arc<BTreeMap<String, String>>,
}

/// Another node, reached over HTTP.
#[derive(Debug)]
pub(crate) struct HttpPeer {
    url: String,
    /// Parsed once: a call's own has this one's host and a path of its own.
    origin: http::Uri,
    spec: &'static Spec,
    agent: Agent,
    signer: Option<Arc<dyn Sign>>,
    connect: Duration,
    call: Duration,
    /// The times that requests have unless the peer is slow or the caller in a hurry.
    usual: (Duration, Duration),
    max_body: usize,
    admission: Admission,
    tried: AtomicBool,
    epochs: Arc<dyn Epochs>,
}

/// A peer as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerHealth {
    pub(crate) state: &'static str,
    pub(crate) is_open: bool,
    /// Calls under way.
    pub(crate) calls: u64,
    /// Calls that were not made because too many were under way.
    pub(crate) calls_shed: u64,
    pub(crate) breaker_opens: u64,
}

impl HttpPeer {
    /// A client to the node at `url` (`http://host:port`, or `https:` with TLS); connects when
    /// first asked.
    pub(crate) fn new(
        url: &str,
        dialect: Dialect,
        limits: &Limits,
        access: &Access,
        epochs: Arc<dyn Epochs>,
    ) -> Result<Self> {
        let (tls, suspects) = (access.tls.as_ref(), Arc::clone(&access.suspects));
        let own = Scheme::of(tls).host_and_port(url)?;
        let host_and_port = access.connect_to.get(url).cloned().unwrap_or(own);
        let usual = Wait::usual(dialect.spec().nodes, limits.peer_call);
        let config = Agent::config_builder()
            // Settings of the environment are for the outside world, not for peers.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .timeout_connect(Some(usual.0.min(limits.peer_connect)))
            .timeout_recv_response(Some(usual.0))
            .timeout_global(Some(usual.1))
            .max_idle_connections(limits.lane_workers)
            .max_idle_connections_per_host(limits.lane_workers)
            .max_idle_age(IDLE_AGE.min(limits.idle_timeout / 2))
            .input_buffer_size(INPUT_BUFFER_BYTES)
            // ureq needs room for the whole head, and a long key is three times as long escaped.
            .output_buffer_size(limits.head_bytes)
            .build();
        let connector = Tcp.chain(Secure::new(tls, limits.handshake_timeout));
        let origin = url.parse().map_err(|_| bad_peer(url, "is not an address"))?;
        let addresses = Addresses { host_and_port, known: Mutex::new(None) };
        Ok(Self {
            url: url.to_owned(),
            origin,
            spec: dialect.spec(),
            agent: Agent::with_parts(config, connector, addresses),
            signer: access.signer.clone(),
            connect: limits.peer_connect,
            call: limits.peer_call,
            usual,
            max_body: limits.body_bytes.saturating_add(FRAME_BYTES),
            admission: Admission::new(limits.peer_calls, timer(limits), suspects),
            tried: AtomicBool::new(false),
            epochs,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the peer carries out writes as larder nodes do.
    pub(crate) fn is_told(&self) -> bool {
        self.spec.writes.contains(&wire::Write::Told)
    }

    pub(crate) fn health(&self) -> PeerHealth {
        let seen = self.admission.seen();
        let state = match seen.position {
            Position::Open => "open",
            Position::HalfOpen => "half-open",
            Position::Closed if seen.failing => "failing",
            Position::Closed if self.tried.load(Ordering::Relaxed) => "up",
            Position::Closed => "untried",
        };
        PeerHealth {
            state,
            is_open: self.is_open(),
            calls: seen.calls as u64,
            calls_shed: seen.shed,
            breaker_opens: seen.opens,
        }
    }

    /// Whether the breaker is open, so that the peer is not asked for keys at present.
    pub(crate) fn is_open(&self) -> bool {
        self.admission.is_open()
    }

    /// A key's address, with the epoch behind it where there are epochs.
    fn uri(&self, group: &str, key: &str) -> Result<http::Uri, http::Error> {
        let mut path = wire::join(self.spec.base, group, key);
        if self.is_told() {
            path.push_str(&wire::epoch_query(group, self.epochs.epoch(group)));
        }
        self.at(path)
    }

    fn at(&self, path: String) -> Result<http::Uri, http::Error> {
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = Some(path.try_into()?);
        Ok(parts.try_into()?)
    }

    fn send(&self, uri: &http::Uri, wait: &Wait) -> Result<http::Response<Body>, ureq::Error> {
        let mut request = http::Request::new(());
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(WITHIN, (wait.within.as_millis() as u64).into());
        if wait.comes_again() {
            headers.insert(LEFT, (wait.left.as_millis() as u64).into());
        }
        if let Some(signer) = &self.signer {
            let target = uri.path_and_query().map_or("/", |target| target.as_str());
            let signature = signer.sign("GET", target, &self.url, b"");
            let signature = signature.try_into().map_err(http::Error::from)?;
            headers.insert(SIGNATURE, signature);
        }
        // A request with times of its own takes a copy of all the agent's settings.
        if (wait.head, wait.whole) != self.usual {
            let config = self.agent.configure_request(request);
            request = config
                .timeout_connect(Some(wait.head.min(self.connect)))
                .timeout_recv_response(Some(wait.head))
                .timeout_global(Some(wait.whole))
                .build();
        }
        self.agent.run(request)
    }

    /// The body, whole: with a length, or chunked from a Go node, a cut is noticed.
    fn read(&self, head: &http::response::Parts, mut body: Body) -> Result<Vec<u8>, PeerError> {
        let limit = self.max_body;
        let length = length(head).map_err(|error| self.bad(error))?;
        if length.is_none() && self.spec.answers == Answers::Sealed {
            return Err(self.bad("the answer has no Content-Length"));
        }
        if let Some(length) = length.filter(|&length| length > limit) {
            return Err(
                self.bad(format!("the answer of {length} bytes is over the limit of {limit}"))
            );
        }
        let mut bytes = Vec::with_capacity(length.unwrap_or_default());
        // Up to the end, which gives the connection back to the pool.
        let mut reader = body.as_reader().take(limit as u64 + 1);
        reader.read_to_end(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => self.failed(error),
            _ => self.bad(format!("the answer was cut after {} bytes: {error}", bytes.len())),
        })?;
        if bytes.len() > limit {
            return Err(self.bad(format!("the answer is over the limit of {limit} bytes")));
        }
        if let Some(length) = length.filter(|&length| length != bytes.len()) {
            let len = bytes.len();
            return Err(self.bad(format!("the answer was cut after {len} of {length} bytes")));
        }
        // The value is cached as a part of these bytes: none to spare, which no budget counts.
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    fn failed(&self, error: impl ToString) -> PeerError {
        PeerError::Failed(self.error(error))
    }

    fn bad(&self, error: impl ToString) -> PeerError {
        PeerError::BadAnswer(self.error(error))
    }

    fn error(&self, error: impl ToString) -> Error {
        Error::Peer { peer: self.url.clone(), message: error.to_string() }
    }
}

impl Peer for HttpPeer {
    fn name(&self) -> &str {
        &self.url
    }

    fn get(&self, group: &str, key: &str, deadline: Instant) -> Result<Loaded, PeerError> {
        self.ask_until(group, key, deadline)
    }
}

/// The length of an answer's body; none when it is chunked, an error when its end would be the
/// connection's, as a cut is.
fn length(head: &http::response::Parts) -> Result<Option<usize>, String> {
    let field = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(coding) = field(http::header::TRANSFER_ENCODING) {
        return if coding.eq_ignore_ascii_case("chunked") && head.version == http::Version::HTTP_11 {
            Ok(None)
        } else {
            Err(format!("the answer comes in an unknown coding: {coding:?}"))
        };
    }
    let length = field(http::header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    length.map(Some).ok_or_else(|| "the answer has no Content-Length".to_owned())
}

/// How peers are spoken to; one way for all of them, so that none is ever reached in the clear
/// where TLS was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// With `tls` or without.
    pub(crate) fn of(tls: Option<&Arc<Tls>>) -> Self {
        if tls.is_some() { Self::Https } else { Self::Http }
    }

    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }

    /// The `host:port` of a peer's address, which must have the form `http://host:port`.
    pub(crate) fn host_and_port(self, url: &str) -> Result<String> {
        let bad = |reason: &str| bad_peer(url, reason);
        let rest = url.strip_prefix(self.prefix()).ok_or_else(|| bad(self.not_this(url)))?;
        let uri: http::Uri = url.parse().map_err(|_| bad("is not an address"))?;
        if uri.path_and_query().is_some_and(|path| path != "/") || rest.contains(['/', '@', '#']) {
            return Err(bad("has more than a host and a port"));
        }
        match uri.port_u16() {
            None | Some(0) => Err(bad("has no port")),
            Some(_) => Ok(rest.to_owned()),
        }
    }

    /// What is wrong with a `url` of another scheme.
    fn not_this(self, url: &str) -> &'static str {
        match self {
            Self::Http if url.starts_with("https://") => {
                "starts with https://, for which this node needs the setting peer_tls"
            }
            Self::Http => "does not start with http://",
            Self::Https => {
                "does not start with https://, as every peer's must where peer_tls is set"
            }
        }
    }
}

fn bad_peer(url: &str, reason: &str) -> Error {
    Error::BadPeer { peer: url.to_owned(), reason: reason.to_owned() }
}

/// The addresses of one peer.
///
/// ureq's own resolver starts a thread for every request that has a timeout, also when a
/// pooled connection makes the addresses unnecessary.
#[derive(Debug)]
struct Addresses {
    host_and_port: String,
    known: Mutex<Option<(Instant, ResolvedSocketAddrs)>>,
}

impl Resolver for Addresses {
    fn resolve(
        &self,
        _uri: &http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // No lock is held over a look-up.
        let known = self.known.lock().clone();
        if let Some((since, addresses)) = known
            && since.elapsed() < ADDRESS_AGE
        {
            return Ok(addresses);
        }
        let mut addresses = self.empty();
        for address in self.host_and_port.to_socket_addrs()?.take(resolved_capacity()) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        *self.known.lock() = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

/// ureq takes so many addresses of one name.
const fn resolved_capacity() -> usize {
    16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{LEFT_MS, WITHIN_MS};

    #[test]
    fn the_time_of_a_call_is_told_in_the_header_that_peers_read() {
        assert_eq!((WITHIN.as_str(), LEFT.as_str()), ("larder-within-ms", "larder-left-ms"));
        assert!(WITHIN_MS.eq_ignore_ascii_case(WITHIN.as_str()));
        assert!(LEFT_MS.eq_ignore_ascii_case(LEFT.as_str()));
        assert_eq!(SIGNATURE, wire::SIGNATURE);
    }

    #[test]
    fn a_peers_address_is_a_host_and_a_port() {
        for good in ["http://10.0.0.1:8001", "http://larder-0.larder:80", "http://[::1]:9"] {
            assert_eq!(Scheme::Http.host_and_port(good).as_deref(), Ok(&good[7..]));
            let secure = good.replace("http:", "https:");
            assert_eq!(Scheme::Https.host_and_port(&secure).as_deref(), Ok(&good[7..]));
        }
        for bad in [
            "10.0.0.1:8001",
            "https://10.0.0.1:8001",
            "http://10.0.0.1",
            "http://10.0.0.1:0",
            "http://10.0.0.1:8001/",
            "http://10.0.0.1:8001/x",
            "http://user@10.0.0.1:8001",
            "http://10.0.0.1:8001?x",
            "http://",
            "",
        ] {
            let refused = Scheme::Http.host_and_port(bad);
            assert!(matches!(refused, Err(Error::BadPeer { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_peer_of_the_other_scheme_is_refused_with_the_settings_name() {
        for (scheme, bad) in [(Scheme::Http, "https://h:1"), (Scheme::Https, "http://h:1")] {
            let error = scheme.host_and_port(bad).unwrap_err().to_string();
            assert!(error.contains("peer_tls"), "{error}");
        }
    }
}
