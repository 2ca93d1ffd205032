//! A group on its own: what its options and its counters promise.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder::testing::{Fault, TestOrigin};
use larder::{
    Error, Getter, Group, GroupOptions, Loaded, NoPeers, NotFound, Peer, PeerError, PeerPicker,
    RemovalCause,
};

use crate::support::{PATIENCE, wait_until};

#[test]
fn the_second_get_is_a_hit_and_peek_loads_nothing() {
    let origin = TestOrigin::new();
    let group = Group::new("g", 1 << 20, origin.clone()).unwrap();
    assert_eq!(group.peek("k"), None);
    assert_eq!(group.get("k").unwrap(), "value of k");
    assert_eq!(group.get("k").unwrap(), "value of k");
    assert_eq!(group.peek("k").unwrap(), "value of k");
    assert_eq!(origin.loads("k"), 1);
    let stats = group.stats();
    assert_eq!((stats.gets, stats.cache_hits, stats.loads), (2, 1, 1));
    assert_eq!((stats.loads_deduped, stats.local_loads, stats.local_load_errs), (1, 1, 0));
    assert_eq!((stats.peer_loads, stats.peer_errors, stats.server_requests), (0, 0, 0));
    assert_eq!((stats.main.items, stats.hot.items), (1, 0));
    assert_eq!((stats.main.hits, stats.main.gets - stats.main.misses()), (2, 2));
    assert!(stats.main.misses() > 0, "the first look found nothing");
    assert!(stats.main.bytes > "k".len() as u64 + "value of k".len() as u64);
}

#[test]
fn the_eviction_listener_hears_of_every_entry_that_leaves_and_may_call_the_group() {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let slot = Arc::new(Mutex::new(None::<Group>));
    let inside = Arc::clone(&slot);
    let group = GroupOptions::new(20_000)
        .on_evict(move |key, value, why| {
            let group = inside.lock().unwrap().clone().unwrap();
            assert_eq!(group.peek(key), None, "it has left");
            told.lock().unwrap().send((key.to_owned(), value.len(), why)).unwrap();
        })
        .build("g", |key: &str| Ok(vec![0; key.parse()?]))
        .unwrap();
    *slot.lock().unwrap() = Some(group.clone());
    for len in 1_000..1_050 {
        group.get(&len.to_string()).unwrap();
    }
    let stats = group.stats();
    assert!(stats.main.bytes <= 20_000, "{stats:?}");
    // The listener hears of it after the caller has its value.
    let hear = |_| heard.recv_timeout(PATIENCE).unwrap();
    let gone: Vec<_> = (0..stats.main.evictions).map(hear).collect();
    assert!(heard.try_recv().is_err(), "nothing else has left");
    assert_eq!(gone.len() as u64 + stats.main.items, 50);
    for (key, len, why) in gone {
        assert_eq!((key, why), (len.to_string(), RemovalCause::Size));
    }
    *slot.lock().unwrap() = None;
}

#[test]
fn a_value_that_can_never_fit_is_served_and_counted_and_pushes_nothing_out() {
    let group = Group::new("g", 10_000, |key: &str| Ok(vec![7; key.parse()?])).unwrap();
    group.get("10").unwrap();
    for _ in 0..2 {
        assert_eq!(group.get("20000").unwrap().len(), 20_000);
    }
    let stats = group.stats();
    assert_eq!((stats.main.refused, stats.main.evictions, stats.main.items), (2, 0, 1));
    assert!(group.peek("10").is_some());
}

#[test]
fn a_value_lives_as_long_as_its_getter_says() {
    struct ShortLived(TestOrigin);
    impl Getter for ShortLived {
        fn get(&self, key: &str) -> Result<Loaded, larder::BoxError> {
            Ok(self.0.get(key)?.with_ttl(Duration::from_millis(50)))
        }
    }
    let origin = TestOrigin::new();
    let group = Group::new("g", 1 << 20, ShortLived(origin.clone())).unwrap();
    group.get("k").unwrap();
    wait_until("the value expires", || group.peek("k").is_none());
    group.get("k").unwrap();
    assert_eq!(origin.loads("k"), 2);
    assert!(group.stats().main.expired >= 1);
}

#[test]
fn a_cleared_group_loads_anew_and_tells_what_left() {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let origin = TestOrigin::new();
    let group = GroupOptions::new(1 << 20)
        .on_evict(move |key, _, why| told.lock().unwrap().send((key.to_owned(), why)).unwrap())
        .build("g", origin.clone())
        .unwrap();
    group.get("k").unwrap();
    group.clear().unwrap();
    assert_eq!(heard.try_recv(), Ok(("k".to_owned(), RemovalCause::Removed)));
    assert_eq!((group.peek("k"), group.stats().main.bytes), (None, 0));
    group.get("k").unwrap();
    assert_eq!((origin.loads("k"), group.stats().main.removed), (2, 1));
}

#[test]
fn what_is_being_loaded_while_a_group_is_cleared_is_not_kept() {
    let origin = TestOrigin::new();
    let group = Group::new("g", 1 << 20, origin.clone()).unwrap();
    origin.set_fault(Fault::Hang);
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| group.get("k"));
        wait_until("the load has begun", || origin.loads("k") == 1);
        group.clear().unwrap();
        origin.release();
        caller.join().unwrap().unwrap();
    });
    assert_eq!(group.peek("k"), None);
}

#[test]
fn a_budget_can_be_lowered_and_raised() {
    let group = Group::new("g", 1 << 20, |key: &str| Ok(vec![7; key.parse()?])).unwrap();
    let fill = || (1_000..2_000).for_each(|len| drop(group.get(&len.to_string()).unwrap()));
    fill();
    for cache_bytes in [100_000, 0, 4 << 20] {
        group.set_cache_bytes(cache_bytes);
        let stats = group.stats();
        assert_eq!(stats.cache_bytes, cache_bytes as u64);
        assert!(stats.main.bytes <= stats.cache_bytes, "{stats:?}");
        fill();
        assert!(group.stats().main.bytes <= stats.cache_bytes, "{stats:?}");
    }
    assert_eq!(group.stats().main.items, 1_000);
}

#[test]
fn errors_are_not_cached_and_name_group_and_key() {
    let origin = TestOrigin::new();
    let group = Group::new("scores", 1 << 20, origin.clone()).unwrap();
    for fault in [Fault::Fail, Fault::Panic, Fault::NotFound] {
        origin.set_fault(fault);
        let error = group.get("Ann").unwrap_err();
        assert_eq!(error.is_not_found(), fault == Fault::NotFound);
        let text = error.to_string();
        assert!(text.contains("scores") && text.contains("Ann"), "{text}");
    }
    origin.set_fault(None);
    assert_eq!(group.get("Ann").unwrap(), "value of Ann");
    let stats = group.stats();
    assert_eq!((stats.local_loads, stats.local_load_errs, stats.getter_panics), (1, 3, 1));
}

#[test]
fn past_its_limits_a_group_sheds_with_an_error_that_names_the_limit() {
    let origin = TestOrigin::new();
    origin.set_fault(Fault::Hang);
    let options = GroupOptions::new(1 << 20).max_getters(1).max_queued_loads(1);
    let group = options.key_bytes(16).value_bytes(8).build("g", origin.clone()).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| group.get("a"));
        wait_until("the first load runs", || origin.hanging() == 1);
        let second = scope.spawn(|| group.get("b"));
        wait_until("the second load waits", || group.stats().getters_queued == 1);
        let error = group.get("c").unwrap_err();
        assert!(matches!(&error, Error::Overloaded { what } if what.contains('1')), "{error}");
        origin.set_fault(None);
        origin.release();
        // "value of a" is longer than 8 bytes.
        for outcome in [first, second] {
            let error = outcome.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::ValueTooLarge { len: 10, limit: 8, .. }), "{error}");
        }
    });
    let error = group.get(&"k".repeat(17)).unwrap_err();
    assert!(matches!(error, Error::KeyTooLong { len: 17, limit: 16, .. }), "{error}");
    assert_eq!(group.stats().shed, 1);
}

#[test]
fn a_load_that_everyone_has_left_while_it_was_queued_is_not_begun() {
    let origin = TestOrigin::new();
    origin.set_fault_of("slow", Fault::Hang);
    let group = GroupOptions::new(1 << 20).max_getters(1).build("g", origin.clone()).unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| group.get_within("slow", PATIENCE));
        wait_until("the first load runs", || origin.hanging() == 1);
        let left = group.get_within("left", Duration::from_millis(20)).unwrap_err();
        assert!(matches!(left, Error::DeadlineExceeded { .. }), "{left}");
        origin.release();
        slow.join().unwrap().unwrap();
    });
    wait_until("the queue is worked off", || {
        let stats = group.stats();
        stats.getters_queued == 0 && stats.getters_running == 0
    });
    assert_eq!(origin.loads("left"), 0);
    assert_eq!(group.get("left").unwrap(), "value of left");
}

#[test]
fn names_that_cannot_stand_in_a_path_are_refused() {
    for name in ["", ".", "..", "a/b", &"n".repeat(129)] {
        let error = Group::new(name, 0, TestOrigin::new()).unwrap_err();
        assert!(matches!(error, Error::BadGroupName { .. }), "{error}");
    }
    for name in ["a b", "日本", "a%2Fb", "...", &"n".repeat(128)] {
        assert!(Group::new(name, 0, TestOrigin::new()).is_ok(), "{name}");
    }
}

/// A peer that answers what it is told to.
struct Scripted(Result<Loaded, PeerError>);

impl Peer for Scripted {
    fn name(&self) -> &str {
        "http://scripted:1"
    }

    fn get(&self, _group: &str, _key: &str, _until: Instant) -> Result<Loaded, PeerError> {
        self.0.clone()
    }
}

struct Always(Arc<Scripted>);

impl PeerPicker for Always {
    fn pick(&self, _key: &str) -> Option<Arc<dyn Peer>> {
        Some(Arc::clone(&self.0) as Arc<dyn Peer>)
    }
}

fn with_peer(answer: Result<Loaded, PeerError>) -> (Group, TestOrigin) {
    let origin = TestOrigin::new();
    let group = Group::new("g", 1 << 20, origin.clone()).unwrap();
    group.register_peers(Arc::new(Always(Arc::new(Scripted(answer))))).unwrap();
    (group, origin)
}

#[test]
fn a_peers_value_goes_to_the_hot_cache_now_and_then_and_never_to_main() {
    let (group, origin) = with_peer(Ok(Loaded::new("theirs")));
    for n in 0..1_000 {
        assert_eq!(group.get(&n.to_string()).unwrap(), "theirs");
    }
    let stats = group.stats();
    assert_eq!((stats.peer_loads, stats.main.items, origin.total_loads()), (1_000, 0, 0));
    // One in ten: below 10 and above 400 of 1,000 have a chance of less than 1 in 10^30.
    assert!((10..400).contains(&stats.hot.items), "{stats:?}");
}

#[test]
fn a_peers_final_answer_is_passed_on_and_a_failed_peer_is_replaced_by_the_getter() {
    let (group, key) = ("g".to_owned(), "k".to_owned());
    let not_found = Error::NotFound { group, key };
    let (group, origin) = with_peer(Err(PeerError::Answered(not_found.clone())));
    assert_eq!(group.get("k"), Err(not_found));
    assert_eq!((origin.total_loads(), group.stats().peer_errors), (0, 0));

    let broken = Error::Peer { peer: "http://scripted:1".into(), message: "cut".into() };
    for (error, bad) in [(PeerError::Failed(broken.clone()), 0), (PeerError::BadAnswer(broken), 1)]
    {
        let (group, origin) = with_peer(Err(error));
        assert_eq!(group.get("k").unwrap(), "value of k");
        let stats = group.stats();
        assert_eq!((origin.loads("k"), stats.peer_errors, stats.main.items), (1, 1, 1));
        assert_eq!(stats.peer_bad_answers, bad);
    }
}

#[test]
fn a_group_belongs_to_one_pool() {
    let (group, _) = with_peer(Err(PeerError::StillLoading));
    assert!(matches!(group.register_peers(Arc::new(NoPeers)), Err(Error::BadSetting { .. })));
}

#[test]
fn a_closure_may_return_whatever_converts_into_a_value() {
    let strings = Group::new("g", 1 << 20, |key: &str| Ok(key.to_uppercase())).unwrap();
    assert_eq!(strings.get("a").unwrap(), "A");
    let maybe = Group::new("g", 1 << 20, |key: &str| match key {
        "yes" => Ok(Loaded::new("here").with_ttl(PATIENCE)),
        _ => Err(NotFound.into()),
    });
    let maybe = maybe.unwrap();
    assert_eq!(maybe.get("yes").unwrap(), "here");
    assert!(maybe.get("no").unwrap_err().is_not_found());
}
