//! What a hit costs the server: allocations and system calls, counted in a process of its own.

use std::alloc::System;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use larder::HttpPool;
use stats_alloc::StatsAlloc;

use crate::support::{Client, Table, decimals, grouped, key, value};

#[global_allocator]
static ALLOCATOR: StatsAlloc<System> = StatsAlloc::system();

/// The argument that makes this process the server.
const SERVE: &str = "--serve-hits";
const VALUE_BYTES: [usize; 3] = [100, 10_000, 1 << 20];
const HITS: u64 = 1_000;
/// The listeners and the paths below which they serve.
const DOORS: [(&str, &str); 2] = [("for clients", "/api"), ("for peers", "/_larder")];

/// A process that serves, perhaps watched by strace.
struct Server {
    child: Child,
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    addrs: [SocketAddr; 2],
}

/// System calls by name.
type Calls = HashMap<String, u64>;

/// Serves, when this process was started for it.
pub(crate) fn serve_if_told() -> bool {
    if !std::env::args().any(|arg| arg == SERVE) {
        return false;
    }
    let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
    let pool = builder.start().expect("a node");
    for len in VALUE_BYTES {
        let getter = move |key: &str| Ok(value(key, len));
        let group = pool.group(&len.to_string(), 64 << 20, getter).expect("a group");
        group.get(&key(0)).expect("a value");
    }
    let addrs = [pool.api_addr(), pool.peer_addr()].map(|addr| addr.expect("it listens"));
    println!("{} {}", addrs[0], addrs[1]);
    for _ in std::io::stdin().lines() {
        println!("{}", ALLOCATOR.stats().allocations);
    }
    true
}

/// Prints the table.
pub(crate) fn print() {
    let own = || Command::new(std::env::current_exe().expect("the path of this program"));
    let without = calls(|_| ());
    let columns = ["", "bytes", "allocations", "reads", "writes", "other calls"];
    let mut table = Table::new(&columns);
    for len in VALUE_BYTES {
        for (door, (name, base)) in DOORS.into_iter().enumerate() {
            let mut server = Server::start(own()).expect("this program starts again");
            let allocations = server.allocations_of(|server| server.hit(door, base, len));
            let mut row = vec![name.to_owned(), grouped(len as f64), per_hit(allocations)];
            let with = calls(|server| server.hit(door, base, len));
            if let (Some(with), Some(without)) = (with, &without) {
                row.extend(by_kind(&with, without).map(per_hit));
            }
            row.resize(columns.len(), "no strace".to_owned());
            table.row(row);
        }
    }
    println!("\nWhat a hit takes of the server; a mean of {HITS}, with connecting and ending:\n");
    table.print();
}

fn per_hit(count: u64) -> String {
    decimals(count as f64 / HITS as f64)
}

/// The system calls of a server while `work` is done and before; none without strace.
fn calls(work: impl FnOnce(&mut Server)) -> Option<Calls> {
    let file = std::env::temp_dir().join(format!("larder-bench-{}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&file);
    strace.arg(std::env::current_exe().ok()?);
    let mut server = Server::start(strace)?;
    work(&mut server);
    drop(server);
    let calls = read_summary(&file);
    let _ = std::fs::remove_file(file);
    calls
}

/// Reads lines of `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn read_summary(file: &Path) -> Option<Calls> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
    };
    Some(text.lines().filter_map(line).filter(|(name, _)| name != "total").collect())
}

/// How many more reads, writes and others there are.
fn by_kind(with: &Calls, without: &Calls) -> [u64; 3] {
    let mut kinds = [0; 3];
    for (name, count) in with {
        let kind = match name.as_str() {
            "read" | "readv" | "recvfrom" | "recvmsg" => 0,
            "write" | "writev" | "sendto" | "sendmsg" => 1,
            _ => 2,
        };
        kinds[kind] += count.saturating_sub(without.get(name).copied().unwrap_or(0));
    }
    kinds
}

impl Server {
    /// Starts `command`, which is this program or one that starts it.
    fn start(mut command: Command) -> Option<Self> {
        command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let commands = child.stdin.take();
        let mut replies = BufReader::new(child.stdout.take()?);
        let mut line = String::new();
        replies.read_line(&mut line).ok()?;
        let (api, peer) = line.trim_end().split_once(' ')?;
        let addrs = [api.parse().ok()?, peer.parse().ok()?];
        Some(Self { child, commands, replies, addrs })
    }

    fn hit(&mut self, door: usize, base: &str, len: usize) {
        let path = format!("{base}/{len}/{}", key(0));
        let mut client = Client::connect(self.addrs[door], &path, &value(&key(0), len));
        for _ in 1..HITS {
            client.ask();
        }
    }

    fn allocations_of(&mut self, work: impl FnOnce(&mut Self)) -> u64 {
        let before = self.allocations();
        work(self);
        self.allocations() - before
    }

    fn allocations(&mut self) -> u64 {
        let mut commands = self.commands.as_ref().expect("it has not ended");
        writeln!(commands).expect("the server listens");
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("the server answers");
        line.trim_end().parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input.
        self.commands.take();
        let _ = self.child.wait();
    }
}
