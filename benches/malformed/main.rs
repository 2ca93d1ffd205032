//! A client that lies, a million times: malformed requests to the listeners of a running
//! `larder serve`, and good ones beside them that must be answered as if nothing were.
//!
//! A conversation is one connection: good requests, requests that chance has changed, good
//! requests again. It is a function of the seed and its number, so that one can be had again:
//! `make malformed SEED=1 ONLY=4711`.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../../tests/it/attacks/mutator.rs"]
mod mutator;
mod conversation;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conversation::{Conversation, Door, End, KEYS, answer_len, get, is_answer, name, value};
use server::Server;
use socket2::SockRef;
use support::{Table, decimals, grouped, quantile};

const REQUESTS: u64 = 50_000;
const THREADS: usize = 8;
/// A good request that takes longer counts as a hang.
const HANG: Duration = Duration::from_secs(1);
/// Whoever is not answered for so long gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Good requests come after so many conversations; every eighth of them on a new connection.
const GOOD_EVERY: u64 = 4;
/// Connections that each attacker leaves open in the middle of a request.
const PARKED: usize = 16;
/// Failures that are printed.
const SHOWN: usize = 5;

/// What the attackers share.
struct Run {
    doors: [Door; 2],
    seed: u64,
    requests: u64,
    next: AtomicU64,
    malformed: AtomicU64,
    conversations: AtomicU64,
    hangs: AtomicU64,
    desyncs: AtomicU64,
    failures: Mutex<Vec<String>>,
}

fn main() -> Result<(), String> {
    let seed = setting("--seed").unwrap_or(0x1a4d_e401);
    let requests = setting("--requests").unwrap_or(REQUESTS);
    let (mut server, doors) = start();
    let run = Run::new(doors, seed, requests);
    if let Some(only) = setting("--only") {
        return run.show(only);
    }
    println!("\n## malformed: {} requests, seed {seed}\n", grouped(requests as f64));
    // Once through, so that all there is to start has started.
    let warm = Run::new(doors, !seed, requests.min(1_000));
    warm.attack();
    let before = settled(&server, None);
    let started = Instant::now();
    let mut latencies = run.attack();
    let wall = started.elapsed();
    let after = settled(&server, Some(before));
    let alive = server.is_alive();
    report(&run, &mut latencies, wall, [before, after], alive);
    let failures = run.failures.into_inner().unwrap();
    failures.iter().for_each(|failure| println!("{failure}\n"));
    let sound = alive && failures.is_empty() && after.0 <= before.0 && after.1 <= before.1;
    if sound { Ok(()) } else { Err(format!("it did harm; SEED={seed} has it again")) }
}

fn start() -> (Server, [Door; 2]) {
    let pairs = (0..KEYS).map(|key| format!("{}={}", name(key), value(key)));
    let pairs = pairs.collect::<Vec<_>>().join(",");
    let config = format!("[groups.g]\norigin = \"static:{pairs}\"\n");
    let server = Server::start(&config, &["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    let [peer, api] = server.addrs;
    let doors = [Door { addr: peer, base: "/_larder/g/" }, Door { addr: api, base: "/api/g/" }];
    (server, doors)
}

/// Threads and open files, once nobody is connected: no more than `before`, or for want of that,
/// unchanged for a second.
fn settled(server: &Server, before: Option<(u64, u64)>) -> (u64, u64) {
    let deadline = Instant::now() + PATIENCE;
    let (mut since, mut now) = (Instant::now(), server.usage());
    while Instant::now() < deadline {
        let settled = match before {
            Some(before) => now.0 <= before.0 && now.1 <= before.1,
            None => since.elapsed() > Duration::from_secs(1),
        };
        if settled {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        let last = std::mem::replace(&mut now, server.usage());
        if now != last {
            since = Instant::now();
        }
    }
    now
}

fn report(
    run: &Run,
    latencies: &mut [u64],
    wall: Duration,
    [before, after]: [(u64, u64); 2],
    alive: bool,
) {
    let count = |counter: &AtomicU64| grouped(counter.load(Ordering::Relaxed) as f64);
    let malformed = run.malformed.load(Ordering::Relaxed) as f64;
    let millis = |nanos: u64| format!("{} ms", decimals(nanos as f64 / 1e6));
    let good = latencies.len() as f64;
    let mut table = Table::new(&["", "result"]);
    for (name, result) in [
        ("malformed requests", grouped(malformed)),
        ("a second", grouped(malformed / wall.as_secs_f64())),
        ("connections", count(&run.conversations)),
        ("good requests beside them", grouped(good)),
        ("their p50", millis(quantile(latencies, 0.5))),
        ("their p99", millis(quantile(latencies, 0.99))),
        ("the slowest", millis(quantile(latencies, 1.0))),
        ("aborts", u8::from(!alive).to_string()),
        ("hangs over 1 s", count(&run.hangs)),
        ("desyncs", count(&run.desyncs)),
        ("threads before, after", format!("{}, {}", before.0, after.0)),
        ("files before, after", format!("{}, {}", before.1, after.1)),
    ] {
        table.row([name.to_owned(), result]);
    }
    table.print();
    println!(
        "\nA desync is an answer that is not the one to what this connection asked. Threads and"
    );
    println!("files are the process's, once the connections have ended.");
}

impl Run {
    fn new(doors: [Door; 2], seed: u64, requests: u64) -> Self {
        let zero = || AtomicU64::new(0);
        let (next, malformed, conversations) = (zero(), zero(), zero());
        let (hangs, desyncs, failures) = (zero(), zero(), Mutex::default());
        Self { doors, seed, requests, next, malformed, conversations, hangs, desyncs, failures }
    }

    /// Nanoseconds of the good requests.
    fn attack(&self) -> Vec<u64> {
        let mut latencies = Vec::new();
        std::thread::scope(|scope| {
            let attackers: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| Attacker::new(self).run())).collect();
            for attacker in attackers {
                latencies.extend(attacker.join().expect("an attacker panicked"));
            }
        });
        latencies
    }

    fn conversation(&self, number: u64) -> Conversation {
        let mixed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Conversation::new(&mut fastrand::Rng::with_seed(mixed), self.doors)
    }

    fn fail(&self, counter: &AtomicU64, text: String) {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap();
        if failures.len() < SHOWN {
            failures.push(text);
        }
    }

    fn show(&self, number: u64) -> Result<(), String> {
        let conversation = self.conversation(number);
        let door = self.doors[conversation.door];
        println!("to {}: {}", door.addr, conversation.bytes.escape_ascii());
        let stream = send(door, &conversation).map_err(|error| error.to_string())?;
        let (answers, error) = hear(stream);
        println!("{:?}; {error:?}: {}", conversation.end, answers.escape_ascii());
        conversation.check(door, &answers).map(|_| ())
    }
}

/// One thread: its conversations, and a good connection to each listener.
struct Attacker<'a> {
    run: &'a Run,
    good: [Option<TcpStream>; 2],
    parked: VecDeque<TcpStream>,
    latencies: Vec<u64>,
}

impl<'a> Attacker<'a> {
    fn new(run: &'a Run) -> Self {
        Self { run, good: [None, None], parked: VecDeque::new(), latencies: Vec::new() }
    }

    fn run(mut self) -> Vec<u64> {
        while self.run.malformed.load(Ordering::Relaxed) < self.run.requests {
            let number = self.run.next.fetch_add(1, Ordering::Relaxed);
            self.converse(number);
            if number.is_multiple_of(GOOD_EVERY) {
                let fresh = number.is_multiple_of(8 * GOOD_EVERY);
                let key = (number / GOOD_EVERY) as usize % KEYS;
                self.ask((number / GOOD_EVERY / 8) as usize % 2, key, fresh);
            }
        }
        self.latencies
    }

    fn converse(&mut self, number: u64) {
        let conversation = self.run.conversation(number);
        let door = self.run.doors[conversation.door];
        let mut heard = 0;
        match send(door, &conversation) {
            Ok(stream) if conversation.end == End::Shutdown => {
                let (answers, error) = hear(stream);
                if let Some(error) = error {
                    self.run.fail(&self.run.hangs, format!("conversation {number}: {error}"));
                }
                match conversation.check(door, &answers) {
                    Ok(answered) => heard = answered,
                    Err(error) => {
                        let sent = conversation.bytes.escape_ascii();
                        let text = format!("conversation {number}: {error}\nto {sent}");
                        self.run.fail(&self.run.desyncs, text);
                    }
                }
            }
            Ok(stream) if conversation.end == End::Park => {
                self.parked.push_back(stream);
                if self.parked.len() > PARKED {
                    self.parked.pop_front();
                }
            }
            Ok(stream) => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
            Err(error) => {
                self.run.fail(&self.run.hangs, format!("conversation {number}: {error}"));
            }
        }
        // Behind one that is refused none is read: only those that were answered count, or one.
        let malformed = heard.clamp(1, conversation.malformed);
        self.run.malformed.fetch_add(malformed, Ordering::Relaxed);
        self.run.conversations.fetch_add(1, Ordering::Relaxed);
    }

    /// A good request, over the connection kept for them or a new one.
    fn ask(&mut self, door: usize, key: usize, fresh: bool) {
        let started = Instant::now();
        let asked = self.try_ask(door, key, fresh);
        let took = started.elapsed();
        self.latencies.push(took.as_nanos() as u64);
        if took > HANG {
            self.run.fail(&self.run.hangs, format!("a good request took {took:?}"));
        }
        match asked {
            Ok(answer) if is_answer(&answer, key) => {}
            Ok(answer) => {
                let text = format!("to a good request for key {key}: {}", answer.escape_ascii());
                self.run.fail(&self.run.desyncs, text);
            }
            Err(error) => {
                self.good[door] = None;
                self.run.fail(&self.run.hangs, format!("a good request: {error}"));
            }
        }
    }

    fn try_ask(&mut self, door: usize, key: usize, fresh: bool) -> io::Result<Vec<u8>> {
        let Door { addr, base } = self.run.doors[door];
        if fresh || self.good[door].is_none() {
            self.good[door] = Some(connect(addr)?);
        }
        let mut stream = self.good[door].as_ref().expect("was connected");
        stream.write_all(get(base, key).as_bytes())?;
        let mut answer = Vec::new();
        loop {
            if answer_len(&answer).is_some_and(|len| answer.len() >= len) {
                return Ok(answer);
            }
            let mut chunk = [0; 32 << 10];
            match stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => answer.extend_from_slice(&chunk[..len]),
            }
        }
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Says it; the other side may have had enough before the end.
fn send(door: Door, conversation: &Conversation) -> io::Result<TcpStream> {
    let mut stream = connect(door.addr)?;
    let (first, second) = conversation.bytes.split_at(conversation.cut);
    let _ = stream.write_all(first).and_then(|()| stream.write_all(second));
    if conversation.end == End::Shutdown {
        let _ = stream.shutdown(Shutdown::Write);
    }
    Ok(stream)
}

/// All that is answered, and why it ended if not with the connection's end.
fn hear(mut stream: TcpStream) -> (Vec<u8>, Option<io::Error>) {
    let mut answers = Vec::new();
    let error = stream.read_to_end(&mut answers).err();
    (answers, error.filter(|error| error.kind() != io::ErrorKind::ConnectionReset))
}

/// A number on the command line.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::args().skip_while(|arg| arg != name).nth(1)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {value:?}")))
}
