//! The counters of a node, as JSON and as OpenMetrics text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use super::Shared;
use crate::client::PeerHealth;
use crate::group::Group;
use crate::serve::{Answer, ListenerStats};
use crate::stats::{CacheStats, Stats};

/// One number of some counters: its name, its help, and how it is read.
type Field<S> = (&'static str, &'static str, fn(&S) -> u64);

const COUNTERS: &[Field<Stats>] = &[
    ("gets", "Gets, also those that came from peers", |s| s.gets),
    ("cache_hits", "Gets answered by a cache", |s| s.cache_hits),
    ("peer_loads", "Keys got from a peer", |s| s.peer_loads),
    ("peer_errors", "Peers asked in vain", |s| s.peer_errors),
    ("successor_loads", "Keys got from a peer in place of their owner", |s| s.successor_loads),
    ("loads", "Gets that were not in a cache", |s| s.loads),
    ("loads_deduped", "Loads carried out after singleflight", |s| s.loads_deduped),
    ("local_loads", "Loads by the getter that gave a value", |s| s.local_loads),
    ("local_load_errs", "Loads by the getter that failed", |s| s.local_load_errs),
    ("server_requests", "Gets that came from peers", |s| s.server_requests),
    ("deadlines_exceeded", "Gets that ended at their deadline", |s| s.deadlines_exceeded),
    ("shed", "Gets refused because a limit was reached", |s| s.shed),
    ("getter_panics", "Getter calls that panicked", |s| s.getter_panics),
    ("overdue_loads", "Getter calls that outlived their load timeout", |s| s.overdue_loads),
    ("peer_bad_answers", "Answers of peers damaged, cut or to another key", |s| s.peer_bad_answers),
    ("stale_served", "Values served past their time to live", |s| s.stale_served),
    ("revalidations", "Loads in the background of what was served stale", |s| s.revalidations),
    ("probes", "Such loads while the origin was known to fail", |s| s.probes),
    ("negative_hits", "Gets answered with a remembered error", |s| s.negative_hits),
    ("writes", "Sets, removals and purges", |s| s.writes),
    ("writes_unconfirmed", "Writes that not every node confirmed", |s| s.writes_unconfirmed),
    ("writes_repeated", "Writes repeated later and then confirmed", |s| s.writes_repeated),
    ("epoch_errors", "Answers of peers that had missed a purge", |s| s.epoch_errors),
    ("snapshots", "Snapshots written", |s| s.snapshots),
    ("snapshot_errors", "Snapshots not written or not restored", |s| s.snapshot_errors),
];

const GAUGES: &[Field<Stats>] = &[
    ("getters_running", "Getter calls running", |s| s.getters_running),
    ("getters_queued", "Loads waiting for a getter", |s| s.getters_queued),
    ("cache_bytes", "Bytes that both caches together may hold", |s| s.cache_bytes),
];

const LISTENER_GAUGES: &[Field<ListenerStats>] = &[("open", "Connections open", |l| l.open)];

const LISTENER_COUNTERS: &[Field<ListenerStats>] = &[
    ("connections", "Connections taken", |l| l.connections),
    ("connections_refused", "Connections refused at a limit", |l| l.connections_refused),
    ("addresses_refused", "Of these, at the limit of one address", |l| l.addresses_refused),
    ("accept_errors", "Failed accepts", |l| l.accept_errors),
    ("handshakes_failed", "TLS handshakes that failed", |l| l.handshakes_failed),
    ("requests", "Requests read whole", |l| l.requests),
    ("requests_refused", "Requests malformed or over a limit", |l| l.requests_refused),
    ("unauthorized", "Requests without a valid signature or token", |l| l.unauthorized),
    ("forbidden", "Requests whose token has no right to write", |l| l.forbidden),
    ("replayed", "Requests whose signature was used before", |l| l.replayed),
    ("senders_refused", "Requests of more signing nodes than are remembered", |l| {
        l.senders_refused
    }),
    ("heads_too_slow", "Heads or bodies not complete in time", |l| l.heads_too_slow),
    ("readers_too_slow", "Connections cut because their reader stood still", |l| {
        l.readers_too_slow
    }),
    ("lane_requests", "Requests that a worker carried out", |l| l.lane_requests),
    ("lane_shed", "Requests refused because too many or too long waited", |l| l.lane_shed),
    ("lane_abandoned", "Requests not begun because their client had gone", |l| l.lane_abandoned),
    ("lane_breaks", "Connections to the lane that broke", |l| l.lane_breaks),
    ("lane_rebuilds", "Times the lane's server was built anew", |l| l.lane_rebuilds),
];

const PEER_GAUGES: &[Field<PeerHealth>] = &[
    ("up", "Whether the peer is asked: its breaker is closed", |p| u64::from(!p.is_open)),
    ("calls", "Calls to the peer under way", |p| p.calls),
];

const PEER_COUNTERS: &[Field<PeerHealth>] = &[
    ("calls_shed", "Calls that went elsewhere because too many were under way", |p| p.calls_shed),
    ("breaker_opens", "Times that the peer was found to be failing", |p| p.breaker_opens),
];

const CACHE_GAUGES: &[Field<CacheStats>] = &[
    ("items", "Entries held", |c| c.items),
    ("bytes", "Bytes of memory held", |c| c.bytes),
    ("eviction_age_ms", "Time since their last use of entries lately evicted", |c| {
        c.eviction_age.as_millis() as u64
    }),
];

const CACHE_COUNTERS: &[Field<CacheStats>] = &[
    ("gets", "Look-ups", |c| c.gets),
    ("hits", "Look-ups that found a value", |c| c.hits),
    ("misses", "Look-ups that found none", |c| c.misses()),
    ("admitted", "Values put in", |c| c.admitted),
    ("refused", "Values not kept because there was no room", |c| c.refused),
    ("evictions", "Entries pushed out by newer ones", |c| c.evictions),
    ("expired", "Entries dropped at the end of their time to live", |c| c.expired),
    ("replaced", "Entries whose place a newer value took", |c| c.replaced),
    ("removed", "Entries that were removed", |c| c.removed),
];

/// `/stats`.
pub(super) fn stats(shared: &Shared) -> Answer {
    let peers = shared.peers.health();
    let peers: Vec<Value> = peers.iter().map(|(url, health)| peer_json(url, health)).collect();
    let groups = shared.groups.view();
    let groups: Map<String, Value> =
        groups.iter().map(|group| (group.name().to_owned(), group_json(group))).collect();
    let listeners: Map<String, Value> = listeners(shared)
        .iter()
        .map(|(name, stats)| {
            let fields = LISTENER_GAUGES.iter().chain(LISTENER_COUNTERS);
            ((*name).to_owned(), json_of(fields, stats).into())
        })
        .collect();
    let body = json!({
        "self": shared.peers.own_url(),
        "peers": peers,
        "groups": groups,
        "listeners": listeners,
    });
    Answer::new(200, "application/json", format!("{body}\n").into())
}

/// Nothing is known of this node itself.
fn peer_json(url: &str, health: &Option<PeerHealth>) -> Value {
    let Some(health) = health else { return json!({"url": url, "state": "self"}) };
    let mut json = json_of(PEER_GAUGES.iter().chain(PEER_COUNTERS), health);
    json.insert("url".to_owned(), url.into());
    json.insert("state".to_owned(), health.state.into());
    json.into()
}

fn group_json(group: &Group) -> Value {
    let stats = &group.stats();
    let mut json = json_of(COUNTERS.iter().chain(GAUGES), stats);
    json.insert("eviction".to_owned(), group.eviction().name().into());
    for (name, cache) in [("main", &stats.main), ("hot", &stats.hot)] {
        let cache = json_of(CACHE_GAUGES.iter().chain(CACHE_COUNTERS), cache);
        json.insert(name.to_owned(), cache.into());
    }
    json.into()
}

fn json_of<'a, S: 'a>(fields: impl Iterator<Item = &'a Field<S>>, stats: &S) -> Map<String, Value> {
    fields.map(|(name, _, read)| ((*name).to_owned(), read(stats).into())).collect()
}

fn listeners(shared: &Shared) -> [(&'static str, ListenerStats); 2] {
    [("peer", shared.peer_meters.snapshot()), ("api", shared.api_meters.snapshot())]
}

/// `/metrics`.
pub(super) fn metrics(shared: &Shared) -> Answer {
    let groups = shared.groups.view();
    let groups = groups.iter().map(|g| (g.name().to_owned(), g.stats())).collect();
    let mut registry = Registry::with_prefix("larder");
    let peers = shared.peers.health().into_iter();
    let peers = peers.filter_map(|(url, health)| Some((url, health?))).collect();
    let snapshot = Snapshot { groups, peers, listeners: listeners(shared) };
    registry.register_collector(Box::new(snapshot));
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Answer::new(200, content_type, body.into())
        }
        Err(_) => Answer::text(500, "the metrics could not be written"),
    }
}

/// All counters at one moment.
#[derive(Debug)]
struct Snapshot {
    groups: Vec<(String, Stats)>,
    peers: Vec<(String, PeerHealth)>,
    listeners: [(&'static str, ListenerStats); 2],
}

/// A sample's labels and the counters that it is read from.
type Samples<'a, S> = Vec<(Vec<(&'a str, &'a str)>, &'a S)>;

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let groups: Samples<'_, Stats> =
            self.groups.iter().map(|(name, stats)| (vec![("group", &**name)], stats)).collect();
        let mut caches: Samples<'_, CacheStats> = Vec::new();
        for (name, stats) in &self.groups {
            for (cache, stats) in [("main", &stats.main), ("hot", &stats.hot)] {
                caches.push((vec![("group", name), ("type", cache)], stats));
            }
        }
        let listeners = self.listeners.iter();
        let listeners: Samples<'_, ListenerStats> =
            listeners.map(|(name, stats)| (vec![("listener", *name)], stats)).collect();
        counters(encoder, "", COUNTERS, &groups)?;
        gauges(encoder, "", GAUGES, &groups)?;
        counters(encoder, "cache_", CACHE_COUNTERS, &caches)?;
        gauges(encoder, "cache_", CACHE_GAUGES, &caches)?;
        let peers: Samples<'_, PeerHealth> =
            self.peers.iter().map(|(url, health)| (vec![("peer", &**url)], health)).collect();
        counters(encoder, "peer_", PEER_COUNTERS, &peers)?;
        gauges(encoder, "peer_", PEER_GAUGES, &peers)?;
        counters(encoder, "listener_", LISTENER_COUNTERS, &listeners)?;
        gauges(encoder, "listener_", LISTENER_GAUGES, &listeners)
    }
}

fn counters<S>(
    encoder: &mut DescriptorEncoder<'_>,
    prefix: &str,
    fields: &[Field<S>],
    samples: &Samples<'_, S>,
) -> fmt::Result {
    for (name, help, read) in fields {
        // As groupcache's exporters have it: `cache_hits` is each cache's own there.
        let name = if *name == "cache_hits" { "hits" } else { name };
        family(encoder, &format!("{prefix}{name}"), help, samples, |s| ConstCounter::new(read(s)))?;
    }
    Ok(())
}

fn gauges<S>(
    encoder: &mut DescriptorEncoder<'_>,
    prefix: &str,
    fields: &[Field<S>],
    samples: &Samples<'_, S>,
) -> fmt::Result {
    for (name, help, read) in fields {
        family(encoder, &format!("{prefix}{name}"), help, samples, |s| ConstGauge::new(read(s)))?;
    }
    Ok(())
}

fn family<S, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: &Samples<'_, S>,
    metric: impl Fn(&S) -> M,
) -> fmt::Result {
    let Some((_, first)) = samples.first() else { return Ok(()) };
    let mut family = encoder.encode_descriptor(name, help, None, metric(first).metric_type())?;
    for (labels, stats) in samples {
        metric(stats).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}
