//! How a listener ends without losing a request.
//!
//! ```text
//!   drain begins ──► no new connections ──────────────► the listener is closed
//!     answers say    the kernel finishes handshakes,
//!     `close`        and what has connected is taken
//!                ──► quiet: idle connections may still ask, and are answered
//!                ──► idle connections are closed
//!                ──► deadline: what has not finished is cut off
//! ```
//!
//! HTTP cannot take an idle connection back: a request may be on its way while it is closed. So
//! for a while they stay open, and a client that uses them is told to come no more.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long idle connections may still ask.
const QUIET: Duration = Duration::from_secs(1);
/// How long handshakes that have begun get to end; a round trip of the farthest client.
const HANDSHAKES: Duration = Duration::from_millis(100);
/// How often the listener is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// When a listener that drains does what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    /// Idle connections are closed.
    pub(super) quiet: Instant,
    /// What has not finished is cut off.
    pub(super) deadline: Instant,
}

impl Drain {
    pub(super) fn until(deadline: Instant) -> Self {
        let now = Instant::now();
        let quiet = now + QUIET.min(deadline.saturating_duration_since(now) / 2);
        Self { quiet, deadline }
    }
}

/// A socket to listen on.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    holders: Holders,
}

/// Who has the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holders {
    /// This listener alone.
    One,
    /// Perhaps the process that opened it, or one that takes over. Whatever is done to the
    /// socket is done to theirs, and what is in its queue is not lost: it is left alone.
    Many,
}

impl Listener {
    /// A socket that nobody else has.
    pub(crate) fn own(socket: TcpListener) -> Self {
        Self { socket, holders: Holders::One }
    }

    /// A socket that others may have, too.
    pub(crate) fn shared(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        Ok(Self { socket, holders: Holders::Many })
    }

    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Ends a blocked accept that no connection has ended, if that can be done.
    pub(super) fn interrupt(&self) {
        if self.holders == Holders::One {
            let _ = socket2::SockRef::from(&self.socket).shutdown(Shutdown::Both);
        }
    }

    /// Gives `take` the connections that there are, and those that are being made. Later ones
    /// are not: to their clients the packets seem lost, until the listener is closed and they
    /// are refused.
    pub(super) fn take_the_last(
        &self,
        drain: &Drain,
        mut take: impl FnMut(io::Result<(TcpStream, SocketAddr)>),
    ) {
        if self.holders == Holders::Many || self.socket.set_nonblocking(true).is_err() {
            return;
        }
        // Without it one that is made just when the listener is closed would be reset.
        drop_handshakes(&self.socket);
        let until = drain.quiet.min(Instant::now() + HANDSHAKES);
        loop {
            match self.socket.accept() {
                // Not everywhere does it come without the listener's mode.
                Ok((stream, addr)) => take(stream.set_nonblocking(false).map(|()| (stream, addr))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= until {
                        return;
                    }
                    std::thread::sleep(LOOK);
                }
                Err(error) => take(Err(error)),
            }
            if Instant::now() >= drain.quiet {
                return;
            }
        }
    }
}

/// Has the kernel drop the packets that open new connections.
#[cfg(target_os = "linux")]
fn drop_handshakes(listener: &TcpListener) {
    /// A classic BPF program, which sees a TCP header.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Where the flags are.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    use socket2::SockFilter;
    let program = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    // A kernel that forbids it costs a connection made in the last microsecond.
    let _ = socket2::SockRef::from(listener).attach_filter(&program);
}

#[cfg(not(target_os = "linux"))]
fn drop_handshakes(_listener: &TcpListener) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain() -> Drain {
        Drain::until(Instant::now() + Duration::from_secs(60))
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    #[test]
    fn what_has_connected_is_taken_before_the_listener_is_closed() {
        let (socket, addr) = listener();
        let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut taken = Vec::new();
        Listener::own(socket).take_the_last(&drain(), |accepted| taken.push(accepted.unwrap().1));
        let expected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn whoever_comes_then_does_not_connect() {
        let (socket, addr) = listener();
        drop_handshakes(&socket);
        let late = TcpStream::connect_timeout(&addr, Duration::from_millis(50));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_socket_that_others_have_is_left_as_it_is() {
        let (socket, addr) = listener();
        let shared = Listener::shared(socket.try_clone().unwrap()).unwrap();
        let client = TcpStream::connect(addr).unwrap();
        shared.take_the_last(&drain(), |_| panic!("it is not taken"));
        shared.interrupt();
        drop(shared);
        let (stream, _) = socket.accept().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
    }
}
