//! Who may ask: nodes that share a secret, and clients with tokens.

mod cluster;
mod mounted;
mod tokens;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};

use larder::testing::TestOrigin;
use larder::{Group, GroupOptions, HttpPool, HttpPoolBuilder, Limits, Secrets};

use crate::support::{PATIENCE, key_owned_by};

const OLD: &str = "the old secret, long enough";
const NEW: &str = "the new secret, long enough";

fn secrets(lines: &[&str]) -> Secrets {
    Secrets::parse(&lines.join("\n")).unwrap()
}

/// What a pool of a test is built from: few threads, and time for a busy machine.
fn pool() -> HttpPoolBuilder {
    let mut limits = Limits::default();
    limits.lane_workers = 2;
    (limits.peer_connect, limits.peer_call) = (PATIENCE / 4, PATIENCE / 4);
    HttpPool::builder().limits(limits)
}

/// A node with an origin of its own.
struct Node {
    pool: HttpPool,
    group: Group,
    origin: TestOrigin,
}

impl Node {
    fn start(builder: HttpPoolBuilder) -> Self {
        let pool = builder.start().unwrap();
        let origin = TestOrigin::new();
        let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE);
        let group = pool.group_with(options, "g", origin.clone()).unwrap();
        Self { pool, group, origin }
    }

    /// One that listens for peers.
    fn listening(secret: &str) -> Self {
        Self::start(pool().listen("http://127.0.0.1:0").secrets(secrets(&[secret])))
    }

    fn peer_addr(&self) -> SocketAddr {
        self.pool.peer_addr().unwrap()
    }
}

/// An address at which somebody listens in, who passes nothing on.
struct Ear(TcpListener);

impl Ear {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The request that a node with this secret sends to the node at this address.
    fn hear(self, secret: &str) -> String {
        let asking = Node::listening(secret);
        asking.pool.set_peers([asking.pool.url(), &self.url()]).unwrap();
        let key = key_owned_by(&asking.pool, &self.url());
        let heard = std::thread::spawn(move || {
            let mut stream = BufReader::new(self.0.accept().unwrap().0);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(stream.read_line(&mut head).unwrap() > 0, "{head:?}");
            }
            head
        });
        assert_eq!(asking.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        heard.join().unwrap()
    }
}
