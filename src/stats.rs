//! Counters, by groupcache's names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::CachePadded;

/// A counter on a cache line of its own, so that two busy counters do not share one.
#[derive(Debug, Default)]
pub(crate) struct Counter(CachePadded<AtomicU64>);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a group, live.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) gets: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) peer_loads: Counter,
    pub(crate) peer_errors: Counter,
    pub(crate) successor_loads: Counter,
    pub(crate) loads: Counter,
    pub(crate) loads_deduped: Counter,
    pub(crate) local_loads: Counter,
    pub(crate) local_load_errs: Counter,
    pub(crate) server_requests: Counter,
    pub(crate) deadlines_exceeded: Counter,
    pub(crate) shed: Counter,
    pub(crate) getter_panics: Counter,
    pub(crate) overdue_loads: Counter,
    pub(crate) peer_bad_answers: Counter,
    pub(crate) stale_served: Counter,
    pub(crate) revalidations: Counter,
    pub(crate) probes: Counter,
    pub(crate) negative_hits: Counter,
    pub(crate) writes: Counter,
    pub(crate) writes_unconfirmed: Counter,
    pub(crate) writes_repeated: Counter,
    pub(crate) epoch_errors: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) snapshot_errors: Counter,
}

/// What a group has done so far, and what its caches hold.
///
/// The first nine counters have groupcache's names and meanings. They are read one by one
/// while the group works, so that sums over them may be off by the requests in flight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Gets, also those that came from peers.
    pub gets: u64,
    /// Gets answered by the main or the hot cache.
    pub cache_hits: u64,
    /// Keys got from a peer.
    pub peer_loads: u64,
    /// Peers asked that gave no valid answer; the key was then got from the next node on the
    /// ring, or loaded here.
    pub peer_errors: u64,
    /// Keys got from a peer that stood in for their owner.
    pub successor_loads: u64,
    /// Gets that were not in a cache.
    pub loads: u64,
    /// Loads that were carried out, after singleflight.
    pub loads_deduped: u64,
    /// Loads by the getter that gave a value.
    pub local_loads: u64,
    /// Loads by the getter that failed; "no such key" is among them.
    pub local_load_errs: u64,
    /// Gets that came from peers.
    pub server_requests: u64,
    /// Gets that ended at their deadline.
    pub deadlines_exceeded: u64,
    /// Gets refused because a limit was reached.
    pub shed: u64,
    /// Getter calls that panicked; also counted in `local_load_errs`.
    pub getter_panics: u64,
    /// Getter calls that outlived `load_timeout`, so that a newer load took over their key.
    pub overdue_loads: u64,
    /// Answers of peers that were damaged, cut, or to another key: served to nobody.
    pub peer_bad_answers: u64,
    /// Values served past their time to live, also those that a peer gave as such.
    pub stale_served: u64,
    /// Loads begun in the background, of values that were served stale meanwhile.
    pub revalidations: u64,
    /// Such loads begun while the origin was known to fail.
    pub probes: u64,
    /// Gets answered with an error that was remembered: no such key, above all.
    pub negative_hits: u64,
    /// Sets, removals and purges that this node has carried out for the program or a client.
    pub writes: u64,
    /// Writes that not every node has confirmed.
    pub writes_unconfirmed: u64,
    /// Writes that were repeated later, until every node had confirmed.
    pub writes_repeated: u64,
    /// Answers of peers that had missed a purge, and were not taken.
    pub epoch_errors: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots that could not be written or restored.
    pub snapshot_errors: u64,
    /// Getter calls running now.
    pub getters_running: u64,
    /// Loads waiting for a getter to become free now.
    pub getters_queued: u64,
    /// Bytes that both caches together may hold.
    pub cache_bytes: u64,
    /// The keys that this node owns, or had to load itself.
    pub main: CacheStats,
    /// Copies of popular keys that peers own.
    pub hot: CacheStats,
}

/// What one cache of a group holds and has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Entries held now.
    pub items: u64,
    /// Bytes of memory held now: keys, values, what the allocator adds to them, and this
    /// cache's share of the tables that find them.
    pub bytes: u64,
    /// Look-ups.
    pub gets: u64,
    /// Look-ups that found a value.
    pub hits: u64,
    /// Values that were put in.
    pub admitted: u64,
    /// Values served but not kept, because the budget has no room for them.
    pub refused: u64,
    /// Entries pushed out by newer ones, or by a smaller budget.
    pub evictions: u64,
    /// Entries dropped because their time to live was over.
    pub expired: u64,
    /// Entries whose place a newer value of the same key took.
    pub replaced: u64,
    /// Entries that were removed.
    pub removed: u64,
    /// How long what was pushed out lately had not been used, on average; to the hundredth of
    /// a second. A cache whose evictions are older than its entries are of use is large
    /// enough. Zero when nothing was pushed out.
    pub eviction_age: Duration,
}

impl CacheStats {
    /// Look-ups that found nothing.
    pub fn misses(&self) -> u64 {
        self.gets.saturating_sub(self.hits)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            gets: self.gets.get(),
            cache_hits: self.cache_hits.get(),
            peer_loads: self.peer_loads.get(),
            peer_errors: self.peer_errors.get(),
            successor_loads: self.successor_loads.get(),
            loads: self.loads.get(),
            loads_deduped: self.loads_deduped.get(),
            local_loads: self.local_loads.get(),
            local_load_errs: self.local_load_errs.get(),
            server_requests: self.server_requests.get(),
            deadlines_exceeded: self.deadlines_exceeded.get(),
            shed: self.shed.get(),
            getter_panics: self.getter_panics.get(),
            overdue_loads: self.overdue_loads.get(),
            peer_bad_answers: self.peer_bad_answers.get(),
            stale_served: self.stale_served.get(),
            revalidations: self.revalidations.get(),
            probes: self.probes.get(),
            negative_hits: self.negative_hits.get(),
            writes: self.writes.get(),
            writes_unconfirmed: self.writes_unconfirmed.get(),
            writes_repeated: self.writes_repeated.get(),
            epoch_errors: self.epoch_errors.get(),
            snapshots: self.snapshots.get(),
            snapshot_errors: self.snapshot_errors.get(),
            ..Stats::default()
        }
    }
}
