//! A loader for two protocols: it knows a request and its answer, to the byte, and nothing
//! else of either.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::support::quantile;

/// As many as wrk is given.
const THREADS: usize = 2;
/// A server that is silent for longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent to a server, and what comes back.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) addr: SocketAddr,
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// What a run has measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Repeats an exchange on so many connections, each with one request on its way.
pub(crate) fn run(exchange: &Exchange, connections: usize, time: Duration) -> Load {
    let start = Barrier::new(THREADS);
    let work = || {
        let mut connections = Connections::open(exchange, connections / THREADS);
        start.wait();
        connections.exchange(time);
        connections.latencies
    };
    let mut latencies: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker panicked")).collect()
    });
    let requests = latencies.len() as u64;
    let mut of = |share| Duration::from_nanos(quantile(&mut latencies, share));
    let (p50, p99) = (of(0.5), of(0.99));
    Load { requests, per_second: requests as f64 / time.as_secs_f64(), p50, p99 }
}

/// The connections of one thread.
struct Connections<'a> {
    exchange: &'a Exchange,
    poll: Poll,
    open: Vec<Connection>,
    /// Nanoseconds of every exchange.
    latencies: Vec<u64>,
}

struct Connection {
    stream: mio::net::TcpStream,
    asked: Instant,
    answer: Vec<u8>,
    /// Bytes of the answer that are there.
    read: usize,
}

impl<'a> Connections<'a> {
    fn open(exchange: &'a Exchange, connections: usize) -> Self {
        let poll = Poll::new().expect("a poll");
        let connect = |n| {
            let stream = TcpStream::connect(exchange.addr).expect("the server accepts");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            stream.set_nonblocking(true).expect("a stream that does not block");
            let mut stream = mio::net::TcpStream::from_std(stream);
            let registry = poll.registry();
            registry.register(&mut stream, Token(n), Interest::READABLE).expect("a place");
            let answer = vec![0; exchange.answer.len()];
            Connection { stream, asked: Instant::now(), answer, read: 0 }
        };
        let open = (0..connections).map(connect).collect();
        Self { exchange, poll, open, latencies: Vec::new() }
    }

    fn exchange(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.open.iter_mut().for_each(|connection| connection.ask(&self.exchange.request));
        let mut events = Events::with_capacity(self.open.len());
        loop {
            self.poll.poll(&mut events, Some(PATIENCE)).expect("events");
            assert!(!events.is_empty(), "the server is silent");
            for event in &events {
                let connection = &mut self.open[event.token().0];
                if !connection.is_answered(&self.exchange.answer) {
                    continue;
                }
                let now = Instant::now();
                if now > end {
                    return;
                }
                self.latencies.push((now - connection.asked).as_nanos() as u64);
                connection.ask(&self.exchange.request);
            }
        }
    }
}

impl Connection {
    fn ask(&mut self, request: &[u8]) {
        self.asked = Instant::now();
        let written = self.stream.write(request).expect("the server reads");
        assert_eq!(written, request.len(), "a request is short");
    }

    /// Whether the answer is whole; reads what has come of it.
    fn is_answered(&mut self, expected: &[u8]) -> bool {
        let room = &mut self.answer[self.read..];
        match self.stream.read(room) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(len) => self.read += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server failed: {error}"),
        }
        // Nothing more has come yet: mio tells when it does.
        if self.read < self.answer.len() {
            return false;
        }
        assert!(self.answer == expected, "every answer is the same");
        self.read = 0;
        true
    }
}
