//! Values on a condition or in part: HEAD, `If-None-Match`, `Range` and `If-Range`.

use std::net::SocketAddr;

use larder::HttpPool;
use larder::testing::Cluster;

use crate::support::{Answer, Client};

/// Past what is copied, so that parts of it are parts of one buffer.
const LONG: usize = 100_000;

fn value(key: &str) -> Vec<u8> {
    match key {
        "empty" => Vec::new(),
        "long" => (0..LONG).map(|i| (i % 251) as u8).collect(),
        key => format!("0123456789 of {key}").into_bytes(),
    }
}

fn nodes(n: usize) -> Cluster {
    let cluster = Cluster::start(n).unwrap();
    for node in cluster.nodes() {
        node.group("g", 1 << 20, |key: &str| Ok(value(key))).unwrap();
    }
    cluster
}

fn api(node: &HttpPool) -> SocketAddr {
    node.api_addr().unwrap()
}

fn ask(client: &mut Client, method: &str, target: &str, lines: &str) -> Answer {
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")).unwrap();
    if method == "HEAD" { client.head().unwrap() } else { client.answer().unwrap() }
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = answer.head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.find(|line| line.0 == name).map(|line| line.1)
}

fn tag(answer: &Answer) -> String {
    field(answer, "ETag").unwrap_or_else(|| panic!("{answer:?} has no tag")).to_owned()
}

#[test]
fn a_head_is_that_of_a_get_and_nothing_follows_it() {
    let cluster = nodes(1);
    let mut client = Client::connect(api(&cluster.nodes()[0]));
    for target in [
        "/api/g/k",
        "/api/g/empty",
        "/api/g/long",
        "/api?key=k",
        "/api/g",
        "/api/g/%zz",
        "/api/nobody/k",
        "/healthz",
        "/readyz",
        "/nowhere",
    ] {
        // The first of them loads.
        ask(&mut client, "HEAD", target, "");
        let head = ask(&mut client, "HEAD", target, "");
        let get = ask(&mut client, "GET", target, "");
        assert_eq!(head.head, get.head, "{target}");
        let length = get.body.len().to_string();
        assert_eq!(field(&head, "Content-Length"), Some(&*length), "{target}");
    }
    for target in ["/stats", "/metrics"] {
        let head = ask(&mut client, "HEAD", target, "");
        assert_eq!((head.status, ask(&mut client, "GET", target, "").status), (200, 200));
    }
}

#[test]
fn a_tag_is_of_the_bytes_alone() {
    let cluster = nodes(2);
    let [mut one, mut other] =
        [0, 1].map(|node: usize| Client::connect(api(&cluster.nodes()[node])));
    for key in ["k", "empty", "long"] {
        let target = format!("/api/g/{key}");
        // From the origin, from a peer, from a cache.
        let tags: Vec<String> = [&mut one, &mut other]
            .into_iter()
            .flat_map(|client| [0, 1].map(|_| tag(&ask(client, "GET", &target, ""))))
            .collect();
        assert!(tags.iter().all(|tag| *tag == tags[0]), "{key}: {tags:?}");
        assert!(tags[0].len() == 18 && tags[0].starts_with('"') && tags[0].ends_with('"'));
    }
    let [k, l] = ["k", "l"].map(|key| tag(&ask(&mut one, "GET", &format!("/api/g/{key}"), "")));
    assert_ne!(k, l);
    for target in ["/stats", "/metrics", "/healthz", "/api/g/%zz", "/nowhere"] {
        assert_eq!(field(&ask(&mut one, "GET", target, ""), "ETag"), None, "{target}");
    }
    let mut peer = Client::connect(cluster.nodes()[0].peer_addr().unwrap());
    let answer = ask(&mut peer, "GET", "/_larder/g/k", "If-None-Match: *\r\nRange: bytes=0-0\r\n");
    assert_eq!((answer.status, field(&answer, "ETag")), (200, None), "peers get whole messages");
}

#[test]
fn what_the_client_has_already_is_not_sent_again() {
    let cluster = nodes(1);
    let mut client = Client::connect(api(&cluster.nodes()[0]));
    let tag = tag(&ask(&mut client, "GET", "/api/g/long", ""));
    for (wanted, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"a,b\", W/\"c\" ,{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"0000000000000000\"".to_owned(), 200),
        (tag.trim_matches('"').to_owned(), 200),
        (String::new(), 200),
    ] {
        let lines = format!("If-None-Match: {wanted}\r\nRange: bytes=0-1,3-4\r\n");
        for method in ["GET", "HEAD"] {
            let answer = ask(&mut client, method, "/api/g/long", &lines);
            assert_eq!((answer.status, field(&answer, "ETag")), (status, Some(&*tag)), "{wanted}");
            if status == 304 {
                assert_eq!((answer.body.len(), field(&answer, "Content-Length")), (0, None));
            } else if method == "GET" {
                assert_eq!(answer.body, value("long"));
            }
        }
    }
    // Also of a value that has to be loaded first, and never of one that does not exist.
    let fresh = ask(&mut client, "GET", "/api/g/fresh", "If-None-Match: *\r\n");
    assert_eq!(fresh.status, 304);
    let missing = ask(&mut client, "GET", "/api/nobody/k", "If-None-Match: *\r\n");
    assert_eq!(missing.status, 404);
}

#[test]
fn a_part_of_a_value_is_a_slice_of_it() {
    let cluster = nodes(1);
    let mut client = Client::connect(api(&cluster.nodes()[0]));
    for key in ["long", "k"] {
        let (target, whole) = (format!("/api/g/{key}"), value(key));
        let len = whole.len();
        for (range, part) in [
            ("0-0".to_owned(), 0..1),
            ("3-6".to_owned(), 3..7),
            (format!("{}-", len - 1), len - 1..len),
            ("5-99999999999999999999999".to_owned(), 5..len),
            ("-4".to_owned(), len - 4..len),
            (format!("-{}", len + 1), 0..len),
        ] {
            let answer = ask(&mut client, "GET", &target, &format!("Range: bytes={range}\r\n"));
            let told = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            assert_eq!(field(&answer, "Content-Range"), Some(&*told), "{range}: {}", answer.head);
            assert_eq!((answer.status, &answer.body[..]), (206, &whole[part]), "{range}");
            assert!(answer.has("Accept-Ranges: bytes"));
        }
        for range in [format!("{len}-"), "-0".to_owned()] {
            let answer = ask(&mut client, "GET", &target, &format!("Range: bytes={range}\r\n"));
            let told = format!("bytes */{len}");
            assert_eq!((answer.status, field(&answer, "Content-Range")), (416, Some(&*told)));
        }
        for lines in [
            "Range: bytes=0-1,3-4\r\n",
            "Range: bytes=4-3\r\n",
            "Range: bytes=x\r\n",
            "Range: lines=0-1\r\n",
            "Range: bytes=0-1\r\nRange: bytes=0-1\r\n",
        ] {
            let answer = ask(&mut client, "GET", &target, lines);
            assert_eq!((answer.status, &answer.body), (200, &whole), "{lines}");
        }
        let head = ask(&mut client, "HEAD", &target, "Range: bytes=0-0\r\n");
        assert_eq!(head.status, 200, "a HEAD has no parts");
    }
}

#[test]
fn the_rest_is_sent_only_of_the_value_that_the_client_has_the_beginning_of() {
    let cluster = nodes(1);
    let mut client = Client::connect(api(&cluster.nodes()[0]));
    let tag = tag(&ask(&mut client, "GET", "/api/g/k", ""));
    for (wanted, status) in [
        (tag.clone(), 206),
        (format!("W/{tag}"), 200),
        ("\"0000000000000000\"".to_owned(), 200),
        ("Sat, 29 Oct 1994 19:43:31 GMT".to_owned(), 200),
    ] {
        for range in ["bytes=2-", "bytes=9999-"] {
            let lines = format!("If-Range: {wanted}\r\nRange: {range}\r\n");
            let status = if status == 206 && range == "bytes=9999-" { 416 } else { status };
            let answer = ask(&mut client, "GET", "/api/g/k", &lines);
            assert_eq!(answer.status, status, "{wanted} {range}");
        }
    }
}
