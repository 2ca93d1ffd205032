//! Rings of the Go dialects: larder nodes among themselves, and beside peers that answer as Go
//! nodes do.

mod client;
mod server;
mod stub;

use std::collections::BTreeSet;

use larder::testing::{Fault, TestOrigin};
use larder::{Dialect, Error, Group, HttpPool, Limits};

use crate::support::PATIENCE;

const GO: [Dialect; 4] =
    [Dialect::Groupcache, Dialect::Geecache, Dialect::Mailgun, Dialect::GroupcacheGo];

fn pool(dialect: Dialect) -> HttpPool {
    let mut limits = Limits::default();
    (limits.lane_workers, limits.peer_call) = (4, PATIENCE);
    let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
    builder.dialect(dialect).limits(limits).start().unwrap()
}

/// Two nodes that know each other, each with a group of this name.
fn ring_of_two(dialect: Dialect, name: &str, origin: &TestOrigin) -> ([HttpPool; 2], [Group; 2]) {
    let pools = [pool(dialect), pool(dialect)];
    let urls = pools.each_ref().map(|pool| pool.url().to_owned());
    let groups = pools.each_ref().map(|pool| {
        pool.set_peers(&urls).unwrap();
        pool.group(name, 1 << 20, origin.clone()).unwrap()
    });
    (pools, groups)
}

/// A length-delimited field of a protobuf message.
fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &*varint(bytes.len() as u64), bytes].concat()
}

/// A number in a protobuf message.
fn int_field(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3], &*varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn odd_keys() -> Vec<String> {
    let odd = [
        "",
        " ",
        "a b",
        "a+b",
        "a%2Bb",
        "a%20b",
        "%",
        "%%",
        "100%",
        "/",
        "//",
        "a/b",
        "a//b",
        "/lead",
        "trail/",
        "../x",
        "a/../b",
        "a/./b",
        ".",
        "..",
        "...",
        "a:b",
        "http://x.com/p?q=1#f",
        "?",
        "#",
        "a&b=c;d@e",
        "日本/東京",
        "é",
        "\u{1F980}",
        "\0",
        "a\nb\r\n",
        "\u{7f}\u{1}",
        "~'()*!$,",
        "_remove-keys/",
        "\\",
        "\"",
    ];
    odd.into_iter().map(str::to_owned).chain([3_072].map(|n| "é/".repeat(n / 3))).collect()
}

#[test]
fn every_odd_key_is_right_on_both_nodes_and_loaded_once() {
    for dialect in [Dialect::Native].into_iter().chain(GO) {
        let origin = TestOrigin::new();
        let (pools, groups) = ring_of_two(dialect, "odd+group %1", &origin);
        let keys = odd_keys();
        for key in &keys {
            for group in &groups {
                let got = group.get_within(key, PATIENCE).unwrap();
                assert_eq!(got, TestOrigin::value(key).as_str(), "{dialect} {key:?}");
            }
            assert_eq!(origin.loads(key), 1, "{dialect} {key:?}");
        }
        let sum = |count: fn(&Group) -> u64| groups.iter().map(count).sum::<u64>();
        assert_eq!(sum(|group| group.stats().peer_loads), keys.len() as u64, "{dialect}");
        assert_eq!(sum(|group| group.stats().peer_errors), 0, "{dialect}");
        let owners: BTreeSet<String> = keys.iter().map(|key| pools[0].owner(key)).collect();
        let urls = pools.iter().map(|pool| pool.url().to_owned());
        assert!(owners.is_subset(&urls.collect()), "owners are told as addresses");
    }
}

#[test]
fn larder_nodes_tell_each_other_errors_apart_in_every_dialect() {
    for dialect in GO {
        let origin = TestOrigin::new();
        let (_pools, groups) = ring_of_two(dialect, "g", &origin);
        for (key, fault) in [("a", Fault::Fail), ("b", Fault::Panic), ("c", Fault::NotFound)] {
            for n in 0..8 {
                let key = format!("{key}{n}");
                origin.set_fault_of(&key, fault);
                for group in &groups {
                    let error = group.get_within(&key, PATIENCE).unwrap_err();
                    let as_expected = match error {
                        Error::Getter { .. } => fault == Fault::Fail,
                        Error::GetterPanicked { .. } => fault == Fault::Panic,
                        Error::NotFound { .. } => fault == Fault::NotFound,
                        _ => false,
                    };
                    assert!(as_expected, "{dialect}: {fault:?} gave {error:?}");
                }
                // Once for each caller: errors are not cached, and not loaded here again.
                assert_eq!(origin.loads(&key), 2, "{dialect} {key}");
            }
        }
        assert!(groups.iter().all(|group| group.stats().peer_errors == 0));
    }
}
