//! The options of a group.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Group, OnEvict};
use crate::byte_view::ByteView;
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
    pub(super) on_evict: Option<OnEvict>,
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
            on_evict: None,
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
    /// [`Error::BadGroupName`], or [`Error::BadSetting`] for a limit of zero.
    pub fn build(self, name: &str, getter: impl Getter) -> Result<Group> {
        if self.max_getters == 0 {
            let reason = "is 0, so nothing could ever be loaded: allow at least 1";
            return Err(Error::bad_setting("max_getters", reason));
        }
        if self.key_bytes > usize::from(u16::MAX) {
            let reason = "is more than the cache can hold: 65535 at most; hash longer keys";
            return Err(Error::bad_setting("key_bytes", reason));
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
            .field("on_evict", &self.on_evict.is_some())
            .finish()
    }
}
