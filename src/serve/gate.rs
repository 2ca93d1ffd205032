//! The gate: a listener that reads, bounds and answers requests, one blocking thread for each
//! connection, and hands those that have to load to its lane.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::connection::Connection;
use super::drain::{Drain, Listener};
use super::lane::Lane;
use super::limits::Limits;
use super::meters::Meters;
use super::open::{Full, Open};
use super::request::Service;
use super::shared::{Shared, Socket};
use crate::error::{Error, Result};
use crate::flight::Flights;
use crate::sync::channel::{self, Receiver, RecvTimeoutError};
use crate::sync::{Condvar, Mutex, OnceCell, start};
use crate::tls::Tls;
use crate::wire::{ERROR_CODE, code};

/// How long accepting pauses after it failed (no file descriptors, no memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long connections get to end once they have been cut off.
const CUT_OFF: Duration = Duration::from_millis(500);
/// How long the acceptor gets to notice a connection that is made to wake it.
const NOTICE: Duration = Duration::from_millis(20);
/// How often it is tried.
const WAKES: usize = 100;

/// A running listener. Dropped, it cuts its connections off and ends its threads.
pub(crate) struct Gate {
    addr: SocketAddr,
    /// Gone when the acceptor has ended.
    listener: Weak<Listener>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    /// Disconnected when the acceptor no longer waits for connections.
    accepting: Receiver<Infallible>,
    shared: Arc<Shared>,
}

impl Gate {
    /// Listens on `listener` and serves `service` from now on.
    pub(crate) fn start(
        name: &'static str,
        listener: Listener,
        tls: Option<Arc<Tls>>,
        service: Arc<dyn Service>,
        limits: &Limits,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let addr = listener.addr().map_err(|error| Error::io("the listener", &error))?;
        let shared = Arc::new(Shared {
            name,
            limits: limits.clone(),
            lane: Lane::start(name, Arc::clone(&service), limits, Arc::clone(&meters))?,
            meters,
            tls,
            service,
            flights: Flights::new(Duration::MAX),
            drain: OnceCell::new(),
            open: Mutex::new(Open::default()),
            ended: Condvar::new(),
        });
        let (alive, accepting) = channel::bounded(0);
        let strong = Arc::new(listener);
        let listener = Arc::downgrade(&strong);
        let acceptor = {
            let shared = Arc::clone(&shared);
            start(format!("larder {name} gate"), move || {
                shared.accept(&strong);
                drop(alive);
                shared.accept_the_last(&strong);
            })
        };
        let acceptor = acceptor.map_err(|error| Error::io("cannot start a gate", &error))?;
        Ok(Self { addr, listener, acceptor: Mutex::new(Some(acceptor)), accepting, shared })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, and tells from now on whoever asks to come no more.
    pub(crate) fn begin_drain(&self, deadline: Instant) {
        self.begin(Drain::until(deadline));
    }

    fn begin(&self, drain: Drain) {
        if self.shared.drain.set(drain).is_ok() {
            self.wake_acceptor();
        }
    }

    /// Lets the requests in flight finish until the deadline, cuts off what is left, and ends
    /// every thread. Whether all finished in time.
    pub(crate) fn finish_drain(&self) -> bool {
        let Some(&Drain { quiet, deadline }) = self.shared.drain.get() else { return false };
        let acceptor = self.acceptor.lock().take();
        // One that could not be woken holds a socket that others have, and cannot be waited for.
        if let Some(acceptor) = acceptor.filter(|_| self.has_stopped(Duration::ZERO)) {
            let _ = acceptor.join();
        }
        if !self.shared.wait_for_end(quiet) {
            let open = self.shared.open.lock();
            for socket in open.sockets().filter(|socket| !socket.busy.load(Ordering::SeqCst)) {
                // What has come by now is still read.
                let _ = socket.stream.shutdown(Shutdown::Read);
            }
        }
        let finished = self.shared.wait_for_end(deadline);
        if !finished {
            for socket in self.shared.open.lock().sockets() {
                let _ = socket.stream.shutdown(Shutdown::Both);
            }
            self.shared.wait_for_end(Instant::now() + CUT_OFF);
        }
        self.shared.open.lock().take_ended().into_iter().for_each(join);
        self.shared.lane.stop();
        finished
    }

    /// A connection ends a blocked accept, also that of a socket which others have: shutting
    /// that down would end it for them. One of theirs may get the connection instead, and so
    /// there is another. None can come too early: the drain has begun before.
    fn wake_acceptor(&self) {
        for _ in 0..WAKES {
            let _ = TcpStream::connect_timeout(&reachable(self.addr), NOTICE);
            if self.has_stopped(NOTICE) {
                return;
            }
        }
        if let Some(listener) = self.listener.upgrade() {
            listener.interrupt();
        }
    }

    /// Whether the acceptor waits no longer, or stops to within `patience`.
    fn has_stopped(&self, patience: Duration) -> bool {
        self.accepting.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.begin_drain(Instant::now());
        self.finish_drain();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &Listener) {
        while !self.is_draining() {
            self.take(listener.socket.accept());
        }
    }

    fn accept_the_last(self: &Arc<Self>, listener: &Listener) {
        if let Some(drain) = self.drain.get() {
            listener.take_the_last(drain, |accepted| self.take(accepted));
        }
    }

    fn take(self: &Arc<Self>, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, addr)) => self.admit(stream, addr),
            Err(_) => {
                self.meters.accept_errors.add_one();
                std::thread::sleep(ACCEPT_PAUSE);
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, addr: SocketAddr) {
        self.meters.connections.add_one();
        let socket = Arc::new(Socket { stream, busy: AtomicBool::new(false) });
        let entered = self.open.lock().enter(&socket, addr.ip(), &self.limits);
        let id = match entered {
            Ok(id) => id,
            Err(full) => return self.turn_away(&socket.stream, full),
        };
        let (shared, theirs) = (Arc::clone(self), Arc::clone(&socket));
        let thread = start(format!("larder {} connection", self.name), move || {
            let _end = End { shared: &shared, id };
            let connection = Connection::new(theirs, Arc::clone(&shared));
            let _ = connection.and_then(Connection::run);
        });
        match thread {
            Ok(thread) => self.open.lock().keep(id, thread),
            Err(_) => {
                self.open.lock().leave(id, false);
                self.turn_away(&socket.stream, Full::Listener);
            }
        }
    }

    /// Says 503, which inside TLS nobody would understand, and closes, without waiting for
    /// anything.
    fn turn_away(&self, mut stream: &TcpStream, full: Full) {
        self.meters.connections_refused.add_one();
        let line = match full {
            Full::Listener => "overloaded: too many connections; try again later",
            Full::Address => {
                self.meters.addresses_refused.add_one();
                "overloaded: too many connections from this address; try again later"
            }
        };
        let answer =
            Answer::text(503, line).with("Retry-After", "1").with(ERROR_CODE, code::TURNED_AWAY);
        let _ = stream.set_nonblocking(true);
        if self.tls.is_none() {
            let _ = stream.write_all(&answer.to_bytes(false, true));
        }
        let _ = stream.shutdown(Shutdown::Write);
        // What has come is read, so that closing does not reset the connection.
        let _ = io::Read::read(&mut stream, &mut [0; 4 << 10]);
    }
}

/// Takes a connection off the list when its thread ends, also by a panic.
struct End<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.shared.open.lock().leave(self.id, self.shared.is_draining());
        self.shared.meters.connections_ended.add_one();
        self.shared.ended.notify_all();
    }
}

/// Joins a thread that ends, unless it is the one that calls: a pool may be dropped anywhere.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() {
        let _ = thread.join();
    }
}

/// Where a listener on `addr` can be reached from this machine.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

#[cfg(test)]
mod tests;
