use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::lru::entry_bytes;

fn store(budget: usize) -> Store {
    Store::new(budget, Clock::monotonic())
}

fn put(store: &Store, which: Which, key: &str, len: usize) -> Left {
    let mut left = Left::new(true);
    store.insert(which, key.as_bytes(), vec![0; len].into(), None, &mut left);
    left
}

/// The causes for which entries have left.
fn causes(left: Left) -> Vec<RemovalCause> {
    left.into_entries().into_iter().map(|(_, why)| why).collect()
}

fn get(store: &Store, key: &str) -> Option<Found> {
    store.get(key.as_bytes(), Look::Here, drop)
}

#[test]
fn main_is_looked_up_before_hot_and_takes_its_place() {
    let store = store(1 << 20);
    put(&store, Which::Hot, "k", 1);
    assert_eq!(get(&store, "k").unwrap().which, Which::Hot);
    let left = put(&store, Which::Main, "k", 2);
    assert_eq!(causes(left), [RemovalCause::Replaced]);
    assert_eq!(get(&store, "k").unwrap().which, Which::Main);
    assert_eq!(store.stats(Which::Hot).items, 0);
}

#[test]
fn a_value_larger_than_the_budget_is_counted_and_evicts_nothing() {
    let store = store(1_000);
    put(&store, Which::Main, "small", 10);
    assert!(causes(put(&store, Which::Main, "huge", 1_000)).is_empty());
    assert!(get(&store, "huge").is_none() && get(&store, "small").is_some());
    assert_eq!(store.stats(Which::Main).refused, 1);
}

#[test]
fn what_fits_only_without_its_table_pushes_nothing_out() {
    let store = store(20_000);
    put(&store, Which::Main, "small", 10);
    for len in (19_000..20_000).rev().step_by(10) {
        let left = causes(put(&store, Which::Main, "large", len));
        assert_eq!(get(&store, "small").is_none(), get(&store, "large").is_some());
        if !left.is_empty() {
            return;
        }
    }
    panic!("a value of 19,000 bytes fits into 20,000");
}

#[test]
fn a_removed_key_is_gone_from_both_caches_with_its_bytes() {
    let store = store(1 << 20);
    for which in [Which::Main, Which::Hot] {
        put(&store, which, "k", 1);
        let mut left = Left::new(true);
        store.remove(b"k", RemovalCause::Removed, &mut left);
        assert_eq!(causes(left), [RemovalCause::Removed], "{which:?}");
        assert!(get(&store, "k").is_none());
    }
    assert_eq!((store.reserved(), store.stats(Which::Main).evictions), (0, 0));
}

#[test]
fn a_budget_of_zero_keeps_nothing() {
    let store = store(0);
    put(&store, Which::Main, "k", 0);
    assert!(get(&store, "k").is_none());
}

#[test]
fn a_big_value_may_take_more_than_a_shards_share() {
    let store = store(1 << 20);
    put(&store, Which::Main, "big", 1 << 19);
    assert!(get(&store, "big").is_some());
}

#[test]
fn the_hot_cache_gives_way_when_it_holds_more_than_its_share() {
    let store = store(100 * entry_bytes(4, 100, false));
    for n in 0..200 {
        put(&store, Which::Main, &format!("m{n:03}"), 100);
    }
    let full = store.stats(Which::Main).items;
    for n in 0..200 {
        put(&store, Which::Hot, &format!("h{n:03}"), 100);
    }
    let (main, hot) = (store.stats(Which::Main), store.stats(Which::Hot));
    assert!(hot.items > 0 && hot.items <= full / 6, "{hot:?} beside {main:?}");
    assert_eq!(main.items + hot.items, full, "one in, one out");
}

#[test]
fn expired_entries_are_misses_and_told_as_such() {
    let (clock, millis) = Clock::manual();
    let store = Store::new(1 << 20, clock.clone());
    let expires = clock.after(Duration::from_millis(5));
    store.insert(Which::Main, b"k", "v".into(), Some(expires), &mut Left::new(true));
    assert_eq!(get(&store, "k").unwrap().expires, Some(expires));
    millis.store(5, std::sync::atomic::Ordering::SeqCst);
    let mut gone = None;
    assert!(store.get(b"k", Look::Here, |expired| gone = Some(expired)).is_none());
    assert_eq!(gone.unwrap().entry.value(), "v");
    assert_eq!((store.stats(Which::Main).expired, store.reserved()), (1, 0));
}

#[test]
fn what_has_expired_is_kept_for_its_grace_and_leaves_first_when_that_is_over() {
    let (clock, millis) = Clock::manual();
    let at = |now| millis.store(now, std::sync::atomic::Ordering::SeqCst);
    let grace = Duration::from_millis(10);
    let budget = 20 * entry_bytes(1, 100, true);
    let store = Store::with_grace(budget, Eviction::Lru, clock.clone(), grace);
    let expires = clock.after(Duration::from_millis(5));
    store.insert(Which::Main, b"k", "v".into(), Some(expires), &mut Left::default());
    assert_eq!(store.stale(b"k"), None, "it is fresh");
    at(5);
    assert!(get(&store, "k").is_none());
    assert_eq!(store.stale(b"k"), Some(("v".into(), expires)));
    at(14);
    for n in 0..3 {
        put(&store, Which::Main, &n.to_string(), 100);
    }
    assert!(store.stale(b"k").is_some(), "nothing needs its room");
    at(15);
    assert_eq!(store.stale(b"k"), None);
    let left: Vec<_> = (3..20)
        .flat_map(|n| put(&store, Which::Main, &n.to_string(), 100).into_entries())
        .collect();
    let first = left.first().map(|(gone, why)| (gone.entry.key().to_vec(), *why));
    assert_eq!(first, Some((b"k".to_vec(), RemovalCause::Expired)));
    store.validate();
}

#[test]
fn filling_from_many_threads_never_passes_the_budget() {
    let store = store(200_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..2_000 {
                    let which = if n % 3 == 0 { Which::Hot } else { Which::Main };
                    put(store, which, &format!("{thread}:{}", n % 300), n * 37 % 20_000);
                    assert!(store.reserved() <= 200_000);
                }
            });
        }
    });
    let held = store.stats(Which::Main).bytes + store.stats(Which::Hot).bytes;
    assert_eq!(held, store.reserved() as u64, "what is reserved is what is held");
}

#[test]
fn a_lower_budget_evicts_and_a_higher_one_is_used() {
    let store = store(1 << 20);
    for n in 0..5_000 {
        put(&store, Which::Main, &format!("{n}"), 100);
    }
    for budget in [100_000, 1_000, 0] {
        store.set_budget(budget, &mut Left::default());
        assert!(store.reserved() <= budget, "{} of {budget}", store.reserved());
        store.validate();
    }
    store.set_budget(1 << 20, &mut Left::default());
    put(&store, Which::Main, "k", 1 << 19);
    assert!(get(&store, "k").is_some());
}

#[test]
fn clearing_leaves_nothing_and_tells_of_everything() {
    let store = store(8 << 20);
    for n in 0..300 {
        let which = if n % 3 == 0 { Which::Hot } else { Which::Main };
        put(&store, which, &format!("{n}"), n * 100);
    }
    let mut left = Left::new(true);
    store.clear(&mut left);
    assert_eq!(causes(left), [RemovalCause::Removed; 300]);
    assert_eq!((store.reserved(), store.stats(Which::Main).items), (0, 0));
    assert_eq!(store.stats(Which::Main).removed + store.stats(Which::Hot).removed, 300);
    store.validate();
}

#[test]
fn expired_entries_leave_before_live_ones_from_whatever_shard() {
    let (clock, millis) = Clock::manual();
    let store = Store::new(16 << 20, clock.clone());
    for n in 0..100 {
        let key = format!("{n}");
        let expires = (n % 2 == 0).then(|| clock.after(Duration::from_millis(5)));
        store.insert(
            Which::Main,
            key.as_bytes(),
            vec![0; 150_000].into(),
            expires,
            &mut Left::default(),
        );
    }
    millis.store(5, std::sync::atomic::Ordering::SeqCst);
    for n in 100..200 {
        put(&store, Which::Main, &format!("{n}"), 50_000);
    }
    let stats = store.stats(Which::Main);
    assert_eq!((stats.expired, stats.evictions), (50, 0), "{stats:?}");
    store.validate();
}

#[test]
fn a_long_value_takes_a_little_from_every_shard() {
    let store = store(16 << 20);
    for n in 0..12 << 10 {
        put(&store, Which::Main, &format!("{n}"), 1_100);
    }
    put(&store, Which::Main, "long", 6 << 20);
    let items = store.shards.iter().map(|shard| shard.lock().lru.len(Which::Main));
    assert!(items.min() > Some(50), "no shard is empty");
}

#[test]
fn the_age_at_eviction_is_the_time_since_the_last_use() {
    let (clock, millis) = Clock::manual();
    let store = Store::new(10 * entry_bytes(1, 100, false), clock);
    put(&store, Which::Main, "a", 100);
    assert_eq!(store.stats(Which::Main).eviction_age, Duration::ZERO);
    millis.store(3_000, std::sync::atomic::Ordering::SeqCst);
    while store.stats(Which::Main).evictions == 0 {
        put(&store, Which::Main, &store.stats(Which::Main).admitted.to_string(), 100);
    }
    assert_eq!(store.stats(Which::Main).eviction_age, Duration::from_secs(3));
}

/// What a thread, or a test, does to a store.
#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    Insert(u8, Which, usize, Option<u8>),
    Remove(u8),
    Budget(usize),
    Clear,
    Tick(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let which = prop_oneof![Just(Which::Main), Just(Which::Hot)];
    let len = prop_oneof![0..300usize, 0..300usize, 0..40_000usize];
    prop_oneof![
        6 => any::<u8>().prop_map(Op::Get),
        12 => (any::<u8>(), which, len, prop::option::of(0..9u8))
            .prop_map(|(key, which, len, ttl)| Op::Insert(key, which, len, ttl)),
        3 => any::<u8>().prop_map(Op::Remove),
        1 => (0..100_000usize).prop_map(Op::Budget),
        1 => Just(Op::Clear),
        3 => (0..5u8).prop_map(Op::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The model is a plain map of what was put in last: what the store has is in it.
    #[test]
    fn it_never_passes_its_budget_nor_makes_anything_up(
        ops in prop::collection::vec(op(), 0..400),
        shards in 0..3u32,
    ) {
        let (clock, millis) = Clock::manual();
        let (mut budget, mut now) = (60_000, 0);
        let store = Store::new(BYTES_PER_SHARD << shards, clock.clone());
        store.set_budget(budget, &mut Left::default());
        let mut model = BTreeMap::new();
        for op in ops {
            let mut left = Left::new(true);
            match op {
                Op::Get(key) => {
                    let found = store.get(&[key], Look::Here, drop);
                    let known = model.get(&key).filter(|(_, expires)| *expires > now);
                    if let Some(found) = found {
                        prop_assert_eq!(Some(found.value.len()), known.map(|(len, _)| *len));
                    }
                }
                Op::Insert(key, which, len, ttl) => {
                    let tick = ttl.map(|ttl| clock.after(Duration::from_millis(ttl.into())));
                    store.remove(&[key], RemovalCause::Replaced, &mut left);
                    store.insert(which, &[key], vec![key; len].into(), tick, &mut left);
                    model.insert(key, (len, ttl.map_or(u64::MAX, |ttl| now + u64::from(ttl))));
                    let fits = entry_bytes(1, len, ttl.is_some()) + 2_000 < budget;
                    let there = store.get(&[key], Look::Peek, drop).is_some();
                    prop_assert_eq!(there, (fits || there) && ttl != Some(0));
                }
                Op::Remove(key) => {
                    store.remove(&[key], RemovalCause::Removed, &mut left);
                    model.remove(&key);
                }
                Op::Budget(bytes) => {
                    budget = bytes;
                    store.set_budget(budget, &mut left);
                }
                Op::Clear => {
                    store.clear(&mut left);
                    model.clear();
                }
                Op::Tick(ms) => {
                    now += u64::from(ms);
                    millis.store(now, std::sync::atomic::Ordering::SeqCst);
                }
            }
            store.validate();
            prop_assert!(store.reserved() <= budget);
        }
    }
}
