//! The counters of a node, as JSON and as OpenMetrics text.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use super::Shared;
use crate::client::Health;
use crate::serve::Answer;
use crate::stats::{CacheStats, Stats};

/// Counters of a group that only grow: name, help, reader.
type Field = (&'static str, &'static str, fn(&Stats) -> u64);

const COUNTERS: &[Field] = &[
    ("gets", "Gets, also those that came from peers", |s| s.gets),
    ("cache_hits", "Gets answered by a cache", |s| s.cache_hits),
    ("peer_loads", "Keys got from a peer", |s| s.peer_loads),
    ("peer_errors", "Peers asked in vain", |s| s.peer_errors),
    ("loads", "Gets that were not in a cache", |s| s.loads),
    ("loads_deduped", "Loads carried out after singleflight", |s| s.loads_deduped),
    ("local_loads", "Loads by the getter that gave a value", |s| s.local_loads),
    ("local_load_errs", "Loads by the getter that failed", |s| s.local_load_errs),
    ("server_requests", "Gets that came from peers", |s| s.server_requests),
    ("deadlines_exceeded", "Gets that ended at their deadline", |s| s.deadlines_exceeded),
    ("shed", "Gets refused because a limit was reached", |s| s.shed),
    ("getter_panics", "Getter calls that panicked", |s| s.getter_panics),
    ("overdue_loads", "Getter calls that outlived their load timeout", |s| s.overdue_loads),
];

const GAUGES: &[Field] = &[
    ("getters_running", "Getter calls running", |s| s.getters_running),
    ("getters_queued", "Loads waiting for a getter", |s| s.getters_queued),
];

type CacheField = (&'static str, &'static str, fn(&CacheStats) -> u64);

const CACHE_GAUGES: &[CacheField] = &[
    ("items", "Entries held", |c| c.items),
    ("bytes", "Bytes held, overhead included", |c| c.bytes),
];

const CACHE_COUNTERS: &[CacheField] = &[
    ("gets", "Look-ups", |c| c.gets),
    ("hits", "Look-ups that found a value", |c| c.hits),
    ("evictions", "Entries pushed out by newer ones", |c| c.evictions),
    ("expired", "Entries dropped at the end of their time to live", |c| c.expired),
    ("refused", "Values not kept because they can never fit", |c| c.refused),
];

/// `/stats`.
pub(super) fn stats(shared: &Shared) -> Answer {
    let peers: Vec<Value> = shared
        .peers
        .health()
        .into_iter()
        .map(|(url, health)| json!({"url": url, "state": state(health)}))
        .collect();
    let groups: Map<String, Value> = shared
        .groups()
        .iter()
        .map(|group| (group.name().to_owned(), group_json(&group.stats())))
        .collect();
    let body = json!({"self": shared.peers.own_url(), "peers": peers, "groups": groups});
    Answer::new(200, "application/json", format!("{body}\n").into())
}

fn state(health: Option<Health>) -> &'static str {
    match health {
        None => "self",
        Some(Health::Untried) => "untried",
        Some(Health::Up) => "up",
        Some(Health::Failing) => "failing",
    }
}

fn group_json(stats: &Stats) -> Value {
    let mut json: Map<String, Value> = COUNTERS
        .iter()
        .chain(GAUGES)
        .map(|(name, _, read)| ((*name).to_owned(), read(stats).into()))
        .collect();
    for (name, cache) in [("main", &stats.main), ("hot", &stats.hot)] {
        let fields = CACHE_GAUGES.iter().chain(CACHE_COUNTERS);
        let fields: Map<String, Value> =
            fields.map(|(name, _, read)| ((*name).to_owned(), read(cache).into())).collect();
        json.insert(name.to_owned(), fields.into());
    }
    json.into()
}

/// `/metrics`.
pub(super) fn metrics(shared: &Shared) -> Answer {
    let groups = shared.groups().iter().map(|g| (g.name().to_owned(), g.stats())).collect();
    let mut registry = Registry::with_prefix("larder");
    registry.register_collector(Box::new(Snapshot { groups }));
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Answer::new(200, content_type, body.into())
        }
        Err(_) => Answer::text(500, "the metrics could not be written"),
    }
}

/// The groups' counters at one moment.
#[derive(Debug)]
struct Snapshot {
    groups: Vec<(String, Stats)>,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for &(name, help, read) in COUNTERS {
            // As groupcache's exporters have it; `cache_hits` is each cache's own there.
            let name = if name == "cache_hits" { "hits" } else { name };
            self.family(&mut encoder, name, help, |s| ConstCounter::new(read(s)))?;
        }
        for &(name, help, read) in GAUGES {
            self.family(&mut encoder, name, help, |s| ConstGauge::new(read(s)))?;
        }
        for &(name, help, read) in CACHE_COUNTERS {
            self.cache_family(&mut encoder, name, help, |c| ConstCounter::new(read(c)))?;
        }
        for &(name, help, read) in CACHE_GAUGES {
            self.cache_family(&mut encoder, name, help, |c| ConstGauge::new(read(c)))?;
        }
        Ok(())
    }
}

impl Snapshot {
    fn family<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        metric: impl Fn(&Stats) -> M,
    ) -> Result<(), std::fmt::Error> {
        let Some((_, first)) = self.groups.first() else { return Ok(()) };
        let mut family =
            encoder.encode_descriptor(name, help, None, metric(first).metric_type())?;
        for (group, stats) in &self.groups {
            metric(stats).encode(family.encode_family(&[("group", group.as_str())])?)?;
        }
        Ok(())
    }

    fn cache_family<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        metric: impl Fn(&CacheStats) -> M,
    ) -> Result<(), std::fmt::Error> {
        let Some((_, first)) = self.groups.first() else { return Ok(()) };
        let name = format!("cache_{name}");
        let kind = metric(&first.main).metric_type();
        let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
        for (group, stats) in &self.groups {
            for (cache, stats) in [("main", &stats.main), ("hot", &stats.hot)] {
                let labels = [("group", group.as_str()), ("type", cache)];
                metric(stats).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
