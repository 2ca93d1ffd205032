//! Models of the loaders, alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Gate, panic_on_purpose, switch};
use crate::loaders::{Loaders, lend_place};
use crate::sync::join_spawned;

/// Two threads are enough for two jobs, whatever the threads did before.
pub(super) fn a_job_that_waits_for_another_gets_it() {
    let loaders = Arc::new(Loaders::new("model".into(), 2, 8));
    let gate = Arc::new(Gate::default());
    loaders.submit(Box::new(switch)).unwrap();
    let first = {
        let (loaders, gate) = (Arc::clone(&loaders), Arc::clone(&gate));
        shuttle::thread::spawn(move || loaders.submit(Box::new(move || gate.pass())).unwrap())
    };
    let opens = Arc::clone(&gate);
    loaders.submit(Box::new(move || opens.open())).unwrap();
    first.join().unwrap();
    gate.pass();
    drop(loaders);
    join_spawned();
}

/// A job that waits lends its place, as often as it waits, and those it waits for get through.
pub(super) fn a_lent_place_is_as_good_as_any() {
    let loaders = Loaders::new("model".into(), 2, 8);
    let gates = [(); 2].map(|()| Arc::new(Gate::default()));
    let waits = gates.clone();
    let waits = move || {
        for gate in &waits {
            let _lent = lend_place();
            gate.pass();
        }
    };
    loaders.submit(Box::new(waits.clone())).unwrap();
    loaders.submit(Box::new(waits)).unwrap();
    loaders.submit(Box::new(switch)).unwrap();
    for gate in gates {
        let opens = Arc::clone(&gate);
        loaders.submit(Box::new(move || opens.open())).unwrap();
        gate.pass();
    }
    drop(loaders);
    join_spawned();
}

/// Of three threads one is to end when the place that was lent is taken back. What it was told of
/// is left to the other that idles: the third waits for it, in its own place.
pub(super) fn a_place_that_is_taken_back_takes_no_job_with_it() {
    let loaders = Loaders::new("model".into(), 2, 8);
    let [lent, back, done] = [(); 3].map(|()| Arc::new(Gate::default()));
    let gates = (Arc::clone(&lent), Arc::clone(&back), Arc::clone(&done));
    let lends = move || {
        let place = lend_place();
        gates.0.open();
        gates.1.pass();
        drop(place);
        gates.2.pass();
    };
    loaders.submit(Box::new(lends)).unwrap();
    lent.pass();
    for _ in 0..2 {
        loaders.submit(Box::new(switch)).unwrap();
    }
    back.open();
    let opens = Arc::clone(&done);
    loaders.submit(Box::new(move || opens.open())).unwrap();
    done.pass();
    drop(loaders);
    join_spawned();
}

/// Also when a thread idles that was told of nothing, since there was no place for it.
pub(super) fn what_is_queued_behind_a_caller_is_not_forgotten() {
    let loaders = Arc::new(Loaders::new("model".into(), 1, 8));
    loaders.submit(Box::new(switch)).unwrap();
    let caller = {
        let loaders = Arc::clone(&loaders);
        shuttle::thread::spawn(move || {
            let _place = loaders.take_place();
            switch();
        })
    };
    let gate = Arc::new(Gate::default());
    let opens = Arc::clone(&gate);
    loaders.submit(Box::new(move || opens.open())).unwrap();
    gate.pass();
    caller.join().unwrap();
    drop(loaders);
    join_spawned();
}

/// Every job ran or was dropped, also beside one that panics.
pub(super) fn no_job_and_no_thread_outlives_the_loaders() {
    let loaders = Loaders::new("model".into(), 2, 8);
    let (held, ran) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    loaders.submit(Box::new(|| panic_on_purpose())).unwrap();
    for _ in 0..4 {
        let (held, ran) = (Arc::clone(&held), Arc::clone(&ran));
        let job = move || {
            switch();
            ran.fetch_add(Arc::strong_count(&held).min(1), Ordering::SeqCst);
        };
        loaders.submit(Box::new(job)).unwrap();
    }
    drop(loaders);
    join_spawned();
    assert_eq!(Arc::strong_count(&held), 1, "a job is left: {ran:?} of 4 ran");
}
