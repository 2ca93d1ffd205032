//! A node in a process of its own, so that its threads, files and memory can be counted while
//! other tests run, and its limits lowered.
//!
//! The process is this test binary, started again to run [`process`] alone. It does what it is
//! told over its standard input, and ends with it.

use std::alloc::System;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder::testing::{Fault, TestOrigin};
use larder::{Getter, GroupOptions, HttpPool, Limits, ListenerStats};
use stats_alloc::StatsAlloc;

use crate::doors::{self, Door, KIND, Keys, Kind};
use crate::support::PATIENCE;

/// Tells the process that it is one, and its limits.
const LIMITS: &str = "LARDER_TEST_NODE_LIMITS";
/// Stands before each reply of the process; the test harness writes lines as well.
const REPLY: &str = "node: ";
/// Memory of a process may grow by so much for good: allocators keep some.
const SLACK_KIB: u64 = 64 << 10;
/// Length of the values of keys that start with `big`.
pub(crate) const BIG: usize = 7 << 20;

/// A node, and the process that it is. Dropped, it is killed.
pub(crate) struct Node {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
    /// What the process uses without a pool.
    pub(crate) bare: Usage,
    /// What it uses when it has served, and nobody asks.
    pub(crate) idle: Usage,
    pub(crate) peer: SocketAddr,
    pub(crate) api: SocketAddr,
    keys: Keys,
    /// Its folder for temporary files: killed, it cannot clean up behind itself.
    _temp: tempfile::TempDir,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) threads: u64,
    pub(crate) fds: u64,
    pub(crate) memory_kib: u64,
}

impl Node {
    /// Starts a node with these limits: names of the fields of [`Limits`], times in ms.
    pub(crate) fn start(limits: &[(&str, usize)]) -> Self {
        Self::start_as(Kind::Plain, limits)
    }

    /// As [`start`](Self::start), with listeners of this kind.
    pub(crate) fn start_as(kind: Kind, limits: &[(&str, usize)]) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), kind, limits)
    }

    /// As [`start_as`](Self::start_as); the process may have so many files open.
    pub(crate) fn start_with_files(files: usize, kind: Kind, limits: &[(&str, usize)]) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""));
        shell.arg(std::env::current_exe().unwrap());
        Self::start_by(shell, kind, limits)
    }

    fn start_by(mut command: Command, kind: Kind, limits: &[(&str, usize)]) -> Self {
        let keys = Keys::new(kind);
        let limits: Vec<_> = limits.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let temp = tempfile::tempdir().unwrap();
        let mut child = command
            .env("TMPDIR", temp.path())
            .args(["--exact", "node::process", "--nocapture"])
            .env(LIMITS, limits.join(","))
            .env(KIND, keys.told())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (commands, replies) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let nowhere = SocketAddr::from(([0; 4], 0));
        let none = Usage { threads: 0, fds: 0, memory_kib: 0 };
        let replies = BufReader::new(replies);
        let (peer, api) = (nowhere, nowhere);
        let mut node =
            Self { child, commands, replies, bare: none, idle: none, peer, api, keys, _temp: temp };
        node.tell("hello");
        node.bare = node.usage();
        let addresses = node.tell("start");
        let (peer, api) = addresses.split_once(' ').unwrap();
        (node.peer, node.api) = (peer.parse().unwrap(), api.parse().unwrap());
        node.serves();
        node.idle = node.steady();
        node
    }

    /// Has the process do something, and returns what it says.
    pub(crate) fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.replies.read_line(&mut line).unwrap(), 0, "the node has died");
            // The harness writes the test's name without ending the line.
            if let Some((_, reply)) = line.split_once(REPLY) {
                return reply.trim_end().to_owned();
            }
        }
    }

    /// A counter of both listeners together, or of the origin.
    pub(crate) fn count(&mut self, name: &str) -> u64 {
        self.tell(&format!("count {name}")).parse().unwrap()
    }

    /// The listener for peers, and the one for clients.
    pub(crate) fn doors(&self) -> [Door; 2] {
        self.keys.doors(self.peer, self.api)
    }

    /// Both doors to each client whose certificate is wrong.
    #[cfg(all(feature = "tls", feature = "auth"))]
    pub(crate) fn doors_of_strangers(&self) -> Vec<Door> {
        self.keys.doors_of_strangers(self.peer, self.api)
    }

    /// Both listeners answer a good client.
    pub(crate) fn serves(&self) {
        for door in self.doors() {
            let answer = door.get(&format!("{}/good", door.base));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.body.ends_with(TestOrigin::value("good").as_bytes()), "{answer:?}");
        }
    }

    /// Waits until the process uses no more than when it was idle, and has not panicked.
    pub(crate) fn settles(&mut self) {
        self.settles_to(self.idle);
        assert_eq!(self.count("panics"), 0);
    }

    pub(crate) fn settles_to(&self, before: Usage) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.usage();
            let memory_kib = before.memory_kib + SLACK_KIB;
            if now.threads <= before.threads && now.fds <= before.fds && now.memory_kib < memory_kib
            {
                return;
            }
            assert!(Instant::now() < deadline, "{before:?} has become {now:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let proc = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_end_matches("kB").trim().parse().unwrap()
        };
        let fds = std::fs::read_dir(format!("{proc}/fd")).unwrap().count() as u64;
        Usage { threads: field("Threads:"), fds, memory_kib: field("VmRSS:") }
    }

    /// What it uses once that no longer changes: ended connections take a moment to go.
    fn steady(&mut self) -> Usage {
        let mut last = self.usage();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.usage();
            if now == last && self.count("open") == 0 {
                return now;
            }
            last = now;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts for the process that is a node.
#[global_allocator]
static ALLOCATOR: StatsAlloc<System> = StatsAlloc::system();

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Where a node's process begins; nothing to test unless started as one.
#[test]
fn process() {
    let Ok(limits) = std::env::var(LIMITS) else { return };
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        print(panic);
    }));
    let (mut pool, origin) = (None, TestOrigin::new());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let reply = match command {
            "start" => {
                let pool: &HttpPool = pool.insert(start(&limits, &origin));
                format!("{} {}", pool.peer_addr().unwrap(), pool.api_addr().unwrap())
            }
            "drop" => format!("{}", pool.take().is_some()),
            "release" => {
                origin.release();
                String::new()
            }
            "count" => count(pool.as_ref().unwrap(), &origin, rest).to_string(),
            _ => String::new(),
        };
        writeln!(std::io::stdout().lock(), "{REPLY}{reply}").unwrap();
    }
}

fn start(limits: &str, origin: &TestOrigin) -> HttpPool {
    let mut set = Limits::default();
    set.lane_workers = 4;
    // A crowd's handshakes take a busy machine a while.
    set.handshake_timeout = PATIENCE;
    for limit in limits.split(',').filter(|limit| !limit.is_empty()) {
        let (name, value) = limit.split_once('=').unwrap();
        let value: usize = value.parse().unwrap();
        let time = Duration::from_millis(value as u64);
        match name {
            "connections" => set.connections = value,
            "connections_per_address" => set.connections_per_address = value,
            "lane_workers" => set.lane_workers = value,
            "head_timeout" => set.head_timeout = time,
            "body_timeout" => set.body_timeout = time,
            "idle_timeout" => set.idle_timeout = time,
            "write_timeout" => set.write_timeout = time,
            _ => panic!("no limit {name}"),
        }
    }
    let builder = doors::guarded(HttpPool::builder(), &std::env::var(KIND).unwrap());
    let pool = builder.limits(set).start().unwrap();
    let options = GroupOptions::new(32 << 20).get_timeout(PATIENCE);
    pool.group_with(options, "g", getter(origin.clone())).unwrap();
    pool
}

/// What a key's name starts with decides what becomes of its load.
fn getter(origin: TestOrigin) -> impl Getter {
    let big = Arc::new(vec![b'x'; BIG]);
    move |key: &str| {
        if key.starts_with("big") {
            return Ok(larder::Loaded::from(big.to_vec()));
        }
        if key.starts_with("hang") {
            origin.set_fault_of(key, Fault::Hang);
        } else if key.starts_with("slow") {
            origin.set_fault_of(key, Fault::Delay(Duration::from_millis(300)));
        }
        origin.get(key)
    }
}

fn count(pool: &HttpPool, origin: &TestOrigin, name: &str) -> u64 {
    let read = |stats: &ListenerStats| match name {
        "open" => stats.open,
        "connections" => stats.connections,
        "connections_refused" => stats.connections_refused,
        "addresses_refused" => stats.addresses_refused,
        "accept_errors" => stats.accept_errors,
        "requests" => stats.requests,
        "requests_refused" => stats.requests_refused,
        "heads_too_slow" => stats.heads_too_slow,
        "readers_too_slow" => stats.readers_too_slow,
        "lane_breaks" => stats.lane_breaks,
        "unauthorized" => stats.unauthorized,
        "handshakes_failed" => stats.handshakes_failed,
        _ => panic!("no counter {name}"),
    };
    match name {
        "allocations" => ALLOCATOR.stats().allocations as u64,
        "panics" => PANICS.load(Ordering::Relaxed),
        "hanging" => origin.hanging() as u64,
        "loads" => origin.total_loads(),
        _ => read(&pool.peer_listener_stats()) + read(&pool.api_listener_stats()),
    }
}
