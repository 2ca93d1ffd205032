//! The bytes of a connection: all that is read from its socket or written to it passes here.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Socket;
use crate::clock::deadline_after;

/// A reader slower than this many bytes a second, over a whole answer, is cut off.
const SLOWEST_READER: usize = 1 << 10;

pub(super) struct Stream {
    socket: Arc<Socket>,
    /// The socket's read timeout as it was last set.
    read_timeout: Option<Duration>,
    /// How long a write may stand still.
    write_timeout: Duration,
}

/// How long to wait for bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    For(Duration),
    Until(Instant),
}

impl Stream {
    pub(super) fn new(socket: Arc<Socket>, write_timeout: Duration) -> io::Result<Self> {
        socket.stream.set_nodelay(true)?;
        socket.stream.set_write_timeout(Some(write_timeout))?;
        Ok(Self { socket, read_timeout: None, write_timeout })
    }

    /// Reads into `room`: how many bytes, or none when the time is over.
    pub(super) fn read(&mut self, room: &mut [u8], wait: Wait) -> io::Result<Option<usize>> {
        loop {
            let timeout = match wait {
                Wait::For(timeout) => timeout,
                Wait::Until(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if timeout.is_zero() {
                return Ok(None);
            }
            if self.read_timeout != Some(timeout) {
                self.socket.stream.set_read_timeout(Some(timeout))?;
                self.read_timeout = Some(timeout);
            }
            match (&self.socket.stream).read(room) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if is_timeout(&error) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a head and the body behind it, in one system call when the socket takes it all
    /// at once. A reader that is too slow is a time-out.
    pub(super) fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let total = head.len() + body.len();
        let (mut done, mut deadline) = (0_usize, None);
        loop {
            let mut stream = &self.socket.stream;
            let written = match done.checked_sub(head.len()) {
                Some(done) => stream.write(&body[done..]),
                None if body.is_empty() => stream.write(&head[done..]),
                None => stream.write_vectored(&[IoSlice::new(&head[done..]), IoSlice::new(body)]),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => done += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if done == total {
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
        self.socket.stream.shutdown(Shutdown::Write)
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
