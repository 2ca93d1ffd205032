use std::time::Duration;

use super::*;
use crate::clock::{Clock, Tick};
use crate::error::Error;
use crate::lru::entry_bytes;
use crate::store::Look;

/// What was handed out of an entry: key, time to live, hot.
type Seen = (String, Option<Duration>, bool);

fn put(store: &Store, which: Which, key: &str, len: usize, expires: Option<Tick>) {
    store.insert(which, key.as_bytes(), vec![7; len].into(), expires, &mut Left::default());
}

fn seen(store: &Store) -> Vec<Seen> {
    let mut seen = Vec::new();
    store
        .carry_out(|record| {
            let key = String::from_utf8(record.key.to_vec()).unwrap();
            seen.push((key, record.ttl, record.hot));
            Ok(())
        })
        .unwrap();
    seen
}

fn keys(store: &Store) -> Vec<String> {
    seen(store).into_iter().map(|(key, _, _)| key).collect()
}

/// What `from` hands out, in a new store of this budget.
fn carried(from: &Store, budget: usize) -> Store {
    let to = Store::new(budget, Clock::monotonic());
    from.carry_out(|record| {
        to.carry_in(record, &mut Left::default());
        Ok(())
    })
    .unwrap();
    to.validate();
    to
}

#[test]
fn entries_of_one_shard_come_in_the_order_of_their_eviction() {
    let store = Store::new(1 << 17, Clock::monotonic());
    for n in 0..200 {
        put(&store, Which::Main, &n.to_string(), 10, None);
    }
    for n in (0..200).step_by(2) {
        store.get(n.to_string().as_bytes(), Look::Here, drop).unwrap();
    }
    let odd_first = (0..200).filter(|n| n % 2 == 1).chain((0..200).step_by(2));
    assert_eq!(keys(&store), odd_first.map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn shards_take_turns_by_their_share() {
    for n in [1_000, 50_000] {
        let store = Store::new(64 << 20, Clock::monotonic());
        assert_eq!(store.shards.len(), 64);
        for key in 0..n {
            put(&store, Which::Main, &key.to_string(), 10, None);
        }
        let order: Vec<usize> = keys(&store).iter().map(|key| key.parse().unwrap()).collect();
        assert_eq!(order.len(), n);
        // Were it shard by shard, an entry would be a third of them away.
        let away = order.iter().enumerate().map(|(at, &key)| at.abs_diff(key)).sum::<usize>() / n;
        assert!(away < n / 6, "of {n}, {away} places away on average");
    }
}

#[test]
fn into_a_smaller_budget_the_warmest_go() {
    const KEYS: usize = 4_000;
    let store = Store::new(8 << 20, Clock::monotonic());
    for n in 0..KEYS {
        put(&store, Which::Main, &format!("{n:04}"), 1_000, None);
    }
    let budget = KEYS / 4 * entry_bytes(4, 1_000, false);
    let smaller = carried(&store, budget);
    assert!(smaller.reserved() <= budget);
    let kept: Vec<usize> = keys(&smaller).iter().map(|key| key.parse().unwrap()).collect();
    assert!(kept.len() > KEYS / 5, "{}", kept.len());
    let warm = kept.iter().filter(|&&key| key >= KEYS / 2).count();
    assert!(warm * 10 >= kept.len() * 9, "{warm} of {} are of the warmer half", kept.len());
}

#[test]
fn main_and_hot_stay_apart_and_long_values_whole() {
    let store = Store::new(8 << 20, Clock::monotonic());
    put(&store, Which::Main, "short", 10, None);
    put(&store, Which::Main, "long", 100_000, None);
    put(&store, Which::Hot, "popular", 10, None);
    let store = carried(&store, 8 << 20);
    for (key, which, len) in
        [("short", Which::Main, 10), ("long", Which::Main, 100_000), ("popular", Which::Hot, 10)]
    {
        let found = store.get(key.as_bytes(), Look::Here, drop).unwrap();
        assert_eq!((found.which, found.value), (which, vec![7; len].into()), "{key}");
    }
}

#[test]
fn what_is_left_of_a_time_to_live_is_carried_and_what_has_expired_is_not() {
    let (clock, millis) = Clock::manual();
    let store = Store::new(1 << 17, clock.clone());
    for (key, ttl) in [("soon", 1_000), ("later", 5_000)] {
        let expires = clock.after(Duration::from_millis(ttl));
        put(&store, Which::Main, key, 10, Some(expires));
    }
    put(&store, Which::Main, "never", 10, None);
    millis.store(1_000, std::sync::atomic::Ordering::SeqCst);
    let expected = [
        ("later".to_owned(), Some(Duration::from_millis(4_000)), false),
        ("never".to_owned(), None, false),
    ];
    assert_eq!(seen(&store), expected);

    let (clock, millis) = Clock::manual();
    millis.store(70_000, std::sync::atomic::Ordering::SeqCst);
    let after = Store::new(1 << 20, clock);
    let ttl = Some(Duration::from_millis(4_000));
    let record = Record { key: b"later", value: b"v", ttl, hot: false };
    assert!(after.carry_in(&record, &mut Left::default()));
    millis.store(73_999, std::sync::atomic::Ordering::SeqCst);
    assert!(after.get(b"later", Look::Here, drop).is_some());
    millis.store(74_000, std::sync::atomic::Ordering::SeqCst);
    assert!(after.get(b"later", Look::Here, drop).is_none());
}

#[test]
fn what_is_there_already_is_left_alone() {
    let store = Store::new(1 << 20, Clock::monotonic());
    put(&store, Which::Hot, "k", 3, None);
    let before = store.reserved();
    let record = Record { key: b"k", value: b"older", ttl: None, hot: false };
    assert!(!store.carry_in(&record, &mut Left::default()));
    // As if it had come between the look and the insert.
    let entry = Entry::pack(b"k", "older", None).unwrap();
    let hashed = store.hashed(b"k");
    store.insert_entry(Which::Main, hashed, entry, IfThere::Leave, &mut Left::default());
    let found = store.get(b"k", Look::Here, drop).unwrap();
    assert_eq!((found.which, found.value), (Which::Hot, vec![7; 3].into()));
    assert_eq!(store.reserved(), before);
    store.validate();
}

#[test]
fn the_store_can_be_used_while_it_is_carried_out() {
    let store = Store::new(4 << 20, Clock::monotonic());
    for n in 0..1_000 {
        put(&store, Which::Main, &n.to_string(), 100, None);
    }
    let mut seen = 0;
    store
        .carry_out(|_| {
            // Any lock that were held here would be waited for, for ever.
            put(&store, Which::Main, &format!("new {seen}"), 100, None);
            store.get(b"1", Look::Here, drop);
            store.remove(b"999", crate::store::RemovalCause::Removed, &mut Left::default());
            seen += 1;
            Ok(())
        })
        .unwrap();
    assert!((998..=1_000).contains(&seen), "{seen}");
    store.validate();
}

#[test]
fn an_error_ends_it() {
    let store = Store::new(1 << 20, Clock::monotonic());
    for n in 0..10 {
        put(&store, Which::Main, &n.to_string(), 10, None);
    }
    let mut seen = 0;
    let result = store.carry_out(|_| {
        seen += 1;
        if seen == 3 { Err(Error::ShuttingDown) } else { Ok(()) }
    });
    assert_eq!((result, seen), (Err(Error::ShuttingDown), 3));
}
