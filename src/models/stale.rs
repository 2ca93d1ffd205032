//! Models of values that have expired and are served all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::gets::{Calls, calls, end, group, options};
use super::{Gate, on_threads};
use crate::clock::Clock;
use crate::error::BoxError;
use crate::group::{Group, GroupOptions};

const TTL: Duration = Duration::from_millis(10);
const WINDOW: Duration = Duration::from_secs(3_600);

/// Options of a group whose values expire when its clock is moved.
fn expiring() -> (GroupOptions, Arc<AtomicU64>) {
    let (clock, millis) = Clock::manual();
    (options(4).ttl(TTL).clock(clock), millis)
}

/// Gets the keys, and lets them expire.
fn expire(group: &Group, millis: &AtomicU64, keys: &[&str]) {
    for key in keys {
        group.get(key).unwrap();
    }
    millis.store(TTL.as_millis() as u64, Ordering::SeqCst);
}

/// A group that refreshes in the background, with an expired value.
fn refreshing(
    getter: impl Fn(&str, usize) -> Result<String, BoxError> + Send + Sync + 'static,
) -> (Group, Calls) {
    let (options, millis) = expiring();
    let (group, loads) = group(options.stale_while_revalidate(WINDOW), getter);
    expire(&group, &millis, &["k"]);
    (group, loads)
}

/// Nobody waits for it: it ends when all have what they want.
pub(super) fn one_load_refreshes_and_nobody_waits_for_it() {
    let go_on = Arc::new(Gate::default());
    let gate = Arc::clone(&go_on);
    let (group, loads) = refreshing(move |_, before| {
        if before > 0 {
            gate.pass();
        }
        Ok(before.to_string())
    });
    let caller = group.clone();
    on_threads(3, move |_| assert_eq!(caller.get("k").unwrap(), "0"));
    go_on.open();
    end(group);
    assert_eq!(calls(&loads), 2);
}

pub(super) fn what_has_been_refreshed_is_not_refreshed_again() {
    let (group, loads) = refreshing(|_, before| Ok(before.to_string()));
    let caller = group.clone();
    on_threads(3, move |_| {
        let got = caller.get("k").unwrap();
        assert!(got == "0" || got == "1", "{got:?}");
    });
    end(group);
    assert_eq!(calls(&loads), 2);
}

/// All keys are served, and of all of them one is loaded, to try the origin.
pub(super) fn while_the_origin_fails_one_load_tries_it() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let (options, millis) = expiring();
    let (group, loads) = group(options.stale_if_error(WINDOW), move |key, _| {
        if fails.load(Ordering::SeqCst) { Err("down".into()) } else { Ok(key.to_owned()) }
    });
    expire(&group, &millis, &["a", "b"]);
    failing.store(true, Ordering::SeqCst);
    assert_eq!(group.get("a").unwrap(), "a", "the load that has failed tells of the outage");
    let caller = group.clone();
    on_threads(2, move |n| {
        let key = ["a", "b"][n];
        assert_eq!(caller.get(key).unwrap(), key);
    });
    end(group);
    assert_eq!(calls(&loads), 2 + 1 + 1, "two that gave a value, one that failed, and a probe");
}
