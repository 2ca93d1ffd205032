//! What is remembered of evicted entries: sixteen bits of the hash, and when each was last used.
//!
//! A hash names a bucket of sixteen slots, which is one cache line. A bucket that is full forgets
//! its oldest ghost. Two slots for each resident entry make eight bytes.

/// Slots for each resident entry.
const SLOTS_PER_ENTRY: usize = 2;
const BUCKET_SLOTS: usize = 16;
/// No ghost: the fingerprint of one is odd.
const EMPTY: u32 = 0;

/// Bytes for each resident entry, at most: room is made for a quarter more than there are.
pub(super) const GHOST_BYTES: usize = SLOTS_PER_ENTRY * size_of::<u32>() * 5 / 4;

/// A set of hashes, each with a time.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// Fingerprints above, times below.
    buckets: Vec<[u32; BUCKET_SLOTS]>,
    /// The number of entries that the buckets were made for.
    entries: usize,
    /// Times are kept in units of so many powers of two, so that sixteen bits reach far enough.
    shift: u32,
}

impl Ghosts {
    /// Makes room for the ghosts of a cache of so many entries.
    ///
    /// Forgets everything when that number has changed much since the last time.
    pub(super) fn fit(&mut self, entries: usize) {
        if entries * 4 <= self.entries * 5 && entries * 4 >= self.entries {
            return;
        }
        let buckets = (entries * SLOTS_PER_ENTRY).div_ceil(BUCKET_SLOTS);
        self.buckets = vec![[EMPTY; BUCKET_SLOTS]; buckets];
        self.entries = entries;
        self.shift = entries.max(1).ilog2().saturating_sub(10);
    }

    /// Remembers that an entry of this hash was last used `age` ticks before `now`.
    pub(super) fn put(&mut self, hash: u32, now: u32, age: u32) {
        let (now, time) = (self.time(now), self.time(now.wrapping_sub(age)));
        let Some(bucket) = self.bucket(hash) else { return };
        let oldest = bucket.iter_mut().max_by_key(|slot| match **slot {
            EMPTY => u32::MAX,
            ghost => u32::from(now.wrapping_sub(ghost as u16)),
        });
        if let Some(slot) = oldest {
            *slot = fingerprint(hash) | u32::from(time);
        }
    }

    /// Forgets the ghost of this hash; says how many ticks ago its entry was last used.
    pub(super) fn take(&mut self, hash: u32, now: u32) -> Option<u32> {
        let (shift, now) = (self.shift, self.time(now));
        let slot =
            self.bucket(hash)?.iter_mut().find(|slot| **slot >> 16 << 16 == fingerprint(hash))?;
        let ghost = std::mem::replace(slot, EMPTY);
        Some(u32::from(now.wrapping_sub(ghost as u16)) << shift)
    }

    fn time(&self, tick: u32) -> u16 {
        (tick >> self.shift) as u16
    }

    fn bucket(&mut self, hash: u32) -> Option<&mut [u32; BUCKET_SLOTS]> {
        let place = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        self.buckets.get_mut(place as usize)
    }
}

/// The bits of a hash that its bucket does not tell.
fn fingerprint(hash: u32) -> u32 {
    hash << 16 | 1 << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_found_once_with_its_age() {
        let mut ghosts = Ghosts::default();
        ghosts.put(7 << 20, 0, 0);
        assert_eq!(ghosts.take(7 << 20, 5), None, "there is no room yet");
        ghosts.fit(100);
        ghosts.put(7 << 20, 50, 20);
        assert_eq!(ghosts.take(9 << 27 | 2, 60), None);
        assert_eq!(ghosts.take(7 << 20, 60), Some(30));
        assert_eq!(ghosts.take(7 << 20, 60), None);
    }

    #[test]
    fn ages_survive_a_clock_that_wraps() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(100_000);
        ghosts.put(1, u32::MAX, 0);
        let age = ghosts.take(1, 12_800).expect("the ghost");
        assert!(age.abs_diff(12_800) <= 128, "{age}");
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest_ghost() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(1);
        let hash = |number: u32| number << 1;
        (0..17).for_each(|number| ghosts.put(hash(number), 100 + number, 0));
        assert_eq!(ghosts.take(hash(0), 200), None);
        assert_eq!(ghosts.take(hash(1), 200), Some(99));
    }

    #[test]
    fn room_follows_the_number_of_entries() {
        let mut ghosts = Ghosts::default();
        for entries in [100, 110, 1_000, 900, 10] {
            ghosts.fit(entries);
            let slots = ghosts.buckets.len() * BUCKET_SLOTS;
            assert!(slots * 5 >= entries * 8, "{slots} slots for {entries} entries");
        }
    }
}
