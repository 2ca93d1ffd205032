mod failing;
mod lives;
mod negative;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::clock::Clock;
use crate::error::{BoxError, NotFound};
use crate::group::GroupOptions;
use crate::peer::{Peer, PeerError, PeerPicker};
use crate::sync::{Condvar, Mutex};

const SECOND: Duration = Duration::from_secs(1);
/// Generous: only a hang is longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Down,
    Panics,
    Hangs,
    HasNone,
}

/// Gives `KEY N` at the Nth load of a key, by its mood.
struct Origin {
    mood: Mutex<Mood>,
    changed: Condvar,
    loads: Mutex<HashMap<String, u64>>,
}

impl Origin {
    fn is(&self, mood: Mood) {
        *self.mood.lock() = mood;
        self.changed.notify_all();
    }

    fn loads(&self, key: &str) -> u64 {
        self.loads.lock().get(key).copied().unwrap_or(0)
    }

    fn load(&self, key: &str) -> Result<String, BoxError> {
        let n = {
            let mut loads = self.loads.lock();
            let n = loads.entry(key.to_owned()).or_default();
            *n += 1;
            *n
        };
        let mut mood = self.mood.lock();
        while *mood == Mood::Hangs {
            self.changed.wait(&mut mood);
        }
        match *mood {
            Mood::Well | Mood::Hangs => Ok(format!("{key} {n}")),
            Mood::Down => Err("down".into()),
            Mood::HasNone => Err(NotFound.into()),
            Mood::Panics => panic!("on purpose"),
        }
    }
}

/// A group, its origin, and the hand that moves its clock.
struct Rig {
    group: Group,
    origin: Arc<Origin>,
    millis: Arc<AtomicU64>,
}

impl Rig {
    /// Values live for 10 s.
    fn new(options: impl FnOnce(GroupOptions) -> GroupOptions) -> Self {
        let (clock, millis) = Clock::manual();
        let origin = Arc::new(Origin {
            mood: Mutex::new(Mood::Well),
            changed: Condvar::new(),
            loads: Mutex::default(),
        });
        let given = GroupOptions::new(1 << 20).get_timeout(PATIENCE).clock(clock);
        let given = options(given.ttl(10 * SECOND).ttl_jitter(0.0));
        let getter = Arc::clone(&origin);
        let group = given.build("g", move |key: &str| getter.load(key)).unwrap();
        Self { group, origin, millis }
    }

    fn at(&self, secs: u64) {
        self.at_millis(secs * 1_000);
    }

    fn at_millis(&self, millis: u64) {
        self.millis.store(millis, Ordering::SeqCst);
    }

    fn get(&self, key: &str) -> Result<(String, Source)> {
        let deadline = Instant::now() + PATIENCE;
        let fetched = self.group.fetch(key, deadline, Asker::Client)?;
        Ok((fetched.value.as_str().unwrap().to_owned(), fetched.source))
    }

    fn gives(&self, key: &str, value: &str, source: Source) {
        assert_eq!(self.get(key), Ok((value.to_owned(), source)));
    }

    fn is_loaded(&self, times: u64) {
        wait_until("loads", || self.origin.loads("k") == times);
        wait_until("loads have ended", || self.group.stats().getters_running == 0);
    }
}

fn stale(age_secs: u32) -> Source {
    Source::Stale { age_secs }
}

/// A peer that owns every key, and has it stale or not at all.
struct Owner(Option<u32>);

impl Peer for Owner {
    fn name(&self) -> &'static str {
        "owner"
    }

    fn get(&self, _: &str, key: &str, _: Instant) -> Result<Loaded, PeerError> {
        let failed = Error::Peer { peer: "owner".to_owned(), message: "cut off".to_owned() };
        let age = self.0.ok_or(PeerError::Failed(failed))?;
        let old = Loaded::new(key).with_ttl(Duration::ZERO);
        Ok(Loaded { stale_age_secs: Some(age), ..old })
    }
}

struct AllHis(Arc<Owner>);

impl PeerPicker for AllHis {
    fn pick(&self, _key: &str) -> Option<Arc<dyn Peer>> {
        Some(Arc::<Owner>::clone(&self.0))
    }
}

impl Rig {
    /// A peer owns all keys from now on.
    fn is_owned(&self, owner: Owner) {
        self.group.register_peers(Arc::new(AllHis(Arc::new(owner)))).unwrap();
    }
}
