//! One connection: read a request whole, have it answered, write the answer, and again.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::head::{self, BODY_TOO_SLOW, HEAD_TOO_SLOW, Head, Method, Refusal};
use super::input::Input;
use super::limits::Limits;
use super::request::Request;
use super::shared::{Shared, Socket};
use super::stream::{Greeting, Stream, Wait, is_timeout};
use crate::clock::deadline_after;

/// Least bytes of room for a read of a body.
const BODY_ROOM_BYTES: usize = 4 << 10;
/// What is read, and for how long, of the rest of a refused request: closing a socket with
/// bytes unread would reset it, and the client would lose the answer.
const LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_millis(500);

pub(super) struct Connection {
    socket: Arc<Socket>,
    shared: Arc<Shared>,
    stream: Stream,
    input: Input,
    /// The head of an answer, on its way out; kept for the next one.
    output: Vec<u8>,
}

/// How waiting for more of a head ended.
enum More {
    Came,
    TooSlow,
    /// The client closed, or was silent for too long between requests.
    Ended,
}

impl Connection {
    pub(super) fn new(socket: Arc<Socket>, shared: Arc<Shared>) -> io::Result<Self> {
        let stream = Stream::new(Arc::clone(&socket), &shared.limits)?;
        Ok(Self { socket, shared, stream, input: Input::default(), output: Vec::new() })
    }

    /// The connection's life. An error is the client's: there is nobody to tell.
    pub(super) fn run(mut self) -> io::Result<()> {
        if !self.greet()? {
            return Ok(());
        }
        loop {
            let mut deadline = None;
            let head = loop {
                match head::parse(self.input.unused(), &self.shared.limits) {
                    Ok(Some(head)) => break head,
                    Ok(None) => {}
                    Err(refusal) => return self.refuse(refusal),
                }
                match self.receive_more(&mut deadline)? {
                    More::Came => {}
                    More::TooSlow => return self.refuse(HEAD_TOO_SLOW),
                    // Closed by us: a request that crosses finds an end, and no reset.
                    More::Ended if self.shared.is_draining() => return self.linger(),
                    More::Ended => {
                        self.stream.say_farewell();
                        return Ok(());
                    }
                }
            };
            let arrived = &self.input.unused()[head.len..];
            let arrived = &arrived[..arrived.len().min(head.body_len)];
            let (method, keep_alive) = (head.method, head.keep_alive);
            let Head { target, within, left, conditions, .. } = head;
            let used = head.len + arrived.len();
            let answer = match self.shared.may_ask(&head) {
                Ok(hash) => {
                    let body = receive_body(&mut self.stream, &head, arrived, &self.shared.limits)?;
                    let Some(body) = body else { return self.refuse(BODY_TOO_SLOW) };
                    self.shared.meters.requests.add_one();
                    let request = Request { method, target, within, left, conditions, body };
                    self.shared.answer_if_admitted(&request, hash, &self.socket)
                }
                Err(answer) if head.body_len == 0 => answer,
                Err(answer) => {
                    self.write(&answer, false, method != Method::Head)?;
                    return self.linger();
                }
            };
            self.input.use_up(used);
            let keep_alive = keep_alive && !self.shared.is_draining();
            self.write(&answer, keep_alive, method != Method::Head)?;
            self.socket.busy.store(!self.input.is_empty(), Ordering::SeqCst);
            // Only who has been told so: another one may have sent its next request.
            if !keep_alive {
                return self.linger();
            }
        }
    }

    /// Begins TLS where it is spoken; whether there is somebody to serve.
    fn greet(&mut self) -> io::Result<bool> {
        let Some(tls) = &self.shared.tls else { return Ok(true) };
        let greeting = self.stream.start_tls(tls, self.shared.limits.handshake_timeout);
        match greeting {
            Ok(Greeting::Tls) => return Ok(true),
            Ok(Greeting::Nobody) => return Ok(false),
            Ok(Greeting::InTheClear) | Err(_) => self.shared.meters.handshakes_failed.add_one(),
        }
        match greeting {
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) => return Err(error),
            Ok(_) => {
                let line = "this port speaks TLS: write https:// instead of http://";
                self.write(&Answer::text(400, line), false, true)?;
            }
        }
        // So that the client can read what is wrong with it.
        self.linger()?;
        Ok(false)
    }

    /// Reads more of a head, until `deadline`, which is set when its first bytes are there.
    fn receive_more(&mut self, deadline: &mut Option<Instant>) -> io::Result<More> {
        let limits = &self.shared.limits;
        let wait = if self.input.is_empty() {
            Wait::For(limits.idle_timeout)
        } else {
            Wait::Until(*deadline.get_or_insert_with(|| deadline_after(limits.head_timeout)))
        };
        Ok(match (self.stream.read(self.input.room(), wait)?, wait) {
            (Some(0), _) | (None, Wait::For(_)) => More::Ended,
            (None, Wait::Until(_)) => More::TooSlow,
            (Some(len), _) => {
                self.socket.busy.store(true, Ordering::SeqCst);
                self.input.fill(len);
                More::Came
            }
        })
    }

    /// Writes an answer in one system call, when the socket takes it all at once.
    fn write(&mut self, answer: &Answer, keep_alive: bool, with_body: bool) -> io::Result<()> {
        self.output.clear();
        answer.write_head(&mut self.output, keep_alive);
        let mut body: &[u8] = &[];
        if with_body {
            self.output.extend_from_slice(&answer.prefix);
            body = &answer.body;
        }
        self.stream.write(&self.output, body).inspect_err(|error| {
            if is_timeout(error) {
                self.shared.meters.readers_too_slow.add_one();
            }
        })
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
        self.stream.end()?;
        let deadline = Instant::now() + LINGER;
        let mut drained = 0;
        self.input = Input::default();
        while drained < LINGER_BYTES {
            match self.stream.read(self.input.room(), Wait::Until(deadline))? {
                None | Some(0) => break,
                Some(len) => drained += len,
            }
        }
        Ok(())
    }
}

/// The body, of which some may have arrived with the head; none when it was not complete in
/// time. Nothing beyond it is read.
fn receive_body(
    stream: &mut Stream,
    head: &Head<'_>,
    arrived: &[u8],
    limits: &Limits,
) -> io::Result<Option<Vec<u8>>> {
    let mut body = arrived.to_vec();
    let mut filled = body.len();
    if filled == head.body_len {
        return Ok(Some(body));
    }
    if head.expects_continue && arrived.is_empty() {
        stream.write(b"HTTP/1.1 100 Continue\r\n\r\n", &[])?;
    }
    let deadline = deadline_after(limits.body_timeout);
    while filled < head.body_len {
        if filled == body.len() {
            // As it comes: a length alone should not cost memory.
            body.resize(head.body_len.min(filled + filled.max(BODY_ROOM_BYTES)), 0);
        }
        match stream.read(&mut body[filled..], Wait::Until(deadline))? {
            Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Some(len) => filled += len,
            None => return Ok(None),
        }
    }
    Ok(Some(body))
}
