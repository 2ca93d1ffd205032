//! What is remembered of keys without a value.

use super::*;

#[test]
fn that_there_is_none_is_remembered_and_ends_what_was_stale() {
    let rig = Rig::new(|options| options.stale_if_error(100 * SECOND).not_found_ttl(5 * SECOND));
    rig.get("k").unwrap();
    rig.at(10);
    rig.origin.is(Mood::HasNone);
    for asker in [Asker::Here, Asker::Client, Asker::Peer] {
        let got = rig.group.fetch("k", Instant::now() + PATIENCE, asker);
        assert!(got.unwrap_err().is_not_found());
    }
    assert_eq!(rig.origin.loads("k"), 2);
    let stats = rig.group.stats();
    assert_eq!((stats.negative_hits, stats.stale_served, stats.server_requests), (2, 0, 1));
    assert_eq!((stats.main.items, stats.main.expired), (0, 1));
    rig.origin.is(Mood::Well);
    rig.at_millis(14_999);
    assert!(rig.get("k").is_err());
    rig.at(15);
    rig.gives("k", "k 3", Source::Origin);
}

#[test]
fn what_changes_a_key_ends_what_is_remembered_of_it() {
    let rig = Rig::new(|options| options.not_found_ttl(SECOND));
    let changes: [fn(&Group); 3] = [
        |group| group.remove_local("k").unwrap(),
        |group| group.clear().unwrap(),
        |group| group.set_local("k", Loaded::new("k set")).unwrap(),
    ];
    for (change, expected) in changes.into_iter().zip(["k 2", "k 4", "k set"]) {
        rig.group.remove_local("k").unwrap();
        rig.origin.is(Mood::HasNone);
        assert!(rig.get("k").is_err());
        rig.origin.is(Mood::Well);
        assert!(rig.get("k").is_err(), "remembered");
        change(&rig.group);
        assert_eq!(rig.group.get("k").unwrap(), expected);
    }
}

#[test]
fn errors_are_remembered_when_the_group_is_told_to() {
    let rig = Rig::new(|options| options.error_ttl(2 * SECOND));
    rig.origin.is(Mood::Down);
    let first = rig.get("k").unwrap_err();
    rig.origin.is(Mood::Well);
    assert_eq!(rig.get("k").unwrap_err(), first);
    rig.at(2);
    rig.gives("k", "k 2", Source::Origin);
    rig.group.remove_local("k").unwrap();
    rig.origin.is(Mood::HasNone);
    assert!(rig.get("k").is_err());
    rig.origin.is(Mood::Well);
    rig.gives("k", "k 4", Source::Origin);
}

#[test]
fn a_value_that_is_too_large_is_not_loaded_again_at_once() {
    let rig = Rig::new(|options| options.value_bytes(2));
    for at in [0, 999, 1_000] {
        rig.at_millis(at);
        assert!(matches!(rig.get("k"), Err(Error::ValueTooLarge { .. })));
        assert_eq!(rig.origin.loads("k"), 1 + at / 1_000);
    }
}
