//! Nodes that share a secret, and others.

use larder::testing::TestOrigin;
use larder::{Dialect, Error, HttpPool};

use super::{Ear, NEW, Node, OLD, pool, secrets};
use crate::support::{Client, get, key_owned_by};

/// Nodes of one ring, each with these secrets.
fn ring(secrets_of: &[&[&str]]) -> Vec<Node> {
    let start = |lines: &&[&str]| {
        let builder = pool().listen("http://127.0.0.1:0");
        Node::start(if lines.is_empty() { builder } else { builder.secrets(secrets(lines)) })
    };
    let nodes: Vec<Node> = secrets_of.iter().map(start).collect();
    let urls: Vec<&str> = nodes.iter().map(|node| node.pool.url()).collect();
    nodes.iter().for_each(|node| node.pool.set_peers(&urls).unwrap());
    nodes
}

fn loads(nodes: &[Node]) -> u64 {
    nodes.iter().map(|node| node.origin.total_loads()).sum()
}

fn unauthorized(nodes: &[Node]) -> u64 {
    nodes.iter().map(|node| node.pool.peer_listener_stats().unauthorized).sum()
}

/// Every node gets keys that nobody has asked for before.
fn all_get(nodes: &[Node], name: &str) {
    for n in 0..20 {
        let key = format!("{name} {n}");
        for node in nodes {
            assert_eq!(node.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        }
    }
}

/// The signature of a request.
fn signature_of(heard: &str) -> &str {
    let fields = heard.lines().filter_map(|line| line.split_once(": "));
    let mut signatures = fields.filter(|(name, _)| name.eq_ignore_ascii_case("larder-auth"));
    signatures.next().unwrap().1
}

#[test]
fn nodes_with_one_secret_load_each_key_once() {
    let nodes = ring(&[&[OLD], &[OLD], &[OLD]]);
    all_get(&nodes, "key");
    assert_eq!((loads(&nodes), unauthorized(&nodes)), (20, 0));
    assert!(nodes.iter().all(|node| node.group.stats().peer_errors == 0));
    assert!(nodes.iter().map(|node| node.group.stats().server_requests).sum::<u64>() > 0);
}

#[test]
fn nodes_with_one_secret_take_each_others_writes_and_no_one_elses() {
    let nodes = ring(&[&[OLD], &[OLD], &[OLD]]);
    for node in &nodes {
        assert_eq!(node.group.remove("k").unwrap().nodes.len(), 3);
        assert_eq!(node.group.set("k", "v", None).unwrap().nodes.len(), 3);
        assert_eq!(node.group.purge().unwrap().nodes.len(), 3);
    }
    assert_eq!(unauthorized(&nodes), 0);
    let nodes = ring(&[&[OLD], &[OLD], &[NEW]]);
    let stranger = nodes[2].pool.url();
    let Err(Error::NotConfirmed { unconfirmed, .. }) = nodes[0].group.remove("k") else {
        panic!("a stranger has confirmed");
    };
    assert_eq!((unconfirmed.len(), &*unconfirmed[0].node), (1, stranger));
}

#[test]
fn a_node_without_the_secret_is_refused_and_loads_for_itself() {
    for stranger in [&[][..], &[NEW]] {
        let nodes = ring(&[&[OLD], &[OLD], stranger]);
        let [member, _, stranger] = &nodes[..] else { panic!("three nodes") };
        let key = key_owned_by(&stranger.pool, member.pool.url());
        assert_eq!(stranger.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        assert_eq!((stranger.origin.total_loads(), member.origin.total_loads()), (1, 0));
        // The owner refuses, and so does the other member when it is the next on the ring.
        assert!((1..=2).contains(&stranger.group.stats().peer_errors));
        assert_eq!(member.pool.peer_listener_stats().unauthorized, 1);
        assert_eq!(member.group.stats().gets, 0, "the cache has not heard of it");
    }
}

#[test]
fn a_secret_is_changed_in_three_rounds_and_nobody_is_refused() {
    let nodes = ring(&[&[OLD], &[OLD], &[OLD]]);
    for (round, lines) in [&[OLD, NEW][..], &[NEW, OLD], &[NEW]].into_iter().enumerate() {
        for (at, node) in nodes.iter().enumerate() {
            node.pool.set_secrets(secrets(lines)).unwrap();
            all_get(&nodes, &format!("round {round} node {at}"));
        }
    }
    assert_eq!((loads(&nodes), unauthorized(&nodes)), (3 * 3 * 20, 0));
    nodes[0].pool.set_secrets(secrets(&[OLD])).unwrap();
    all_get(&nodes, "after");
    assert!(unauthorized(&nodes) > 0, "the old one is of no use any more");
}

#[test]
fn a_request_that_was_heard_is_good_once_and_nowhere_else() {
    let ear = Ear::new();
    let asked = Node::start(
        pool().listen("http://127.0.0.1:0").advertise(&ear.url()).secrets(secrets(&[OLD])),
    );
    let other = Node::listening(OLD);
    let heard = ear.hear(OLD);
    let mut client = Client::connect(other.peer_addr());
    client.send(&heard).unwrap();
    let elsewhere = client.answer().unwrap();
    assert_eq!((elsewhere.status, other.pool.peer_listener_stats().replayed), (401, 0));
    let mut client = Client::connect(asked.peer_addr());
    let statuses = [(); 3].map(|()| {
        client.send(&heard).unwrap();
        client.answer().unwrap().status
    });
    assert_eq!(statuses, [200, 401, 401]);
    let stats = asked.pool.peer_listener_stats();
    assert_eq!((stats.unauthorized, stats.replayed), (2, 2));
    assert_eq!((asked.group.stats().gets, other.group.stats().gets), (1, 0));
}

#[test]
fn what_was_heard_cannot_be_changed() {
    let ear = Ear::new();
    let asked = Node::start(
        pool().listen("http://127.0.0.1:0").advertise(&ear.url()).secrets(secrets(&[OLD])),
    );
    let heard = ear.hear(OLD);
    let signature = signature_of(&heard);
    let with = |changed: &str| heard.replacen(signature, changed, 1);
    let head_alone = heard.trim_end_matches("\r\n");
    for changed in [
        heard.replacen("GET", "POST", 1),
        heard.replacen("/_larder/g/", "/_larder/g/x", 1),
        heard.replacen("/_larder/g/key", "/_larder/g/%6bey", 1),
        heard.replacen(" HTTP/1.1", "?x HTTP/1.1", 1),
        with(""),
        with(&format!("{signature}0")),
        with(&signature.replacen(" - ", &format!(" {} ", "0".repeat(64)), 1)),
        format!("{head_alone}\r\nLarder-Auth: {signature}\r\n\r\n"),
        format!("{head_alone}\r\nContent-Length: 1\r\n\r\nx"),
    ] {
        let mut client = Client::connect(asked.peer_addr());
        client.send(&changed).unwrap();
        assert!([401, 400].contains(&client.answer().unwrap().status), "{changed}");
        assert_eq!(asked.group.stats().gets, 0, "{changed}");
    }
}

#[test]
fn none_of_ten_thousand_wrong_signatures_is_taken() {
    let ear = Ear::new();
    let asked = Node::start(
        pool().listen("http://127.0.0.1:0").advertise(&ear.url()).secrets(secrets(&[OLD])),
    );
    let heard = ear.hear(OLD);
    let signature = signature_of(&heard);
    let end = heard.find(signature).unwrap() + signature.len();
    let mut random = fastrand::Rng::with_seed(7);
    let mut client = Client::connect(asked.peer_addr());
    for _ in 0..10_000 {
        // One of the MAC's 64 digits is another one.
        let at = end - 1 - random.usize(..64);
        let digit = u8::try_from(char::from(heard.as_bytes()[at]).to_digit(16).unwrap()).unwrap();
        let other = char::from_digit(u32::from((digit + random.u8(1..16)) % 16), 16).unwrap();
        let wrong = format!("{}{other}{}", &heard[..at], &heard[at + 1..]);
        client.send(wrong).unwrap();
        assert_eq!(client.answer().unwrap().status, 401);
    }
    assert_eq!(asked.pool.peer_listener_stats().unauthorized, 10_000);
    client.send(&heard).unwrap();
    assert_eq!(client.answer().unwrap().status, 200, "the right one still is");
}

#[test]
fn a_strangers_body_is_not_read() {
    let node = Node::listening(OLD);
    let head = "PUT /_larder/g/k HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n";
    let mut client = Client::connect(node.peer_addr());
    client.send(head).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 401);
    assert!(answer.has("WWW-Authenticate: Larder-Auth") && answer.has("Connection: close"));
    assert!(client.rest().unwrap().is_empty());
}

#[test]
fn whether_a_node_is_alive_is_no_secret() {
    let node = Node::listening(OLD);
    assert_eq!(get(node.peer_addr(), "/healthz").status, 200);
    assert_eq!(get(node.peer_addr(), "/healthz?x").status, 401);
    assert_eq!(get(node.peer_addr(), "/_larder/g/k").status, 401);
}

#[test]
fn a_secret_is_refused_where_go_nodes_are() {
    for dialect in [Dialect::Groupcache, Dialect::Geecache, Dialect::Mailgun, Dialect::GroupcacheGo]
    {
        let builder = pool().listen("http://127.0.0.1:0").dialect(dialect);
        let error = builder.secrets(secrets(&[OLD])).start().unwrap_err();
        assert!(matches!(error, Error::BadSetting { .. }), "{error:?}");
        assert!(error.to_string().contains(dialect.name()), "{error}");
    }
}

#[test]
fn a_pool_that_was_started_without_a_secret_takes_none_later() {
    let pool = HttpPool::bind("http://127.0.0.1:0").unwrap();
    let error = pool.set_secrets(secrets(&[OLD])).unwrap_err();
    assert!(error.to_string().contains("restart"), "{error}");
}
