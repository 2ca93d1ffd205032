use std::sync::mpsc;

use super::*;

#[test]
fn jobs_past_the_threads_wait_and_past_the_queue_are_refused() {
    let loaders = Loaders::new("g".into(), 2, 1);
    let (release, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (done, finished) = mpsc::channel();
    let job = || {
        let (gate, done) = (Arc::clone(&gate), done.clone());
        Box::new(move || {
            let _ = gate.lock().recv();
            done.send(()).unwrap();
        })
    };
    for _ in 0..3 {
        loaders.submit(job()).unwrap();
    }
    assert_eq!(loaders.load(), (2, 1));
    assert!(matches!(loaders.submit(job()), Err(Error::Overloaded { .. })));
    drop(release);
    for _ in 0..3 {
        finished.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn a_panicking_job_costs_no_thread() {
    let loaders = Loaders::new("g".into(), 1, 8);
    for _ in 0..8 {
        loaders.submit(Box::new(|| panic!("on purpose"))).unwrap();
    }
    let (done, finished) = mpsc::channel();
    while loaders.load().1 > 0 {
        std::thread::yield_now();
    }
    loaders.submit(Box::new(move || done.send(()).unwrap())).unwrap();
    finished.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_job_that_waits_for_one_behind_it_lends_its_place() {
    let loaders = Loaders::new("g".into(), 1, 8);
    let (second, first) = mpsc::channel();
    let (done, finished) = mpsc::channel();
    let waits = move || {
        let _lent = lend_place();
        done.send(first.recv_timeout(Duration::from_secs(60))).unwrap();
    };
    loaders.submit(Box::new(waits)).unwrap();
    loaders.submit(Box::new(move || second.send(()).unwrap())).unwrap();
    assert_eq!(finished.recv().unwrap(), Ok(()));
}

/// A job that tells when it runs.
fn telling() -> (Job, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel();
    (Box::new(move || tell.send(()).unwrap()), told)
}

fn home() -> Option<Arc<Shared>> {
    HOME.with(|home| home.borrow().clone())
}

#[test]
fn a_callers_place_counts_as_a_thread_and_is_given_back_also_by_a_panic() {
    let loaders = Loaders::new("g".into(), 1, 0);
    let place = loaders.take_place().unwrap();
    assert_eq!(loaders.load(), (1, 0));
    assert!(Arc::ptr_eq(&home().unwrap(), &loaders.shared));
    assert!(loaders.take_place().is_none());
    assert!(matches!(loaders.submit(telling().0), Err(Error::Overloaded { .. })));
    drop(place);
    assert_eq!(loaders.load(), (0, 0));
    let panics = || {
        let _place = loaders.take_place().unwrap();
        panic!("on purpose");
    };
    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    assert_eq!(loaders.load(), (0, 0));
    assert!(home().is_none());
}

#[test]
fn a_place_among_other_loaders_is_there_again_afterwards() {
    let (outer, inner) = (Loaders::new("a".into(), 1, 0), Loaders::new("b".into(), 1, 0));
    let _outer = outer.take_place().unwrap();
    drop(inner.take_place().unwrap());
    assert!(Arc::ptr_eq(&home().unwrap(), &outer.shared));
}

#[test]
fn what_was_queued_behind_a_caller_gets_a_thread_when_it_is_done() {
    let loaders = Loaders::new("g".into(), 1, 8);
    // With no thread idle, and then with one that idles.
    for _ in 0..2 {
        let place = loaders.take_place().unwrap();
        let jobs = [telling(), telling()].map(|(job, told)| {
            loaders.submit(job).unwrap();
            told
        });
        assert_eq!(loaders.load(), (1, 2));
        drop(place);
        for told in jobs {
            told.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        while loaders.load().0 > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_caller_that_waits_for_a_job_behind_it_lends_its_place() {
    let loaders = Loaders::new("g".into(), 1, 8);
    let _place = loaders.take_place().unwrap();
    let (job, told) = telling();
    loaders.submit(job).unwrap();
    let _lent = lend_place();
    told.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn threads_that_idle_are_in_no_callers_way() {
    let loaders = Loaders::new("g".into(), 1, 8);
    let (job, told) = telling();
    loaders.submit(job).unwrap();
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    while loaders.load().0 > 0 {
        std::thread::yield_now();
    }
    assert!(loaders.take_place().is_some());
}
