//! The options of a group.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Group, OnEvict};
use crate::byte_view::ByteView;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::getter::Getter;
use crate::store::{Eviction, RemovalCause};

/// Which thread calls the getter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GetterThread {
    /// One of the group's, so that every caller can leave at its deadline, whatever the getter
    /// does.
    #[default]
    Loader,
    /// That of the caller whose get begins the load.
    ///
    /// It saves the hand-over to another thread and back, which takes 10 to 20 µs: most of a
    /// miss when the getter is as fast, and nothing when it asks a database. The price is that
    /// this one caller is held until the getter returns, also past its deadline, and then has
    /// its value; so the getter is to be fast, or to have time limits of its own. It must not
    /// need a lock that a caller holds.
    ///
    /// All else is as with [`Loader`](Self::Loader): others that want the key leave at their
    /// deadlines, errors and panics reach each of them, a load that outlives
    /// [`load_timeout`](GroupOptions::load_timeout) is taken over, and the call takes one of the
    /// [`max_getters`](GroupOptions::max_getters) places; when there is none, the load waits for
    /// a thread of the group. Requests over HTTP, of peers and of clients, are always loaded on
    /// such threads: they are answered in time.
    Caller,
}

/// The options of a group: limits and times, each with a default that suits most.
///
/// ```
/// use std::time::Duration;
/// use larder::GroupOptions;
///
/// let thumbnails = GroupOptions::new(256 << 20)
///     .get_timeout(Duration::from_secs(2))
///     .max_getters(4)
///     .build("thumbnails", |name: &str| Ok(name.to_uppercase()))?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until they are built into a group"]
pub struct GroupOptions {
    pub(super) cache_bytes: usize,
    pub(super) eviction: Eviction,
    pub(super) getter_thread: GetterThread,
    pub(super) get_timeout: Duration,
    pub(super) load_timeout: Duration,
    pub(super) max_getters: usize,
    pub(super) max_queued_loads: usize,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
    pub(super) ttl: Option<Duration>,
    pub(super) ttl_jitter: f64,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    pub(super) not_found_ttl: Duration,
    pub(super) error_ttl: Duration,
    pub(super) hot_ttl: Duration,
    pub(super) successor_ttl: Duration,
    pub(super) on_evict: Option<OnEvict>,
    pub(super) clock: Clock,
}

impl GroupOptions {
    /// Options with a budget of `cache_bytes` for main and hot cache together, counting keys,
    /// values and the overhead of each entry. With 0 nothing is cached; duplicate loads are
    /// still merged and peers asked.
    pub fn new(cache_bytes: usize) -> Self {
        Self {
            cache_bytes,
            eviction: Eviction::default(),
            getter_thread: GetterThread::default(),
            get_timeout: Duration::from_secs(10),
            load_timeout: Duration::from_secs(30),
            max_getters: 64,
            max_queued_loads: 1_024,
            key_bytes: 4 << 10,
            value_bytes: 8 << 20,
            ttl: None,
            ttl_jitter: 0.1,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            not_found_ttl: Duration::ZERO,
            error_ttl: Duration::ZERO,
            hot_ttl: Duration::from_secs(60),
            successor_ttl: Duration::from_secs(10),
            on_evict: None,
            clock: Clock::monotonic(),
        }
    }

    /// Which entries a full cache gives up. Defaults to [`Eviction::Lru`].
    pub fn eviction(self, eviction: Eviction) -> Self {
        Self { eviction, ..self }
    }

    /// Which thread calls the getter. Defaults to [`GetterThread::Loader`].
    pub fn getter_thread(self, getter_thread: GetterThread) -> Self {
        Self { getter_thread, ..self }
    }

    /// How long a get waits when it is not told. Defaults to 10 s.
    pub fn get_timeout(self, get_timeout: Duration) -> Self {
        Self { get_timeout, ..self }
    }

    /// After this long a getter call counts as lost: the next caller of its key starts a new
    /// one. The old call stays counted in `max_getters` until it returns, and its value is not
    /// kept. Longer than the slowest load that is worth waiting for. Defaults to 30 s.
    pub fn load_timeout(self, load_timeout: Duration) -> Self {
        Self { load_timeout, ..self }
    }

    /// Getter calls at once: what the origin can bear from one node. A getter that gets, and
    /// waits for a load that another thread runs, lends its place until it goes on. Defaults
    /// to 64.
    pub fn max_getters(self, max_getters: usize) -> Self {
        Self { max_getters, ..self }
    }

    /// Loads that may wait for a getter; further ones are refused as
    /// [`Error::Overloaded`]. Defaults to 1,024.
    pub fn max_queued_loads(self, max_queued_loads: usize) -> Self {
        Self { max_queued_loads, ..self }
    }

    /// Longest key, in bytes; 65,535 at most. Defaults to 4 KiB.
    pub fn key_bytes(self, key_bytes: usize) -> Self {
        Self { key_bytes, ..self }
    }

    /// Longest value, in bytes; a longer one is [`Error::ValueTooLarge`]. Defaults to 8 MiB.
    ///
    /// Peers refuse answers beyond their own limit, so it is best the same on every node.
    pub fn value_bytes(self, value_bytes: usize) -> Self {
        Self { value_bytes, ..self }
    }

    /// How long values live whose getter gives them no time of their own
    /// ([`Loaded::with_ttl`](crate::Loaded::with_ttl)). Defaults to until they are evicted.
    ///
    /// Measured on each node by a clock that never jumps, from the load on; what travels between
    /// larder nodes is what is left, so their wall clocks may say what they like.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// By what part of itself a loaded value's time to live is shortened at most, by chance, so
    /// that what was loaded together is not loaded again together; from 0 to 1. Never lengthened:
    /// a time to live is a promise. Defaults to 0.1.
    pub fn ttl_jitter(self, ttl_jitter: f64) -> Self {
        Self { ttl_jitter, ..self }
    }

    /// For so long after a value has expired it is served all the same, at once, while one load
    /// in the background brings a new one. Defaults to 0: whoever comes first waits for the load.
    ///
    /// This and [`stale_if_error`](Self::stale_if_error) both begin when the value expires. What
    /// is in neither leaves the cache first when room is needed.
    pub fn stale_while_revalidate(self, stale_while_revalidate: Duration) -> Self {
        Self { stale_while_revalidate, ..self }
    }

    /// For so long after a value has expired it is served when it cannot be loaded anew: the
    /// getter failed, panicked or took too long, or too many loads wait. Defaults to 0: the error
    /// is returned.
    ///
    /// [`NotFound`](crate::NotFound) is an answer and no failure. While the origin is known to
    /// fail, nobody waits for it in vain: one load at a time, and one a second, tries whether it
    /// still does, and what is stale is served at once. Keys that have no value are still loaded.
    pub fn stale_if_error(self, stale_if_error: Duration) -> Self {
        Self { stale_if_error, ..self }
    }

    /// How long it is remembered that the origin has no such key, by the node that asked it. Like
    /// a value, this ends when the key is removed or set. Defaults to 0: every get asks. A second
    /// is enough to spare an origin that is asked again and again for what it has not.
    ///
    /// What is remembered without a value takes a 64th of the cache's budget at most, beside it.
    pub fn not_found_ttl(self, not_found_ttl: Duration) -> Self {
        Self { not_found_ttl, ..self }
    }

    /// How long an error of the getter is remembered, and returned without calling it. Defaults
    /// to 0: every get tries again.
    pub fn error_ttl(self, error_ttl: Duration) -> Self {
        Self { error_ttl, ..self }
    }

    /// How long this node keeps copies of what peers own, at most. It bounds for how long a
    /// change at the origin goes unseen here when nobody removes the key. Defaults to 60 s.
    pub fn hot_ttl(self, hot_ttl: Duration) -> Self {
        Self { hot_ttl, ..self }
    }

    /// Tells the time, in a test.
    #[cfg(test)]
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// How long this node keeps what it has loaded in place of the key's owner, which had failed.
    /// Defaults to 10 s.
    ///
    /// The owner is asked again when it is back; until this time is over a node may still hold a
    /// copy from before.
    pub fn successor_ttl(self, successor_ttl: Duration) -> Self {
        Self { successor_ttl, ..self }
    }

    /// Calls `listener` with key, value and cause whenever an entry leaves the cache.
    ///
    /// It runs on the thread that made the entry leave, after the fact and with no lock held,
    /// so it may call the group. Two threads may call it at once.
    pub fn on_evict(
        self,
        listener: impl Fn(&str, &ByteView, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        Self { on_evict: Some(Arc::new(listener)), ..self }
    }

    /// A group with these options that stands alone.
    /// [`HttpPool::group_with`](crate::HttpPool::group_with) makes one that has peers.
    ///
    /// # Errors
    ///
    /// [`Error::BadGroupName`], or [`Error::BadSetting`] for a limit of zero and for what lies
    /// outside of its range.
    pub fn build(self, name: &str, getter: impl Getter) -> Result<Group> {
        if self.max_getters == 0 {
            let reason = "is 0, so nothing could ever be loaded: allow at least 1";
            return Err(Error::bad_setting("max_getters", reason));
        }
        if self.key_bytes > usize::from(u16::MAX) {
            let reason = "is more than the cache can hold: 65535 at most; hash longer keys";
            return Err(Error::bad_setting("key_bytes", reason));
        }
        if !(0.0..=1.0).contains(&self.ttl_jitter) {
            let reason = format!("is {}: a part of the time to live, from 0 to 1", self.ttl_jitter);
            return Err(Error::bad_setting("ttl_jitter", reason));
        }
        Group::from_options(self, name, getter)
    }
}

impl fmt::Debug for GroupOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupOptions")
            .field("cache_bytes", &self.cache_bytes)
            .field("eviction", &self.eviction)
            .field("getter_thread", &self.getter_thread)
            .field("get_timeout", &self.get_timeout)
            .field("load_timeout", &self.load_timeout)
            .field("max_getters", &self.max_getters)
            .field("max_queued_loads", &self.max_queued_loads)
            .field("key_bytes", &self.key_bytes)
            .field("value_bytes", &self.value_bytes)
            .field("ttl", &self.ttl)
            .field("ttl_jitter", &self.ttl_jitter)
            .field("stale_while_revalidate", &self.stale_while_revalidate)
            .field("stale_if_error", &self.stale_if_error)
            .field("not_found_ttl", &self.not_found_ttl)
            .field("error_ttl", &self.error_ttl)
            .field("hot_ttl", &self.hot_ttl)
            .field("successor_ttl", &self.successor_ttl)
            .field("on_evict", &self.on_evict.is_some())
            .finish()
    }
}
