//! What a larder node answers to requests as Go clients send them.

use larder::testing::{Fault, TestOrigin};
use larder::{Dialect, Group, HttpPool};

use super::{GO, PATIENCE, bytes_field, int_field, pool, ring_of_two};
use crate::support::wait_until;

struct Reply {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

fn send(pool: &HttpPool, method: &str, target: &str, body: &[u8]) -> Reply {
    let url = format!("{}{target}", pool.url());
    let request = ureq::http::Request::builder().method(method).uri(url);
    let config = ureq::config::Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .allow_non_standard_methods(true)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut response = match body {
        [] => agent.run(request.body(()).unwrap()),
        body => agent.run(request.body(body).unwrap()),
    }
    .unwrap();
    let header = response.headers().get("Content-Type");
    let content_type = header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = response.body_mut().read_to_vec().unwrap();
    Reply { status: response.status().as_u16(), content_type, body }
}

fn get(pool: &HttpPool, target: &str) -> Reply {
    send(pool, "GET", target, b"")
}

fn alone(dialect: Dialect) -> (HttpPool, Group, TestOrigin) {
    let (pool, origin) = (pool(dialect), TestOrigin::new());
    let group = pool.group("g", 1 << 20, origin.clone()).unwrap();
    (pool, group, origin)
}

fn base(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Geecache { "/_geecache/" } else { "/_groupcache/" }
}

fn is_mailgun_like(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Mailgun | Dialect::GroupcacheGo)
}

#[test]
fn values_have_the_form_of_the_dialect() {
    for dialect in GO {
        let (pool, _group, _origin) = alone(dialect);
        let reply = get(&pool, &format!("{}g/Tom", base(dialect)));
        let gee = dialect == Dialect::Geecache;
        let content_type = if gee { "application/octet-stream" } else { "application/x-protobuf" };
        assert_eq!((reply.status, &*reply.content_type), (200, content_type), "{dialect}");
        assert!(reply.body.ends_with(&bytes_field(1, b"value of Tom")), "{dialect}");
        // The rate, as eight bytes behind the tag of field 2.
        let (rate, rest) = reply.body.split_at(9);
        assert_eq!(rate[0], 2 << 3 | 1, "{dialect}");
        let says_expire = rest.starts_with(&int_field(3, 0));
        assert_eq!(says_expire, is_mailgun_like(dialect), "Go nodes send a 0 when there is none");
    }
}

#[test]
fn a_key_is_read_as_the_go_client_of_the_dialect_writes_it() {
    for dialect in GO {
        let (pool, _group, origin) = alone(dialect);
        let (plus, space) = if is_mailgun_like(dialect) { ("+", "%20") } else { ("%2B", "+") };
        for (written, key) in [
            (format!("a{space}b"), "a b"),
            (format!("a{plus}b"), "a+b"),
            ("a%2Fb/c".to_owned(), "a/b/c"),
            ("%E6%97%A5%00%0A".to_owned(), "日\0\n"),
            ("http:%2F%2Fx.com%2Fp%3Fq=1".to_owned(), "http://x.com/p?q=1"),
            ("..".to_owned(), ".."),
            (String::new(), ""),
        ] {
            let reply = get(&pool, &format!("{}g/{written}", base(dialect)));
            assert_eq!((reply.status, origin.loads(key)), (200, 1), "{dialect} {written}");
            let value = TestOrigin::value(key);
            assert!(reply.body.ends_with(value.as_bytes()), "{dialect} {written}");
        }
        assert_eq!(get(&pool, &format!("{}g/%FF", base(dialect))).status, 400, "keys are UTF-8");
    }
}

#[test]
fn errors_have_the_statuses_of_the_dialect() {
    for dialect in GO {
        let (pool, _group, origin) = alone(dialect);
        origin.set_fault_of("failing", Fault::Fail);
        origin.set_fault_of("missing", Fault::NotFound);
        let (failing, missing, unknown) =
            if is_mailgun_like(dialect) { (503, 404, 500) } else { (500, 500, 404) };
        let base = base(dialect);
        for (target, status, text) in [
            (format!("{base}g/failing"), failing, "failing failed on command\n"),
            (format!("{base}g/missing"), missing, "no such key"),
            (format!("{base}X/k"), unknown, "no such group: X\n"),
            (format!("{base}g"), 400, ""),
            (base.to_owned(), 400, ""),
            ("/elsewhere/g/k".to_owned(), 400, ""),
        ] {
            let reply = get(&pool, &target);
            assert_eq!(reply.status, status, "{dialect} {target}");
            let body = String::from_utf8(reply.body).unwrap();
            assert!(body.starts_with(text) && body.ends_with('\n'), "{dialect} {target}: {body:?}");
        }
    }
}

#[test]
fn writes_are_refused_where_go_nodes_would_load_the_key() {
    for dialect in [Dialect::Groupcache, Dialect::Geecache, Dialect::Native] {
        let (pool, _group, origin) = alone(dialect);
        let base = if dialect == Dialect::Native { "/_larder/" } else { base(dialect) };
        for method in ["PUT", "DELETE", "POST"] {
            let reply = send(&pool, method, &format!("{base}g/k"), b"body");
            // larder nodes tell each other of writes by POST, but not to the path of a key.
            let told = dialect == Dialect::Native && method == "POST";
            assert_eq!(reply.status, if told { 400 } else { 405 }, "{dialect} {method}");
        }
        assert_eq!(origin.total_loads(), 0);
    }
    let (pool, _group, origin) = alone(Dialect::Mailgun);
    assert_eq!(send(&pool, "POST", "/_groupcache/g/_remove-keys/", b"{}").status, 405);
    assert_eq!(origin.total_loads(), 0);
}

fn set_request(group: &str, key: &str, value: &str, expire: u64) -> Vec<u8> {
    let [group, key, value] = [(1, group), (2, key), (3, value)]
        .map(|(number, text)| bytes_field(number, text.as_bytes()));
    [group, key, value, int_field(4, expire)].concat()
}

const WRITING: [Dialect; 2] = [Dialect::Mailgun, Dialect::GroupcacheGo];

#[test]
fn a_peer_sets_a_key_of_this_node_alone() {
    for dialect in WRITING {
        let origin = TestOrigin::new();
        let (pools, groups) = ring_of_two(dialect, "g", &origin);
        let set = set_request("g", "a b", "set", 0);
        let reply = send(&pools[0], "PUT", "/_groupcache/g/a%20b", &set);
        assert_eq!((reply.status, &*reply.body), (200, &b""[..]));
        assert_eq!(groups[0].peek("a b").unwrap(), "set");
        assert!(groups[1].peek("a b").is_none(), "nobody is told of it");
        let again = set_request("g", "a b", "again", 0);
        send(&pools[0], "PUT", "/_groupcache/g/a%20b", &again);
        assert_eq!(groups[0].get("a b").unwrap(), "again");
        let expired = set_request("g", "a b", "old", 1);
        assert_eq!(send(&pools[0], "PUT", "/_groupcache/g/a%20b", &expired).status, 200);
        assert!(groups[0].peek("a b").is_none(), "it took the place and is not served");
        assert_eq!(origin.total_loads(), 0);
    }
}

#[test]
fn a_set_whose_body_is_not_for_its_path_is_refused_and_changes_nothing() {
    for dialect in WRITING {
        let (pool, group, _origin) = alone(dialect);
        group.get("k").unwrap();
        for body in [
            set_request("g", "other", "set", 0),
            set_request("other", "k", "set", 0),
            bytes_field(1, b"g"),
            b"no protobuf".to_vec(),
        ] {
            let reply = send(&pool, "PUT", "/_groupcache/g/k", &body);
            assert_eq!(reply.status, 400, "{body:?}");
        }
        let unknown = send(&pool, "PUT", "/_groupcache/X/k", &set_request("X", "k", "set", 0));
        assert_eq!(unknown.status, 500);
        assert_eq!(group.peek("k").unwrap(), "value of k");
        assert!(group.peek("other").is_none());
    }
}

#[test]
fn a_peer_removes_a_key_of_this_node_alone() {
    for dialect in WRITING {
        let origin = TestOrigin::new();
        let (pools, groups) = ring_of_two(dialect, "g", &origin);
        // Put there, so that it does not matter which node owns it.
        for pool in &pools {
            send(pool, "PUT", "/_groupcache/g/k", &set_request("g", "k", "set", 0));
        }
        let reply = send(&pools[0], "DELETE", "/_groupcache/g/k", b"");
        assert_eq!((reply.status, &*reply.body), (200, &b""[..]));
        assert!(groups[0].peek("k").is_none() && groups[1].peek("k").is_some());
        assert_eq!(send(&pools[0], "DELETE", "/_groupcache/g/k", b"").status, 200);
        assert_eq!(origin.total_loads(), 0);
    }
}

#[test]
fn a_groupcache_go_peer_removes_keys_by_a_list() {
    let (pool, group, _origin) = alone(Dialect::GroupcacheGo);
    let target = "/_groupcache/g/_remove-keys/";
    for key in ["a/b", "<&>", "stays"] {
        group.get(key).unwrap();
    }
    // As Go's encoding/json escapes.
    let list = br#"{"group":"g","keys":["a/b","\u003c\u0026\u003e","never there"]}"#;
    assert_eq!(send(&pool, "POST", target, list).status, 200);
    assert!(group.peek("a/b").is_none() && group.peek("<&>").is_none());
    for (target, list) in [
        (target, r#"{"group":"other","keys":["stays"]}"#),
        (target, r#"{"group":"g","keys":"stays"}"#),
        ("/_groupcache/g/stays", r#"{"group":"g","keys":["stays"]}"#),
    ] {
        assert_eq!(send(&pool, "POST", target, list.as_bytes()).status, 400, "{target} {list}");
    }
    assert!(group.peek("stays").is_some());
}

#[test]
fn who_asks_after_a_removal_does_not_get_a_load_from_before() {
    let (pool, group, origin) = alone(Dialect::Mailgun);
    origin.set_fault_of("k", Fault::Hang);
    std::thread::scope(|scope| {
        // Over HTTP, so that the listener has a flight for the key as well.
        let before = scope.spawn(|| get(&pool, "/_groupcache/g/k").body);
        wait_until("the load has begun", || origin.hanging() > 0);
        origin.set_fault_of("k", None);
        assert_eq!(send(&pool, "DELETE", "/_groupcache/g/k", b"").status, 200);
        assert_eq!(get(&pool, "/_groupcache/g/k").status, 200, "the load that hangs is left");
        assert_eq!(origin.loads("k"), 2);
        let kept = group.peek("k").unwrap();
        origin.release();
        assert!(before.join().unwrap().ends_with(b"value of k"), "its callers get its value");
        assert_eq!(group.peek("k").unwrap().as_ptr(), kept.as_ptr(), "and it is not kept");
    });
}
