//! The ring: who owns a key, and a new list of peers.
//!
//! A look-up is measured through `HttpPool::owner`, which also copies the owner's name; the
//! ring of one node shows what that costs with next to nothing to search.

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use larder::HttpPool;
use support::{Plan, ROUNDS, Table, decimals, grouped, hammer, key, median};

const PEERS: [usize; 4] = [1, 3, 10, 100];
const KEYS: usize = 10_000;
/// Builds of each ring in a round.
const BUILDS: u32 = 20;

struct Ring {
    pool: HttpPool,
    urls: Vec<String>,
    /// The owner of each key, as the ring first told it.
    owners: Vec<String>,
}

#[derive(Debug, Default)]
struct Times {
    lookup: Vec<f64>,
    /// A list that the pool has not had: with a new client to each peer.
    first: Vec<f64>,
    /// The list that the pool has: the ring alone is new.
    again: Vec<f64>,
}

fn main() {
    let plan = Plan::announce("ring: look-ups of 20-byte keys, and set_peers", 6.0);
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let rings: Vec<Ring> = PEERS.into_iter().map(|peers| Ring::new(peers, &keys)).collect();
    let mut times: HashMap<usize, Times> = HashMap::new();
    for _ in 0..ROUNDS {
        for ring in &rings {
            let times = times.entry(ring.urls.len()).or_default();
            times.lookup.push(ring.lookup(&keys, plan.slice(PEERS.len())));
            let (first, again) = ring.build();
            times.first.push(first);
            times.again.push(again);
        }
    }
    let columns = ["peers", "ns/look-up", "min", "set_peers, new peers", "set_peers, same peers"];
    let mut table = Table::new(&columns);
    for (peers, times) in PEERS.iter().map(|peers| (peers, &times[peers])) {
        let least = times.lookup.iter().copied().fold(f64::INFINITY, f64::min);
        table.row([
            peers.to_string(),
            grouped(median(times.lookup.iter().copied())),
            grouped(least),
            format!("{} us", decimals(median(times.first.iter().copied()))),
            format!("{} us", decimals(median(times.again.iter().copied()))),
        ]);
    }
    table.print();
}

impl Ring {
    fn new(peers: usize, keys: &[String]) -> Self {
        let urls: Vec<String> = (1..=peers).map(|n| format!("http://10.0.0.{n}:8001")).collect();
        let pool = HttpPool::builder().advertise(&urls[0]).peers(&urls).start().expect("a pool");
        let owners: Vec<String> = keys.iter().map(|key| pool.owner(key)).collect();
        for url in &urls {
            let owned = owners.iter().filter(|owner| *owner == url).count();
            assert!(owned * peers * 4 > keys.len(), "{url} owns {owned} keys, too few");
        }
        Self { pool, urls, owners }
    }

    /// Nanoseconds for one look-up.
    fn lookup(&self, keys: &[String], time: Duration) -> f64 {
        let look = |(): &mut ()| {
            for (key, owner) in keys.iter().zip(&self.owners) {
                assert_eq!(self.pool.owner(key), *owner);
            }
            keys.len() as u64
        };
        hammer(1, time, |_| (), look).0.nanos()
    }

    /// Microseconds for a list of new peers, and for one of the same.
    fn build(&self) -> (f64, f64) {
        let (mut first, mut again) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..BUILDS {
            self.pool.set_peers(&self.urls[..1]).expect("this node alone");
            first += self.set_peers();
            again += self.set_peers();
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(BUILDS);
        (micros(first), micros(again))
    }

    fn set_peers(&self) -> Duration {
        let started = Instant::now();
        self.pool.set_peers(&self.urls).expect("all peers");
        let took = started.elapsed();
        assert_eq!(self.pool.peers().len(), self.urls.len());
        took
    }
}
