//! One connection: read a request whole, have it answered, write the answer, and again.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::head::{self, BODY_TOO_SLOW, HEAD_TOO_SLOW, Head, Method, Refusal};
use super::request::Request;
use super::shared::{Shared, Socket};
use crate::clock::deadline_after;

/// Least bytes read at once.
const READ_BYTES: usize = 4 << 10;
/// A reader slower than this many bytes a second, over a whole answer, is cut off.
const SLOWEST_READER: usize = 1 << 10;
/// What is read, and for how long, of the rest of a refused request: closing a socket with
/// bytes unread would reset it, and the client would lose the answer.
const LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_millis(500);

pub(super) struct Connection {
    socket: Arc<Socket>,
    shared: Arc<Shared>,
    /// What has been read and not been used.
    buffer: Vec<u8>,
    /// The socket's read timeout as it was last set.
    read_timeout: Option<Duration>,
}

/// How reading a request ended.
enum Received {
    Request(Head, Vec<u8>),
    Refused(Refusal),
    /// The client closed, or was silent for too long between requests.
    Ended,
}

impl Connection {
    pub(super) fn new(socket: Arc<Socket>, shared: Arc<Shared>) -> Self {
        Self { socket, shared, buffer: Vec::new(), read_timeout: None }
    }

    /// The connection's life. An error is the client's: there is nobody to tell.
    pub(super) fn run(mut self) -> io::Result<()> {
        let limits = &self.shared.limits;
        self.socket.stream.set_nodelay(true)?;
        self.socket.stream.set_write_timeout(Some(limits.write_timeout))?;
        loop {
            let (head, body) = match self.receive()? {
                Received::Request(head, body) => (head, body),
                Received::Refused(refusal) => return self.refuse(refusal),
                Received::Ended => return Ok(()),
            };
            self.shared.meters.requests.add_one();
            let (method, keep_alive) = (head.method, head.keep_alive);
            let request = Request { method, target: head.target, within: head.within, body };
            let answer = self.shared.answer(&request);
            let keep_alive = keep_alive && !self.shared.is_draining();
            self.write(&answer, keep_alive, method != Method::Head)?;
            self.socket.busy.store(false, Ordering::SeqCst);
            if !keep_alive || self.shared.is_draining() {
                return self.linger();
            }
        }
    }

    /// Reads the next request whole, within the limits.
    fn receive(&mut self) -> io::Result<Received> {
        let head = match self.receive_head()? {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Received::Ended),
            Err(refusal) => return Ok(Received::Refused(refusal)),
        };
        self.buffer.drain(..head.len);
        Ok(match self.receive_body(&head)? {
            Some(body) => Received::Request(head, body),
            None => Received::Refused(BODY_TOO_SLOW),
        })
    }

    fn receive_head(&mut self) -> io::Result<Result<Option<Head>, Refusal>> {
        // Cloned handles: `self` is needed mutably below.
        let shared = Arc::clone(&self.shared);
        let mut deadline = None;
        loop {
            if !self.buffer.is_empty() {
                self.socket.busy.store(true, Ordering::SeqCst);
                match head::parse(&self.buffer, &shared.limits) {
                    Ok(None) => {}
                    parsed => return Ok(parsed),
                }
                deadline.get_or_insert_with(|| deadline_after(shared.limits.head_timeout));
            }
            match (self.read(deadline, shared.limits.idle_timeout)?, deadline) {
                (Some(0), _) | (None, None) => return Ok(Ok(None)),
                (None, Some(_)) => return Ok(Err(HEAD_TOO_SLOW)),
                (Some(_), _) => {}
            }
        }
    }

    /// The body; none when it was not complete in time.
    fn receive_body(&mut self, head: &Head) -> io::Result<Option<Vec<u8>>> {
        if head.body_len == 0 {
            return Ok(Some(Vec::new()));
        }
        if head.expects_continue && self.buffer.is_empty() {
            (&self.socket.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let deadline = deadline_after(self.shared.limits.body_timeout);
        while self.buffer.len() < head.body_len {
            match self.read(Some(deadline), Duration::ZERO)? {
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(_) => {}
                None => return Ok(None),
            }
        }
        let rest = self.buffer.split_off(head.body_len);
        Ok(Some(std::mem::replace(&mut self.buffer, rest)))
    }

    /// Reads more into the buffer, until `deadline` or else for `idle` at most; the number of
    /// bytes, or none when the time is over.
    fn read(&mut self, deadline: Option<Instant>, idle: Duration) -> io::Result<Option<usize>> {
        let timeout = match deadline {
            None => idle,
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
        };
        if timeout.is_zero() {
            return Ok(None);
        }
        if self.read_timeout != Some(timeout) {
            self.socket.stream.set_read_timeout(Some(timeout))?;
            self.read_timeout = Some(timeout);
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES.max(filled), 0);
        let read = (&self.socket.stream).read(&mut self.buffer[filled..]);
        self.buffer.truncate(filled + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(len) => Ok(Some(len)),
            Err(error) if is_timeout(&error) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read(deadline, idle),
            Err(error) => Err(error),
        }
    }

    /// Writes an answer in one system call, when the socket takes it all at once.
    fn write(&self, answer: &Answer, keep_alive: bool, with_body: bool) -> io::Result<()> {
        let head = answer.head(keep_alive, with_body);
        let body: &[u8] = if with_body { &answer.body } else { &[] };
        let total = head.len() + body.len();
        let mut written =
            (&self.socket.stream).write_vectored(&[IoSlice::new(&head), IoSlice::new(body)]);
        let mut done = 0;
        let mut deadline = None;
        loop {
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => done += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.slow_reader(error)),
            }
            if done == total {
                return Ok(());
            }
            // A reader that takes a byte at a time would hold this thread for hours.
            let patience = Duration::from_secs((total / SLOWEST_READER) as u64);
            let patience = patience.saturating_add(self.shared.limits.write_timeout);
            if Instant::now() > *deadline.get_or_insert_with(|| deadline_after(patience)) {
                return Err(self.slow_reader(ErrorKind::TimedOut.into()));
            }
            let rest = match done.checked_sub(head.len()) {
                Some(done) => &body[done..],
                None => &head[done..],
            };
            written = (&self.socket.stream).write(rest);
        }
    }

    fn slow_reader(&self, error: io::Error) -> io::Error {
        if is_timeout(&error) {
            self.shared.meters.readers_too_slow.add_one();
        }
        error
    }

    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        self.shared.meters.requests_refused.add_one();
        if refusal == HEAD_TOO_SLOW || refusal == BODY_TOO_SLOW {
            self.shared.meters.heads_too_slow.add_one();
        }
        self.write(&refusal.into(), false, true)?;
        self.linger()
    }

    /// Ends the connection so that the client can read its last answer.
    fn linger(&mut self) -> io::Result<()> {
        self.socket.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER;
        let mut drained = 0;
        while drained < LINGER_BYTES {
            self.buffer.clear();
            match self.read(Some(deadline), Duration::ZERO)? {
                None | Some(0) => break,
                Some(len) => drained += len,
            }
        }
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
