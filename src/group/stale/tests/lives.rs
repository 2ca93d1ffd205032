//! How long values live, and what is served while they are refreshed.

use super::*;

#[test]
fn a_value_lives_as_long_as_its_getter_or_else_its_group_says() {
    let rig = Rig::new(|options| options);
    rig.gives("k", "k 1", Source::Origin);
    let short = Loaded::new("short").with_ttl(4 * SECOND);
    rig.group.set_local("short", short).unwrap();
    rig.group.set_local("set", Loaded::new("set")).unwrap();
    rig.at_millis(3_999);
    assert!(rig.group.peek("short").is_some());
    rig.at(4);
    assert_eq!(rig.group.peek("short"), None);
    rig.at_millis(9_999);
    rig.gives("k", "k 1", Source::Main);
    rig.at(10);
    assert_eq!((rig.group.peek("k"), rig.group.peek("set")), (None, None));
    rig.gives("k", "k 2", Source::Origin);
}

#[test]
fn jitter_shortens_times_to_live_by_its_part_at_most_and_each_by_another() {
    let rig = Rig::new(|options| options.ttl_jitter(0.5));
    let ttls: Vec<Duration> = (0..200)
        .map(|n| {
            let key = n.to_string();
            rig.get(&key).unwrap();
            let hit = rig.group.lookup(&key, Look::Peek).unwrap();
            rig.group.ttl(&hit).unwrap()
        })
        .collect();
    assert!(ttls.iter().all(|ttl| (5 * SECOND..=10 * SECOND).contains(ttl)), "{ttls:?}");
    let (least, most) = (ttls.iter().min().unwrap(), ttls.iter().max().unwrap());
    assert!(*most - *least > 3 * SECOND, "from {least:?} to {most:?}");
    for part in [-0.1, 1.1, f64::NAN] {
        let refused = GroupOptions::new(0).ttl_jitter(part).build("g", |_: &str| Ok(""));
        assert!(matches!(refused, Err(Error::BadSetting { .. })), "{part}");
    }
}

#[test]
fn what_has_expired_is_served_at_once_while_one_load_refreshes_it() {
    let rig = Rig::new(|options| options.stale_while_revalidate(5 * SECOND));
    rig.get("k").unwrap();
    rig.at(12);
    rig.origin.is(Mood::Hangs);
    for _ in 0..3 {
        rig.gives("k", "k 1", stale(12));
    }
    assert_eq!(rig.group.peek("k"), None, "a look at what is there is not told of it");
    rig.origin.is(Mood::Well);
    wait_until("refreshed", || rig.group.peek("k").is_some());
    rig.gives("k", "k 2", Source::Main);
    assert_eq!(rig.origin.loads("k"), 2);
    let stats = rig.group.stats();
    assert_eq!((stats.stale_served, stats.revalidations, stats.probes), (3, 1, 0));
    assert_eq!((stats.gets, stats.cache_hits), (5, 4));
    rig.at(27);
    rig.gives("k", "k 3", Source::Origin);
}

#[test]
fn the_two_windows_are_apart() {
    let rig = Rig::new(|o| o.stale_while_revalidate(5 * SECOND).stale_if_error(50 * SECOND));
    rig.get("k").unwrap();
    rig.at(15);
    rig.gives("k", "k 2", Source::Origin);
    rig.at(31);
    rig.origin.is(Mood::Down);
    rig.gives("k", "k 2", stale(16));
    assert_eq!(rig.origin.loads("k"), 3, "it was tried first");
    let rig = Rig::new(|options| options.stale_while_revalidate(50 * SECOND));
    rig.get("k").unwrap();
    rig.at(59);
    rig.origin.is(Mood::Down);
    rig.gives("k", "k 1", stale(59));
    rig.is_loaded(2);
    rig.at(60);
    assert!(rig.get("k").is_err(), "an error is not what this window is for");
}

#[test]
fn a_refresh_that_lands_late_does_not_undo_a_write() {
    let rig = Rig::new(|options| options.stale_while_revalidate(100 * SECOND));
    let changes: [fn(&Group); 2] = [
        |group| group.set_local("k", Loaded::new("new")).unwrap(),
        |group| group.remove_local("k").unwrap(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        rig.group.set_local("k", Loaded::new("old")).unwrap();
        rig.at(20 * (n as u64 + 1));
        rig.origin.is(Mood::Hangs);
        assert!(matches!(rig.get("k").unwrap().1, Source::Stale { .. }));
        let begun = n as u64 + 1;
        wait_until("it is refreshed", || rig.origin.loads("k") == begun);
        change(&rig.group);
        rig.origin.is(Mood::Well);
        rig.is_loaded(begun);
        let kept = rig.group.peek("k");
        assert_eq!(kept, (n == 0).then(|| "new".into()), "after change {n}");
    }
}

#[test]
fn what_a_peer_has_stale_is_told_as_such_and_not_kept() {
    let rig = Rig::new(|options| options.stale_if_error(100 * SECOND));
    rig.is_owned(Owner(Some(70)));
    for _ in 0..100 {
        rig.gives("k", "k", stale(70));
    }
    let stats = rig.group.stats();
    assert_eq!((stats.hot.admitted, stats.main.admitted, stats.stale_served), (0, 0, 100));
}

#[test]
fn a_copy_lives_no_longer_than_copies_may_and_helps_out_when_all_else_fails() {
    let rig = Rig::new(|options| options.hot_ttl(3 * SECOND).stale_if_error(100 * SECOND));
    let copy = |ttl| {
        let loaded = Loaded { ttl, ..Loaded::new("copy") };
        rig.group.keep_copy("k", &rig.group.fetched(loaded, Source::Peer));
        let hit = rig.group.lookup("k", Look::Peek).unwrap();
        rig.group.ttl(&hit)
    };
    assert_eq!(copy(Some(2 * SECOND)), Some(2 * SECOND));
    assert_eq!(copy(None), Some(3 * SECOND));
    rig.is_owned(Owner(None));
    rig.at(3);
    rig.origin.is(Mood::Down);
    rig.gives("k", "copy", stale(3));
    assert_eq!(rig.group.stats().peer_errors, 1, "its owner was asked first");
}
