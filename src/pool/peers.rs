//! The peers' side of a pool: the ring with a client to each node on it, and what peers are
//! served.

mod pick;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::cluster::Writes;
use super::failure::failure;
use super::settle::{Log, Missed};
use super::{Shared, gets, groups, writes};
use crate::client::{self, Access, HttpPeer, PeerHealth, Scheme};
use crate::error::{Error, Result};
use crate::fresh::What;
use crate::getter::Loaded;
use crate::group::{Asker, Fetched, Group};
use crate::ring::Ring;
use crate::serve::{
    Answer, Asked, AtOnce, Conditions, Credentials, Guard, Limits, Method, Request, Service,
};
use crate::sync::{Mutex, OnceCell};
use crate::wire::{self, BadPath, Dialect, ERROR_CODE, code};

/// The ring of a pool, and a client to each node on it.
pub(super) struct Peers {
    own_url: String,
    dialect: Dialect,
    limits: Limits,
    access: Access,
    view: ArcSwap<View>,
    /// What peers have missed that were not on the ring; locked while the ring changes.
    log: Mutex<Log>,
    /// Whether any peer on the ring is behind.
    any_behind: AtomicBool,
    writes: OnceCell<Weak<Writes>>,
    epochs: Arc<Epochs>,
}

/// The epochs of the pool's groups, once there is a pool.
#[derive(Debug, Default)]
struct Epochs(OnceCell<Weak<Shared>>);

/// One list of peers: built once, swapped whole.
struct View {
    ring: Ring,
    /// The ring's peers in its order; there they may have another name.
    urls: Vec<String>,
    /// In the same order; none for this node itself.
    clients: Vec<Option<Arc<HttpPeer>>>,
}

impl Peers {
    pub(super) fn new(
        own_url: String,
        dialect: Dialect,
        limits: Limits,
        access: Access,
    ) -> Result<Self> {
        let epochs = Arc::<Epochs>::default();
        let alone = vec![own_url.clone()];
        let alone = View::new(&own_url, alone, dialect, &limits, &access, &epochs, None)?;
        Ok(Self {
            own_url,
            dialect,
            limits,
            access,
            view: ArcSwap::from_pointee(alone),
            log: Mutex::default(),
            any_behind: AtomicBool::new(false),
            writes: OnceCell::new(),
            epochs,
        })
    }

    /// Tells the pool, once.
    pub(super) fn register(&self, pool: &Arc<Shared>) {
        let _ = self.writes.set(Arc::downgrade(&pool.writes));
        let _ = self.epochs.0.set(Arc::downgrade(pool));
    }

    /// How long a call to a peer takes at most.
    pub(super) fn call(&self) -> Duration {
        self.limits.peer_call
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn owner(&self, key: &str) -> String {
        self.owners(key, 1).pop().unwrap_or_else(|| self.own_url.clone())
    }

    /// A client to a node, also when it is on other nodes' rings only.
    pub(super) fn client(&self, url: &str) -> Result<Arc<HttpPeer>> {
        match self.view.load().client(url) {
            Some(peer) => Ok(peer),
            None => {
                let (limits, epochs) = (&self.limits, self.epochs.clone());
                HttpPeer::new(url, self.dialect, limits, &self.access, epochs).map(Arc::new)
            }
        }
    }

    pub(super) fn note(&self, group: &str, what: &What) {
        self.log.lock().note(group, what);
    }

    pub(super) fn any_behind(&self) -> bool {
        self.any_behind.load(Ordering::SeqCst)
    }

    pub(super) fn behind(&self) -> Vec<String> {
        self.log.lock().behind()
    }

    pub(super) fn missed(&self, node: &str) -> Option<(Missed, u64)> {
        self.log.lock().missed(node)
    }

    pub(super) fn settled(&self, node: &str, change: u64) {
        let mut log = self.log.lock();
        log.settled(node, change);
        self.any_behind.store(!log.behind().is_empty(), Ordering::SeqCst);
    }

    /// Those of the nodes that are on the ring; of the others it is noted that they owe.
    pub(super) fn still_there(&self, nodes: &BTreeSet<String>) -> BTreeSet<String> {
        let mut log = self.log.lock();
        let urls = self.urls();
        let (there, gone) = nodes.iter().cloned().partition(|node| urls.contains(node));
        BTreeSet::iter(&gone).for_each(|node| log.owes(node));
        there
    }

    pub(super) fn own_url(&self) -> &str {
        &self.own_url
    }

    pub(super) fn set(&self, urls: Vec<String>) -> Result<()> {
        for url in &urls {
            Scheme::of(self.access.tls.as_ref()).host_and_port(url)?;
        }
        if !urls.contains(&self.own_url) {
            let (url, peers) = (self.own_url.clone(), urls.join(", "));
            return Err(Error::SelfNotInPeers { url, peers });
        }
        let mut log = self.log.lock();
        let old = self.view.load();
        let (limits, access, epochs) = (&self.limits, &self.access, &self.epochs);
        let (own, old_view) = (&self.own_url, Some(&**old));
        let view = View::new(own, urls, self.dialect, limits, access, epochs, old_view)?;
        access.suspects.set_peers(view.urls.len() - 1);
        log.change(&old.urls, &view.urls);
        self.any_behind.store(!log.behind().is_empty(), Ordering::SeqCst);
        self.view.store(Arc::new(view));
        drop(log);
        if let Some(writes) = self.writes.get().and_then(Weak::upgrade) {
            writes.settle_soon();
        }
        Ok(())
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.view.load().urls.clone()
    }

    pub(super) fn owners(&self, key: &str, n: usize) -> Vec<String> {
        let view = self.view.load();
        let owners = view.ring.owners(key.as_bytes(), n);
        owners.into_iter().map(|index| view.urls[index].clone()).collect()
    }

    /// Each node of the ring with what is known of it; nothing of this node itself.
    pub(super) fn health(&self) -> Vec<(String, Option<PeerHealth>)> {
        let view = self.view.load();
        let health = view.clients.iter().map(|client| client.as_ref().map(|peer| peer.health()));
        view.urls.iter().cloned().zip(health).collect()
    }
}

impl View {
    fn new(
        own_url: &str,
        urls: Vec<String>,
        dialect: Dialect,
        limits: &Limits,
        access: &Access,
        epochs: &Arc<Epochs>,
        old: Option<&Self>,
    ) -> Result<Self> {
        let spec = dialect.spec();
        let names = urls.iter().map(|url| spec.ring_name.of(url).to_owned());
        let ring = Ring::new(spec.ring, names);
        let by_name: HashMap<&str, &String> =
            urls.iter().map(|url| (spec.ring_name.of(url), url)).collect();
        let urls: Vec<String> =
            ring.peers().iter().map(|name| by_name[name.as_str()].clone()).collect();
        let client = |url: &String| {
            if url == own_url {
                return Ok(None);
            }
            // A peer that stays keeps its connections.
            match old.and_then(|old| old.client(url)) {
                Some(peer) => Ok(Some(peer)),
                None => {
                    let epochs = Arc::clone(epochs) as Arc<dyn client::Epochs>;
                    HttpPeer::new(url, dialect, limits, access, epochs)
                        .map(|peer| Some(Arc::new(peer)))
                }
            }
        };
        let clients = urls.iter().map(client).collect::<Result<_>>()?;
        Ok(Self { ring, urls, clients })
    }

    fn client(&self, url: &str) -> Option<Arc<HttpPeer>> {
        let index = self.urls.iter().position(|known| known == url)?;
        self.clients[index].clone()
    }
}

impl client::Epochs for Epochs {
    fn epoch(&self, group: &str) -> u64 {
        let pool = self.0.get().and_then(Weak::upgrade);
        let epoch = pool.map(|pool| pool.groups.view().find(group).map_or(0, Group::epoch));
        epoch.unwrap_or_default()
    }

    fn hear(&self, group: &str, epoch: u64) -> bool {
        let pool = self.0.get().and_then(Weak::upgrade);
        // A group of another pool, or of none any more, has had no purge that is known here.
        pool.is_none_or(|pool| {
            pool.groups.view().find(group).map_or(true, |group| group.hear_epoch(epoch))
        })
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
    fn guard(&self) -> Option<&dyn Guard> {
        self.shared.auth.peer_guard()
    }

    fn at_once(&self, request: &Request<'_>) -> AtOnce {
        if request.target == "/healthz" {
            return AtOnce::Answer(Answer::text(200, "ok"));
        }
        let shared = &self.shared;
        let groups = shared.groups.view();
        let (group, key) = match find(shared, &groups, request) {
            Ok(found) => found,
            Err(answer) => return AtOnce::Answer(answer),
        };
        if !is_get(request.method) {
            return AtOnce::Answer(writes::answer(shared, request, group, &key));
        }
        let epoch = epoch(request, group);
        let answer = |result| outcome(shared, group, &key, epoch, result);
        gets::at_once(shared, request, group, &key, asker(request), answer)
    }

    fn work(&self, request: &Request<'_>) -> Answer {
        // The gate has looked into the cache already.
        serve(&self.shared, request, Group::fetch_missing)
    }

    fn shared(&self, request: &Request<'_>, answer: &Answer) {
        let groups = self.shared.groups.view();
        if let Ok((group, _)) = find(&self.shared, &groups, request) {
            group.count_shared(asker(request), answer.status);
        }
    }
}

/// Answers a request of a tiny_http server that is not ours.
pub(super) fn handle(shared: &Shared, mut request: tiny_http::Request) {
    let answer = match read(shared, &mut request) {
        Ok(read) => serve(shared, &read, Group::fetch),
        Err(answer) => answer,
    };
    let with_body = *request.method() != tiny_http::Method::Head;
    let bytes = answer.to_bytes(true, with_body);
    let mut writer = request.into_writer();
    // One write; a peer that has gone need not be told.
    let _ = writer.write_all(&bytes).and_then(|()| writer.flush());
}

/// The request, with its body within the limit.
fn read<'a>(shared: &Shared, request: &'a mut tiny_http::Request) -> Result<Request<'a>, Answer> {
    let method = Method::from_name(request.method().as_str())
        .ok_or_else(|| Answer::text(501, "this method is not implemented"))?;
    let limit = shared.peers.limits.body_bytes;
    let mut body = Vec::new();
    let read = request.as_reader().take(limit as u64 + 1).read_to_end(&mut body);
    read.map_err(|_| Answer::text(400, "the body was cut"))?;
    if body.len() > limit {
        return Err(Answer::text(413, "the body is over the limit"));
    }
    let millis = |name: &'static str| {
        let header = request.headers().iter().find(|header| header.field.equiv(name))?;
        header.value.as_str().parse().ok().map(Duration::from_millis)
    };
    let (within, left) = (millis(wire::WITHIN_MS), millis(wire::LEFT_MS));
    let target = request.url();
    if let Some(guard) = shared.auth.peer_guard() {
        let is_signature = |header: &&tiny_http::Header| header.field.equiv(wire::SIGNATURE);
        let signature = request.headers().iter().find(is_signature);
        let signature = signature.map(|header| header.value.as_str());
        let credentials = Credentials { signature, ..Credentials::default() };
        let hash = guard.admit(Asked { method, target, credentials })?;
        guard.admit_body(hash, &body)?;
    }
    let conditions = Conditions::default();
    Ok(Request { method, target, within, left, conditions, body })
}

/// How a key is got: [`Group::fetch`], or what is left of it after a first look.
type Fetch = fn(&Group, &str, Instant, Asker) -> Result<Fetched>;

fn serve(shared: &Shared, request: &Request<'_>, fetch: Fetch) -> Answer {
    let groups = shared.groups.view();
    match find(shared, &groups, request) {
        Ok((group, key)) if is_get(request.method) => {
            let epoch = epoch(request, group);
            let result = fetch(group, &key, gets::deadline(request, group), asker(request));
            outcome(shared, group, &key, epoch, result)
        }
        Ok((group, key)) => writes::answer(shared, request, group, &key),
        Err(answer) => answer,
    }
}

fn asker(request: &Request<'_>) -> Asker {
    if request.comes_again() { Asker::ReturningPeer } else { Asker::Peer }
}

/// The epoch of an answer, read before its value is looked for: it is no older than that. The
/// peer that asks may know of a purge that this node has missed.
fn epoch(request: &Request<'_>, group: &Group) -> u64 {
    if let Some(epoch) = wire::epoch_in(group.name(), request.target) {
        group.catch_up(epoch);
    }
    group.epoch()
}

/// A HEAD is a GET whose body is not sent.
fn is_get(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

/// The group and the key that a request names, or the answer to a request that names none.
fn find<'a>(
    shared: &Shared,
    groups: &'a groups::View,
    request: &Request<'a>,
) -> Result<(&'a Group, Cow<'a, str>), Answer> {
    let spec = shared.dialect.spec();
    if !is_get(request.method) {
        writes::check_method(spec, request.method)?;
    }
    let base = spec.base;
    // Never a 404: in some dialects that is "no such key", and final.
    let bad = |line: String| Answer::text(400, line).with(ERROR_CODE, code::BAD_REQUEST);
    let (group, key) =
        wire::split(base, spec.plus, request.target).map_err(|reason| match reason {
            BadPath::OutsideBase => bad(format!("peers are served below {base}")),
            BadPath::NoKey => bad(format!("write the path as {base}GROUP/KEY")),
            BadPath::NotUtf8 | BadPath::BadEscape => reason.answer(),
        })?;
    let group = groups.find(&group).map_err(|error| failure(shared, &error))?;
    group.check_key(&key).map_err(|error| failure(shared, &error))?;
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

fn outcome(
    shared: &Shared,
    group: &Group,
    key: &str,
    epoch: u64,
    result: Result<Fetched>,
) -> Answer {
    match result {
        Ok(fetched) => value(shared, group, key, epoch, fetched),
        Err(error) => failure(shared, &error),
    }
}

fn value(shared: &Shared, group: &Group, key: &str, epoch: u64, fetched: Fetched) -> Answer {
    let spec = shared.dialect.spec();
    let (ttl, stale_age_secs) = (group.ttl(&fetched), fetched.source.stale_age_secs());
    let minute_qps = Some(group.count_for_peer(key));
    let loaded = Loaded { value: fetched.value, ttl, stale_age_secs, minute_qps };
    let prefix = wire::encode_before_value(spec, group.name(), key, &loaded, epoch);
    Answer::with_lines(200, spec.value_lines, loaded.value).behind(prefix)
}
