//! What the threads of a gate share, and how they answer a request.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::drain::Drain;
use super::guard::{Asked, BodyHash};
use super::head::Head;
use super::lane::{Lane, Terms};
use super::limits::Limits;
use super::meters::Meters;
use super::open::Open;
use super::request::{AtOnce, Request, Service};
use crate::flight::{Flights, Landing, Role};
use crate::sync::{Condvar, Mutex, OnceCell};
use crate::tls::Tls;
use crate::wire::{ERROR_CODE, code};

/// Less time than this left is not worth a second flight.
const MOMENT: Duration = Duration::from_millis(5);

/// A connection's socket, shared with the gate so that it can be ended from outside.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    /// A request is being read or answered.
    pub(super) busy: AtomicBool,
}

/// What the threads of a gate share.
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) limits: Limits,
    pub(super) meters: Arc<Meters>,
    /// None in the clear.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) service: Arc<dyn Service>,
    pub(super) lane: Lane,
    /// Flights of requests to the lane: duplicates park here and take no worker.
    pub(super) flights: Arc<Flights<Answer>>,
    /// Set once the gate is to end.
    pub(super) drain: OnceCell<Drain>,
    pub(super) open: Mutex<Open>,
    /// Told when a connection has ended.
    pub(super) ended: Condvar,
}

impl Socket {
    /// Whether the client has closed, or its side of the connection. Who closes only that side
    /// and still reads is told that the request was not begun: nothing tells the two apart.
    fn has_gone(&self) -> bool {
        let _ = self.stream.set_nonblocking(true);
        let peeked = self.stream.peek(&mut [0]);
        let _ = self.stream.set_nonblocking(false);
        match peeked {
            Ok(len) => len == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

impl Shared {
    /// Whether a request may be carried out, as far as its head tells.
    pub(super) fn may_ask(&self, head: &Head<'_>) -> Result<BodyHash, Answer> {
        let Some(guard) = self.service.guard() else { return Ok(None) };
        let (target, credentials) = (head.target, head.credentials);
        guard.admit(Asked { method: head.method, target, credentials })
    }

    /// Answers a request whose head was admitted.
    pub(super) fn answer_if_admitted(
        &self,
        request: &Request<'_>,
        hash: BodyHash,
        socket: &Socket,
    ) -> Answer {
        match self.service.guard().map(|guard| guard.admit_body(hash, &request.body)) {
            None | Some(Ok(())) => self.service.finish(request, self.answer(request, socket)),
            Some(Err(refusal)) => refusal,
        }
    }

    /// Answers a request: here when that needs no work, and else by the lane, where requests
    /// that want the same are carried out once.
    pub(super) fn answer(&self, request: &Request<'_>, socket: &Socket) -> Answer {
        let (flight, deadline, share) = match self.service.at_once(request) {
            AtOnce::Answer(answer) => return answer,
            AtOnce::Work { flight, deadline, share } => (flight, deadline, share),
        };
        let terms = Terms { deadline, share: share.as_deref(), gone: &|| socket.has_gone() };
        loop {
            let waiter = match self.flights.join(&flight) {
                Role::Leader(leader) => {
                    let Some(answer) = self.lane.call(request, &terms) else {
                        // Those who wait for this flight have not gone: one of them leads now.
                        drop(leader);
                        return unheard();
                    };
                    leader.land(answer.clone(), |_| ());
                    return answer;
                }
                Role::Waiter(waiter) => waiter,
            };
            match waiter.wait(deadline) {
                // The time that was over may have been the leader's alone.
                Landing::Landed(answer)
                    if answer.status == 504 && Instant::now() + MOMENT < deadline => {}
                Landing::Landed(answer) => {
                    self.service.shared(request, &answer);
                    return answer;
                }
                Landing::Lost | Landing::Overdue => {}
                Landing::TimedOut => {
                    let answer = Answer::text(504, "no value in time: the origin is slow")
                        .with(ERROR_CODE, code::LOADING);
                    self.service.shared(request, &answer);
                    return answer;
                }
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// Whether all connections ended by `deadline`.
    pub(super) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut open = self.open.lock();
        while !open.is_empty() {
            if self.ended.wait_until(&mut open, deadline).timed_out() {
                return open.is_empty();
            }
        }
        true
    }
}

/// For a client that has closed its side and may still read.
fn unheard() -> Answer {
    Answer::text(503, "closed by its client while it waited: the request was not begun")
        .with("Retry-After", "1")
        .with(ERROR_CODE, code::OVERLOADED)
}
