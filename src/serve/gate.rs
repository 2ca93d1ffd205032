//! The gate: a listener that reads, bounds and answers requests, one blocking thread for each
//! connection, and hands those that have to load to its lane.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::connection::Connection;
use super::lane::Lane;
use super::limits::Limits;
use super::meters::Meters;
use super::request::Service;
use super::shared::{Shared, Socket};
use crate::error::{Error, Result};
use crate::flight::Flights;
use crate::sync::{Condvar, Mutex, start};
use crate::tls::Tls;
use crate::wire::{ERROR_CODE, code};

/// How long accepting pauses after it failed (no file descriptors, no memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long connections get to end once they have been cut off.
const CUT_OFF: Duration = Duration::from_millis(500);

/// A running listener. Dropped, it cuts its connections off and ends its threads.
pub(crate) struct Gate {
    addr: SocketAddr,
    listener: Arc<TcpListener>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Gate {
    /// Listens on `listener` and serves `service` from now on.
    pub(crate) fn start(
        name: &'static str,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        service: Arc<dyn Service>,
        limits: &Limits,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let addr = listener.local_addr().map_err(|error| Error::io("the listener", &error))?;
        let shared = Arc::new(Shared {
            name,
            limits: limits.clone(),
            lane: Lane::start(name, Arc::clone(&service), limits, Arc::clone(&meters))?,
            meters,
            tls,
            service,
            flights: Flights::new(Duration::MAX),
            draining: AtomicBool::new(false),
            open: Mutex::new(HashMap::new()),
            ended: Condvar::new(),
            next_id: AtomicU64::new(0),
        });
        let listener = Arc::new(listener);
        let acceptor = {
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            start(format!("larder {name} gate"), move || shared.accept(&listener))
        };
        let acceptor = acceptor.map_err(|error| Error::io("cannot start a gate", &error))?;
        Ok(Self { addr, listener, acceptor: Mutex::new(Some(acceptor)), shared })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, lets the requests in flight finish until `deadline`, cuts off what is
    /// left, and ends every thread. Whether all finished in time.
    pub(crate) fn shutdown(&self, deadline: Instant) -> bool {
        self.shared.draining.store(true, Ordering::SeqCst);
        self.stop_accepting();
        for socket in self.shared.open.lock().values() {
            if !socket.busy.load(Ordering::SeqCst) {
                let _ = socket.stream.shutdown(Shutdown::Read);
            }
        }
        let finished = self.shared.wait_for_end(deadline);
        if !finished {
            for socket in self.shared.open.lock().values() {
                let _ = socket.stream.shutdown(Shutdown::Both);
            }
            self.shared.wait_for_end(Instant::now() + CUT_OFF);
        }
        self.shared.lane.stop();
        finished
    }

    fn stop_accepting(&self) {
        let Some(acceptor) = self.acceptor.lock().take() else { return };
        // Linux ends a blocked accept when its socket is shut down; elsewhere a connection
        // does. Neither can be missed: the flag is set before.
        let _ = socket2::SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        let _ = TcpStream::connect_timeout(&reachable(self.addr), Duration::from_millis(100));
        let _ = acceptor.join();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shutdown(Instant::now());
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            if self.is_draining() {
                return;
            }
            match accepted {
                Ok((stream, _)) => self.admit(stream),
                Err(_) => {
                    self.meters.accept_errors.add_one();
                    std::thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream) {
        self.meters.connections.add_one();
        let socket = Arc::new(Socket { stream, busy: AtomicBool::new(false) });
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        if open.len() >= self.limits.connections {
            drop(open);
            return self.turn_away(&socket.stream);
        }
        open.insert(id, Arc::clone(&socket));
        drop(open);
        let (shared, theirs) = (Arc::clone(self), Arc::clone(&socket));
        let thread = start(format!("larder {} connection", self.name), move || {
            let _end = End { shared: &shared, id };
            let connection = Connection::new(theirs, Arc::clone(&shared));
            let _ = connection.and_then(Connection::run);
        });
        if thread.is_err() {
            self.open.lock().remove(&id);
            self.turn_away(&socket.stream);
        }
    }

    /// Says 503, which inside TLS nobody would understand, and closes, without waiting for
    /// anything.
    fn turn_away(&self, mut stream: &TcpStream) {
        self.meters.connections_refused.add_one();
        let line = "overloaded: too many connections; try again later";
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
        self.shared.open.lock().remove(&self.id);
        self.shared.meters.connections_ended.add_one();
        self.shared.ended.notify_all();
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
