//! mailgun/groupcache v2 and groupcache-go v3, played by a stand-in that has their wire.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::testing::{Fault, TestOrigin};
use larder::{BoxError, Dialect, Error, Getter, Group, HttpPool, Loaded};
use serde_json::Value;

use super::go::Process;

const FAMILY: [Dialect; 2] = [Dialect::Mailgun, Dialect::GroupcacheGo];
const TTL: Duration = Duration::from_secs(3_600);

/// Keys that the two escape in other ways than larder does.
const ODD_KEYS: [&str; 14] = [
    "", " ", "a b", "a+b", "a/b", "a//b", "/lead", ".", "..", "../x", "日本", "\0", "$&+:=@",
    "100%",
];

/// A ring of one larder node and the stand-in.
struct Pair {
    standin: Process,
    pool: HttpPool,
    group: Group,
    origin: TestOrigin,
}

/// Gives keys that start with `short` a time to live.
struct Getting(TestOrigin);

impl Getter for Getting {
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        let loaded = self.0.get(key)?;
        Ok(if key.starts_with("short") { loaded.with_ttl(TTL) } else { loaded })
    }
}

impl Pair {
    fn start(dialect: Dialect) -> Option<Self> {
        let mut command = Command::new(super::go_programs()?.join("standin"));
        let standin = Process::start(command.args(["-family", dialect.name()]));
        let pool = HttpPool::builder().listen("http://127.0.0.1:0").dialect(dialect);
        let pool = pool.start().unwrap();
        pool.set_peers([pool.url(), &standin.url]).unwrap();
        let origin = TestOrigin::new();
        let group = pool.group("interop", 1 << 20, Getting(origin.clone())).unwrap();
        Some(Self { standin, pool, group, origin })
    }

    /// A key that starts with `word` and is the stand-in's.
    fn theirs(&self, word: &str) -> String {
        let keys = (0..).map(|n| format!("{word}:{n}"));
        keys.into_iter().find(|key| self.pool.owner(key) == self.standin.url).unwrap()
    }

    /// The requests that the stand-in has been sent: methods and targets.
    fn seen(&self) -> Vec<String> {
        let seen = self.standin.admin.json("/seen", &[]);
        let told = seen.as_array().into_iter().flatten();
        told.map(|one| {
            format!("{} {}", one["Method"].as_str().unwrap(), one["Target"].as_str().unwrap())
        })
        .collect()
    }

    /// Has the stand-in make a request to the larder node.
    fn ask(&self, method: &str, group: &str, key: &str, more: &[(&str, &str)]) -> Value {
        let query = [("peer", self.pool.url()), ("method", method), ("group", group), ("key", key)];
        self.standin.admin.json("/ask", &[&query, more].concat())
    }

    fn value(&self, key: &str) -> Value {
        let outcome = self.ask("GET", "interop", key, &[]);
        assert_eq!(outcome["Status"], 200, "{key:?}: {outcome}");
        assert_eq!(outcome["Header"]["Content-Type"][0], "application/x-protobuf");
        outcome["Value"]["Value"].clone()
    }
}

fn nanos_since_1970() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
}

#[test]
fn every_key_arrives_as_what_it_is_both_ways() {
    for pair in FAMILY.into_iter().filter_map(Pair::start) {
        for odd in ODD_KEYS {
            assert_eq!(pair.value(odd), TestOrigin::value(odd), "{odd:?}");
            assert_eq!(pair.origin.loads(odd), 1, "{odd:?}");
            // Of many keys with the odd part some are the stand-in's.
            let key = pair.theirs(odd);
            assert_eq!(pair.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
            assert_eq!(pair.origin.loads(&key), 0, "{key:?} is the stand-in's to load");
        }
        assert_eq!(pair.group.stats().peer_errors, 0);
        assert_eq!(pair.group.stats().server_requests, ODD_KEYS.len() as u64);
    }
}

#[test]
fn what_a_peer_says_is_final_is_final_and_all_else_is_loaded_here() {
    for pair in FAMILY.into_iter().filter_map(Pair::start) {
        let key = pair.theirs("notfound");
        assert!(pair.group.get(&key).unwrap_err().is_not_found());
        assert_eq!(pair.origin.loads(&key), 0, "404 is final");
        let key = pair.theirs("remote");
        let error = pair.group.get(&key).unwrap_err();
        assert!(matches!(&error, Error::Getter { message, .. } if message == "the getter failed"));
        assert_eq!(pair.origin.loads(&key), 0, "503 is final");
        let failures = ["error", "nogroup", "eof", "redirect", "garbage", "cut", "expire:1"];
        for (n, word) in (1..).zip(failures) {
            let key = pair.theirs(word);
            assert_eq!(pair.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
            assert_eq!(pair.origin.loads(&key), 1, "{key} is loaded here");
            assert_eq!(pair.group.stats().peer_errors, n, "{key}");
        }
        let seen = pair.seen();
        assert!(seen.iter().any(|request| request.contains("/redirect")), "{seen:?}");
        assert!(!seen.iter().any(|request| request.contains("elsewhere")), "{seen:?}");
        assert!(seen.iter().all(|request| request.starts_with("GET /_groupcache/interop/")));
    }
}

#[test]
fn values_of_a_peer_are_taken_large_or_soon_to_expire() {
    for pair in FAMILY.into_iter().filter_map(Pair::start) {
        let key = pair.theirs("large:1000000");
        assert_eq!(pair.group.get(&key).unwrap().len(), 1_000_000);
        let expire = nanos_since_1970() + i64::try_from(TTL.as_nanos()).unwrap();
        for expire in [0, expire] {
            let key = pair.theirs(&format!("expire:{expire}"));
            assert_eq!(pair.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        }
        assert_eq!((pair.group.stats().peer_errors, pair.origin.total_loads()), (0, 0));
    }
}

#[test]
fn a_peer_is_told_until_when_a_value_lives() {
    for pair in FAMILY.into_iter().filter_map(Pair::start) {
        // Twice: loaded, and from the cache.
        for _ in 0..2 {
            let for_ever = pair.ask("GET", "interop", "k", &[]);
            assert_eq!(for_ever["Value"]["Expire"], 0, "always there, as the libraries have it");
            let soonest = nanos_since_1970();
            let short = pair.ask("GET", "interop", "short", &[]);
            let expire = short["Value"]["Expire"].as_i64().unwrap();
            let left = expire - soonest;
            // The first load was minutes ago at most.
            let most = i64::try_from((TTL + super::PATIENCE).as_nanos()).unwrap();
            assert!(most / 2 < left && left <= most, "{left} ns");
        }
        assert_eq!(pair.origin.total_loads(), 2);
    }
}

#[test]
fn a_peer_is_answered_with_the_familys_statuses() {
    for pair in FAMILY.into_iter().filter_map(Pair::start) {
        pair.origin.set_fault_of("no such", Fault::NotFound);
        pair.origin.set_fault_of("bad", Fault::Fail);
        pair.origin.set_fault_of("worse", Fault::Panic);
        // A 404 for an unknown group would be "no such key", and final.
        for (group, key, status, text) in [
            ("interop", "no such", 404, "no such"),
            ("interop", "bad", 503, "failed on command"),
            ("interop", "worse", 503, "panicked on command"),
            ("unknown", "k", 500, "no such group: unknown"),
            ("a/b", "k", 500, "no such group: a"),
        ] {
            let outcome = pair.ask("GET", group, key, &[]);
            assert_eq!(outcome["Status"], status, "{group} {key}: {outcome}");
            assert!(outcome["Text"].as_str().unwrap().contains(text), "{outcome}");
        }
    }
}

#[test]
fn a_peer_puts_and_deletes_keys_of_this_node_alone() {
    for pair in FAMILY.into_iter().filter_map(Pair::start) {
        let put = |key: &str, more: &[_]| pair.ask("PUT", "interop", key, more)["Status"].clone();
        for key in ODD_KEYS {
            assert_eq!(put(key, &[("value", "put")]), 200, "{key:?}");
            assert_eq!(pair.value(key), "put", "{key:?}");
            assert_eq!(pair.ask("DELETE", "interop", key, &[])["Status"], 200, "{key:?}");
            assert_eq!(pair.value(key), TestOrigin::value(key), "{key:?}");
            assert_eq!(pair.origin.loads(key), 1, "{key:?}");
        }
        let past = [("value", "put"), ("expire", "1")];
        assert_eq!(put("a b", &past), 200);
        assert_eq!(pair.value("a b"), TestOrigin::value("a b"), "what has expired is not served");
        for other in ["bodykey", "bodygroup"] {
            assert_eq!(put("a+b", &[("value", "forged"), (other, "other")]), 400);
        }
        assert_eq!(pair.value("a+b"), TestOrigin::value("a+b"));
        assert!(pair.seen().is_empty(), "the other node is not told");
    }
}

#[test]
fn groupcache_go_removes_many_keys_at_once_and_mailgun_does_not_know_how() {
    for (dialect, status) in [(Dialect::GroupcacheGo, 200), (Dialect::Mailgun, 405)] {
        let Some(pair) = Pair::start(dialect) else { return };
        let keys = ["a b", "<&>", "kept"];
        keys.iter().for_each(|key| assert_eq!(pair.value(key), TestOrigin::value(key)));
        let outcome = pair.ask("POST", "interop", keys[0], &[("key", keys[1])]);
        assert_eq!(outcome["Status"], status, "{outcome}");
        keys.iter().for_each(|key| assert_eq!(pair.value(key), TestOrigin::value(key)));
        let removed = if status == 200 { 2 } else { 1 };
        assert_eq!(keys.map(|key| pair.origin.loads(key)), [removed, removed, 1]);
        let forged = pair.ask("POST", "interop", "kept", &[("bodygroup", "other")]);
        assert_eq!(forged["Status"], if status == 200 { 400 } else { 405 });
    }
}

#[test]
fn a_go_ring_that_has_neither_is_not_written_to() {
    for dialect in [Dialect::Groupcache, Dialect::Geecache] {
        let Some(programs) = super::go_programs() else { return };
        let standin = Process::start(&mut Command::new(programs.join("standin")));
        let pool = HttpPool::builder().listen("http://127.0.0.1:0").dialect(dialect);
        let pool = pool.start().unwrap();
        let origin = TestOrigin::new();
        pool.group("interop", 1 << 20, origin.clone()).unwrap();
        let base = if dialect == Dialect::Geecache { "/_geecache/" } else { "/_groupcache/" };
        let outcome = |method| {
            let query = [("peer", pool.url()), ("base", base), ("method", method)];
            let query = [&query[..], &[("group", "interop"), ("key", "k")]].concat();
            standin.admin.json("/ask", &query)
        };
        for method in ["PUT", "DELETE", "POST"] {
            assert_eq!(outcome(method)["Status"], 405, "{dialect} {method}");
        }
        assert_eq!(origin.total_loads(), 0, "Go nodes would have loaded the key");
        let get = outcome("GET");
        let content_type = if base == "/_geecache/" {
            "application/octet-stream"
        } else {
            "application/x-protobuf"
        };
        assert_eq!(get["Header"]["Content-Type"][0], content_type);
        assert_eq!(get["Value"]["Expire"], Value::Null, "{dialect} knows no such field");
    }
}
