//! A group: a name, a getter, a cache, and the order of things in one get.

mod asker;
mod cluster;
mod coordinate;
mod load;
mod negative;
mod options;
mod outage;
mod rate;
mod stale;
mod stand_in;
mod told;
mod warm;
mod writes;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use asker::Asker;
pub(crate) use cluster::Cluster;
pub use coordinate::Written;
pub use options::{GetterThread, GroupOptions};
pub use warm::{RestoreStats, SnapshotStats};

use crate::byte_view::ByteView;
use crate::clock::{Tick, deadline_after};
use crate::error::{Error, Result};
use crate::flight::Flights;
use crate::fresh::Stones;
use crate::getter::{Getter, Loaded};
use crate::loaders::Loaders;
use crate::lru::Evicted;
use crate::peer::PeerPicker;
use crate::stats::{Counters, Stats};
use crate::store::{Eviction, Left, Look, RemovalCause, Store, Which};
use crate::sync::atomic::{AtomicU64, AtomicUsize};
use crate::sync::{self, Mutex, OnceCell};
use load::Asked;
use negative::Negatives;
use outage::Outage;
use rate::Rates;
use warm::Warm;

/// A cache with a name and a way to load what is missing.
///
/// A clone is another handle to the same group. On its own a group caches and deduplicates;
/// made by [`HttpPool::group`](crate::HttpPool::group) it shares its keys with the peers.
///
/// ```
/// use larder::Group;
///
/// let squares = Group::new("squares", 1 << 20, |n: &str| {
///     let n: u64 = n.parse()?;
///     Ok((n * n).to_string())
/// })?;
/// assert_eq!(squares.get("12")?, "144");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    getter: Box<dyn Getter>,
    options: GroupOptions,
    store: Store,
    peers: OnceCell<Arc<dyn PeerPicker>>,
    /// Flights of this node's callers to the peer that owns a key.
    asking: Arc<Flights<Asked>>,
    /// Flights of the getter. A request from a peer joins only these, so it never waits for
    /// another peer; every getter call passes here, so that one load holds.
    loading: Arc<Flights<Result<Fetched>>>,
    loaders: Loaders,
    counters: Counters,
    negatives: Negatives,
    outage: Arc<Outage>,
    rates: Rates,
    /// How often a key of this group was removed or set from outside.
    writes: AtomicU64,
    /// The tombstones of writes that are under way in the cluster.
    stones: Mutex<Stones>,
    /// How many stand: the lock is taken only when there are any.
    standing: AtomicUsize,
    /// The time of the newest purge.
    epoch: AtomicU64,
    /// The nodes that writes are told to, once the group belongs to a pool.
    cluster: OnceCell<Arc<dyn Cluster>>,
    /// Once the group has a path for its snapshots.
    warm: OnceCell<Warm>,
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Main,
    Hot,
    Peer,
    Origin,
    /// A cache, here or at the owner, past the value's time to live.
    Stale {
        age_secs: u32,
    },
}

impl Source {
    /// The value's age, when it is past its time to live.
    pub(crate) fn stale_age_secs(self) -> Option<u32> {
        match self {
            Self::Stale { age_secs } => Some(age_secs),
            Self::Main | Self::Hot | Self::Peer | Self::Origin => None,
        }
    }
}

/// A value, where it came from, and until when it may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) value: ByteView,
    pub(crate) source: Source,
    pub(crate) expires: Option<Tick>,
}

impl Group {
    /// A group with the default options, whose caches hold `cache_bytes` at most.
    ///
    /// # Errors
    ///
    /// [`Error::BadGroupName`] when the name is empty, longer than 128 bytes, `.` or `..`, or
    /// holds a `/`.
    pub fn new(name: &str, cache_bytes: usize, getter: impl Getter) -> Result<Self> {
        GroupOptions::new(cache_bytes).build(name, getter)
    }

    fn from_options(options: GroupOptions, name: &str, getter: impl Getter) -> Result<Self> {
        check_name(name)?;
        let loaders =
            Loaders::new(format!("group {name:?}"), options.max_getters, options.max_queued_loads);
        let store = Store::with_grace(
            options.cache_bytes,
            options.eviction,
            options.clock.clone(),
            options.stale_while_revalidate.max(options.stale_if_error),
        );
        let inner = Inner {
            name: name.to_owned(),
            getter: Box::new(getter),
            store,
            peers: OnceCell::new(),
            asking: Flights::new(options.load_timeout),
            loading: Flights::new(options.load_timeout),
            loaders,
            counters: Counters::default(),
            negatives: Negatives::default(),
            outage: Arc::default(),
            rates: Rates::default(),
            writes: AtomicU64::new(0),
            stones: Mutex::new(Stones::new(sync::random())),
            standing: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            cluster: OnceCell::new(),
            warm: OnceCell::new(),
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The name, which is the same on every node.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The value of `key`: from the cache, or from the peer that owns it, or from the getter.
    ///
    /// Waits `get_timeout` at most (10 s by default), unless the getter is called on this thread
    /// ([`GetterThread::Caller`]).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the origin has no such key; an error of the getter as
    /// [`Error::Getter`] or [`Error::GetterPanicked`]; [`Error::DeadlineExceeded`] and
    /// [`Error::Overloaded`] when the value did not come in time or a limit was reached.
    pub fn get(&self, key: &str) -> Result<ByteView> {
        self.get_within(key, self.inner.options.get_timeout)
    }

    /// As [`get`](Self::get), waiting `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). A load that others wait for, or that has begun, goes on.
    pub fn get_within(&self, key: &str, timeout: Duration) -> Result<ByteView> {
        // A hit needs no deadline: reading the clock would be a good part of its cost.
        if let Some(hit) = self.hit(key, Asker::Here) {
            return Ok(hit.value);
        }
        self.fetch_missing(key, deadline_after(timeout), Asker::Here).map(|fetched| fetched.value)
    }

    /// The value of `key` when this node's cache holds it and it has not expired; nothing is
    /// loaded.
    pub fn peek(&self, key: &str) -> Option<ByteView> {
        self.lookup(key, Look::Peek).map(|fetched| fetched.value)
    }

    /// What the group has done so far, and what its caches hold.
    pub fn stats(&self) -> Stats {
        let (running, queued) = self.inner.loaders.load();
        let (served, served_peers) = self.inner.store.served();
        let counted = self.inner.counters.snapshot();
        Stats {
            gets: counted.gets + served,
            cache_hits: counted.cache_hits + served,
            server_requests: counted.server_requests + served_peers,
            cache_bytes: self.inner.store.budget() as u64,
            getters_running: running as u64,
            getters_queued: queued as u64,
            main: self.inner.store.stats(Which::Main),
            hot: self.inner.store.stats(Which::Hot),
            ..counted
        }
    }

    /// Tells the group its peers, once. [`HttpPool::group`](crate::HttpPool::group) does it.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when the group has peers already.
    pub fn register_peers(&self, peers: Arc<dyn PeerPicker>) -> Result<()> {
        self.inner.peers.set(peers).map_err(|_| {
            let setting = format!("peers of group {:?}", self.name());
            Error::bad_setting(setting, "are registered already: a group belongs to one pool")
        })
    }

    /// Tells the group the nodes that its writes are told to, once.
    pub(crate) fn register_cluster(&self, cluster: Arc<dyn Cluster>) {
        // Registered with the peers, which are refused a second time.
        let _ = self.inner.cluster.set(cluster);
    }

    /// How long a get waits when it is not told.
    pub(crate) fn get_timeout(&self) -> Duration {
        self.inner.options.get_timeout
    }

    /// Which entries its full caches give up.
    pub(crate) fn eviction(&self) -> Eviction {
        self.inner.options.eviction
    }

    /// One get, whole: cache, then flight, then peer or getter.
    pub(crate) fn fetch(&self, key: &str, deadline: Instant, asker: Asker) -> Result<Fetched> {
        match self.hit(key, asker) {
            Some(hit) => Ok(hit),
            None => self.fetch_missing(key, deadline, asker),
        }
    }

    /// The rest of a get whose first look into the cache found nothing.
    pub(crate) fn fetch_missing(
        &self,
        key: &str,
        deadline: Instant,
        asker: Asker,
    ) -> Result<Fetched> {
        self.check_key(key)?;
        if let Some(known) = self.negative_hit(key, asker) {
            return known;
        }
        self.count_miss(asker);
        let result = self.or_stale(key, asker, self.load(key, deadline, asker));
        self.count_end(asker, &result);
        result
    }

    /// The cached value, counted as a get when there is one. It may be stale, if the group serves
    /// such.
    #[inline(always)]
    pub(crate) fn hit(&self, key: &str, asker: Asker) -> Option<Fetched> {
        // Counted by the shard, which is locked anyway: a counter of the group would be a
        // cache line that all threads write to.
        let look = match asker {
            Asker::Here | Asker::Client => Look::Here,
            Asker::Peer | Asker::ReturningPeer => Look::Peer,
        };
        match self.lookup(key, look) {
            Some(hit) => Some(hit),
            None => self.stale_hit(key, asker),
        }
    }

    /// The outcome of the flight that is under way for `key`, waited for on this thread and
    /// counted as a get; or that of an earlier one, when it is remembered that there is no value.
    /// None when there is no such flight or it ended without an outcome.
    pub(crate) fn park(
        &self,
        key: &str,
        deadline: Instant,
        asker: Asker,
    ) -> Option<Result<Fetched>> {
        if let Some(known) = self.negative_hit(key, asker) {
            return Some(known);
        }
        let started = Instant::now();
        let result = self.join_existing(key, deadline, asker, started)?;
        let result = self.or_stale(key, asker, result);
        self.count_miss(asker);
        self.count_end(asker, &result);
        Some(result)
    }

    /// Counts a get that was answered with what another one had loaded.
    pub(crate) fn count_shared(&self, asker: Asker, status: u16) {
        self.count_miss(asker);
        match status {
            503 => self.inner.counters.shed.add_one(),
            504 if asker != Asker::ReturningPeer => {
                self.inner.counters.deadlines_exceeded.add_one();
            }
            _ => {}
        }
    }

    /// Counts that a peer is given `key`; tells how many times a minute that is, about.
    pub(crate) fn count_for_peer(&self, key: &str) -> u32 {
        self.inner.rates.count(key.as_bytes(), self.inner.store.clock().now())
    }

    /// What is left of a value's time to live.
    pub(crate) fn ttl(&self, fetched: &Fetched) -> Option<Duration> {
        fetched.expires.map(|expires| self.inner.store.clock().until(expires))
    }

    /// Checks a key against the limit on its length.
    pub(crate) fn check_key(&self, key: &str) -> Result<()> {
        let limit = self.inner.options.key_bytes;
        if key.len() > limit {
            let group = self.name().to_owned();
            return Err(Error::KeyTooLong { group, len: key.len(), limit });
        }
        Ok(())
    }

    /// Counts the flights of this group, also when the group itself is gone.
    #[cfg(all(test, shuttle))]
    pub(crate) fn flights(&self) -> impl Fn() -> usize + use<> {
        let (asking, loading) = (Arc::clone(&self.inner.asking), Arc::clone(&self.inner.loading));
        move || asking.len() + loading.len()
    }

    /// Checks the value of `key` against the limit on its length.
    fn check_value(&self, key: &str, loaded: &Loaded) -> Result<()> {
        let (len, limit) = (loaded.value.len(), self.inner.options.value_bytes);
        if len > limit {
            let (group, key) = (self.name().to_owned(), key.to_owned());
            return Err(Error::ValueTooLarge { group, key, len, limit });
        }
        Ok(())
    }

    #[inline(always)]
    fn lookup(&self, key: &str, look: Look) -> Option<Fetched> {
        let expired = |gone| self.tell_of(&gone, RemovalCause::Expired);
        let found = self.inner.store.get(key.as_bytes(), look, expired)?;
        let source = match found.which {
            Which::Main => Source::Main,
            Which::Hot => Source::Hot,
        };
        Some(Fetched { value: found.value, source, expires: found.expires })
    }

    fn count_get(&self, asker: Asker) {
        self.inner.counters.gets.add_one();
        if asker.is_peer() {
            self.inner.counters.server_requests.add_one();
        }
    }

    fn count_miss(&self, asker: Asker) {
        self.count_get(asker);
        self.inner.counters.loads.add_one();
    }

    fn count_end(&self, asker: Asker, result: &Result<Fetched>) {
        match result {
            Err(Error::DeadlineExceeded { .. }) if asker == Asker::ReturningPeer => {}
            Err(Error::DeadlineExceeded { .. }) => self.inner.counters.deadlines_exceeded.add_one(),
            Err(Error::Overloaded { .. }) => self.inner.counters.shed.add_one(),
            _ => {}
        }
    }

    /// A list of what leaves, for [`Group::tell`].
    fn left(&self) -> Left {
        Left::new(self.inner.options.on_evict.is_some())
    }

    /// Tells the eviction listener what has left; called with no lock held.
    fn tell(&self, left: Left) {
        for (gone, why) in left.into_entries() {
            self.tell_of(&gone, why);
        }
    }

    fn tell_of(&self, gone: &Evicted, why: RemovalCause) {
        if let Some(listener) = &self.inner.options.on_evict {
            listener(&String::from_utf8_lossy(gone.entry.key()), &gone.entry.value(), why);
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.name())
    }
}

/// Longest group name, in bytes.
const NAME_BYTES: usize = 128;

fn check_name(name: &str) -> Result<()> {
    let reason = match name {
        "" => "is empty",
        "." | ".." => "would be folded away in a path",
        _ if name.len() > NAME_BYTES => "is longer than 128 bytes",
        _ if name.contains('/') => "holds a slash, which ends the name in a path",
        _ => return Ok(()),
    };
    Err(Error::BadGroupName { group: name.to_owned(), reason })
}

/// What the eviction listener is told: key, value, cause.
type OnEvict = Arc<dyn Fn(&str, &ByteView, RemovalCause) + Send + Sync>;
