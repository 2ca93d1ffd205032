//! Models of what the threads that call a peer share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{on_threads, switch};
use crate::client::Suspects;
use crate::client::admission::{Admission, Told};
use crate::client::timer::Timer;

fn admission(max_calls: usize, suspects: &Arc<Suspects>) -> Admission {
    let timer = Timer::new(Duration::ZERO, Duration::ZERO);
    Admission::new(max_calls, timer, Arc::clone(suspects))
}

/// Makes a call beside which there are `most` others at most.
fn call(peer: &Admission, active: &AtomicUsize, most: usize, told: Told) -> bool {
    let Some(mut call) = peer.enter() else { return false };
    assert!(active.fetch_add(1, Ordering::SeqCst) < most, "more calls than may be");
    switch();
    active.fetch_sub(1, Ordering::SeqCst);
    call.tell(Instant::now(), told);
    true
}

/// And one that tells nothing leaves its place to another.
pub(super) fn one_call_at_a_time_probes_a_peer_that_is_away() {
    let (peer, active) = (Arc::new(admission(4, &Arc::default())), Arc::<AtomicUsize>::default());
    assert!(call(&peer, &active, 1, Told::Refused));
    let (shared, calls) = (Arc::clone(&peer), Arc::clone(&active));
    on_threads(3, move |n| {
        let told = [Told::Refused, Told::Nothing, Told::Struck][n];
        call(&shared, &calls, 1, told);
    });
    assert!(call(&peer, &active, 1, Told::Alive(None)), "nobody has the place of the probe");
    assert!(!peer.is_open());
}

pub(super) fn no_more_calls_to_a_peer_are_under_way_than_may() {
    let (peer, active) = (Arc::new(admission(2, &Arc::default())), Arc::<AtomicUsize>::default());
    let shared = Arc::clone(&peer);
    on_threads(3, move |_| {
        for _ in 0..2 {
            call(&shared, &active, 2, Told::Alive(None));
        }
    });
    assert_eq!(peer.seen().calls, 0);
}

pub(super) fn not_all_peers_are_blamed_at_once() {
    let suspects = Arc::<Suspects>::default();
    suspects.set_peers(2);
    let peers: Arc<[Admission]> = (0..2).map(|_| admission(4, &suspects)).collect();
    let shared = Arc::clone(&peers);
    on_threads(2, move |n| {
        for _ in 0..3 {
            call(&shared[n], &AtomicUsize::new(0), 1, Told::Struck);
        }
    });
    let open = peers.iter().filter(|peer| peer.is_open()).count();
    assert_eq!((open, suspects.suspected()), (1, 1));
}
