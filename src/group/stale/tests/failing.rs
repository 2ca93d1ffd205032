//! What is served while loads fail, hang or are refused, and how often the origin is tried.

use super::*;

#[test]
fn what_cannot_be_loaded_is_served_stale_until_its_window_is_over() {
    for mood in [Mood::Down, Mood::Panics] {
        let rig = Rig::new(|options| options.stale_if_error(100 * SECOND));
        rig.get("k").unwrap();
        rig.at(20);
        rig.origin.is(mood);
        rig.gives("k", "k 1", stale(20));
        rig.at_millis(109_999);
        rig.gives("k", "k 1", stale(109));
        rig.at(110);
        assert!(rig.get("k").is_err(), "{mood:?}");
        assert!(rig.get("never had").is_err(), "{mood:?}");
    }
}

/// Everything has expired, and is asked for ten times a second.
#[test]
fn an_origin_that_is_down_is_tried_once_a_second_and_then_each_key_loaded_once() {
    let rig = Rig::new(|options| options.stale_if_error(1_000 * SECOND));
    let keys: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    keys.iter().for_each(|key| drop(rig.get(key).unwrap()));
    let loads = || keys.iter().map(|key| rig.origin.loads(key)).sum::<u64>();
    rig.origin.is(Mood::Down);
    for tenths in 200..800 {
        rig.at_millis(tenths * 100);
        for key in &keys {
            rig.gives(key, &format!("{key} 1"), stale((tenths / 10) as u32));
        }
        wait_until("no probe is under way", || {
            let stats = rig.group.stats();
            stats.getters_running + stats.getters_queued == 0
        });
    }
    let tried = loads() - 20;
    assert!((2..=61).contains(&tried), "tried {tried} times in 60 s");
    assert_eq!(rig.group.stats().probes + 1, tried, "the first to fail was no probe");
    rig.origin.is(Mood::Well);
    rig.at(81);
    let before: Vec<u64> = keys.iter().map(|key| rig.origin.loads(key)).collect();
    wait_until("all are fresh", || {
        keys.iter().all(|key| !matches!(rig.get(key).unwrap().1, Source::Stale { .. }))
    });
    let after = keys.iter().map(|key| rig.origin.loads(key));
    assert!(after.zip(before).all(|(after, before)| after == before + 1), "one load a key");
}

/// Also one that was loaded once, and that every get would try again.
#[test]
fn keys_that_cannot_be_loaded_do_not_keep_others_from_it() {
    let rig = Rig::new(|options| options.stale_if_error(1_000 * SECOND));
    rig.get("k").unwrap();
    rig.at(10);
    rig.origin.is(Mood::Down);
    assert!(rig.get("never had").is_err());
    rig.origin.is(Mood::Well);
    rig.gives("k", "k 2", Source::Origin);
    rig.get("bad").unwrap();
    rig.at(20);
    rig.origin.is(Mood::Down);
    rig.gives("bad", "bad 1", stale(10));
    rig.origin.is(Mood::Well);
    rig.gives("k", "k 2", stale(10));
    rig.is_loaded(3);
    rig.gives("k", "k 3", Source::Main);
    rig.gives("bad", "bad 1", stale(10));
    assert_eq!(rig.origin.loads("bad"), 2, "it has failed just before");
    rig.at(21);
    rig.gives("bad", "bad 3", Source::Origin);
}

#[test]
fn an_origin_that_hangs_is_waited_for_once() {
    let short = Duration::from_millis(50);
    let rig = Rig::new(|options| options.stale_if_error(100 * SECOND).get_timeout(short));
    for key in ["k", "l"] {
        rig.get(key).unwrap();
    }
    rig.at(10);
    rig.origin.is(Mood::Hangs);
    assert_eq!(rig.group.get("k").unwrap(), "k 1");
    assert!(rig.group.inner.outage.is_on());
    // With the patience of a minute, so that waiting would be noticed.
    rig.gives("l", "l 1", stale(10));
    rig.gives("k", "k 1", stale(10));
    rig.origin.is(Mood::Well);
    wait_until("an answer ends it", || !rig.group.inner.outage.is_on());
}

#[test]
fn a_caller_in_a_hurry_gets_what_is_stale_and_tells_nothing_of_the_origin() {
    let rig = Rig::new(|options| options.stale_if_error(100 * SECOND));
    rig.get("k").unwrap();
    rig.at(10);
    rig.origin.is(Mood::Hangs);
    assert_eq!(rig.group.get_within("k", Duration::ZERO).unwrap(), "k 1");
    assert!(!rig.group.inner.outage.is_on());
    rig.origin.is(Mood::Well);
}

#[test]
fn when_too_many_loads_wait_what_is_stale_is_served() {
    let rig =
        Rig::new(|options| options.stale_if_error(100 * SECOND).max_getters(1).max_queued_loads(0));
    rig.get("k").unwrap();
    rig.at(10);
    wait_until("the place is free", || rig.group.stats().getters_running == 0);
    rig.origin.is(Mood::Hangs);
    std::thread::scope(|scope| {
        scope.spawn(|| rig.get("slow").unwrap());
        wait_until("it loads", || rig.origin.loads("slow") == 1);
        assert!(matches!(rig.get("cold"), Err(Error::Overloaded { .. })));
        rig.gives("k", "k 1", stale(10));
        rig.origin.is(Mood::Well);
    });
    assert_eq!(rig.group.stats().shed, 1, "who got the old value was not refused");
}
