//! Peers that fail, and peers whose answer is an error: what a get makes of each.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder::testing::{Fault, TestOrigin};
use larder::{Error, Group, GroupOptions, HttpPool, Limits, Stats};

use crate::stub::{Reply, StubPeer};
use crate::support::{PATIENCE, get, key_owned_by, wait_until};

/// A node with an origin of its own.
struct Node {
    pool: HttpPool,
    group: Group,
    origin: TestOrigin,
}

impl Node {
    fn start() -> Self {
        Self::start_with(|limits| limits, |options| options)
    }

    fn start_with(
        limits: impl Fn(Limits) -> Limits,
        options: impl Fn(GroupOptions) -> GroupOptions,
    ) -> Self {
        let mut few = Limits::default();
        few.lane_workers = 2;
        // A busy machine is no failed peer.
        (few.peer_connect, few.peer_call) = (PATIENCE / 4, PATIENCE / 4);
        let builder = HttpPool::builder().listen("http://127.0.0.1:0");
        let pool = builder.limits(limits(few)).start().unwrap();
        let origin = TestOrigin::new();
        let options = options(GroupOptions::new(1 << 20).get_timeout(PATIENCE));
        let group = pool.group_with(options, "g", origin.clone()).unwrap();
        Self { pool, group, origin }
    }

    /// A node that gives a call to a peer half a second.
    fn hasty() -> Self {
        let hasty = |mut limits: Limits| {
            limits.peer_call = Duration::from_millis(500);
            limits
        };
        Self::start_with(hasty, |options| options)
    }

    /// Makes `peer` the owner of about half of the keys, and returns one of them.
    fn key_of(&self, peer: &str) -> String {
        self.pool.set_peers([self.pool.url(), peer]).unwrap();
        key_owned_by(&self.pool, peer)
    }

    /// Gets a key of the failing `peer`: loaded here, and the peer's failure counted.
    fn does_without(&self, peer: &str) {
        let key = self.key_of(peer);
        let started = Instant::now();
        assert_eq!(self.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        assert!(started.elapsed() < PATIENCE / 2, "it took {:?}", started.elapsed());
        assert_eq!(self.origin.loads(&key), 1);
        let stats = self.group.stats();
        assert_eq!((stats.peer_errors, stats.peer_loads), (1, 0));
        // What was loaded in a peer's place is kept.
        assert_eq!(self.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        assert_eq!(self.group.stats().peer_errors, 1);
    }

    /// Gets a key of a peer that gives `reply` to every request.
    fn does_without_one_that(&self, reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) {
        self.does_without(&StubPeer::start(reply).url());
    }
}

/// The right answer to a peer that asks for `path`, as a node gives it.
fn right_answer(node: &Node, path: &str) -> Vec<u8> {
    get(node.pool.peer_addr().unwrap(), path).bytes()
}

fn head(lines: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {lines}\r\n\r\n{body}").into_bytes()
}

#[test]
fn a_dead_peer_is_done_without() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    Node::start().does_without(&url);
}

#[test]
fn a_peer_that_accepts_nothing_is_waited_for_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Node::hasty().does_without(&format!("http://{}", listener.local_addr().unwrap()));
}

#[test]
fn a_peer_that_is_silent_or_stops_in_the_middle_is_waited_for_once() {
    Node::hasty().does_without_one_that(|_, _| Reply::Silence);
    let begun = |_: &str, _| Reply::Answer(head("200 OK\r\nContent-Length: 9", "half"));
    Node::hasty().does_without_one_that(begun);
    let endless = |_: &str, _| Reply::Answer(b"HTTP/1.1 200 OK\r\nX: ".to_vec());
    Node::hasty().does_without_one_that(endless);
}

#[test]
fn a_peer_that_cuts_its_answer_is_done_without() {
    let node = Arc::new(Node::start());
    for cut in [0, 1, 12, 60] {
        let right = Arc::clone(&node);
        Node::start().does_without_one_that(move |path, _| {
            let mut bytes = right_answer(&right, path);
            bytes.truncate(bytes.len().min(cut));
            Reply::Last(bytes)
        });
    }
    Node::start().does_without_one_that(move |path, _| {
        let mut bytes = right_answer(&node, path);
        bytes.pop();
        Reply::Last(bytes)
    });
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_not_taken() {
    let node = Arc::new(Node::start());
    let right = Arc::clone(&node);
    Node::start().does_without_one_that(move |path, _| {
        let mut bytes = right_answer(&right, path);
        *bytes.last_mut().unwrap() ^= 1;
        Reply::Answer(bytes)
    });
    let right = Arc::clone(&node);
    Node::start().does_without_one_that(move |path, _| {
        Reply::Answer(right_answer(&right, &format!("{path}x")))
    });
    // The value is right, but nothing proves it.
    let bare = |_: &str, _| Reply::Answer(head("200 OK\r\nContent-Length: 5", "\n\u{3}630"));
    Node::start().does_without_one_that(bare);
}

/// `bytes` with one bit of those from `start` on turned over, and which is up to `n`.
fn flipped(mut bytes: Vec<u8>, start: usize, n: usize) -> Vec<u8> {
    let at = start + n * 7_919 % (bytes.len() - start);
    bytes[at] ^= 1 << (n % 8);
    bytes
}

/// Gets 1,000 keys of a peer that answers to each as `reply` makes of the right answer, the
/// start of its body and the number of the request.
fn get_1000_of(reply: impl Fn(Vec<u8>, usize, usize) -> Reply + Send + Sync + 'static) -> Stats {
    let (right, requests) = (Node::start(), AtomicUsize::new(0));
    let stub = StubPeer::start(move |path, _| {
        let n = requests.fetch_add(1, Ordering::SeqCst);
        let bytes = right_answer(&right, path);
        let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        reply(bytes, body, n)
    });
    let node = Node::start();
    node.pool.set_peers([node.pool.url(), &stub.url()]).unwrap();
    let keys = (0..10_000).map(|i| format!("key {i}"));
    let owned = keys.filter(|key| node.pool.owner(key) == stub.url());
    let keys: Vec<String> = owned.take(1_000).collect();
    assert_eq!(keys.len(), 1_000);
    std::thread::scope(|scope| {
        for keys in keys.chunks(250) {
            let group = &node.group;
            scope.spawn(move || {
                for key in keys {
                    assert_eq!(group.get(key).unwrap(), TestOrigin::value(key).as_str());
                }
            });
        }
    });
    let stats = node.group.stats();
    assert_eq!(stats.peer_loads + stats.peer_errors, 1_000, "{stats:?}");
    assert_eq!(stats.local_loads, stats.peer_errors);
    stats
}

#[test]
fn of_1000_damaged_cut_or_foreign_answers_none_is_served_and_all_are_counted() {
    let earlier = Mutex::new(None);
    let stats = get_1000_of(move |bytes, body, n| match n % 3 {
        0 => Reply::Answer(flipped(bytes, body, n)),
        1 => Reply::Last(bytes[..body + n % (bytes.len() - body)].to_vec()),
        _ => {
            // The right answer to the one before, or to none.
            let foreign = earlier.lock().unwrap().replace(bytes);
            Reply::Answer(foreign.unwrap_or_else(|| head("200 OK\r\nContent-Length: 0", "")))
        }
    });
    assert_eq!((stats.peer_errors, stats.peer_bad_answers), (1_000, 1_000));
}

#[test]
fn of_1000_answers_with_a_damaged_head_none_is_served_wrong() {
    // The head's end tells the length: a longer one ends with the connection.
    let stats = get_1000_of(|mut bytes, body, n| {
        let rest = bytes.split_off(body);
        Reply::Last([flipped(bytes, 0, n), rest].concat())
    });
    assert!(stats.peer_bad_answers > 100, "{stats:?}");
}

#[test]
fn answers_that_are_no_answer_are_done_without() {
    for bytes in [
        b"garbage".to_vec(),
        b"\0\xff\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        head("200 OK\r\nContent-Length: 7", "garbage"),
        head("200 OK\r\nContent-Length: 0", ""),
        head("200 OK", "until the end"),
        head("204 No Content", ""),
        head("200 OK\r\nContent-Length: 99999999999999", "x"),
        head("200 OK\r\nContent-Length: 18446744073709551615", "x"),
        head("200 OK\r\nContent-Length: -1", "x"),
        head("200 OK\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        head("404 Not Found\r\nContent-Length: 0", ""),
        head("500 Internal Server Error\r\nContent-Length: 2", "no"),
        head("503 Service Unavailable\r\nContent-Length: 0", ""),
        // Ours, but too early to be true.
        head("504 Gateway Timeout\r\nLarder-Error: loading\r\nContent-Length: 0", ""),
        format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(100_000)).into_bytes(),
    ] {
        Node::start().does_without_one_that(move |_, _| Reply::Last(bytes.clone()));
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Arc::new(Node::start());
    let to = elsewhere.pool.url().to_owned();
    Node::start().does_without_one_that(move |path, _| {
        let line = format!("302 Found\r\nLocation: {to}{path}\r\nContent-Length: 0");
        Reply::Answer(head(&line, ""))
    });
    assert_eq!(elsewhere.origin.total_loads(), 0);
}

#[test]
fn a_pooled_connection_that_closes_when_it_is_used_is_no_failure() {
    let (behind, cuts) = (Arc::new(Node::start()), Arc::new(AtomicUsize::new(0)));
    let (right, count) = (Arc::clone(&behind), Arc::clone(&cuts));
    let stub = StubPeer::start(move |path, answered| {
        if answered == 0 {
            return Reply::Answer(right_answer(&right, path));
        }
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Last(Vec::new())
    });
    let node = Node::start();
    node.pool.set_peers([node.pool.url(), &stub.url()]).unwrap();
    let keys = (0..1_000).map(|i| format!("key {i}"));
    let keys = keys.filter(|key| node.pool.owner(key) == stub.url()).take(20);
    for key in keys {
        assert_eq!(node.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
    }
    let stats = node.group.stats();
    assert_eq!((stats.peer_errors, stats.peer_loads), (0, 20));
    assert_eq!((node.origin.total_loads(), behind.origin.total_loads()), (0, 20));
    assert!(cuts.load(Ordering::SeqCst) > 0, "no connection was used twice");
}

#[test]
fn what_a_peers_getter_says_is_the_answer() {
    let (node, peer) = (Node::start(), Node::start());
    let key = node.key_of(peer.pool.url());
    let (group, message) = ("g".to_owned(), format!("{key} failed on command"));
    let panic = format!("{key} panicked on command");
    for (fault, expected) in [
        (Fault::NotFound, Error::NotFound { group: group.clone(), key: key.clone() }),
        (Fault::Fail, Error::Getter { group: group.clone(), key: key.clone(), message }),
        (Fault::Panic, Error::GetterPanicked { group, key: key.clone(), message: panic }),
    ] {
        peer.origin.set_fault_of(&key, fault);
        assert_eq!(node.group.get(&key), Err(expected));
    }
    peer.origin.set_fault_of(&key, None);
    assert_eq!(node.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
    assert_eq!((peer.origin.loads(&key), node.origin.total_loads()), (4, 0));
    assert_eq!(node.group.stats().peer_errors, 0);
}

/// A key of `peer` that nobody has asked for.
fn other_key(node: &Node, peer: &Node) -> String {
    let owned = |key: &String| node.pool.owner(key) == peer.pool.url();
    (0..1_000).map(|i| format!("other {i}")).find(owned).unwrap()
}

/// Fills `peer` with a load that hangs and is waited for by `ask`, and gets another of its keys.
fn get_from_full(node: &Node, peer: &Node, ask: impl Fn(&str) + Sync) -> Error {
    let key = node.key_of(peer.pool.url());
    peer.origin.set_fault(Fault::Hang);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&key));
        wait_until("the peer is busy", || peer.origin.hanging() == 1);
        let error = node.group.get(&other_key(node, peer)).unwrap_err();
        peer.origin.release();
        first.join().unwrap();
        error
    })
}

fn is_named_as_full(node: &Node, peer: &Node, error: &Error) {
    let named = error.to_string().contains(peer.pool.url());
    assert!(matches!(error, Error::Overloaded { .. }) && named, "{error}");
    assert_eq!((node.origin.total_loads(), node.group.stats().peer_errors), (0, 0));
}

#[test]
fn a_peer_that_is_full_says_so_and_its_load_is_not_put_on_others() {
    let peer = Node::start_with(|l| l, |options| options.max_getters(1).max_queued_loads(0));
    let node = Node::start();
    let error = get_from_full(&node, &peer, |key| {
        assert_eq!(node.group.get(key).unwrap(), TestOrigin::value(key).as_str());
    });
    is_named_as_full(&node, &peer, &error);
}

#[test]
fn a_peer_without_a_free_worker_says_so_and_its_load_is_not_put_on_others() {
    let one_worker = |mut limits: Limits| {
        (limits.lane_workers, limits.lane_waiting) = (1, 0);
        limits
    };
    let (node, peer) = (Node::start(), Node::start_with(one_worker, |options| options));
    // Another node, which does not come again, keeps the worker.
    let error = get_from_full(&node, &peer, |key| {
        let path = format!("/_larder/g/{}", key.replace(' ', "%20"));
        assert_eq!(get(peer.pool.peer_addr().unwrap(), &path).status, 200);
    });
    is_named_as_full(&node, &peer, &error);
}

#[test]
fn a_peer_that_is_still_loading_is_asked_again_and_never_counted_as_failed() {
    let seconds = |mut limits: Limits| {
        limits.peer_call = Duration::from_secs(2);
        limits
    };
    let (node, peer) = (Node::start_with(seconds, |options| options), Node::start());
    let key = node.key_of(peer.pool.url());
    peer.origin.set_fault_of(&key, Fault::Hang);
    // Two calls to the peer fit into this time, and it is alive at the end of each.
    let late = node.group.get_within(&key, Duration::from_secs(4));
    assert!(matches!(late, Err(Error::DeadlineExceeded { .. })), "{late:?}");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| node.group.get(&key));
        let asks = || node.group.stats().gets;
        wait_until("it is asked for again", || asks() == 2);
        peer.origin.release();
        assert_eq!(asked.join().unwrap().unwrap(), TestOrigin::value(&key).as_str());
    });
    assert_eq!((peer.origin.loads(&key), node.origin.total_loads()), (1, 0));
    assert_eq!(node.group.stats().peer_errors, 0);
}

#[test]
fn a_peer_is_asked_where_connect_to_says() {
    let url = "http://larder-1.invalid:8001";
    let remote = HttpPool::builder().listen("http://127.0.0.1:0").advertise(url).start().unwrap();
    let (here, there) = (TestOrigin::new(), TestOrigin::new());
    remote.group("g", 1 << 20, there.clone()).unwrap();
    let address = remote.peer_addr().unwrap().to_string();
    let builder = HttpPool::builder().listen("http://127.0.0.1:0").connect_to(url, &address);
    let pool = builder.start().unwrap();
    let group = pool.group("g", 1 << 20, here.clone()).unwrap();
    pool.set_peers([pool.url(), url]).unwrap();
    let key = key_owned_by(&pool, url);
    assert_eq!(group.get(&key).unwrap(), *TestOrigin::value(&key));
    assert_eq!((here.loads(&key), there.loads(&key)), (0, 1));
}

#[test]
fn an_address_to_connect_to_is_a_host_and_a_port() {
    let builder = HttpPool::builder().listen("http://127.0.0.1:0");
    let error = builder.connect_to("http://10.0.0.1:8001", "http://127.0.0.1:1").start();
    let error = error.unwrap_err().to_string();
    assert!(error.contains("connect_to") && error.contains("host:port"), "{error}");
}
