//! An open-loop load: gets by a schedule that waits for nobody, and beside them bursts of writes
//! to one key.
//!
//! What a get takes is counted from when it was due, so that a node that stands still delays all
//! gets that were due meanwhile. A get whose node was killed or stopped under it is asked of
//! another one, as a client would, and its time begins anew: nobody could have answered it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client::{Answer, Client, Reply};
use super::history::{History, Verdict};
use super::node::GROUP;
use super::nodes::{Fleet, Place};
use super::origin::Origin;
use super::value;

/// Which keys are asked for.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    /// Each of so many as often as any other.
    Uniform(u64),
    /// Each once, from this number on.
    Cold(u64),
    /// One key with this share, and the others by Zipf's law.
    Hot { share: f64, others: Zipf },
}

/// Numbers from 1 on, of which the n-th has a weight of n to the power of minus `exponent`.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(keys: u64, exponent: f64) -> Self {
        let weight = |n: u64| (n as f64).powf(-exponent);
        let sum = |sum: &mut f64, n| {
            *sum += weight(n);
            Some(*sum)
        };
        Self { sums: (1..=keys).scan(0.0, sum).collect() }
    }

    fn pick(&self, rng: &mut fastrand::Rng) -> u64 {
        let at = rng.f64() * self.sums.last().copied().unwrap_or(0.0);
        1 + self.sums.partition_point(|sum| *sum < at) as u64
    }
}

impl Keys {
    fn pick(&self, ticket: u64, rng: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Uniform(keys) => rng.u64(..keys),
            Self::Cold(first) => first + ticket,
            Self::Hot { share, .. } if rng.f64() < *share => 0,
            Self::Hot { others, .. } => others.pick(rng),
        }
    }
}

/// What is asked of whom, and who knows what is right.
#[derive(Debug, Clone)]
pub(crate) struct Load<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) origin: &'a Origin,
    pub(crate) history: &'a History,
    pub(crate) seed: u64,
    pub(crate) gets_per_second: u64,
    pub(crate) bursts_per_second: u64,
    pub(crate) keys: Keys,
    pub(crate) time: Duration,
}

/// Threads that get; each waits for one answer at a time.
const GETTERS: u64 = 128;
/// Threads that write, each to keys of its own.
const WRITERS: u64 = 4;
/// A get that finds no node this often fails.
const ATTEMPTS: usize = 20;
const STACK_BYTES: usize = 256 << 10;
/// A key is written so often, so that writes meet the loads that earlier ones have caused.
const BURST: usize = 5;
/// Between two of them, at most.
const BURST_PAUSE: Duration = Duration::from_millis(40);
/// The share of the gets that want a key of a burst.
const OF_BURSTS: f64 = 0.5;
/// Examples of what went wrong that are kept.
const EXAMPLES: usize = 12;

/// What was counted in one second, by when it was due.
#[derive(Debug, Clone, Default)]
pub(crate) struct Second {
    pub(crate) gets: u64,
    pub(crate) errors: u64,
    /// Errors while the origin failed or hung.
    pub(crate) excused: u64,
    /// Asked anew, because the node was killed or stopped.
    pub(crate) moved: u64,
    pub(crate) wrong: u64,
    pub(crate) stale: u64,
    pub(crate) confirmed: u64,
    pub(crate) unconfirmed: u64,
}

/// What a load has seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) seconds: Vec<Second>,
    /// When each get was due, in ms from the start, and what it took, in us.
    pub(crate) times: Vec<(u32, u32)>,
    /// Where values came from.
    pub(crate) sources: BTreeMap<String, u64>,
    /// What errors said, without the key.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Of what must never be, told whole.
    pub(crate) examples: Vec<String>,
}

impl Record {
    pub(crate) fn total(&self, count: impl Fn(&Second) -> u64) -> u64 {
        self.seconds.iter().map(count).sum()
    }

    /// What a share of the gets took at most that were due between these times from the start;
    /// none when there were none.
    pub(crate) fn quantile(&self, from: Duration, to: Duration, share: f64) -> Option<Duration> {
        let span = from.as_millis() as u32..to.as_millis() as u32;
        let times = self.times.iter().filter(|(due, _)| span.contains(due));
        let mut times: Vec<u64> = times.map(|&(_, took)| took.into()).collect();
        if times.is_empty() {
            return None;
        }
        Some(Duration::from_micros(super::support::quantile(&mut times, share)))
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.seconds.resize_with(self.seconds.len().max(other.seconds.len()), Second::default);
        for (sum, second) in self.seconds.iter_mut().zip(other.seconds) {
            sum.gets += second.gets;
            sum.errors += second.errors;
            sum.excused += second.excused;
            sum.moved += second.moved;
            sum.wrong += second.wrong;
            sum.stale += second.stale;
            sum.confirmed += second.confirmed;
            sum.unconfirmed += second.unconfirmed;
        }
        self.times.extend(other.times);
        for (all, some) in [(&mut self.sources, other.sources), (&mut self.errors, other.errors)] {
            some.into_iter().for_each(|(name, count)| *all.entry(name).or_default() += count);
        }
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
    }

    fn second(&mut self, since_start: Duration) -> &mut Second {
        let second = since_start.as_secs() as usize;
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Second::default);
        }
        &mut self.seconds[second]
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }
}

impl Load<'_> {
    /// Asks and writes for as long as it is to; `started` is when the first get is due.
    pub(crate) fn run(&self, started: Instant) -> Record {
        let (tickets, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let spawn = || std::thread::Builder::new().stack_size(STACK_BYTES);
            let getters = (0..GETTERS).map(|_| {
                let work = || self.get_all(started, &tickets);
                spawn().spawn_scoped(scope, work).expect("a thread")
            });
            let getters: Vec<_> = getters.collect();
            let writers = (0..WRITERS).map(|writer| {
                let ended = &ended;
                let work = move || self.write_all(started, writer, ended);
                spawn().spawn_scoped(scope, work).expect("a thread")
            });
            let writers: Vec<_> = writers.collect();
            let mut record = Record::default();
            for getter in getters {
                record.join(getter.join().expect("no getter panics"));
            }
            ended.store(true, Ordering::SeqCst);
            for writer in writers {
                record.join(writer.join().expect("no writer panics"));
            }
            record
        })
    }

    fn get_all(&self, started: Instant, tickets: &AtomicU64) -> Record {
        let mut client = Client::new(Arc::clone(&self.fleet.places));
        let mut record = Record::default();
        loop {
            let ticket = tickets.fetch_add(1, Ordering::SeqCst);
            let due = nth(ticket, self.gets_per_second);
            if due >= self.time {
                return record;
            }
            std::thread::sleep((started + due).saturating_duration_since(Instant::now()));
            let mut rng = fastrand::Rng::with_seed(self.seed.wrapping_add(ticket << 1));
            let key = match self.bursts_per_second {
                bursts if bursts > 0 && rng.f64() < OF_BURSTS => {
                    let writer = rng.u64(..WRITERS);
                    let bursts = due.as_millis() as u64 * bursts / 1_000;
                    self.burst_key(writer, bursts.saturating_sub(writer) / WRITERS)
                }
                _ => self.keys.pick(ticket, &mut rng),
            };
            let first = rng.usize(..self.fleet.places.len());
            self.get(&mut client, &mut record, Due { started, due }, key, first);
        }
    }

    /// One get, of the node `first` or else another one that can be asked.
    fn get(&self, client: &mut Client, record: &mut Record, when: Due, key: u64, first: usize) {
        let path = format!("/api/{GROUP}/{}", value::key(key));
        let mut due = when.started + when.due;
        record.second(when.due).gets += 1;
        for _ in 0..ATTEMPTS {
            let Some(node) = up(&self.fleet.places, first) else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let (begun, sent) = (self.history.begin_get(key), Instant::now());
            let answer = match client.get(node, &path) {
                Reply::Lost => {
                    record.second(when.due).moved += 1;
                    due = Instant::now();
                    continue;
                }
                Reply::Failed(reason) => Err(reason),
                Reply::Answer(answer) => Ok(answer),
            };
            let now = Instant::now();
            record.times.push((when.due.as_millis() as u32, micros(now - due)));
            match answer {
                Ok(answer) if answer.status == 200 => {
                    let verdict = self.history.end_get(begun, &answer.body);
                    return judge(record, when, verdict, &answer, node, key);
                }
                Ok(answer) => {
                    let text = String::from_utf8_lossy(&answer.body);
                    let text = format!("{} {}", answer.status, text.trim());
                    return self.failed(record, when, sent, &text, key);
                }
                Err(reason) => return self.failed(record, when, sent, &reason, key),
            }
        }
        self.failed(record, when, due, "no node could be asked", key);
    }

    fn failed(&self, record: &mut Record, when: Due, sent: Instant, text: &str, key: u64) {
        let second = record.second(when.due);
        if self.origin.was_bad(sent, Instant::now()) {
            second.excused += 1;
            return;
        }
        second.errors += 1;
        let text = text.replace(&value::key(key), "KEY");
        *record.errors.entry(text).or_default() += 1;
    }

    fn write_all(&self, started: Instant, writer: u64, ended: &AtomicBool) -> Record {
        let mut client = Client::new(Arc::clone(&self.fleet.places));
        let mut record = Record::default();
        for burst in 0.. {
            let due = nth(burst * WRITERS + writer, self.bursts_per_second.max(1));
            if self.bursts_per_second == 0 || due >= self.time {
                break;
            }
            std::thread::sleep((started + due).saturating_duration_since(Instant::now()));
            let key = self.burst_key(writer, burst);
            let mut rng = fastrand::Rng::with_seed(self.seed.wrapping_add(key << 32 | burst));
            for _ in 0..BURST {
                if ended.load(Ordering::SeqCst) {
                    return record;
                }
                let when = Due { started, due: started.elapsed() };
                self.write(&mut client, &mut record, when, key, &mut rng);
                std::thread::sleep(BURST_PAUSE.mul_f64(rng.f64()));
            }
        }
        record
    }

    /// The key of a writer's burst: one that no other writer writes.
    fn burst_key(&self, writer: u64, burst: u64) -> u64 {
        let Keys::Uniform(keys) = self.keys else { return 0 };
        let seed = self.seed.wrapping_add((burst * WRITERS + writer) << 1 | 1);
        fastrand::Rng::with_seed(seed).u64(..(keys / WRITERS)) * WRITERS + writer
    }

    fn write(
        &self,
        client: &mut Client,
        record: &mut Record,
        when: Due,
        key: u64,
        rng: &mut fastrand::Rng,
    ) {
        let Some(node) = up(&self.fleet.places, rng.usize(..self.fleet.places.len())) else {
            return;
        };
        let (name, version) = (value::key(key), self.history.begin_write(key));
        self.origin.write(&name, version);
        let path = format!("/api/{GROUP}/{name}");
        let reply = match rng.bool() {
            true => client.ask(node, "DELETE", &path, &[]),
            false => client.ask(node, "PUT", &path, &value::make(&name, version)),
        };
        match reply {
            Reply::Answer(answer) if answer.status == 204 => {
                self.history.confirm(key, version);
                record.second(when.due).confirmed += 1;
                self.read_back(client, record, when.started, key, rng);
            }
            _ => record.second(when.due).unconfirmed += 1,
        }
    }

    /// Old values are seen best right after a write, and anywhere.
    fn read_back(
        &self,
        client: &mut Client,
        record: &mut Record,
        started: Instant,
        key: u64,
        rng: &mut fastrand::Rng,
    ) {
        for _ in 0..READ_BACK {
            let when = Due { started, due: started.elapsed() };
            self.get(client, record, when, key, rng.usize(..self.fleet.places.len()));
        }
    }
}

/// Gets of a key right after a write to it was confirmed.
const READ_BACK: usize = 3;

/// When something was due.
#[derive(Debug, Clone, Copy)]
struct Due {
    started: Instant,
    /// From then on.
    due: Duration,
}

/// When the n-th of so many a second is due.
fn nth(n: u64, per_second: u64) -> Duration {
    Duration::from_nanos(n * 1_000_000_000 / per_second)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The first node from `first` on that can be asked.
fn up(places: &[Place], first: usize) -> Option<usize> {
    let nodes = (0..places.len()).map(|n| (first + n) % places.len());
    nodes.into_iter().find(|&node| places[node].turn().is_some())
}

fn judge(record: &mut Record, when: Due, verdict: Verdict, answer: &Answer, node: usize, key: u64) {
    let source = answer.header("x-larder").unwrap_or("unknown").to_owned();
    let at = format!("{:.3} s, node {node}, key {key}, from {source}", when.due.as_secs_f64());
    match verdict {
        Verdict::Right => {}
        Verdict::Stale { got, oldest } => {
            record.second(when.due).stale += 1;
            let late = when.started.elapsed().saturating_sub(when.due).as_millis();
            record.example(|| {
                format!("stale: due at {at}, got {late} ms later: version {got}, not {oldest}")
            });
        }
        Verdict::Wrong(what) => {
            record.second(when.due).wrong += 1;
            record.example(|| format!("wrong: due at {at}: {what}"));
        }
    }
    *record.sources.entry(source).or_default() += 1;
}
