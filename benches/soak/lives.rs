//! What clients do, each at random: most ask and ask; some cut off, some read slowly.

use std::io;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::client::Talk;
use super::keys;
use super::ring::{Door, Ring};

const BUSY: usize = 16;
const SLOW: usize = 8;
/// Connections that a busy client leaves open in the middle of something.
const PARKED: usize = 8;
/// Failures that are printed.
const SHOWN: usize = 8;
/// A peer's answer has no more bytes before the value.
const FRAME_BYTES: usize = 64;
/// What every value starts with.
const START: &[u8] = b"<<k";
/// A node waits for a reader that stands still for less.
const STANDSTILL: Duration = Duration::from_secs(3);

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) cuts: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) wrong: AtomicU64,
    /// The longest wait of a busy client for an answer, in microseconds; taken by who looks.
    pub(crate) slowest: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong.load(Relaxed)
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    fn fail(&self, counter: &AtomicU64, text: String) {
        counter.fetch_add(1, Relaxed);
        let mut failures = self.failures.lock().unwrap();
        if failures.len() < SHOWN {
            failures.push(text);
        }
    }
}

/// The clients of a ring.
pub(crate) struct Crowd<'a> {
    ring: &'a Ring,
    tally: &'a Tally,
    seed: u64,
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(ring: &'a Ring, tally: &'a Tally, seed: u64) -> Self {
        Self { ring, tally, seed }
    }

    /// All clients for so long; until the last connection is closed.
    pub(crate) fn live(&self, time: Duration) {
        let until = Instant::now() + time;
        std::thread::scope(|scope| {
            for n in 0..BUSY + SLOW {
                let rng = fastrand::Rng::with_seed(self.seed.wrapping_add(n as u64));
                let mut client =
                    Client { ring: self.ring, tally: self.tally, rng, parked: Vec::new() };
                scope.spawn(move || {
                    while Instant::now() < until {
                        if n < BUSY { client.live_busily() } else { client.live_slowly(until) }
                    }
                });
            }
        });
    }
}

struct Client<'a> {
    ring: &'a Ring,
    tally: &'a Tally,
    rng: fastrand::Rng,
    parked: Vec<Talk<'a>>,
}

impl<'a> Client<'a> {
    fn door(&mut self) -> &'a Door {
        &self.ring.doors[self.rng.usize(..self.ring.doors.len())]
    }

    /// One connection from its beginning to its end.
    fn live_busily(&mut self) {
        self.tally.connects.fetch_add(1, Relaxed);
        let door = self.door();
        let lived = Talk::begin(door).and_then(|talk| match self.rng.u8(..20) {
            0..=11 => self.ask(talk),
            12..=14 => self.ask_many_at_once(talk),
            15..=16 => self.cut_a_request(talk),
            17..=18 => self.cut_an_answer(talk),
            _ => self.park(talk),
        });
        if let Err(error) = lived {
            self.tally.fail(&self.tally.errors, format!("{}: {error}", door.addr));
        }
    }

    fn ask(&mut self, mut talk: Talk<'a>) -> io::Result<()> {
        for _ in 0..self.rng.usize(1..400) {
            let key = keys::any(&mut self.rng);
            let started = Instant::now();
            talk.send(talk.request(key).as_bytes())?;
            self.hear(&mut talk, key)?;
            self.tally.slowest.fetch_max(started.elapsed().as_micros() as u64, Relaxed);
        }
        Ok(())
    }

    fn ask_many_at_once(&mut self, mut talk: Talk<'a>) -> io::Result<()> {
        for _ in 0..self.rng.usize(1..10) {
            let keys: Vec<usize> =
                (0..self.rng.usize(2..20)).map(|_| keys::any(&mut self.rng)).collect();
            let requests: String = keys.iter().map(|&key| talk.request(key)).collect();
            talk.send(requests.as_bytes())?;
            for key in keys {
                self.hear(&mut talk, key)?;
            }
        }
        Ok(())
    }

    /// Reads the answer to a get of `key`.
    fn hear(&self, talk: &mut Talk<'_>, key: usize) -> io::Result<()> {
        let (status, body) = talk.answer()?;
        self.tally.requests.fetch_add(1, Relaxed);
        let name = keys::name(key);
        if status != 200 {
            let body = String::from_utf8_lossy(body);
            self.tally.fail(&self.tally.errors, format!("{name}: {status}: {body}"));
        } else if !self.is_value(key, body) {
            let body = body[..body.len().min(200)].escape_ascii();
            self.tally.fail(&self.tally.wrong, format!("{name} is answered with {body}"));
        }
        Ok(())
    }

    /// Whether a body is the value, of the right length and for this key, with no more than a
    /// peer's message around it.
    fn is_value(&self, key: usize, body: &[u8]) -> bool {
        let value = self.ring.values[key].as_bytes();
        let frame = body.len().checked_sub(value.len()).filter(|len| *len <= FRAME_BYTES);
        // No value begins earlier.
        let begins = |len| body.windows(START.len()).position(|at| at == START) == Some(len);
        frame.is_some_and(|len| begins(len) && body[len..] == *value)
    }

    /// Leaves within a request, or within the handshake before it.
    fn cut_a_request(&mut self, mut talk: Talk<'a>) -> io::Result<()> {
        self.tally.cuts.fetch_add(1, Relaxed);
        if self.rng.bool() {
            let request = talk.request(keys::any(&mut self.rng));
            // It may have been enough for the other side.
            let _ = talk.send(&request.as_bytes()[..self.rng.usize(1..request.len())]);
        } else {
            let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
            let _ =
                io::Write::write_all(&mut talk.socket(), &hello[..self.rng.usize(..hello.len())]);
        }
        self.leave(talk)
    }

    /// Leaves before an answer, or within it.
    fn cut_an_answer(&mut self, mut talk: Talk<'a>) -> io::Result<()> {
        self.tally.cuts.fetch_add(1, Relaxed);
        let key =
            if self.rng.u8(..8) == 0 { keys::big(&mut self.rng) } else { keys::any(&mut self.rng) };
        talk.send(talk.request(key).as_bytes())?;
        if self.rng.bool() {
            talk.read(self.rng.usize(1..20_000))?;
        }
        self.leave(talk)
    }

    fn leave(&mut self, talk: Talk<'a>) -> io::Result<()> {
        match self.rng.u8(..3) {
            0 => talk.reset(),
            1 => drop(talk.socket().shutdown(Shutdown::Write)),
            _ => {}
        }
        Ok(())
    }

    /// Says something, or not, and stays for a while.
    fn park(&mut self, mut talk: Talk<'a>) -> io::Result<()> {
        if self.rng.bool() {
            let key = keys::any(&mut self.rng);
            talk.send(talk.request(key).as_bytes())?;
            self.hear(&mut talk, key)?;
        }
        self.parked.push(talk);
        if self.parked.len() > PARKED {
            self.parked.swap_remove(self.rng.usize(..PARKED));
        }
        Ok(())
    }

    /// Asks for much and takes it in little pieces; every fourth time it stops and is cut off.
    fn live_slowly(&mut self, until: Instant) {
        self.tally.connects.fetch_add(1, Relaxed);
        let (door, key) = (self.door(), keys::big(&mut self.rng));
        let stands_still = self.rng.u8(..4) == 0;
        let lived = Talk::with_little_room(door).and_then(|mut talk| {
            talk.send(talk.request(key).as_bytes())?;
            if stands_still {
                std::thread::sleep(STANDSTILL.min(until.saturating_duration_since(Instant::now())));
                return Ok(());
            }
            let mut got = 0;
            while Instant::now() < until && got < self.ring.values[key].len() {
                match talk.read(16 << 10)? {
                    0 => break,
                    len => got += len,
                }
                std::thread::sleep(Duration::from_millis(self.rng.u64(1..20)));
            }
            self.hear(&mut talk, key)
        });
        if let Err(error) = lived {
            self.tally.fail(&self.tally.errors, format!("{} to a slow reader: {error}", door.addr));
        }
    }
}
