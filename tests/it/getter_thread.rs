//! Getters that run on the thread of the caller that leads their load.

use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use larder::testing::{Fault, TestOrigin};
use larder::{Error, GetterThread, Group, GroupOptions, HttpPool};

use crate::support::{PATIENCE, get, wait_until};

fn options() -> GroupOptions {
    GroupOptions::new(1 << 20).getter_thread(GetterThread::Caller).get_timeout(PATIENCE)
}

fn group() -> (Group, TestOrigin) {
    let origin = TestOrigin::new();
    (options().build("g", origin.clone()).unwrap(), origin)
}

fn thread_name() -> String {
    thread::current().name().unwrap_or("nameless").to_owned()
}

#[test]
fn requests_over_http_keep_to_the_groups_threads() {
    let pool = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0").start().unwrap();
    let group = pool.group_with(options(), "g", |_: &str| Ok(thread_name())).unwrap();
    assert_eq!(group.get("ours").unwrap(), thread_name().as_str());
    let client = get(pool.api_addr().unwrap(), "/api/g/client").text();
    assert_eq!(client, "load group \"g\"");
    let peer = get(pool.peer_addr().unwrap(), "/_larder/g/peer").text();
    assert!(peer.contains("load group \"g\""), "{peer:?}");
}

#[test]
fn one_caller_loads_for_all() {
    const CALLERS: u64 = 16;
    let (group, origin) = group();
    origin.set_fault(Fault::Hang);
    thread::scope(|scope| {
        let get = || assert_eq!(group.get("k").unwrap(), "value of k");
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(get)).collect();
        wait_until("all have come", || group.stats().loads == CALLERS && origin.hanging() == 1);
        assert_eq!(group.stats().getters_running, 1);
        origin.release();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    let stats = group.stats();
    assert_eq!((origin.loads("k"), stats.local_loads, stats.getters_running), (1, 1, 0));
}

#[test]
fn a_failure_or_a_panic_reaches_every_caller_and_leaves_the_key_usable() {
    let (group, origin) = group();
    for fault in [Fault::Fail, Fault::Panic, Fault::NotFound] {
        for round in 0..50 {
            let key = format!("{fault:?} {round}");
            origin.set_fault(fault);
            let barrier = Barrier::new(8);
            let get = || {
                barrier.wait();
                group.get(&key).unwrap_err()
            };
            let errors: Vec<Error> = thread::scope(|scope| {
                let callers: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
                callers.into_iter().map(|caller| caller.join().unwrap()).collect()
            });
            for error in errors {
                let expected = match error {
                    Error::Getter { .. } => Fault::Fail,
                    Error::GetterPanicked { .. } => Fault::Panic,
                    Error::NotFound { .. } => Fault::NotFound,
                    other => panic!("{other}"),
                };
                assert_eq!(fault, expected);
            }
            origin.set_fault(None);
            assert_eq!(group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        }
    }
    assert_eq!(group.stats().getters_running, 0);
}

#[test]
fn only_the_caller_that_loads_is_held_past_its_deadline() {
    let (group, origin) = group();
    origin.set_fault(Fault::Hang);
    thread::scope(|scope| {
        let leader = scope.spawn(|| group.get_within("k", Duration::from_millis(1)));
        wait_until("the load has begun", || origin.hanging() == 1);
        let waiter = group.get_within("k", Duration::from_millis(20)).unwrap_err();
        assert!(matches!(waiter, Error::DeadlineExceeded { .. }), "{waiter}");
        assert!(!leader.is_finished());
        origin.release();
        assert_eq!(leader.join().unwrap().unwrap(), "value of k");
    });
    assert_eq!(origin.loads("k"), 1);
}

#[test]
fn a_caller_that_hangs_is_taken_over_after_the_load_timeout() {
    let origin = TestOrigin::new();
    let options = options().load_timeout(Duration::from_millis(100));
    let group = options.build("g", origin.clone()).unwrap();
    origin.set_fault(Fault::Hang);
    thread::scope(|scope| {
        let leader = scope.spawn(|| group.get("k"));
        wait_until("the load has begun", || origin.hanging() == 1);
        origin.set_fault(None);
        assert_eq!(group.get("k").unwrap(), "value of k");
        assert_eq!((origin.loads("k"), group.stats().getters_running), (2, 1));
        origin.release();
        assert_eq!(leader.join().unwrap().unwrap(), "value of k");
    });
    let stats = group.stats();
    assert_eq!((stats.overdue_loads, stats.getters_running), (1, 0));
}

#[test]
fn past_max_getters_loads_wait_for_a_thread_and_then_are_refused() {
    let origin = TestOrigin::new();
    origin.set_fault(Fault::Hang);
    let options = options().max_getters(1).max_queued_loads(1);
    let group = options.build("g", origin.clone()).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| group.get("a"));
        wait_until("the first load runs", || origin.hanging() == 1);
        let left = group.get_within("b", Duration::from_millis(20)).unwrap_err();
        assert!(matches!(left, Error::DeadlineExceeded { .. }), "it was queued: {left}");
        let second = scope.spawn(|| group.get("b"));
        wait_until("the second caller has come", || group.stats().loads == 3);
        let refused = group.get("c").unwrap_err();
        assert!(matches!(refused, Error::Overloaded { .. }), "{refused}");
        origin.set_fault(None);
        origin.release();
        assert_eq!(first.join().unwrap().unwrap(), "value of a");
        assert_eq!(second.join().unwrap().unwrap(), "value of b");
    });
    wait_until("the thread idles", || group.stats().getters_running == 0);
    assert_eq!((origin.total_loads(), group.stats().shed), (2, 1));
}

#[test]
fn a_getter_that_gets_a_key_in_the_queue_behind_it_lends_its_place() {
    let slot = Arc::new(OnceLock::<Group>::new());
    let inside = Arc::clone(&slot);
    let getter = move |key: &str| {
        let group = inside.get().unwrap();
        if key == "outer" {
            wait_until("the inner load is queued", || group.stats().getters_queued == 1);
            assert_eq!(group.get("inner")?, "value of inner");
            assert_eq!(group.get("another")?, "value of another");
        }
        Ok(TestOrigin::value(key))
    };
    let group = options().max_getters(1).build("g", getter).unwrap();
    slot.set(group.clone()).unwrap();
    thread::scope(|scope| {
        let outer = scope.spawn(|| group.get("outer"));
        wait_until("the outer load runs", || group.stats().getters_running == 1);
        let inner = scope.spawn(|| group.get("inner"));
        assert_eq!(outer.join().unwrap().unwrap(), "value of outer");
        assert_eq!(inner.join().unwrap().unwrap(), "value of inner");
    });
    let stats = group.stats();
    assert_eq!((stats.local_loads, stats.getters_queued), (3, 0));
}
