//! A node under more than it can carry: crowds that are silent, crowds that connect at once,
//! and a group whose origin is slow.
//!
//! Clients are in this process, one thread for each active connection. What is compared takes
//! turns, round after round.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use larder::{Group, GroupOptions, HttpPool, Limits};
use support::{Client, Plan, ROUNDS, Sample, Table, decimals, grouped, hammer, key, median};
use support::{quantile, value};

const ACTIVE: usize = 64;
const IDLE: usize = 500;
const CROWD: usize = 5_000;
/// Threads that connect the crowd; each has its share of it open at once.
const CROWD_THREADS: usize = 50;
const VALUE_BYTES: usize = 100;
const CACHE_BYTES: usize = 64 << 20;
/// How long a load of the slow group takes.
const SLOW: Duration = Duration::from_secs(10);
/// Who is not answered by then is left hanging.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let plan = Plan::announce("overload: hits beside idle, slow and many", 12.0);
    let node = Node::new(Limits::default());
    let slice = plan.slice(4);
    let mut table =
        Table::new(&["hits over 64 connections", "requests/s", "p99 us", "rate of alone", "p99"]);
    compare(&mut table, "500 idle connections", &node, slice, |round| {
        let silent: Vec<TcpStream> = (0..IDLE).map(|_| connect(node.addr())).collect();
        node.wait_for_open(IDLE);
        round();
        drop(silent);
    });
    compare(&mut table, "a slow group, its share full", &node, slice, |round| {
        node.beside_slow_loads(round);
    });
    table.print();
    println!("\nratios are medians of {ROUNDS} rounds, each beside the measure next to it.\n");
    shed();
    crowd(&node);
}

/// One variant beside the node alone, in turns.
fn compare(
    table: &mut Table,
    name: &str,
    node: &Node,
    slice: Duration,
    within: impl Fn(&mut dyn FnMut()),
) {
    let (mut alone, mut beside) = (Measured::default(), Measured::default());
    // Threads that start or end cost more than those that wait.
    let mut measure_alone = || {
        node.wait_for_open(0);
        alone.run(node, slice);
        node.wait_for_open(0);
    };
    for round in 0..ROUNDS {
        // A machine that is busier every moment is so for both.
        if round % 2 == 0 {
            measure_alone();
            within(&mut || beside.run(node, slice));
        } else {
            within(&mut || beside.run(node, slice));
            measure_alone();
        }
    }
    let rates = beside.samples.iter().zip(&alone.samples);
    let rate = median(rates.map(|(beside, alone)| beside.per_second() / alone.per_second()));
    let p99s = median(beside.p99s.iter().zip(&alone.p99s).map(|(beside, alone)| beside / alone));
    table.row(alone.row("alone", Default::default()));
    table.row(beside.row(name, [decimals(rate), decimals(p99s)]));
}

#[derive(Debug, Default)]
struct Measured {
    samples: Vec<Sample>,
    /// Of each round, in microseconds.
    p99s: Vec<f64>,
}

impl Measured {
    fn run(&mut self, node: &Node, slice: Duration) {
        let connect = |connection| node.client(connection);
        let ask = |client: &mut Client| {
            client.ask();
            1
        };
        let (sample, clients) = hammer(ACTIVE, slice, connect, ask);
        let mut nanos: Vec<u64> = clients.into_iter().flat_map(|client| client.latencies).collect();
        self.samples.push(sample);
        self.p99s.push(quantile(&mut nanos, 0.99) as f64 / 1e3);
    }

    fn row(&self, name: &str, [rates, p99s]: [String; 2]) -> [String; 5] {
        let rate = median(self.samples.iter().map(Sample::per_second));
        [name.to_owned(), grouped(rate), grouped(median(self.p99s.iter().copied())), rates, p99s]
    }
}

/// A node with a group that is cached and one that is slow.
struct Node {
    pool: HttpPool,
    slow: Group,
    origin: Arc<SlowOrigin>,
}

/// Ten seconds a load, unless the round is over before.
#[derive(Debug, Default)]
struct SlowOrigin {
    rounds: Mutex<u64>,
    over: Condvar,
}

impl SlowOrigin {
    fn load(&self) {
        let rounds = self.rounds.lock().expect("nobody panics");
        let round = *rounds;
        let over = self.over.wait_timeout_while(rounds, SLOW, |rounds| *rounds == round);
        drop(over.expect("nobody panics"));
    }

    fn end_round(&self) {
        *self.rounds.lock().expect("nobody panics") += 1;
        self.over.notify_all();
    }
}

impl Node {
    fn new(limits: Limits) -> Self {
        let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
        let pool = builder.limits(limits).start().expect("a node");
        let quick = |key: &str| Ok(value(key, VALUE_BYTES));
        let quick = pool.group("quick", CACHE_BYTES, quick).expect("a group");
        for connection in 0..ACTIVE {
            quick.get(&key(connection)).expect("a value");
        }
        let origin = Arc::new(SlowOrigin::default());
        let loads = Arc::clone(&origin);
        let getter = move |key: &str| {
            loads.load();
            Ok(value(key, VALUE_BYTES))
        };
        let slow = pool.group_with(GroupOptions::new(0).get_timeout(2 * SLOW), "slow", getter);
        Self { pool, slow: slow.expect("a group"), origin }
    }

    fn addr(&self) -> SocketAddr {
        self.pool.api_addr().expect("it listens")
    }

    fn client(&self, connection: usize) -> Client {
        let key = key(connection);
        Client::connect(self.addr(), &format!("/api/quick/{key}"), &value(&key, VALUE_BYTES))
    }

    /// Waits until so many connections are open.
    fn wait_for_open(&self, connections: usize) {
        wait_until(|| self.pool.api_listener_stats().open == connections as u64);
    }

    /// Runs `round` while the slow group has all workers that it may have.
    fn beside_slow_loads(&self, round: impl FnOnce()) {
        let share = Limits::default().lane_workers / 2;
        let ask = |n| {
            let mut stream = connect(self.addr());
            let request = format!("GET /api/slow/{n} HTTP/1.0\r\nHost: bench\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("the node reads");
            stream
        };
        let asking: Vec<TcpStream> = (0..share).map(ask).collect();
        wait_until(|| self.slow.stats().getters_running == share as u64);
        round();
        self.origin.end_round();
        for mut stream in asking {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer");
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "it was one of those that load");
        }
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the node accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    stream
}

/// How long it takes to be told that there is no room, when as many wait as may.
fn shed() {
    const REQUESTS: usize = 200;
    let mut limits = Limits::default();
    limits.lane_waiting = 0;
    let node = Node::new(limits);
    let mut nanos = Vec::new();
    node.beside_slow_loads(|| {
        for n in 0..REQUESTS {
            let started = Instant::now();
            let mut stream = connect(node.addr());
            let request = format!("GET /api/slow/shed{n} HTTP/1.0\r\nHost: bench\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("the node reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            nanos.push(started.elapsed().as_nanos() as u64);
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1"));
        }
    });
    let millis = |nanos: u64| decimals(nanos as f64 / 1e6);
    let (p50, p99) = (quantile(&mut nanos, 0.5), quantile(&mut nanos, 0.99));
    let (p50, p99) = (millis(p50), millis(p99));
    println!("{REQUESTS} requests beyond a full share: 503 in {p50} ms (p50), {p99} ms (p99),");
    println!("connecting included.");
}

/// How the connects of a crowd ended.
#[derive(Debug, Default)]
struct Ends {
    answered: AtomicUsize,
    refused: AtomicUsize,
    reset: AtomicUsize,
    hanging: AtomicUsize,
}

/// So many connect at once, ask, and stay until they know.
fn crowd(node: &Node) {
    let (ends, barrier) = (Ends::default(), Barrier::new(CROWD_THREADS));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CROWD_THREADS {
            scope.spawn(|| {
                barrier.wait();
                let each = 0..CROWD / CROWD_THREADS;
                let streams: Vec<_> = each.map(|_| TcpStream::connect(node.addr())).collect();
                for stream in streams {
                    ends.of(stream.and_then(|stream| ask(&stream)));
                }
            });
        }
    });
    let count = |counter: &AtomicUsize| grouped(counter.load(Ordering::Relaxed) as f64);
    println!(
        "{} connects at once, over within {} s: {} answered, {} told 503, {} reset, {} left hanging",
        grouped(CROWD as f64),
        decimals(started.elapsed().as_secs_f64()),
        count(&ends.answered),
        count(&ends.refused),
        count(&ends.reset),
        count(&ends.hanging)
    );
}

impl Ends {
    fn of(&self, status: std::io::Result<bool>) {
        let counter = match status {
            Ok(true) => &self.answered,
            Ok(false) => &self.refused,
            Err(error) if error.kind() == ErrorKind::WouldBlock => &self.hanging,
            Err(_) => &self.reset,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the answer is a 200, and not a 503.
fn ask(mut stream: &TcpStream) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    // One that was turned away already is closed: what it was told is still there.
    let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: bench\r\n\r\n");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}
