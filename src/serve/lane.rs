//! A lane: a tiny_http server on a unix socket of our own, its worker threads, and the fixed
//! set of connections over which a gate hands requests to them.
//!
//! tiny_http must not meet the network (it aborts on a huge Content-Length, hangs on an HTTP/2
//! preface, stops accepting after one failed accept, and has no limits or timeouts). Here it
//! meets only requests that the gate has read and written anew, from this process, over
//! connections that are opened one at a time: a burst of connects makes it lose some.

mod folder;
mod server;
mod shares;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::conditional::Conditions;
use super::head::Method;
use super::limits::Limits;
use super::meters::Meters;
use super::request::{Request, Service};
use crate::byte_view::ByteView;
use crate::clock::deadline_after;
use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::sync::channel::{self, Receiver, Sender};
use crate::wire::{ERROR_CODE, LEFT_MS, WITHIN_MS, code};
use server::Server;
use shares::{Place, Shares};

/// The private header that ties an answer to its request.
const ID: &str = "larder-lane-id";
/// The target that a new connection is tried with.
const PING: &str = "/larder-lane-ping";
/// How long a worker may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than its deadline a request may take before its connection counts as broken.
const GRACE: Duration = Duration::from_secs(2);
/// Longest head of an answer; they are of our own making.
const HEAD_BYTES: usize = 4 << 10;

pub(crate) struct Lane {
    name: &'static str,
    service: Arc<dyn Service>,
    meters: Arc<Meters>,
    workers: usize,
    shares: Shares,
    max_wait: Duration,
    next_id: AtomicU64,
    /// The connections that no request uses. As many as workers, so a request that has one
    /// has a worker too.
    idle: Receiver<Slot>,
    give_back: Sender<Slot>,
    /// What new connections go to. Held while one is opened: one at a time.
    server: Mutex<Option<Arc<Server>>>,
}

/// A place among the fixed set of connections.
enum Slot {
    Open(Connection),
    /// Broke; the next request that draws it opens it anew.
    Broken,
}

struct Connection {
    stream: UnixStream,
    /// Keeps the server's workers, also when new connections go to another one: nobody else
    /// would answer here.
    _server: Arc<Server>,
}

impl Lane {
    pub(crate) fn start(
        name: &'static str,
        service: Arc<dyn Service>,
        limits: &Limits,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let workers = limits.lane_workers;
        if workers == 0 {
            let reason = "is 0, so nothing could ever be loaded: allow at least 1";
            return Err(Error::bad_setting("lane_workers", reason));
        }
        if limits.lane_workers_per_group == Some(0) {
            let reason = "is 0, so no group could ever load: allow at least 1, or leave it out";
            return Err(Error::bad_setting("lane_workers_per_group", reason));
        }
        let (give_back, idle) = channel::bounded(workers);
        let server = Arc::new(Server::start(name, &service, workers)?);
        let lane = Self {
            name,
            service,
            meters,
            workers,
            shares: Shares::new(limits),
            max_wait: limits.lane_wait,
            next_id: AtomicU64::new(1),
            idle,
            give_back,
            server: Mutex::new(Some(server)),
        };
        for _ in 0..workers {
            let connection =
                lane.open().map_err(|error| Error::io("cannot open a lane", &error))?;
            // The channel holds as many as there are workers, so there is room.
            let _ = lane.give_back.send(Slot::Open(connection));
        }
        Ok(lane)
    }

    /// Has a worker carry out `request`; none when it had to wait for one, and its client had
    /// gone by then.
    pub(crate) fn call(&self, request: &Request<'_>, terms: &Terms<'_>) -> Option<Answer> {
        let lease = self.draw(terms).filter(|_| Instant::now() < terms.deadline);
        let Some(mut lease) = lease else {
            if request.comes_again() && Instant::now() >= terms.deadline {
                return Some(busy(self.name));
            }
            self.meters.lane_shed.add_one();
            return Some(overloaded(self.name));
        };
        if lease.waited && (terms.gone)() {
            self.meters.lane_abandoned.add_one();
            return None;
        }
        let mut answer = self.carry_out(&mut lease, request, terms.deadline);
        // What broke is the way to the worker. Had it begun, its load is found under way.
        if answer.is_err() && request.method.is_safe() && Instant::now() < terms.deadline {
            answer = self.carry_out(&mut lease, request, terms.deadline);
        }
        Some(answer.unwrap_or_else(|error| {
            Answer::text(500, format!("the {} lane broke: {error}; try again", self.name))
        }))
    }

    fn carry_out(
        &self,
        lease: &mut Lease<'_>,
        request: &Request<'_>,
        deadline: Instant,
    ) -> io::Result<Answer> {
        let answer = lease.stream(self).and_then(|stream| {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let within = deadline.saturating_duration_since(Instant::now());
            exchange(stream, request, id, within)
        });
        match &answer {
            Ok(_) => self.meters.lane_requests.add_one(),
            Err(_) => {
                self.meters.lane_breaks.add_one();
                lease.slot = Slot::Broken;
            }
        }
        answer
    }

    /// Waits for a place in the group's share and for a connection that no request uses; none
    /// when too many wait or it takes too long.
    fn draw(&self, terms: &Terms<'_>) -> Option<Lease<'_>> {
        let until = terms.deadline.min(deadline_after(self.max_wait));
        let (place, mut waited) = match terms.share {
            Some(group) => {
                let (place, waited) = self.shares.take(group, until)?;
                (Some(place), waited)
            }
            None => (None, false),
        };
        let slot = match self.idle.try_recv() {
            Ok(slot) => slot,
            Err(_) => {
                let _chair = self.shares.room.enter()?;
                waited = true;
                self.idle.recv_deadline(until).ok()?
            }
        };
        Some(Lease { slot, give_back: &self.give_back, _place: place, waited })
    }

    /// Opens a connection, and knows that a thread of the server has taken it when a ping over
    /// it is answered. A server that takes none has died and is built anew.
    fn open(&self) -> io::Result<Connection> {
        let mut server = self.server.lock();
        let Some(running) = &*server else {
            return Err(io::Error::other("the lane is shut down"));
        };
        if let Ok(connection) = Connection::open(running) {
            return Ok(connection);
        }
        self.meters.lane_rebuilds.add_one();
        let fresh = Server::start(self.name, &self.service, self.workers);
        let fresh = Arc::new(fresh.map_err(|error| io::Error::other(error.to_string()))?);
        let connection = Connection::open(&fresh)?;
        // The old one's workers end with the last connection to it.
        *server = Some(fresh);
        Ok(connection)
    }

    /// Ends the workers: each when the request it has is done. The idle ones, all of them when
    /// no request is in flight, have ended when this returns.
    pub(crate) fn stop(&self) {
        let Some(server) = self.server.lock().take() else { return };
        let mut busy = self.workers;
        while let Ok(slot) = self.idle.try_recv() {
            drop(slot);
            busy -= 1;
        }
        let workers = server.stop();
        if busy == 0 {
            for worker in workers {
                let _ = worker.join();
            }
        }
    }
}

impl Connection {
    /// Connects to `server`, and knows by a ping that it answers.
    fn open(server: &Arc<Server>) -> io::Result<Self> {
        let stream = ping(UnixStream::connect(server.path())?)?;
        Ok(Self { stream, _server: Arc::clone(server) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// On what terms a request is carried out.
pub(crate) struct Terms<'a> {
    pub(crate) deadline: Instant,
    /// The group whose share of the workers it counts towards; none when there are no shares.
    pub(crate) share: Option<&'a str>,
    /// Whether its client has gone, so that nobody is left to work for.
    pub(crate) gone: &'a dyn Fn() -> bool,
}

/// A connection in use; back among the idle ones when dropped.
struct Lease<'a> {
    slot: Slot,
    give_back: &'a Sender<Slot>,
    _place: Option<Place>,
    waited: bool,
}

impl Lease<'_> {
    fn stream(&mut self, lane: &Lane) -> io::Result<&mut UnixStream> {
        if let Slot::Broken = self.slot {
            self.slot = Slot::Open(lane.open()?);
        }
        match &mut self.slot {
            Slot::Open(connection) => Ok(&mut connection.stream),
            Slot::Broken => Err(io::Error::other("no connection")),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let slot = std::mem::replace(&mut self.slot, Slot::Broken);
        let _ = self.give_back.send(slot);
    }
}

fn ping(mut stream: UnixStream) -> io::Result<UnixStream> {
    let request = Request {
        method: Method::Get,
        target: PING,
        within: None,
        left: None,
        conditions: Conditions::default(),
        body: Vec::new(),
    };
    stream.set_write_timeout(Some(PING_TIMEOUT))?;
    exchange(&mut stream, &request, 0, PING_TIMEOUT)?;
    Ok(stream)
}

/// Sends a request over a lane's connection and reads its answer whole.
fn exchange(
    stream: &mut UnixStream,
    request: &Request<'_>,
    id: u64,
    within: Duration,
) -> io::Result<Answer> {
    let millis = within.as_millis();
    let left = request.left.filter(|_| request.comes_again()).unwrap_or(within).as_millis();
    let mut bytes = format!(
        "{} {} HTTP/1.1\r\nHost: larder\r\n{ID}: {id}\r\n{WITHIN_MS}: {millis}\r\n\
         {LEFT_MS}: {left}\r\nContent-Length: {}\r\n\r\n",
        request.method.name(),
        request.target,
        request.body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&request.body);
    stream.write_all(&bytes)?;
    stream.set_read_timeout(Some(within + GRACE))?;
    let (of, answer) = read_answer(stream)?;
    if of != Some(id) {
        return Err(io::Error::other("an answer to another request"));
    }
    Ok(answer)
}

/// The answer, and the id of the request that it is for.
fn read_answer(stream: &mut UnixStream) -> io::Result<(Option<u64>, Answer)> {
    let mut bytes = vec![0; HEAD_BYTES];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut bytes[filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let Some(parsed) = parse_answer(&bytes[..filled])? else { continue };
        let AnswerHead { mut answer, id, head_len, body_len } = parsed;
        let mut body = bytes[head_len..filled].to_vec();
        body.reserve_exact(body_len.saturating_sub(body.len()));
        let missing = body_len.saturating_sub(body.len()) as u64;
        stream.take(missing).read_to_end(&mut body)?;
        if body.len() != body_len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.body = body.into();
        return Ok((id, answer));
    }
}

/// An answer without its body.
struct AnswerHead {
    answer: Answer,
    id: Option<u64>,
    head_len: usize,
    body_len: usize,
}

/// Reads the head of an answer; none when it is incomplete.
fn parse_answer(bytes: &[u8]) -> io::Result<Option<AnswerHead>> {
    let malformed = |what: &str| io::Error::other(format!("a malformed answer: {what}"));
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes).map_err(|error| malformed(&error.to_string()))?;
    let httparse::Status::Complete(head_len) = status else { return Ok(None) };
    let mut answer = Answer::with_lines(response.code.unwrap_or(500), "", ByteView::new());
    let (mut id, mut body_len) = (None, None);
    for header in response.headers {
        let value = std::str::from_utf8(header.value).map_err(|_| malformed("not UTF-8"))?;
        if header.name.eq_ignore_ascii_case("content-length") {
            body_len = value.parse().ok();
        } else if header.name == ID {
            id = value.parse().ok();
        } else {
            answer = answer.with(header.name, value);
        }
    }
    let body_len = body_len.or((!answer.may_have_body()).then_some(0));
    let body_len = body_len.ok_or_else(|| malformed("no length"))?;
    Ok(Some(AnswerHead { answer, id, head_len, body_len }))
}

/// For a caller that comes again: the node lives, and has no worker free.
fn busy(name: &str) -> Answer {
    let line = format!("no worker of the {name} lane was free in time");
    Answer::text(504, line).with(ERROR_CODE, code::LOADING)
}

fn overloaded(name: &str) -> Answer {
    let line = format!("overloaded: too many requests wait for the {name} lane; try again later");
    Answer::text(503, line).with("Retry-After", "1").with(ERROR_CODE, code::OVERLOADED)
}

#[cfg(test)]
mod tests;
