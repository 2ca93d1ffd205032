//! A link between two nodes, in one direction: a proxy that does to answers and connections what
//! a bad network does.
//!
//! Requests on a connection follow each other: what comes back first after a request is the
//! beginning of its answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a link does to what passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Toxic {
    Fine,
    /// Holds one answer of five, for up to so long: answers overtake each other.
    Jitter(Duration),
    /// Holds each answer for so long.
    Latency(Duration),
    /// Passes so many bytes of answers a second.
    Slow(u32),
    /// Passes nothing in either direction, and tells nobody, until it is over.
    BlackHole,
    /// Passes requests and no answers.
    OneWay,
    /// Resets the connections that there are, and each new one.
    Reset,
    /// Ends so many answers of a hundred in their middle.
    Cut(u8),
    /// Flips a bit in the body of so many answers of a hundred.
    Corrupt(u8),
    /// Flips a bit anywhere in the beginning of so many answers of a hundred, the head included.
    Scramble(u8),
}

/// What a link has seen.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// Answers passed on, at least their beginning.
    pub(crate) answers: AtomicU64,
    /// Answers of which a bit was flipped, or the end was cut off.
    pub(crate) damaged: AtomicU64,
    /// Requests without an answer, now and at most.
    pub(crate) waiting: AtomicI64,
    pub(crate) most_waiting: AtomicI64,
}

/// One link; ends with its connections when it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    meters: Meters,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    toxic: Toxic,
    ended: bool,
    rng: fastrand::Rng,
    open: Vec<Weak<Connection>>,
}

/// Both sides of a forwarded connection.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// A request has passed whose answer has not begun.
    asked: AtomicBool,
    /// It ends without a farewell.
    is_reset: AtomicBool,
}

/// What becomes of one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    None,
    Cut,
    FlipInBody,
    FlipAnywhere,
}

const BUFFER_BYTES: usize = 32 << 10;
const STACK_BYTES: usize = 128 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Link {
    /// A link to `target`; `seed` decides which answers are damaged, and where.
    pub(crate) fn start(target: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let rng = fastrand::Rng::with_seed(seed);
        let state = State { toxic: Toxic::Fine, ended: false, rng, open: Vec::new() };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { target, meters: Meters::default(), state, changed });
        let accepts = Arc::clone(&shared);
        let acceptor = spawn(move || {
            for client in listener.incoming().flatten() {
                if accepts.lock().ended {
                    return;
                }
                let link = Arc::clone(&accepts);
                // Connecting may take a while, and others want to connect.
                let _ = spawn(move || link.forward(client));
            }
        })?;
        Ok(Self { addr, shared, acceptor: Some(acceptor) })
    }

    /// Where to connect instead of to the target.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Does this from now on.
    pub(crate) fn set(&self, toxic: Toxic) {
        let mut state = self.shared.lock();
        state.toxic = toxic;
        if toxic == Toxic::Reset {
            reset_all(&mut state);
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        reset_all(&mut state);
        drop(state);
        self.shared.changed.notify_all();
        // The acceptor waits for one more.
        let _ = TcpStream::connect(self.addr);
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn reset_all(state: &mut State) {
    for connection in state.open.drain(..) {
        if let Some(connection) = connection.upgrade() {
            connection.reset();
        }
    }
}

impl Connection {
    /// Ends both sides so that whoever is there is told of a reset.
    fn reset(&self) {
        self.is_reset.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            // Wakes the threads; the reset goes out when the last of them lets go.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    /// Says farewell on one side, unless there is to be none.
    fn finish(&self, stream: &TcpStream) {
        if !self.is_reset.load(Ordering::SeqCst) {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock held")
    }

    fn forward(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect_timeout(&self.target, CONNECT_TIMEOUT) else {
            // As if nobody listened here.
            let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let connection = Arc::new(Connection {
            client,
            server,
            asked: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
        });
        let mut state = self.lock();
        state.open.retain(|connection| connection.strong_count() > 0);
        state.open.push(Arc::downgrade(&connection));
        if state.ended || state.toxic == Toxic::Reset {
            return connection.reset();
        }
        drop(state);
        let (link, requests) = (Arc::clone(self), Arc::clone(&connection));
        let requests = spawn(move || {
            let _ = link.pass_requests(&requests);
            requests.finish(&requests.server);
        });
        if self.pass_answers(&connection).is_err() {
            connection.reset();
        }
        connection.finish(&connection.client);
        // Wakes the thread that passes requests.
        let _ = connection.client.shutdown(Shutdown::Read);
        if let Ok(requests) = requests {
            let _ = requests.join();
        }
        self.end_waiting(&connection);
    }

    /// Whether an answer was waited for.
    fn end_waiting(&self, connection: &Connection) -> bool {
        let was_asked = connection.asked.swap(false, Ordering::SeqCst);
        if was_asked {
            self.meters.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        was_asked
    }

    fn pass_requests(&self, connection: &Connection) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let len = (&connection.client).read(&mut buffer)?;
            if len == 0 {
                // Whoever asked has given up: what comes now is no answer any more.
                self.end_waiting(connection);
                return Ok(());
            }
            if !connection.asked.swap(true, Ordering::SeqCst) {
                let waiting = self.meters.waiting.fetch_add(1, Ordering::SeqCst) + 1;
                self.meters.most_waiting.fetch_max(waiting, Ordering::SeqCst);
            }
            self.wait_while(|toxic| toxic == Toxic::BlackHole);
            (&connection.server).write_all(&buffer[..len])?;
        }
    }

    fn pass_answers(&self, connection: &Connection) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut damage = Damage::None;
        loop {
            let len = (&connection.server).read(&mut buffer)?;
            if len == 0 {
                return Ok(());
            }
            self.wait_while(|toxic| matches!(toxic, Toxic::BlackHole | Toxic::OneWay));
            let is_begin = self.end_waiting(connection);
            if is_begin {
                self.meters.answers.fetch_add(1, Ordering::SeqCst);
                damage = self.hold_and_choose();
            }
            let bytes = &mut buffer[..len];
            if damage == Damage::Cut {
                self.meters.damaged.fetch_add(1, Ordering::SeqCst);
                (&connection.client).write_all(&bytes[..len / 2])?;
                return Ok(());
            }
            if self.flip(damage, is_begin, bytes) {
                self.meters.damaged.fetch_add(1, Ordering::SeqCst);
                damage = Damage::None;
            }
            self.write_at_speed(&connection.client, bytes)?;
        }
    }

    /// Waits as long as the toxic is one of these.
    fn wait_while(&self, is_in_the_way: impl Fn(Toxic) -> bool) {
        let mut state = self.lock();
        while is_in_the_way(state.toxic) && !state.ended {
            state = self.changed.wait(state).expect("no thread panics with the lock held");
        }
    }

    /// What an answer that begins has to suffer, after the time for which it is held.
    fn hold_and_choose(&self) -> Damage {
        let mut state = self.lock();
        let share = match state.toxic {
            Toxic::Jitter(time) => {
                let held = if state.rng.u8(..5) == 0 { state.rng.f64() } else { 0.0 };
                drop(state);
                std::thread::sleep(time.mul_f64(held));
                return Damage::None;
            }
            Toxic::Latency(time) => {
                drop(state);
                std::thread::sleep(time);
                return Damage::None;
            }
            Toxic::Cut(share) | Toxic::Corrupt(share) | Toxic::Scramble(share) => share,
            _ => return Damage::None,
        };
        if state.rng.u8(..100) >= share {
            return Damage::None;
        }
        match state.toxic {
            Toxic::Cut(_) => Damage::Cut,
            Toxic::Corrupt(_) => Damage::FlipInBody,
            _ => Damage::FlipAnywhere,
        }
    }

    /// Flips a bit, if one that is to be flipped is among these bytes.
    fn flip(&self, damage: Damage, is_begin: bool, bytes: &mut [u8]) -> bool {
        let from = match damage {
            Damage::None | Damage::Cut => return false,
            Damage::FlipInBody if is_begin => {
                let head = bytes.windows(4).position(|end| end == b"\r\n\r\n");
                head.map_or(bytes.len(), |head| head + 4)
            }
            Damage::FlipInBody | Damage::FlipAnywhere => 0,
        };
        if from == bytes.len() {
            return false;
        }
        let mut state = self.lock();
        let (byte, bit) = (state.rng.usize(from..bytes.len()), state.rng.u8(..8));
        bytes[byte] ^= 1 << bit;
        true
    }

    fn write_at_speed(&self, mut to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        /// Between two pieces.
        const PAUSE: Duration = Duration::from_millis(20);
        let mut rest = bytes;
        while !rest.is_empty() {
            let toxic = self.lock().toxic;
            let Toxic::Slow(bytes_per_second) = toxic else { return to.write_all(rest) };
            let piece = (bytes_per_second as usize / 50).clamp(1, rest.len());
            to.write_all(&rest[..piece])?;
            rest = &rest[piece..];
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work)
}
