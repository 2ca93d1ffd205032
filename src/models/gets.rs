//! Models of a whole get: group, flight, store and loaders together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Gate, on_threads, panic_on_purpose, switch};
use crate::error::{BoxError, Error};
use crate::getter::Loaded;
use crate::group::{GetterThread, Group, GroupOptions};
use crate::peer::{Peer, PeerError, PeerPicker};
use crate::sync::join_spawned;

const LONG: Duration = Duration::from_secs(3_600);

pub(super) type Calls = Arc<AtomicUsize>;

/// Options with times beyond any model's end.
pub(super) fn options(max_getters: usize) -> GroupOptions {
    GroupOptions::new(1 << 20).get_timeout(LONG).load_timeout(LONG).max_getters(max_getters)
}

/// The same, with getters on the threads of their callers.
fn on_caller(max_getters: usize) -> GroupOptions {
    options(max_getters).getter_thread(GetterThread::Caller)
}

/// A group, and how often its getter was called. The getter is told how many calls came before.
pub(super) fn group(
    options: GroupOptions,
    getter: impl Fn(&str, usize) -> Result<String, BoxError> + Send + Sync + 'static,
) -> (Group, Calls) {
    let calls = Calls::default();
    let counted = Arc::clone(&calls);
    let group = options.build("model", move |key: &str| {
        let before = counted.fetch_add(1, Ordering::SeqCst);
        switch();
        getter(key, before)
    });
    (group.unwrap(), calls)
}

pub(super) fn calls(calls: &Calls) -> usize {
    calls.load(Ordering::SeqCst)
}

/// Drops the group; its threads end and its flights are gone, or the model fails.
pub(super) fn end(group: Group) {
    let flights = group.flights();
    drop(group);
    join_spawned();
    assert_eq!(flights(), 0, "every key is free");
}

pub(super) fn three_callers_of_a_cold_key_load_it_once() {
    three_callers_load_once(options(4));
}

pub(super) fn one_of_three_callers_loads_for_all() {
    three_callers_load_once(on_caller(4));
}

fn three_callers_load_once(options: GroupOptions) {
    let (group, loads) = group(options, |key, _| Ok(format!("value of {key}")));
    let caller = group.clone();
    on_threads(3, move |_| {
        for _ in 0..2 {
            assert_eq!(caller.get("k").unwrap(), "value of k");
        }
    });
    assert_eq!(calls(&loads), 1);
    end(group);
}

/// The first load ends in an error, and no later one does.
fn the_first_load_fails(options: GroupOptions, fail: fn() -> BoxError, is_it: fn(&Error) -> bool) {
    let getter = move |_: &str, before| if before == 0 { Err(fail()) } else { Ok("v".to_owned()) };
    let (group, loads) = group(options, getter);
    let errors = Arc::new(AtomicUsize::new(0));
    let (caller, seen) = (group.clone(), Arc::clone(&errors));
    on_threads(3, move |_| {
        if let Err(error) = caller.get("k") {
            assert!(is_it(&error), "{error}");
            seen.fetch_add(1, Ordering::SeqCst);
            assert_eq!(caller.get("k").unwrap(), "v", "the error was seen and is over");
        }
    });
    assert!(errors.load(Ordering::SeqCst) > 0, "the error reached its callers");
    assert_eq!(calls(&loads), 2, "the error was not cached, and the value was");
    end(group);
}

pub(super) fn a_failing_getter_reaches_its_callers_and_frees_the_key() {
    the_first_load_fails(options(2), || "no".into(), |error| matches!(error, Error::Getter { .. }));
}

pub(super) fn a_panicking_getter_reaches_its_callers_and_frees_the_key() {
    the_first_load_panics(options(2));
}

pub(super) fn a_panic_on_a_callers_thread_reaches_the_others_and_frees_the_key() {
    the_first_load_panics(on_caller(2));
}

fn the_first_load_panics(options: GroupOptions) {
    the_first_load_fails(
        options,
        || panic_on_purpose(),
        |error| matches!(error, Error::GetterPanicked { .. }),
    );
}

/// Of which some run on a caller's thread, and some wait for one of the group's.
pub(super) fn no_more_getters_run_at_once_than_may() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, seen) = (Arc::clone(&running), Arc::clone(&most));
    let (group, loads) = group(on_caller(1), move |key, _| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        switch();
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(key.to_owned())
    });
    let caller = group.clone();
    on_threads(3, move |n| {
        let key = ["a", "b", "c"][n];
        assert_eq!(caller.get(key).unwrap(), key);
    });
    assert_eq!((calls(&most), calls(&loads)), (1, 3));
    end(group);
}

/// Those who waited for a load that was refused try for themselves; nobody waits for ever.
pub(super) fn a_load_that_is_refused_frees_its_key() {
    some_loads_are_refused(options(1));
}

pub(super) fn a_load_that_is_refused_beside_a_callers_frees_its_key() {
    some_loads_are_refused(on_caller(1));
}

fn some_loads_are_refused(options: GroupOptions) {
    let (group, _) = group(options.max_queued_loads(0), |key, _| Ok(key.to_owned()));
    let caller = group.clone();
    on_threads(4, move |n| {
        let key = ["a", "b"][n % 2];
        match caller.get(key) {
            Ok(value) => assert_eq!(value, key),
            Err(error) => assert!(matches!(error, Error::Overloaded { .. }), "{error}"),
        }
    });
    end(group);
}

pub(super) fn a_load_that_its_caller_left_in_the_queue_is_not_begun() {
    let (begun, go_on) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let gates = (Arc::clone(&begun), Arc::clone(&go_on));
    let (group, loads) = group(options(1), move |key, _| {
        gates.0.open();
        gates.1.pass();
        Ok(key.to_owned())
    });
    let slow = group.clone();
    let slow = shuttle::thread::spawn(move || slow.get("slow").unwrap());
    begun.pass();
    assert!(matches!(group.get_within("k", Duration::ZERO), Err(Error::DeadlineExceeded { .. })));
    go_on.open();
    assert_eq!(slow.join().unwrap(), "slow");
    end(group);
    assert_eq!(calls(&loads), 1, "nobody waited for the second load");
}

/// A load is found abandoned just when somebody comes to wait for it.
pub(super) fn a_caller_in_a_hurry_leaves_the_load_to_the_patient() {
    let (group, loads) = group(options(1), |key, _| Ok(key.to_owned()));
    let caller = group.clone();
    on_threads(3, move |n| in_a_hurry_or_not(&caller, n, "k"));
    assert_eq!(calls(&loads), 1);
    end(group);
}

/// A get whose caller is in a hurry when it is the first one.
fn in_a_hurry_or_not(group: &Group, n: usize, value: &str) {
    let timeout = if n == 0 { Duration::ZERO } else { LONG };
    match group.get_within("k", timeout) {
        Ok(got) => assert_eq!(got, value),
        Err(error) => assert!(n == 0 && matches!(error, Error::DeadlineExceeded { .. }), "{error}"),
    }
}

pub(super) fn a_group_dropped_while_it_loads_leaves_nothing_behind() {
    let held = Arc::new(());
    let captured = Arc::clone(&held);
    let (group, _) = group(options(1), move |key, _| {
        let _ = &captured;
        Ok(key.to_owned())
    });
    for key in ["a", "b"] {
        match group.get_within(key, Duration::ZERO) {
            Ok(value) => assert_eq!(value, key),
            Err(error) => assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error}"),
        }
    }
    end(group);
    assert_eq!(Arc::strong_count(&held), 1, "the getter is gone with its group");
}

/// A peer that owns every key.
struct Owner {
    asked: Calls,
    answer: fn(before: usize, deadline: Instant) -> Result<Loaded, PeerError>,
}

impl Peer for Owner {
    fn name(&self) -> &'static str {
        "owner"
    }

    fn get(&self, _group: &str, _key: &str, deadline: Instant) -> Result<Loaded, PeerError> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        switch();
        (self.answer)(before, deadline)
    }
}

struct AllHis(Arc<Owner>);

impl PeerPicker for AllHis {
    fn pick(&self, _key: &str) -> Option<Arc<dyn Peer>> {
        Some(Arc::<Owner>::clone(&self.0))
    }
}

/// A group whose keys a peer owns; gives how often the getter and the peer were called.
fn owned_group(answer: fn(usize, Instant) -> Result<Loaded, PeerError>) -> (Group, Calls, Calls) {
    let (group, loads) = group(options(2), |_, _| Ok("mine".to_owned()));
    let asked = Calls::default();
    let owner = Owner { asked: Arc::clone(&asked), answer };
    group.register_peers(Arc::new(AllHis(Arc::new(owner)))).unwrap();
    (group, loads, asked)
}

/// Each copy from a peer is kept in a model, so that it can be looked up again.
pub(super) fn three_callers_of_a_peers_key_ask_once() {
    let (group, loads, asked) = owned_group(|_, _| Ok("his".into()));
    let caller = group.clone();
    on_threads(3, move |_| {
        for _ in 0..2 {
            assert_eq!(caller.get("k").unwrap(), "his");
        }
    });
    assert_eq!((calls(&loads), calls(&asked)), (0, 1));
    end(group);
}

pub(super) fn callers_of_a_peer_that_fails_load_the_key_once() {
    let (group, loads, asked) = owned_group(|_, _| {
        Err(PeerError::Failed(Error::Peer { peer: "owner".into(), message: "down".into() }))
    });
    let caller = group.clone();
    on_threads(3, move |_| {
        for _ in 0..2 {
            assert_eq!(caller.get("k").unwrap(), "mine");
        }
    });
    assert_eq!(calls(&loads), 1);
    assert!((1..=3).contains(&calls(&asked)), "asked {asked:?} times");
    end(group);
}

/// The owner takes longer than the hasty caller has; the others are not let down with it.
pub(super) fn a_caller_in_a_hurry_leaves_the_asking_to_the_patient() {
    let (group, loads, _) = owned_group(|_, deadline| {
        if deadline <= Instant::now() { Err(PeerError::StillLoading) } else { Ok("his".into()) }
    });
    let caller = group.clone();
    on_threads(3, move |n| in_a_hurry_or_not(&caller, n, "his"));
    assert_eq!(calls(&loads), 0);
    end(group);
}

/// Also when the key that it gets has a load in the queue behind itself.
pub(super) fn a_getter_that_gets_needs_no_second_place() {
    the_outer_getter_gets_the_inner_key(options(1));
}

pub(super) fn a_getter_that_gets_on_a_callers_thread_needs_no_second_place() {
    the_outer_getter_gets_the_inner_key(on_caller(1));
}

fn the_outer_getter_gets_the_inner_key(options: GroupOptions) {
    let own = Arc::new(Mutex::new(None::<Group>));
    let itself = Arc::clone(&own);
    let (group, loads) = group(options, move |key, _| {
        let group = itself.lock().unwrap().clone();
        if key == "outer" {
            assert_eq!(group.unwrap().get("inner")?, "inner");
        }
        Ok(key.to_owned())
    });
    *own.lock().unwrap() = Some(group.clone());
    let caller = group.clone();
    on_threads(2, move |n| {
        let key = ["outer", "inner"][n];
        assert_eq!(caller.get(key).unwrap(), key);
    });
    assert_eq!(calls(&loads), 2);
    *own.lock().unwrap() = None;
    end(group);
}
