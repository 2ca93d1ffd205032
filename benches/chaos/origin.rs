//! The origin: a server of this program that counts its loads and misbehaves on command, and the
//! getter by which nodes ask it.
//!
//! ```text
//! KEY\n              ->  ok LENGTH TTL_MS\n and the value, or error MESSAGE\n
//! ```

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use larder::{BoxError, Getter, Loaded};

use super::schedule::Mood;
use super::value;

/// A handle to the origin, which runs until the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    ttl: Option<Duration>,
    /// What each load takes at most; at random.
    takes: Duration,
    /// Of the keys that were written.
    versions: HashMap<String, u64>,
    loads: HashMap<String, u64>,
    /// When each load began.
    times: Vec<Instant>,
    /// When gets may fail, because the origin did: a begin, and an end when it is over.
    bad_times: Vec<(Instant, Option<Instant>)>,
}

/// Time for what began in a bad time to be told.
const AFTERMATH: Duration = Duration::from_millis(500);
const STACK_BYTES: usize = 128 << 10;

impl Origin {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let state = State {
            mood: Mood::Fine,
            ttl: None,
            takes: Duration::ZERO,
            versions: HashMap::new(),
            loads: HashMap::new(),
            times: Vec::new(),
            bad_times: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let origin = Self { addr, shared };
        let accepts = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = accepts.clone();
                let serve = move || drop(origin.serve(&stream));
                let _ = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(serve);
            }
        });
        Ok(origin)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        let mut state = self.lock();
        let now = Instant::now();
        if let Some((_, end @ None)) = state.bad_times.last_mut() {
            *end = Some(now);
        }
        if matches!(mood, Mood::Failing | Mood::Hanging) {
            state.bad_times.push((now, None));
        }
        state.mood = mood;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// From now on values live for so long.
    pub(crate) fn set_ttl(&self, ttl: Duration) {
        self.lock().ttl = Some(ttl);
    }

    /// From now on loads take up to so long, also when nothing is wrong.
    pub(crate) fn set_time(&self, takes: Duration) {
        self.lock().takes = takes;
    }

    pub(crate) fn write(&self, key: &str, version: u64) {
        self.lock().versions.insert(key.to_owned(), version);
    }

    /// Whether the origin failed or hung at some moment between these, or shortly before.
    pub(crate) fn was_bad(&self, from: Instant, to: Instant) -> bool {
        let overlaps = |(begin, end): &(Instant, Option<Instant>)| {
            *begin <= to && end.is_none_or(|end| end + AFTERMATH >= from)
        };
        self.lock().bad_times.iter().any(overlaps)
    }

    /// How often each key was loaded.
    pub(crate) fn loads(&self) -> HashMap<String, u64> {
        self.lock().loads.clone()
    }

    /// When each load since `since` began.
    pub(crate) fn load_times(&self, since: Instant) -> Vec<Instant> {
        self.lock().times.iter().copied().filter(|&time| time >= since).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread panics with the lock held")
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(key) = lines.next().transpose()? {
            let mut writer = stream;
            writer.write_all(&self.answer(&key))?;
        }
        Ok(())
    }

    /// The version is that of the moment when it is asked, however long the answer takes: no
    /// load could be older.
    fn answer(&self, key: &str) -> Vec<u8> {
        let mut state = self.lock();
        let version = state.versions.get(key).copied().unwrap_or(1);
        *state.loads.entry(key.to_owned()).or_default() += 1;
        state.times.push(Instant::now());
        match state.mood {
            Mood::Fine if state.takes.is_zero() => {}
            Mood::Fine => {
                let takes = state.takes.mul_f64(fastrand::f64());
                drop(state);
                std::thread::sleep(takes);
                state = self.lock();
            }
            Mood::Slow(time) => {
                drop(state);
                std::thread::sleep(time);
                state = self.lock();
            }
            Mood::Failing => return b"error the origin fails on command\n".to_vec(),
            Mood::Hanging => {
                while state.mood == Mood::Hanging {
                    state = self.shared.changed.wait(state).expect("no thread panics");
                }
            }
        }
        let ttl_ms = state.ttl.map_or(0, |ttl| ttl.as_millis());
        drop(state);
        let value = value::make(key, version);
        let mut answer = format!("ok {} {ttl_ms}\n", value.len()).into_bytes();
        answer.extend(value);
        answer
    }
}

/// The getter of a node.
#[derive(Debug)]
pub(crate) struct OriginClient {
    addr: SocketAddr,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

/// As a getter should have one.
const GETTER_TIMEOUT: Duration = Duration::from_secs(8);

impl OriginClient {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, idle: Mutex::default() }
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GETTER_TIMEOUT))?;
        Ok(BufReader::new(stream))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<BufReader<TcpStream>>> {
        self.idle.lock().expect("no thread panics with the lock held")
    }
}

impl Getter for OriginClient {
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        let kept = self.idle().pop();
        let mut stream = kept.map_or_else(|| self.connect(), Ok)?;
        stream.get_ref().write_all(format!("{key}\n").as_bytes())?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        if words.next() != Some("ok") {
            self.idle().push(stream);
            return Err(line.trim_end().into());
        }
        let mut number = || words.next().unwrap_or_default().parse::<u64>();
        let (length, ttl_ms) = (number()?, number()?);
        let mut value = vec![0; length as usize];
        stream.read_exact(&mut value)?;
        self.idle().push(stream);
        let loaded = Loaded::new(value);
        Ok(if ttl_ms > 0 { loaded.with_ttl(Duration::from_millis(ttl_ms)) } else { loaded })
    }
}
