//! What a larder node makes of the answers of Go peers.

use std::time::{Duration, SystemTime};

use larder::testing::TestOrigin;
use larder::{Dialect, Error, Group, HttpPool};

use super::stub::{Stub, chunked, reply};
use super::{GO, PATIENCE, bytes_field, int_field, pool};

/// What a get of a stub's key comes to.
#[derive(Debug, PartialEq)]
enum Outcome {
    Value(String),
    NotFound,
    GetterFailed(String),
    /// The peer was taken for failed.
    LoadedHere,
}

use Outcome::{GetterFailed, LoadedHere, NotFound, Value};

/// A node with `stub` as its only peer, a group, and a key that the stub owns.
fn beside(dialect: Dialect, stub: &Stub, origin: &TestOrigin) -> (HttpPool, Group, String) {
    let pool = pool(dialect);
    pool.set_peers([pool.url().to_owned(), stub.url()]).unwrap();
    let group = pool.group("g", 1 << 20, origin.clone()).unwrap();
    let key = (0..).map(|n| n.to_string()).find(|key| pool.owner(key) == stub.url()).unwrap();
    (pool, group, key)
}

fn outcome(dialect: Dialect, answer: &[u8]) -> Outcome {
    let (stub, origin) = (Stub::answering(answer), TestOrigin::new());
    let (_pool, group, key) = beside(dialect, &stub, &origin);
    let got = group.get_within(&key, PATIENCE);
    let requests = stub.requests();
    assert!(requests.iter().all(|request| request.starts_with("GET ")), "{requests:?}");
    assert!(!requests.is_empty(), "the stub was asked");
    let (failed, loads) = (group.stats().peer_errors, origin.loads(&key));
    assert_eq!(failed, loads, "loaded here when the peer failed, and only then");
    match got {
        Ok(value) if loads == 1 => {
            assert_eq!(value, TestOrigin::value(&key).as_str());
            LoadedHere
        }
        Ok(value) => Value(value.as_str().unwrap().to_owned()),
        Err(Error::NotFound { .. }) => NotFound,
        Err(Error::Getter { message, .. }) => GetterFailed(message),
        Err(error) => panic!("{dialect}: {error}"),
    }
}

#[test]
fn an_answer_without_a_value_is_final_only_where_go_nodes_mean_it_so() {
    for dialect in GO {
        let final_by_status = matches!(dialect, Dialect::Mailgun | Dialect::GroupcacheGo);
        let or_failed = |meaning| if final_by_status { meaning } else { LoadedHere };
        for (status, body, expected) in [
            ("404 Not Found", "key not found\n", or_failed(NotFound)),
            ("404 Not Found", "no such group: g\n", LoadedHere),
            (
                "503 Service Unavailable",
                "db is down\n",
                or_failed(GetterFailed("db is down".into())),
            ),
            ("500 Internal Server Error", "db is down\n", LoadedHere),
            ("400 Bad Request", "bad request\n", LoadedHere),
            ("301 Moved Permanently", "", LoadedHere),
        ] {
            let outcome = outcome(dialect, &reply(status, body));
            assert_eq!(outcome, expected, "{dialect}: {status} {body:?}");
        }
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let value = Stub::answering(reply("200 OK", bytes_field(1, b"of another key")));
    for dialect in [Dialect::Native].into_iter().chain(GO) {
        let to = value.url();
        let moved = format!("HTTP/1.1 301 Moved\r\nLocation: {to}/x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(outcome(dialect, moved.as_bytes()), LoadedHere);
    }
    assert!(value.requests().is_empty());
}

#[test]
fn the_code_of_a_larder_node_counts_more_than_the_status() {
    let marked = |status: &str, code: &str| {
        format!("HTTP/1.1 {status}\r\nLarder-Error: {code}\r\nContent-Length: 3\r\n\r\nwhy")
    };
    for dialect in GO {
        let outcome = |status, code| outcome(dialect, marked(status, code).as_bytes());
        assert_eq!(outcome("500 Internal Server Error", "not-found"), NotFound);
        assert_eq!(outcome("500 Internal Server Error", "getter"), GetterFailed("why".into()));
        assert_eq!(outcome("404 Not Found", "no-such-group"), LoadedHere);
        assert_eq!(outcome("503 Service Unavailable", "turned-away"), LoadedHere);
    }
}

#[test]
fn values_come_plain_with_a_length_or_in_chunks() {
    let body = bytes_field(1, b"630");
    let long = "long ".repeat(2_000);
    for dialect in GO {
        assert_eq!(outcome(dialect, &reply("200 OK", &body)), Value("630".into()));
        assert_eq!(outcome(dialect, &reply("200 OK", bytes_field(1, b""))), Value(String::new()));
        assert_eq!(outcome(dialect, &reply("200 OK", "")), Value(String::new()));
        let chunks = chunked(&bytes_field(1, long.as_bytes()), "0\r\n\r\n");
        assert_eq!(outcome(dialect, &chunks), Value(long.clone()));
    }
}

#[test]
fn an_answer_that_is_cut_or_nonsense_is_a_failed_peer() {
    let body = bytes_field(1, "long ".repeat(2_000).as_bytes());
    let whole = reply("200 OK", &body);
    let until_the_end =
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &body].concat();
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    for dialect in GO {
        for answer in [
            &whole[..whole.len() - 1],
            &chunked(&body, ""),
            &chunked(&body, "3e8\r\nhalf a chunk"),
            // Its end cannot be told from a cut.
            &until_the_end,
            &huge,
            &reply("200 OK", "no protobuf"),
            b"",
        ] {
            assert_eq!(outcome(dialect, answer), LoadedHere, "{dialect}: {}", answer.len());
        }
    }
    assert_eq!(outcome(Dialect::Native, &chunked(&body, "0\r\n\r\n")), LoadedHere);
}

#[test]
fn a_chunked_answer_has_the_limit_of_any_other() {
    let endless = chunked(&bytes_field(1, &vec![b'x'; 9 << 20]), "0\r\n\r\n");
    assert_eq!(outcome(Dialect::Groupcache, &endless), LoadedHere);
}

#[test]
fn the_moment_of_expiry_is_kept_and_what_has_expired_is_a_failed_peer() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = |moment: Duration| {
        let expire = int_field(3, moment.as_nanos() as u64);
        reply("200 OK", [bytes_field(1, b"630"), expire].concat())
    };
    let hour = Duration::from_secs(3_600);
    for dialect in [Dialect::Mailgun, Dialect::GroupcacheGo] {
        assert_eq!(outcome(dialect, &at(now + hour)), Value("630".into()));
        assert_eq!(outcome(dialect, &at(Duration::ZERO)), Value("630".into()));
        assert_eq!(outcome(dialect, &at(now - hour)), LoadedHere);
    }
    assert_eq!(outcome(Dialect::Groupcache, &at(now - hour)), Value("630".into()));
}

#[test]
fn keys_are_sent_so_that_go_nodes_read_them_right() {
    for (dialect, base) in [
        (Dialect::Native, "/_larder/"),
        (Dialect::Groupcache, "/_groupcache/"),
        (Dialect::Geecache, "/_geecache/"),
        (Dialect::Mailgun, "/_groupcache/"),
        (Dialect::GroupcacheGo, "/_groupcache/"),
    ] {
        let (stub, origin) = (Stub::answering(reply("500 No", "")), TestOrigin::new());
        let (pool, group, _) = beside(dialect, &stub, &origin);
        let owned = (0..).map(|n| format!("a b+c/{n}%")).find(|key| pool.owner(key) == stub.url());
        let key = owned.unwrap();
        group.get(&key).unwrap();
        let n = &key["a b+c/".len()..key.len() - 1];
        assert_eq!(stub.requests(), [format!("GET {base}g/a%20b%2Bc%2F{n}%25")]);
    }
}
