//! Promise 1: a cold key is loaded once in the whole cluster, and no getter wedges a key.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use larder::testing::{Cluster, Fault, TestOrigin};
use larder::{Error, Group, GroupOptions, Limits};

use crate::support::{PATIENCE, wait_until};

const NODES: usize = 5;
const THREADS: usize = 64;
const ROUNDS: usize = 200;

#[test]
fn a_cold_key_is_loaded_once_however_many_ask_on_however_many_nodes() {
    let origin = TestOrigin::new();
    let cluster = Cluster::start(NODES).unwrap();
    let groups = patient(&cluster, &origin);
    let barrier = Barrier::new(NODES * THREADS);
    std::thread::scope(|scope| {
        for group in &groups {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let key = format!("round {round}");
                        barrier.wait();
                        assert_eq!(group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
                    }
                });
            }
        }
    });
    assert_eq!(origin.total_loads(), ROUNDS as u64);
    let peer_errors: u64 = groups.iter().map(|group| group.stats().peer_errors).sum();
    assert_eq!(peer_errors, 0);
}

fn patient(cluster: &Cluster, origin: &TestOrigin) -> Vec<Group> {
    let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE);
    cluster.group_with(&options, "g", origin).unwrap()
}

#[test]
fn a_key_as_long_as_the_limit_is_loaded_once_however_it_is_escaped() {
    let origin = TestOrigin::new();
    let cluster = Cluster::start(NODES).unwrap();
    let groups = patient(&cluster, &origin);
    for part in ["k", "/", "日", "\u{1}"] {
        let key = part.repeat((4 << 10) / part.len());
        for group in &groups {
            assert_eq!(group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
        }
        assert_eq!(origin.loads(&key), 1, "{part:?}");
    }
}

/// Has every node ask for `key` from many threads at once; the outcomes.
fn ask_all(groups: &[Group], key: &str, timeout: Duration) -> Vec<Result<String, Error>> {
    let barrier = Barrier::new(groups.len() * 16);
    std::thread::scope(|scope| {
        let ask = |group| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let value = Group::get_within(group, key, timeout)?;
                Ok(value.as_str().unwrap().to_owned())
            })
        };
        let threads: Vec<_> =
            groups.iter().flat_map(|g| (0..16).map(move |_| g)).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_failing_or_panicking_getter_reaches_every_caller_and_leaves_the_key_usable() {
    let origin = TestOrigin::new();
    let cluster = Cluster::start(3).unwrap();
    let groups = patient(&cluster, &origin);
    for (key, fault) in [("a", Fault::Fail), ("b", Fault::Panic), ("c", Fault::NotFound)] {
        for round in 0..20 {
            let key = format!("{key}{round}");
            origin.set_fault_of(&key, fault);
            for outcome in ask_all(&groups, &key, PATIENCE) {
                let as_expected = match outcome.as_ref().unwrap_err() {
                    Error::Getter { message, .. } => {
                        fault == Fault::Fail && message.contains("failed on command")
                    }
                    Error::GetterPanicked { message, .. } => {
                        fault == Fault::Panic && message.contains("panicked on command")
                    }
                    Error::NotFound { .. } => fault == Fault::NotFound,
                    _ => false,
                };
                assert!(as_expected, "{fault:?} gave {outcome:?}");
            }
            origin.set_fault_of(&key, None);
            for outcome in ask_all(&groups, &key, PATIENCE) {
                assert_eq!(outcome, Ok(TestOrigin::value(&key)));
            }
        }
    }
}

#[test]
fn a_hanging_getter_is_left_at_the_deadline_and_taken_over_after_the_load_timeout() {
    let origin = TestOrigin::new();
    let cluster = Cluster::start(3).unwrap();
    let options = GroupOptions::new(1 << 20).load_timeout(Duration::from_secs(4));
    let groups = cluster.group_with(&options, "g", &origin).unwrap();
    origin.set_fault_of("k", Fault::Hang);
    let started = Instant::now();
    for outcome in ask_all(&groups, "k", Duration::from_secs(2)) {
        assert!(matches!(outcome, Err(Error::DeadlineExceeded { .. })), "{outcome:?}");
    }
    assert!(started.elapsed() < PATIENCE, "callers are not held past their deadlines");
    assert_eq!(origin.loads("k"), 1, "all of them waited for one load");
    // The first load hangs for ever; a later caller is not its prisoner.
    origin.set_fault_of("k", None);
    for outcome in ask_all(&groups, "k", PATIENCE) {
        assert_eq!(outcome, Ok(TestOrigin::value("k")));
    }
    assert_eq!(origin.loads("k"), 2);
    assert_eq!(running(&groups), 1, "the hung load stays counted");
    origin.release();
    wait_until("the hung load is no longer counted", || running(&groups) == 0);
    let overdue: u64 = groups.iter().map(|group| group.stats().overdue_loads).sum();
    assert_eq!(overdue, 1);
}

fn running(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.stats().getters_running).sum()
}

#[test]
fn a_load_slower_than_a_peer_call_is_waited_for_and_not_repeated() {
    let origin = TestOrigin::new();
    let mut limits = Limits::default();
    limits.lane_workers = 4;
    limits.peer_call = Duration::from_millis(1_500);
    let cluster = Cluster::start_with(3, &limits).unwrap();
    let groups = patient(&cluster, &origin);
    origin.set_fault_of("k", Fault::Delay(Duration::from_secs(4)));
    for outcome in ask_all(&groups, "k", PATIENCE) {
        assert_eq!(outcome, Ok(TestOrigin::value("k")));
    }
    assert_eq!(origin.loads("k"), 1);
}

#[test]
fn a_getter_that_asks_for_its_own_key_gets_an_error() {
    let slot = std::sync::Arc::new(std::sync::OnceLock::<Group>::new());
    let inner = std::sync::Arc::clone(&slot);
    let group = Group::new("g", 1 << 20, move |key: &str| match key {
        "self" => Ok(inner.get().unwrap().get("self")?.to_vec()),
        "other" => Ok(inner.get().unwrap().get("plain")?.to_vec()),
        _ => Ok(b"plain value".to_vec()),
    });
    let group = group.unwrap();
    slot.set(group.clone()).unwrap();
    let error = group.get("self").unwrap_err();
    assert!(error.to_string().contains("asked its own group"), "{error}");
    assert_eq!(group.get("other").unwrap(), "plain value");
}
