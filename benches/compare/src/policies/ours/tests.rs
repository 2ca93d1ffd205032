use std::collections::HashMap;

use super::*;
use crate::traces::mix;

/// A cache of keys with a limit on their weight.
struct Cache {
    limit: u64,
    policy: Ours,
    places: HashMap<u64, u32>,
    keys: Vec<Option<u64>>,
}

impl Cache {
    fn new(limit: u64) -> Self {
        Self { limit, policy: Ours::default(), places: HashMap::new(), keys: Vec::new() }
    }

    fn request(&mut self, key: u64, weight: u32) -> bool {
        if let Some(&index) = self.places.get(&key) {
            self.policy.hit(index);
            return true;
        }
        let free = self.keys.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.keys.push(None);
            self.keys.len() - 1
        });
        self.keys[index] = Some(key);
        self.places.insert(key, index as u32);
        self.policy.insert(index as u32, (mix(key) >> 32) as u32, weight);
        while self.policy.weight() > self.limit {
            let victim = self.policy.victim().expect("an entry to evict");
            let key = self.keys[victim as usize].take().expect("an entry that is there");
            self.places.remove(&key);
        }
        false
    }

    /// The hits of requests for entries of weight one.
    fn hits(&mut self, keys: impl IntoIterator<Item = u64>) -> usize {
        keys.into_iter().filter(|&key| self.request(key, 1)).count()
    }

    fn validate(&self) {
        self.policy.validate();
        assert_eq!(self.policy.len() as usize, self.places.len());
    }
}

impl Ours {
    /// Checks the lists against the nodes.
    fn validate(&self) {
        for (queue, list) in [(Queue::Small, self.small), (Queue::Main, self.main)] {
            let (mut newer, mut index, mut weight, mut len) = (NIL, list.newest, 0, 0);
            while let Some(node) = self.node(index) {
                assert_eq!((node.newer, node.bits.queue()), (newer, queue));
                weight += u64::from(node.weight);
                len += 1;
                (newer, index) = (index, node.older);
            }
            assert_eq!((newer, weight, len), (list.oldest, list.weight, list.len));
        }
        let linked = self.nodes.iter().filter(|node| node.bits.queue() != Queue::Free).count();
        assert_eq!(linked, self.len() as usize);
        assert!((SHARE_MIN..=SHARE_MAX).contains(&self.share));
    }
}

#[test]
fn a_loop_larger_than_the_cache_is_hit_as_much_as_fits() {
    for size in [10, 100] {
        let mut cache = Cache::new(size);
        cache.hits(0..5 * size);
        let hits = (0..10).map(|_| cache.hits(0..5 * size)).sum::<usize>() as u64;
        assert!(hits >= 9 * (size - 1), "{hits} hits at {size} entries");
        cache.validate();
    }
}

#[test]
fn a_scan_leaves_what_is_used() {
    let mut cache = Cache::new(100);
    for _ in 0..5 {
        cache.hits(0..50);
    }
    cache.hits(1_000..2_000);
    assert!(cache.hits(0..50) >= 45);
}

#[test]
fn a_new_working_set_takes_the_place_of_the_old_one() {
    let mut cache = Cache::new(100);
    for start in [0, 1_000, 2_000] {
        for _ in 0..20 {
            cache.hits(start..start + 80);
        }
        assert!(cache.hits(start..start + 80) >= 78, "the set from {start}");
    }
}

#[test]
fn an_abandoned_loop_makes_room_for_the_next_one() {
    let mut cache = Cache::new(20);
    for start in [0, 1_000] {
        for _ in 0..60 {
            cache.hits(start..start + 100);
        }
        assert!(cache.hits(start..start + 100) >= 15, "the loop from {start}");
    }
}

#[test]
fn to_and_fro_makes_the_small_queue_large() {
    let mut cache = Cache::new(100);
    let round = |cache: &mut Cache| cache.hits((0..500).chain((0..500).rev()));
    let first = (0..2).map(|_| round(&mut cache)).sum::<usize>();
    for _ in 0..20 {
        round(&mut cache);
    }
    assert!(cache.policy.share > 3.0 * BASE_SHARE, "a share of {}", cache.policy.share);
    assert!((0..2).map(|_| round(&mut cache)).sum::<usize>() > first);
}

#[test]
fn any_mix_of_weights_and_removals_keeps_the_lists_whole() {
    for seed in 0..20 {
        let mut cache = Cache::new(1_000);
        for step in 0..3_000 {
            let random = mix(seed << 32 | step);
            let key = (random % 300).min(random >> 8 & 255);
            if random >> 60 == 0
                && let Some(index) = cache.places.remove(&key)
            {
                cache.keys[index as usize] = None;
                cache.policy.remove(index);
            } else {
                cache.request(key, 1 + (random >> 16) as u32 % 40);
            }
            assert!(cache.policy.weight() <= cache.limit);
            if step % 50 == 0 {
                cache.validate();
            }
        }
        cache.validate();
    }
}

#[test]
fn the_small_queue_has_its_share_by_weight() {
    let mut cache = Cache::new(10_000);
    for key in 0..5_000 {
        cache.request(key, 1 + (mix(key) % 40) as u32);
    }
    assert!((500..=1_500).contains(&cache.policy.small.weight), "{}", cache.policy.small.weight);
}

#[test]
fn a_cache_of_one_entry_works() {
    let mut cache = Cache::new(1);
    assert_eq!(cache.hits([7, 7, 8, 8, 8, 9, 9]), 4);
    cache.validate();
}

#[test]
fn an_empty_policy_has_no_victim() {
    let mut policy = Ours::default();
    assert_eq!(policy.victim(), None);
    policy.insert(3, 0, 1);
    policy.clear();
    assert_eq!(policy.victim(), None);
    policy.validate();
}

#[test]
fn a_tick_that_wraps_is_still_an_age() {
    let mut cache = Cache::new(10);
    cache.policy.now = u32::MAX - 500;
    cache.hits(0..50);
    let hits = (0..40).map(|_| cache.hits(0..50)).sum::<usize>();
    assert!(hits >= 39 * 9, "{hits} hits");
}
