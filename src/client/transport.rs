//! TCP for ureq with three system calls a call: one sees that a pooled connection is still open,
//! one sends, one receives.
//!
//! ureq's own makes ten: three to look at a connection that is taken from the pool, three to
//! look at it when it is given back, and two that tell the kernel how much time is left.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::{self, MaybeUninit};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use socket2::SockRef;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

/// Opens connections; the first link of a chain, on which TLS can be put.
#[derive(Debug)]
pub(super) struct Tcp;

impl Connector<()> for Tcp {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<TcpTransport>, Error> {
        let stream = Arc::new(connect(&details.addrs, details.timeout)?);
        stream.set_nodelay(true)?;
        let handle: Weak<TcpStream> = Arc::downgrade(&stream);
        let handle: Weak<dyn ShutdownHandle> = handle;
        (details.register_shutdown)(handle)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let (read, write) = (Armed::default(), Armed::default());
        Ok(Some(TcpTransport { stream, buffers, read, write, just_used: false }))
    }
}

/// Tries the addresses in turn, each for its share of what is left of the time.
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let deadline = Deadline::of(timeout);
    let mut failed = Error::ConnectionFailed;
    for (tried, address) in addresses.iter().enumerate() {
        let connected = match deadline.left()? {
            None => TcpStream::connect(address),
            Some(left) => {
                let share = left / (addresses.len() - tried) as u32;
                TcpStream::connect_timeout(address, share.max(STEP))
            }
        };
        failed = match connected {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::TimedOut => Error::Timeout(Timeout::Connect),
            Err(error) => Error::Io(error),
        };
    }
    Err(failed)
}

/// A connection to a peer.
pub(super) struct TcpTransport {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    read: Armed,
    write: Armed,
    /// Whether something was received since the connection was last looked at.
    just_used: bool,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let deadline = Deadline::of(timeout.for_write());
        let (mut stream, mut rest) = (&*self.stream, &self.buffers.output()[..amount]);
        while !rest.is_empty() {
            let arm = |timeout| stream.set_write_timeout(timeout);
            let written = self.write.within(deadline, arm, || (&*stream).write(rest))?;
            if written == 0 {
                return Err(io::Error::from(ErrorKind::WriteZero).into());
            }
            rest = &rest[written..];
        }
        stream.flush()?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let deadline = Deadline::of(timeout.for_read());
        let (stream, room) = (&*self.stream, self.buffers.input_append_buf());
        let arm = |timeout| stream.set_read_timeout(timeout);
        let read = self.read.within(deadline, arm, || (&*stream).read(room))?;
        self.buffers.input_appended(read);
        self.just_used = true;
        Ok(read > 0)
    }

    /// ureq asks when a connection goes to its pool, and again when it leaves it: what comes in
    /// between, the end or bytes that nobody asked for, is seen the second time.
    fn is_open(&mut self) -> bool {
        if mem::take(&mut self.just_used) {
            return true;
        }
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let peeked = SockRef::from(&*self.stream).recv_with_flags(&mut byte, flags);
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// When to give up, and what to call it.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    /// None when there is no end.
    at: Option<Instant>,
    reason: Timeout,
}

impl Deadline {
    fn of(timeout: NextTimeout) -> Self {
        Self { at: Instant::now().checked_add(*timeout.after), reason: timeout.reason }
    }

    fn left(self) -> Result<Option<Duration>, Error> {
        let Some(at) = self.at else { return Ok(None) };
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::Timeout(self.reason)) } else { Ok(Some(left)) }
    }
}

/// The shortest wait.
const STEP: Duration = Duration::from_millis(1);

/// The timeout of a socket's reads or writes, as the kernel knows it.
#[derive(Debug, Default)]
struct Armed(Option<Duration>);

impl Armed {
    /// Does `io` until it is done or the time is over.
    ///
    /// Each call has a little less time than the one before it on the same connection. So the
    /// kernel is told a step that fits into it, mostly the same for all, and who waits for
    /// longer than a step goes on with a shorter one.
    fn within<T>(
        &mut self,
        deadline: Deadline,
        arm: impl Fn(Option<Duration>) -> io::Result<()>,
        mut io: impl FnMut() -> io::Result<T>,
    ) -> Result<T, Error> {
        loop {
            let step = deadline.left()?.map(step);
            if self.0 != step {
                arm(step)?;
                self.0 = step;
            }
            match io() {
                Err(error) if is_to_go_on(&error) => {}
                done => return done.map_err(Error::Io),
            }
        }
    }
}

/// The step was over, or a signal came.
fn is_to_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The longest wait of 1, 2, 4, 8... ms that is over before `left` is.
fn step(left: Duration) -> Duration {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(1 << millis.ilog2())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn deadline(after: Duration) -> Deadline {
        Deadline { at: Some(Instant::now() + after), reason: Timeout::Global }
    }

    #[test]
    fn a_step_is_over_in_time_and_at_least_half_of_what_is_left() {
        for left in [2, 3, 1_000, 1_024, 1_999, 86_400_000].map(Duration::from_millis) {
            assert!(step(left) <= left && step(left) > left / 2, "{left:?}: {:?}", step(left));
        }
        assert_eq!(step(Duration::from_micros(1)), STEP);
        assert_eq!(step(Duration::MAX), Duration::from_millis(1 << 63));
    }

    #[test]
    fn calls_with_as_much_time_tell_the_kernel_once() {
        let (armed, told) = (&mut Armed::default(), RefCell::new(Vec::new()));
        let arm = |step| {
            told.borrow_mut().push(step);
            Ok(())
        };
        for micros in [0, 1, 900_000] {
            let after = Duration::from_secs(3_000) - Duration::from_micros(micros);
            armed.within(deadline(after), arm, || Ok(())).unwrap();
        }
        let hours = Some(Duration::from_millis(1 << 21));
        assert_eq!(told.take(), [hours]);
        armed.within(Deadline { at: None, reason: Timeout::Global }, arm, || Ok(())).unwrap();
        assert_eq!(told.take(), [None], "who may wait for ever is not cut off");
    }

    #[test]
    fn who_waits_for_longer_than_a_step_waits_on_until_the_end() {
        let (armed, told) = (&mut Armed::default(), RefCell::new(Vec::new()));
        let (started, after) = (Instant::now(), Duration::from_millis(50));
        let arm = |step: Option<Duration>| {
            told.borrow_mut().push(step.unwrap());
            Ok(())
        };
        // As the kernel does it: the wait is over after the step, or a signal ends it.
        let wait = || -> io::Result<()> {
            std::thread::sleep(*told.borrow().last().unwrap());
            let signal = told.borrow().len() == 2;
            Err(if signal { ErrorKind::Interrupted } else { ErrorKind::WouldBlock }.into())
        };
        let ended = armed.within(deadline(after), arm, wait);
        assert!(matches!(ended, Err(Error::Timeout(Timeout::Global))), "{ended:?}");
        assert!(started.elapsed() >= after);
        assert_eq!(told.borrow()[0], Duration::from_millis(32));
        assert!(told.borrow().is_sorted_by(|one, next| one > next), "{told:?}");
    }
}
