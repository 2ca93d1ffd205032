//! Writes by way of the client API.

use std::net::SocketAddr;
use std::time::Duration;

use larder::testing::{Cluster, TestOrigin};
use larder::{Group, HttpPool};
use serde_json::Value;

use crate::support::{Answer, Client, get, key_owned_by};

fn send(addr: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    let mut client = Client::connect(addr);
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    client.send(head + body).unwrap();
    let answer = client.answer().unwrap();
    // The connection is in step: the next request on it is answered.
    assert_eq!(client.get("/healthz").unwrap().text(), "ok\n");
    answer
}

struct Nodes {
    cluster: Cluster,
    groups: Vec<Group>,
    origin: TestOrigin,
}

impl Nodes {
    fn start() -> Self {
        let (cluster, origin) = (Cluster::start(2).unwrap(), TestOrigin::new());
        let groups = cluster.group("g", 1 << 20, &origin).unwrap();
        Self { cluster, groups, origin }
    }

    fn api(&self) -> SocketAddr {
        self.cluster.nodes()[0].api_addr().unwrap()
    }

    /// A key that the second node owns, so that both take part.
    fn key(&self) -> String {
        let nodes = self.cluster.nodes();
        key_owned_by(&nodes[0], nodes[1].url()).replace(' ', "%20")
    }

    fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        send(self.api(), method, target, body)
    }
}

fn done(answer: &Answer) {
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert!(!answer.head.contains("Content-Length"), "{}", answer.head);
}

#[test]
fn what_is_put_is_got_from_every_node_and_what_is_deleted_is_loaded() {
    let nodes = Nodes::start();
    let (key, target) = (nodes.key(), format!("/api/g/{}", nodes.key()));
    let name = key.replace("%20", " ");
    let got = || nodes.groups.iter().map(|group| group.get(&name).unwrap()).collect::<Vec<_>>();
    done(&nodes.send("PUT", &target, "a value"));
    assert!(got().iter().all(|value| *value == "a value"));
    assert_eq!(nodes.origin.total_loads(), 0);
    done(&nodes.send("DELETE", &target, ""));
    assert!(got().iter().all(|value| *value == TestOrigin::value(&name).as_str()));
    done(&nodes.send("PUT", &target, ""));
    assert!(got().iter().all(|value| value.is_empty()));
    done(&nodes.send("POST", "/api/g/_remove", &format!("[\"other\", {name:?}]")));
    assert_eq!(got()[0], TestOrigin::value(&name).as_str());
    done(&nodes.send("PUT", &target, "again"));
    done(&nodes.send("DELETE", "/api/g", ""));
    assert_eq!(got()[1], TestOrigin::value(&name).as_str());
    assert_eq!(nodes.origin.loads(&name), 3);
    done(&nodes.send("PUT", &format!("{target}?ttl=0s"), "over"));
    assert_eq!(get(nodes.api(), &target).text(), TestOrigin::value(&name));
    done(&nodes.send("PUT", &format!("{target}?ttl=1h"), "lasting"));
    assert_eq!(get(nodes.api(), &target).text(), "lasting");
}

#[test]
fn a_write_that_is_not_understood_changes_nothing_and_says_why() {
    let nodes = Nodes::start();
    for (method, target, body, status, word) in [
        ("PUT", "/api/X/k", "v", 404, "no such group"),
        ("DELETE", "/api/X", "", 404, "no such group"),
        ("PUT", "/api/g", "v", 400, "no key"),
        ("POST", "/api/g/k", "v", 400, "_remove"),
        ("POST", "/api/g/_remove", "{}", 400, "list"),
        ("POST", "/api/g/_remove", "[1]", 400, "string"),
        ("POST", "/api/g/_remove", "no", 400, "expected"),
        ("PUT", "/api/g/k?ttl=10", "v", 400, "ttl=10s"),
        ("PUT", "/api/g/%zz", "v", 400, "%"),
        ("PUT", "/stats", "v", 405, "GET"),
        ("DELETE", "/api", "", 405, "GET"),
    ] {
        let answer = nodes.send(method, target, body);
        let said = answer.text();
        assert!(answer.status == status && said.contains(word), "{method} {target}: {said}");
    }
    assert_eq!(nodes.groups[0].stats().writes, 0);
}

#[test]
fn a_node_that_has_not_confirmed_is_named() {
    let mut nodes = Nodes::start();
    let gone = nodes.cluster.nodes()[1].url().to_owned();
    nodes.groups.pop();
    nodes.cluster.stop(1);
    for (method, target) in [("DELETE", "/api/g/k"), ("PUT", "/api/g/k"), ("DELETE", "/api/g")] {
        let answer = nodes.send(method, target, "");
        assert_eq!(answer.status, 502);
        assert!(
            answer.has("Larder-Error: not-confirmed")
                && answer.has("Content-Type: application/json")
        );
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        let own = nodes.cluster.nodes()[0].url();
        assert_eq!(said["confirmed"], Value::from(vec![own]), "{said}");
        assert_eq!(said["unconfirmed"][0]["node"], gone.as_str(), "{said}");
        assert!(said["unconfirmed"][0]["reason"].is_string() && said["error"].is_string());
    }
    let stats = get(nodes.api(), "/stats").text();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    let counters = &stats["groups"]["g"];
    assert_eq!((&counters["writes"], &counters["writes_unconfirmed"]), (&3.into(), &3.into()));
    let metrics = get(nodes.api(), "/metrics").text();
    assert!(metrics.contains("larder_writes_unconfirmed_total{group=\"g\"} 3"), "{metrics}");
}

/// What a node of a larger ring is told of a purge by the gets of others.
#[test]
fn who_asks_after_a_purge_tells_who_has_missed_it() {
    let pool = HttpPool::bind("http://127.0.0.1:0").unwrap();
    let origin = TestOrigin::new();
    let group = pool.group("g", 1 << 20, origin.clone()).unwrap();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (paths, right) =
        (std::sync::Arc::clone(&seen), HttpPool::bind("http://127.0.0.1:0").unwrap());
    let (addr, theirs) = (right.peer_addr().unwrap(), TestOrigin::new());
    right.group("g", 1 << 20, theirs.clone()).unwrap();
    let stub = crate::stub::StubPeer::start(move |path, _| {
        paths.lock().unwrap().push(path.to_owned());
        let (bare, _) = path.split_once('?').unwrap_or((path, ""));
        // It has missed the purge, and does not hear of it.
        crate::stub::Reply::Answer(get(addr, bare).bytes())
    });
    pool.set_peers([pool.url(), &stub.url()]).unwrap();
    let key = key_owned_by(&pool, &stub.url());
    group.get(&key).unwrap();
    assert_eq!((group.stats().peer_loads, group.stats().epoch_errors), (1, 0));
    group.purge_within(Duration::from_secs(1)).unwrap_err();
    group.get(&key).unwrap();
    assert_eq!((group.stats().peer_loads, group.stats().epoch_errors), (1, 1));
    assert_eq!((origin.loads(&key), theirs.loads(&key)), (1, 1));
    let asked = seen.lock().unwrap().iter().rfind(|path| path.contains("?epoch=")).cloned();
    let asked = asked.expect("it tells the epoch with what it asks for");
    get(addr, &asked.replace("?epoch=", "?epoch=1"));
    assert_eq!(theirs.loads(&key), 1, "an epoch that was damaged is no epoch");
    get(addr, &asked);
    assert_eq!(theirs.loads(&key), 2, "the one that has missed the purge has dropped the value");
    get(addr, &asked);
    assert_eq!(theirs.loads(&key), 2, "once");
}
