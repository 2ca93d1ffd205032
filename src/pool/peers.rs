//! The peers' side of a pool: the ring with a client to each node on it, and what peers are
//! served.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::Shared;
use crate::client::{Health, HttpPeer, host_and_port};
use crate::clock::deadline_after;
use crate::error::{Error, Result};
use crate::getter::Loaded;
use crate::group::{Asker, Fetched, Group};
use crate::peer::{Peer, PeerPicker};
use crate::ring::Ring;
use crate::serve::{Answer, AtOnce, Limits, Method, Request, Service};
use crate::wire::{self, BadPath, Dialect, ERROR_CODE, PROTOBUF};

/// The ring of a pool, and a client to each node on it.
pub(super) struct Peers {
    own_url: String,
    dialect: Dialect,
    limits: Limits,
    view: ArcSwap<View>,
}

/// One list of peers: built once, swapped whole.
struct View {
    ring: Ring,
    /// In the order of the ring's peers; none for this node itself.
    clients: Vec<Option<Arc<HttpPeer>>>,
}

impl Peers {
    pub(super) fn new(own_url: String, dialect: Dialect, limits: Limits) -> Result<Self> {
        let alone = View::new(&own_url, vec![own_url.clone()], dialect, &limits, None)?;
        Ok(Self { own_url, dialect, limits, view: ArcSwap::from_pointee(alone) })
    }

    pub(super) fn own_url(&self) -> &str {
        &self.own_url
    }

    pub(super) fn set(&self, urls: Vec<String>) -> Result<()> {
        for url in &urls {
            host_and_port(url)?;
        }
        if !urls.contains(&self.own_url) {
            let (url, peers) = (self.own_url.clone(), urls.join(", "));
            return Err(Error::SelfNotInPeers { url, peers });
        }
        let old = self.view.load();
        let view = View::new(&self.own_url, urls, self.dialect, &self.limits, Some(&**old))?;
        self.view.store(Arc::new(view));
        Ok(())
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.view.load().ring.peers().to_vec()
    }

    pub(super) fn owners(&self, key: &str, n: usize) -> Vec<String> {
        let view = self.view.load();
        let owners = view.ring.owners(key.as_bytes(), n);
        owners.into_iter().map(|index| view.ring.peers()[index].clone()).collect()
    }

    /// Each node of the ring with what is known of it; nothing of this node itself.
    pub(super) fn health(&self) -> Vec<(String, Option<Health>)> {
        let view = self.view.load();
        let health = view.clients.iter().map(|client| client.as_ref().map(|peer| peer.health()));
        view.ring.peers().iter().cloned().zip(health).collect()
    }
}

impl View {
    fn new(
        own_url: &str,
        urls: Vec<String>,
        dialect: Dialect,
        limits: &Limits,
        old: Option<&Self>,
    ) -> Result<Self> {
        let ring = Ring::new(dialect.spec().ring, urls);
        let client = |url: &String| {
            if url == own_url {
                return Ok(None);
            }
            // A peer that stays keeps its connections.
            match old.and_then(|old| old.client(url)) {
                Some(peer) => Ok(Some(peer)),
                None => HttpPeer::new(url, dialect, limits).map(|peer| Some(Arc::new(peer))),
            }
        };
        let clients = ring.peers().iter().map(client).collect::<Result<_>>()?;
        Ok(Self { ring, clients })
    }

    fn client(&self, url: &str) -> Option<Arc<HttpPeer>> {
        let index = self.ring.peers().iter().position(|peer| peer == url)?;
        self.clients[index].clone()
    }
}

impl PeerPicker for Peers {
    fn pick(&self, key: &str) -> Option<Arc<dyn Peer>> {
        let view = self.view.load();
        let owner = view.ring.owner(key.as_bytes())?;
        view.clients[owner].clone().map(|peer| peer as Arc<dyn Peer>)
    }
}

/// What peers are served: the keys of the groups, from the cache or the origin.
pub(super) struct PeerService {
    shared: Arc<Shared>,
}

impl PeerService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Service for PeerService {
    fn at_once(&self, request: &Request) -> AtOnce {
        if request.target == "/healthz" {
            return AtOnce::Answer(Answer::text(200, "ok"));
        }
        let (group, key) = match find(&self.shared, request) {
            Ok(found) => found,
            Err(answer) => return AtOnce::Answer(answer),
        };
        if let Some(hit) = group.hit(&key, Asker::Peer) {
            return AtOnce::Answer(value(&group, &key, &hit));
        }
        let deadline = deadline(request, &group);
        match group.park(&key, deadline, Asker::Peer) {
            Some(result) => AtOnce::Answer(outcome(&group, &key, result)),
            None => AtOnce::Work { flight: flight(&group, &key), deadline },
        }
    }

    fn work(&self, request: &Request) -> Answer {
        serve(&self.shared, request)
    }

    fn shared(&self, request: &Request, answer: &Answer) {
        if let Ok((group, _)) = find(&self.shared, request) {
            group.count_shared(Asker::Peer, answer.status);
        }
    }
}

/// Answers a request of a tiny_http server that is not ours.
pub(super) fn handle(shared: &Shared, mut request: tiny_http::Request) {
    let answer = match read(shared, &mut request) {
        Ok(read) => serve(shared, &read),
        Err(answer) => answer,
    };
    let with_body = *request.method() != tiny_http::Method::Head;
    let mut bytes = answer.head(true, with_body);
    if with_body {
        bytes.extend_from_slice(&answer.body);
    }
    let mut writer = request.into_writer();
    // One write; a peer that has gone need not be told.
    let _ = writer.write_all(&bytes).and_then(|()| writer.flush());
}

/// What peers ask has no body; one that comes all the same is read away, within the limit.
fn read(shared: &Shared, request: &mut tiny_http::Request) -> Result<Request, Answer> {
    let limit = shared.peers.limits.body_bytes as u64;
    let _ = std::io::copy(&mut request.as_reader().take(limit), &mut std::io::sink());
    let method = Method::from_name(request.method().as_str())
        .ok_or_else(|| Answer::text(501, "this method is not implemented"))?;
    let within = request.headers().iter().find(|header| header.field.equiv(wire::WITHIN_MS));
    let within = within.and_then(|header| header.value.as_str().parse().ok());
    let target = request.url().to_owned();
    Ok(Request { method, target, within: within.map(Duration::from_millis), body: Vec::new() })
}

fn serve(shared: &Shared, request: &Request) -> Answer {
    match find(shared, request) {
        Ok((group, key)) => {
            let result = group.fetch(&key, deadline(request, &group), Asker::Peer);
            outcome(&group, &key, result)
        }
        Err(answer) => answer,
    }
}

/// The group and the key that a request names, or the answer to a request that names none.
fn find(shared: &Shared, request: &Request) -> Result<(Group, String), Answer> {
    if !matches!(request.method, Method::Get | Method::Head) {
        let line = "peers only GET keys here";
        return Err(Answer::text(405, line).with("Allow", "GET, HEAD"));
    }
    let base = shared.dialect.spec().base;
    let (group, key) = wire::split(base, &request.target).map_err(|bad| match bad {
        BadPath::OutsideBase => Answer::text(404, format!("peers are served below {base}")),
        BadPath::NoKey => Answer::text(400, format!("write the path as {base}GROUP/KEY")),
        BadPath::NotUtf8 | BadPath::BadEscape => bad.answer(),
    })?;
    let group = shared.find_group(&group).map_err(|error| failure(&error))?;
    group.check_key(&key).map_err(|error| failure(&error))?;
    Ok((group, key))
}

impl BadPath {
    /// The answer to a path that cannot be decoded.
    pub(super) fn answer(self) -> Answer {
        Answer::text(
            400,
            match self {
                Self::NotUtf8 => "group and key must be UTF-8",
                Self::BadEscape => "a % needs two hexadecimal digits behind it",
                Self::NoKey | Self::OutsideBase => "the path names no key",
            },
        )
    }
}

/// Until when to answer: as the caller asks, but no later than a get of the group would end.
pub(super) fn deadline(request: &Request, group: &Group) -> Instant {
    let timeout = group.get_timeout();
    deadline_after(request.within.map_or(timeout, |within| within.min(timeout)))
}

/// What tells the flights of a listener apart.
pub(super) fn flight(group: &Group, key: &str) -> Vec<u8> {
    // A group's name holds no slash.
    format!("{}/{key}", group.name()).into_bytes()
}

fn outcome(group: &Group, key: &str, result: Result<Fetched>) -> Answer {
    match result {
        Ok(fetched) => value(group, key, &fetched),
        Err(error) => failure(&error),
    }
}

fn value(group: &Group, key: &str, fetched: &Fetched) -> Answer {
    let loaded = Loaded { value: fetched.value.clone(), ttl: group.ttl(fetched) };
    let mut answer = Answer::new(200, PROTOBUF, loaded.value.clone());
    answer.prefix = wire::encode_before_value(group.name(), key, &loaded);
    answer
}

fn failure(error: &Error) -> Answer {
    let (status, code, text) = wire::error_to_wire(error);
    Answer::text(status, text).with(ERROR_CODE, code)
}
