//! Models of the flight, alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{on_threads, switch};
use crate::flight::{Flights, Landing, Leader, Role};

const LONG: Duration = Duration::from_secs(3_600);

fn lead<V: Clone>(flights: &Arc<Flights<V>>) -> Leader<V> {
    match flights.join(b"k") {
        Role::Leader(leader) => leader,
        Role::Waiter(_) => panic!("the key is in flight already"),
    }
}

/// Nobody sleeps for ever, and nobody meets the flight again that it has seen lost.
pub(super) fn a_lost_leader_leaves_the_lead_to_one_of_its_waiters() {
    let flights = Flights::new(LONG);
    let led = Arc::new(AtomicUsize::new(0));
    let table = Arc::clone(&flights);
    on_threads(3, move |_| {
        let mut lost = 0;
        loop {
            match table.join(b"k") {
                Role::Leader(leader) if led.fetch_add(1, Ordering::SeqCst) == 0 => {
                    switch();
                    drop(leader);
                }
                Role::Leader(leader) => {
                    leader.land(7, |_| ());
                    break;
                }
                Role::Waiter(waiter) => match waiter.wait(Instant::now() + LONG) {
                    Landing::Landed(value) => break assert_eq!(value, 7),
                    Landing::Lost => lost += 1,
                    landing => panic!("{landing:?}"),
                },
            }
            assert!(lost <= 1, "one flight was lost, and this caller saw it {lost} times");
        }
    });
    assert_eq!(flights.len(), 0);
}

/// What is kept in the end is the newer value, and the newer flight stays until it lands.
pub(super) fn an_overdue_flight_does_not_undo_the_one_after_it() {
    const OLD: u8 = 1;
    const NEW: u8 = 2;
    let flights = Flights::new(Duration::ZERO);
    let kept = Arc::new(AtomicU8::new(0));
    let keep = |kept: &AtomicU8, value: u8| {
        switch();
        kept.store(value, Ordering::SeqCst);
    };
    let old = lead(&flights);
    let waiter = old.waiter();
    let old_lands = {
        let kept = Arc::clone(&kept);
        shuttle::thread::spawn(move || old.land(OLD, |&value| keep(&kept, value)))
    };
    let new = lead(&flights);
    assert_eq!(flights.len(), 1, "the newer flight took the older one's place");
    switch();
    assert_eq!(flights.len(), 1, "the older flight took the newer one with it");
    assert!(new.land(NEW, |&value| keep(&kept, value)).is_some());
    let landing = waiter.wait(Instant::now() + LONG);
    assert!(matches!(landing, Landing::Landed(OLD) | Landing::Overdue), "{landing:?}");
    old_lands.join().unwrap();
    assert_eq!(kept.load(Ordering::SeqCst), NEW);
    assert_eq!(flights.len(), 0);
}
