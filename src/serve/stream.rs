//! The bytes of a connection: all that is read from its socket or written to it passes here.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::shared::Socket;
use crate::clock::deadline_after;
use crate::tls::{Session, Tls};

/// A reader slower than this many bytes a second, over a whole answer, is cut off.
const SLOWEST_READER: usize = 1 << 10;
/// The first byte of whoever speaks TLS: that of a handshake's record.
const TLS_HANDSHAKE: u8 = 22;

pub(super) struct Stream {
    socket: Arc<Socket>,
    /// None in the clear.
    session: Option<Box<Session>>,
    /// The socket's read timeout as it was last set.
    read_timeout: Option<Duration>,
    /// How long a write may stand still.
    write_timeout: Duration,
    /// How long the rest of a TLS record may take.
    record_timeout: Duration,
}

/// How long to wait for bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    For(Duration),
    Until(Instant),
}

/// Who is on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    /// The session has begun.
    Tls,
    /// Somebody who does not speak TLS.
    InTheClear,
    /// Nobody: closed without a byte.
    Nobody,
}

impl Stream {
    pub(super) fn new(socket: Arc<Socket>, limits: &Limits) -> io::Result<Self> {
        socket.stream.set_nodelay(true)?;
        socket.stream.set_write_timeout(Some(limits.write_timeout))?;
        Ok(Self {
            socket,
            session: None,
            read_timeout: None,
            write_timeout: limits.write_timeout,
            record_timeout: limits.head_timeout,
        })
    }

    /// Shakes hands, within `timeout` however little comes at a time. After an error the stream
    /// is in the clear as before.
    pub(super) fn start_tls(&mut self, tls: &Tls, timeout: Duration) -> io::Result<Greeting> {
        let mut carrier = self.carrier(Wait::Until(deadline_after(timeout)));
        match carrier.peek()? {
            None => return Ok(Greeting::Nobody),
            Some(TLS_HANDSHAKE) => {}
            Some(_) => return Ok(Greeting::InTheClear),
        }
        let mut session = Box::new(tls.accept()?);
        session.handshake(&mut carrier)?;
        self.session = Some(session);
        Ok(Greeting::Tls)
    }

    /// Reads into `room`: how many bytes, or none when the time is over.
    pub(super) fn read(&mut self, room: &mut [u8], wait: Wait) -> io::Result<Option<usize>> {
        let (session, mut carrier) = self.split(wait);
        let read = match session {
            None => carrier.read(room),
            Some(session) => session.read(&mut carrier, room),
        };
        match read {
            Err(error) if is_timeout(&error) => Ok(None),
            read => read.map(Some),
        }
    }

    fn carrier(&mut self, wait: Wait) -> Carrier<'_> {
        self.split(wait).1
    }

    /// The session, if there is one, and what carries its bytes.
    fn split(&mut self, wait: Wait) -> (Option<&mut Session>, Carrier<'_>) {
        let carrier = Carrier {
            socket: &self.socket.stream,
            read_timeout: &mut self.read_timeout,
            wait,
            has_begun: false,
            rest: self.record_timeout,
        };
        (self.session.as_deref_mut(), carrier)
    }

    /// Writes a head and the body behind it, in one system call when the socket takes it all
    /// at once. A reader that is too slow is a time-out.
    pub(super) fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let total = head.len() + body.len();
        let (mut done, mut deadline) = (0_usize, None);
        loop {
            let parts = match done.checked_sub(head.len()) {
                Some(done) => [IoSlice::new(&[]), IoSlice::new(&body[done..])],
                None => [IoSlice::new(&head[done..]), IoSlice::new(body)],
            };
            let mut stream = &self.socket.stream;
            let (written, flushed) = match (&mut self.session, &parts) {
                (Some(session), parts) => {
                    let taken = session.write(&mut stream, parts);
                    (taken, session.is_flushed())
                }
                // One part is written without a vector: that is a shorter way.
                (None, [part, none] | [none, part]) if none.is_empty() => {
                    (stream.write(part), true)
                }
                (None, parts) => (stream.write_vectored(parts), true),
            };
            match written {
                Ok(0) if self.session.is_none() => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => done += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if done == total && flushed {
                return Ok(());
            }
            // A reader that takes a byte at a time would hold this thread for hours.
            let patience = Duration::from_secs((total / SLOWEST_READER) as u64);
            let patience = patience.saturating_add(self.write_timeout);
            if Instant::now() > *deadline.get_or_insert_with(|| deadline_after(patience)) {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Tells the client that nothing more will come.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.say_farewell();
        self.socket.stream.shutdown(Shutdown::Write)
    }

    /// The part of an end that is said inside TLS.
    pub(super) fn say_farewell(&mut self) {
        if let Some(session) = &mut self.session {
            session.close(&mut &self.socket.stream);
        }
    }
}

/// The socket, as it is used for one call.
struct Carrier<'a> {
    socket: &'a TcpStream,
    read_timeout: &'a mut Option<Duration>,
    wait: Wait,
    /// Something has come that was not enough.
    has_begun: bool,
    /// How long the rest of it may take.
    rest: Duration,
}

impl Carrier<'_> {
    /// The first byte that comes, which is still to be read; none at the end.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let len = self.until_it_comes(|socket| socket.peek(&mut byte))?;
        Ok((len > 0).then_some(byte[0]))
    }

    fn until_it_comes(
        &mut self,
        mut receive: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            if let (Wait::For(_), true) = (self.wait, self.has_begun) {
                self.wait = Wait::Until(deadline_after(self.rest));
            }
            let timeout = match self.wait {
                Wait::For(timeout) => timeout,
                Wait::Until(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if timeout.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            if *self.read_timeout != Some(timeout) {
                self.socket.set_read_timeout(Some(timeout))?;
                *self.read_timeout = Some(timeout);
            }
            match receive(self.socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => {
                    self.has_begun = true;
                    return received;
                }
            }
        }
    }
}

impl Read for Carrier<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.until_it_comes(|mut socket| socket.read(room))
    }
}

impl Write for Carrier<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
