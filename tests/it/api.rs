//! The client API, over HTTP.

use std::collections::BTreeMap;

use larder::testing::{Cluster, Fault, TestOrigin};
use larder::{Error, HttpPool, Limits};
use serde_json::Value;

use crate::support::{PATIENCE, wait_until};

struct Reply {
    status: u16,
    source: Option<String>,
    retry_after: Option<String>,
    body: String,
}

fn get(node: &HttpPool, target: &str) -> Reply {
    request("GET", node, target)
}

fn request(method: &str, node: &HttpPool, target: &str) -> Reply {
    let url = format!("http://{}{target}", node.api_addr().unwrap());
    let request = ureq::http::Request::builder().method(method).uri(url);
    let config = ureq::config::Config::builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut response = match method {
        "GET" => agent.run(request.body(()).unwrap()),
        _ => agent.run(request.body("body").unwrap()),
    }
    .unwrap();
    let header = |name| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (source, retry_after) = (header("X-Larder"), header("Retry-After"));
    let body = response.body_mut().read_to_string().unwrap();
    Reply { status: response.status().as_u16(), source, retry_after, body }
}

fn one_node(limits: &Limits) -> (Cluster, TestOrigin) {
    let (cluster, origin) = (Cluster::start_with(1, limits).unwrap(), TestOrigin::new());
    cluster.group("scores", 1 << 20, &origin).unwrap();
    (cluster, origin)
}

#[test]
fn a_value_comes_with_where_it_came_from() {
    let (cluster, origin) = (Cluster::start(2).unwrap(), TestOrigin::new());
    cluster.group("scores", 1 << 20, &origin).unwrap();
    let [a, b] = cluster.nodes() else { panic!("two nodes") };
    let owned_by_a = (0..).map(|n| n.to_string()).find(|key| a.owner(key) == a.url()).unwrap();
    let target = format!("/api/scores/{owned_by_a}");
    let mut sources = Vec::new();
    for node in [a, a, b] {
        let reply = get(node, &target);
        assert_eq!((reply.status, reply.body), (200, TestOrigin::value(&owned_by_a)));
        sources.push(reply.source.unwrap());
    }
    assert_eq!(sources, ["origin", "main", "peer"]);
    assert_eq!(origin.total_loads(), 1);
}

#[test]
fn a_key_is_all_that_follows_the_groups_slash_in_path_or_query() {
    let (cluster, origin) = one_node(&Limits::default());
    let node = &cluster.nodes()[0];
    for (target, key) in [
        ("/api/scores/a/b//c", "a/b//c"),
        ("/api/scores/a%2Fb%20c+d", "a/b c+d"),
        ("/api/scores/", ""),
        ("/api/scores/%E6%97%A5?x=y", "日"),
        ("/api?key=Tom", "Tom"),
        ("/api?group=scores&key=a+b%2Fc", "a b/c"),
    ] {
        let reply = get(node, target);
        assert_eq!((reply.status, reply.body), (200, TestOrigin::value(key)), "{target}");
        assert_eq!(origin.loads(key), 1, "{target}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let (cluster, origin) = one_node(&Limits::default());
    let node = &cluster.nodes()[0];
    origin.set_fault_of("Ann", Fault::NotFound);
    origin.set_fault_of("bad", Fault::Fail);
    origin.set_fault_of("worse", Fault::Panic);
    for (target, status, named) in [
        ("/api/scores/Ann", 404, "Ann"),
        ("/api?key=Ann", 404, "Ann"),
        ("/api/nope/k", 404, "nope"),
        ("/api?group=nope&key=k", 404, "nope"),
        ("/api/scores", 400, "/api/GROUP/KEY"),
        ("/api?k=v", 400, "key"),
        ("/api/scores/%zz", 400, "%"),
        ("/api/scores/%ff", 400, "UTF-8"),
        ("/", 404, "/api/GROUP/KEY"),
        ("/api/scores/bad", 502, "failed on command"),
        ("/api/scores/worse", 502, "panicked on command"),
    ] {
        let reply = get(node, target);
        assert_eq!(reply.status, status, "{target}: {}", reply.body);
        assert!(reply.body.contains(named), "{target}: {:?} does not name {named}", reply.body);
        assert_eq!(reply.body.lines().count(), 1, "{target}: one line of text");
    }
    let long = get(node, &format!("/api/scores/{}", "k".repeat(5_000)));
    assert_eq!(long.status, 400, "{}", long.body);
    for method in ["PUT", "POST", "DELETE"] {
        assert_eq!(request(method, node, "/healthz").status, 405);
    }
    cluster.group("more", 0, &origin).unwrap();
    let reply = get(node, "/api?key=Tom");
    assert_eq!(reply.status, 400, "the group can be left out when there is one");
    assert!(reply.body.contains("more") && reply.body.contains("scores"), "{}", reply.body);
}

#[test]
fn health_is_answered_and_loads_are_shed_when_the_lane_is_full() {
    let mut limits = Limits::default();
    (limits.lane_workers, limits.lane_waiting) = (1, 0);
    let (cluster, origin) = one_node(&limits);
    let node = &cluster.nodes()[0];
    assert_eq!(get(node, "/api/scores/warm").status, 200);
    origin.set_fault_of("slow", Fault::Hang);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| get(node, "/api/scores/slow"));
        wait_until("the slow load has begun", || origin.hanging() > 0);
        assert_eq!(get(node, "/healthz").status, 200);
        assert_eq!(get(node, "/readyz").status, 200);
        assert_eq!(get(node, "/api/scores/warm").source.as_deref(), Some("main"));
        let shed = get(node, "/api/scores/cold");
        assert_eq!((shed.status, shed.retry_after.as_deref()), (503, Some("1")), "{}", shed.body);
        let duplicate = scope.spawn(|| get(node, "/api/scores/slow"));
        origin.release();
        for reply in [slow, duplicate] {
            let reply = reply.join().unwrap();
            assert_eq!((reply.status, reply.body.as_str()), (200, "value of slow"));
        }
    });
    assert_eq!(node.api_listener_stats().lane_shed, 1);
    assert_eq!(origin.loads("slow"), 1);
}

#[test]
fn stats_and_metrics_tell_the_same() {
    let (cluster, _) = one_node(&Limits::default());
    let node = &cluster.nodes()[0];
    for _ in 0..3 {
        get(node, "/api/scores/Tom");
    }
    let stats: Value = serde_json::from_str(&get(node, "/stats").body).unwrap();
    assert_eq!(stats["self"], node.url());
    assert_eq!(stats["peers"][0]["url"], node.url());
    assert_eq!(stats["peers"][0]["state"], "self");
    let group = &stats["groups"]["scores"];
    for (name, value) in [
        ("gets", 3),
        ("cache_hits", 2),
        ("peer_loads", 0),
        ("peer_errors", 0),
        ("loads", 1),
        ("loads_deduped", 1),
        ("local_loads", 1),
        ("local_load_errs", 0),
        ("server_requests", 0),
        ("peer_bad_answers", 0),
    ] {
        assert_eq!(group[name], value, "{name}");
    }
    assert_eq!(group["eviction"], "lru");
    for cache in ["main", "hot"] {
        for name in ["items", "bytes", "gets", "hits", "evictions"] {
            assert!(group[cache][name].is_u64(), "{cache} {name}");
        }
    }
    let text = get(node, "/metrics").body;
    assert!(text.ends_with("# EOF\n"));
    let metrics: BTreeMap<&str, &str> =
        text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit_once(' ')).collect();
    assert_eq!(metrics["larder_gets_total{group=\"scores\"}"], "3");
    assert_eq!(metrics["larder_peer_bad_answers_total{group=\"scores\"}"], "0");
    assert_eq!(metrics["larder_hits_total{group=\"scores\"}"], "2");
    assert_eq!(metrics["larder_cache_items{group=\"scores\",type=\"main\"}"], "1");
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(metrics.len(), samples, "no sample stands there twice");
}

#[test]
fn a_pool_is_refused_what_cannot_work() {
    let pool = HttpPool::bind("http://127.0.0.1:0").unwrap();
    let error = pool.set_peers(["http://127.0.0.1:1"]).unwrap_err();
    assert!(matches!(error, Error::SelfNotInPeers { .. }), "{error}");
    let error = pool.set_peers([pool.url(), "127.0.0.1:1"]).unwrap_err();
    assert!(matches!(error, Error::BadPeer { .. }), "{error}");
    assert_eq!(pool.peers(), [pool.url()], "the ring stays as it was");
    pool.group("g", 0, TestOrigin::new()).unwrap();
    let error = pool.group("g", 0, TestOrigin::new()).unwrap_err();
    assert!(matches!(error, Error::GroupExists { .. }), "{error}");
    let taken = HttpPool::bind(pool.url()).unwrap_err();
    assert!(matches!(taken, Error::Io { .. }), "{taken}");
    let nameless = HttpPool::bind("http://0.0.0.0:0").unwrap_err();
    assert!(matches!(nameless, Error::BadSetting { .. }), "{nameless}");
}
