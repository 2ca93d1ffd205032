//! Tombstones: what a node knows of the writes that are under way, and of those that were.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use super::What;
use super::version::{Clock, Version};
use crate::sync::KeyHasher;

/// A tombstone whose write is not heard of any more goes after this long: longer than a write
/// may take, so its coordinator has failed or given up, and has confirmed nothing.
pub(crate) const STONE_AGE: Duration = Duration::from_secs(60);

/// Tombstones of a group that may stand at once; a further write is refused. Long keys count for
/// more.
const MOST_STONES: usize = 1 << 16;
const KEY_BYTES: usize = 128;

/// Keys share so many counters of writes. Two keys that share one cost nothing but a set whose
/// value is not kept, and only when both are written at once.
const COUNTERS: usize = 1 << 12;

/// The tombstones of one group on one node.
#[derive(Debug)]
pub(crate) struct Stones {
    clock: Clock,
    keys: HashMap<Box<str>, Vec<Stone>>,
    all: Vec<Stone>,
    standing: usize,
    swept: Instant,
    hasher: KeyHasher,
    /// How many writes of a key there were, or of one that shares its counter; empty until
    /// something is written.
    writes: Vec<u32>,
    purges: u32,
}

#[derive(Debug, Clone, Copy)]
struct Stone {
    version: Version,
    until: Instant,
    /// No other write of the key was under way when this one came, and this is how many there
    /// had been.
    alone_after: Option<(u32, u32)>,
}

/// As many tombstones stand as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Stones {
    pub(crate) fn new(node: u64) -> Self {
        Self {
            clock: Clock::new(node),
            keys: HashMap::new(),
            all: Vec::new(),
            standing: 0,
            swept: Instant::now(),
            hasher: KeyHasher::default(),
            writes: Vec::new(),
            purges: 0,
        }
    }

    /// The version of a write that begins now.
    pub(crate) fn begin(&mut self, wall_millis: u64) -> Version {
        self.clock.next(wall_millis)
    }

    /// Another node knows of a version of this time.
    pub(crate) fn see(&mut self, time: u64) {
        self.clock.see(time);
    }

    /// The time of the newest version known.
    pub(crate) fn known(&self) -> u64 {
        self.clock.last()
    }

    pub(crate) fn standing(&self) -> usize {
        self.standing
    }

    /// Puts the tombstones of a write up; once more for a write that is told again.
    pub(crate) fn raise(
        &mut self,
        what: &What,
        version: Version,
        now: Instant,
    ) -> Result<(), Full> {
        let count = match what {
            What::Keys(keys) => keys.iter().map(|key| weight(key)).sum(),
            What::All => 1,
        };
        if self.standing + count > MOST_STONES || now.duration_since(self.swept) > STONE_AGE {
            self.sweep(now);
        }
        if self.standing + count > MOST_STONES {
            return Err(Full);
        }
        self.clock.see(version.time);
        let until = now + STONE_AGE;
        match what {
            What::All => {
                self.purges = self.purges.wrapping_add(1);
                let stone = Stone { version, until, alone_after: None };
                self.standing += usize::from(put_up(&mut self.all, stone));
            }
            What::Keys(keys) => {
                self.writes.resize(COUNTERS, 0);
                keys.iter().for_each(|key| self.raise_one(key, version, now));
            }
        }
        Ok(())
    }

    fn raise_one(&mut self, key: &str, version: Version, now: Instant) {
        let stands = |stone: &Stone| stone.version != version && stone.until > now;
        let counter = self.counter(key);
        let stones = self.keys.entry(key.into()).or_default();
        if stones.iter().all(|stone| stone.version != version) {
            self.writes[counter] = self.writes[counter].wrapping_add(1);
        }
        let alone = !stones.iter().chain(&self.all).any(stands);
        let alone_after = alone.then_some((self.writes[counter], self.purges));
        let stone = Stone { version, until: now + STONE_AGE, alone_after };
        self.standing += if put_up(stones, stone) { weight(key) } else { 0 };
    }

    /// Whether the value of a set may be put in: its tombstone stands, and no other write of the
    /// key was under way when it was put up, or has come since.
    ///
    /// Nobody can say which of two values is the newer one when their writes overlap, whatever
    /// clocks say: only the origin, which is asked then.
    pub(crate) fn admits(&self, key: &str, version: Version, now: Instant) -> bool {
        let writes = self.writes.get(self.counter(key)).copied().unwrap_or_default();
        let stones = self.keys.get(key).into_iter().flatten();
        let mut own = stones.filter(|stone| stone.version == version && stone.until > now);
        own.any(|stone| stone.alone_after == Some((writes, self.purges)))
    }

    /// Whether something that a peer gave may be kept for `key`.
    pub(crate) fn is_free(&self, key: &str, now: Instant) -> bool {
        let stands = |stone: &Stone| stone.until > now;
        !self.all.iter().any(stands)
            && !self.keys.get(key).is_some_and(|stones| stones.iter().any(stands))
    }

    /// Takes the tombstones of a write down; whether all of them have stood until now.
    pub(crate) fn lift(&mut self, what: &What, version: Version, now: Instant) -> bool {
        match what {
            What::All => {
                let stood = take_down(&mut self.all, version);
                self.standing -= usize::from(stood.is_some());
                stood.is_some_and(|stone| stone.until > now)
            }
            What::Keys(keys) => {
                let mut all_stood = true;
                for key in keys {
                    let stood = self.keys.get_mut(key.as_str());
                    let stood = stood.and_then(|stones| take_down(stones, version));
                    self.standing -= stood.map_or(0, |_| weight(key));
                    all_stood &= stood.is_some_and(|stone| stone.until > now);
                    if self.keys.get(key.as_str()).is_some_and(Vec::is_empty) {
                        self.keys.remove(key.as_str());
                    }
                }
                all_stood
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.all.retain(|stone| stone.until > now);
        self.keys.retain(|_, stones| {
            stones.retain(|stone| stone.until > now);
            !stones.is_empty()
        });
        let keys = self.keys.iter();
        let keys: usize = keys.map(|(key, stones)| stones.len() * weight(key)).sum();
        self.standing = self.all.len() + keys;
    }

    fn counter(&self, key: &str) -> usize {
        self.hasher.hash_one(key) as usize % COUNTERS
    }
}

fn weight(key: &str) -> usize {
    1 + key.len() / KEY_BYTES
}

/// Whether one more stands now. What a tombstone knows already stays as it is.
fn put_up(stones: &mut Vec<Stone>, stone: Stone) -> bool {
    if let Some(known) = stones.iter_mut().find(|known| known.version == stone.version) {
        known.until = stone.until;
        return false;
    }
    stones.push(stone);
    true
}

fn take_down(stones: &mut Vec<Stone>, version: Version) -> Option<Stone> {
    let at = stones.iter().position(|stone| stone.version == version)?;
    Some(stones.swap_remove(at))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> What {
        What::Keys(keys.iter().map(|&key| key.to_owned()).collect())
    }

    #[test]
    fn a_key_is_free_again_when_the_last_of_its_tombstones_has_gone() {
        let (mut stones, now) = (Stones::new(1), Instant::now());
        let (first, second) = (stones.begin(1), stones.begin(1));
        stones.raise(&keys(&["a", "b"]), first, now).unwrap();
        stones.raise(&keys(&["a"]), second, now).unwrap();
        stones.raise(&keys(&["a"]), second, now).unwrap();
        assert_eq!(stones.standing(), 3, "the same write told twice has one tombstone");
        assert!(stones.lift(&keys(&["a"]), second, now));
        assert!(!stones.is_free("a", now) && !stones.is_free("b", now) && stones.is_free("c", now));
        assert!(stones.lift(&keys(&["a", "b"]), first, now));
        assert!(stones.is_free("a", now) && stones.is_free("b", now));
        assert_eq!(stones.standing(), 0);
    }

    #[test]
    fn a_purge_holds_every_key() {
        let (mut stones, now) = (Stones::new(1), Instant::now());
        let version = stones.begin(1);
        stones.raise(&What::All, version, now).unwrap();
        assert!(!stones.is_free("any", now));
        assert!(stones.lift(&What::All, version, now));
        assert!(stones.is_free("any", now));
        assert!(!stones.lift(&What::All, version, now), "it does not stand any more");
    }

    #[test]
    fn a_value_is_put_only_under_its_own_tombstone_and_beside_no_other_write() {
        let (mut stones, now) = (Stones::new(1), Instant::now());
        let [first, second, third, purge] = std::array::from_fn(|_| stones.begin(1));
        assert!(!stones.admits("a", first, now), "no round 1 has been here");
        stones.raise(&keys(&["a"]), first, now).unwrap();
        stones.raise(&keys(&["a"]), first, now).unwrap();
        assert!(stones.admits("a", first, now) && !stones.admits("a", second, now));
        stones.raise(&keys(&["a"]), second, now).unwrap();
        assert!(!stones.admits("a", first, now), "another has come");
        assert!(!stones.admits("a", second, now), "another was there");
        stones.lift(&keys(&["a"]), second, now);
        stones.raise(&keys(&["a"]), first, now).unwrap();
        assert!(!stones.admits("a", first, now), "another has come and gone");
        stones.lift(&keys(&["a"]), first, now);
        stones.raise(&keys(&["a"]), third, now).unwrap();
        assert!(stones.admits("a", third, now), "the others are over");
        stones.raise(&What::All, purge, now).unwrap();
        assert!(!stones.admits("a", third, now), "a purge is another write, too");
        stones.raise(&keys(&["b"]), third, now).unwrap();
        assert!(!stones.admits("b", third, now));
    }

    #[test]
    fn a_tombstone_that_was_forgotten_confirms_nothing_and_makes_room() {
        let (mut stones, now) = (Stones::new(1), Instant::now());
        let (version, late) = (stones.begin(1), now + 2 * STONE_AGE);
        let many: Vec<String> = (0..MOST_STONES).map(|i| i.to_string()).collect();
        stones.raise(&What::Keys(many), version, now).unwrap();
        let next = stones.begin(1);
        assert_eq!(stones.raise(&keys(&["x"]), next, now), Err(Full));
        assert!(stones.is_free("7", late) && !stones.admits("7", version, late));
        assert!(!stones.lift(&keys(&["7"]), version, late));
        assert_eq!(stones.raise(&keys(&["x"]), next, late), Ok(()));
        assert_eq!(stones.standing(), 1);
    }
}
