//! The threads that getters run on: started when needed, at most so many, ended when idle.
//!
//! A getter may hang for ever. It then keeps its thread, which stays counted, while its
//! callers leave at their deadlines. A getter that waits for another load lends its place to
//! another thread, since that load may stand in the queue behind it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::mutant::{self, Mutant};
use crate::sync::{self, Condvar, Mutex, MutexGuard, thread_local};

/// An idle thread ends after this long.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// A bounded set of threads behind a bounded queue. Dropping it ends the idle threads, and
/// the busy ones when their getter returns.
pub(crate) struct Loaders {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    max_threads: usize,
    max_queued: usize,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    /// Threads parked on `work`, those that a queued job has been left to among them.
    idle: usize,
    threads: usize,
    /// Threads that wait for another load, so that as many more may run.
    lent: usize,
    closed: bool,
}

thread_local! {
    /// What the thread is one of the threads of.
    static HOME: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

impl Loaders {
    pub(crate) fn new(name: String, max_threads: usize, max_queued: usize) -> Self {
        let state = State { queue: VecDeque::new(), idle: 0, threads: 0, lent: 0, closed: false };
        let state = Mutex::new(state);
        let shared = Shared { name, max_threads, max_queued, state, work: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Hands `job` to a thread, now or when one is free. A job that is refused is dropped.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Error> {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        // Each queued job has an idle thread coming for it; only further ones are free.
        let spoken_for = if mutant::active(Mutant::CountIdleTwice) { 0 } else { state.queue.len() };
        if state.idle > spoken_for {
            state.queue.push_back(job);
            shared.work.notify_one();
            return Ok(());
        }
        if state.threads < shared.max_threads + state.lent {
            state.threads += 1;
            drop(state);
            return shared.start(job);
        }
        if state.queue.len() >= shared.max_queued {
            let what = format!("{} loads wait for a getter of {}", shared.max_queued, shared.name);
            return Err(Error::Overloaded { what });
        }
        state.queue.push_back(job);
        Ok(())
    }

    /// Getters running, and loads that wait for one.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.shared.state.lock();
        (state.threads - state.idle, state.queue.len())
    }
}

impl Shared {
    fn start(self: &Arc<Self>, job: Job) -> Result<(), Error> {
        let shared = Arc::clone(self);
        let name = format!("load {}", self.name);
        sync::spawn(name, move || shared.run(job)).map_err(|error| {
            self.state.lock().threads -= 1;
            Error::io("cannot start a loader thread", &error)
        })
    }

    fn run(self: &Arc<Self>, first: Job) {
        HOME.with(|home| *home.borrow_mut() = Some(Arc::clone(self)));
        let mut next = Some(first);
        while let Some(job) = next {
            // The job catches its getter's panics; this one keeps the count of threads right
            // should anything else in it panic.
            let _ = catch_unwind(AssertUnwindSafe(job));
            next = self.next_job(self.state.lock());
        }
    }

    /// The next job, or none when this thread is to end (and is no longer counted).
    fn next_job(&self, mut state: MutexGuard<'_, State>) -> Option<Job> {
        loop {
            if state.threads > self.max_threads + state.lent {
                // The thread whose place this one had has come back to it. The word that there is a
                // job may have gone to this thread: it is passed on.
                if !mutant::active(Mutant::EndWithoutAWord) {
                    self.work.notify_one();
                }
                break;
            }
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            // A job may have been left to this thread just when its wait timed out.
            if timed_out && (state.queue.is_empty() || mutant::active(Mutant::EndBesideAJob)) {
                break;
            }
        }
        state.threads -= 1;
        None
    }
}

impl Drop for Loaders {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        if !mutant::active(Mutant::CloseQuietly) {
            self.shared.work.notify_all();
        }
        // Dropping a job loses its flight, which wakes threads that may come back here.
        drop(queue);
    }
}

/// A place lent to another thread; taken back when dropped.
pub(crate) struct Lent(Option<Arc<Shared>>);

/// Lends this thread's place, if it has one among some loaders, for the time that it waits.
pub(crate) fn lend_place() -> Lent {
    let home = HOME.with(|home| home.borrow().clone());
    if mutant::active(Mutant::LendNoPlace) {
        return Lent(None);
    }
    if let Some(shared) = &home {
        let mut state = shared.state.lock();
        // Places are lent once, not the lent ones again: twice the threads, and no more.
        if state.lent >= shared.max_threads {
            return Lent(None);
        }
        state.lent += 1;
        if state.queue.len() > state.idle
            && let Some(job) = state.queue.pop_front()
        {
            state.threads += 1;
            drop(state);
            // When it fails the job is dropped, and those who wait for its flight start another.
            let _ = shared.start(job);
        }
    }
    Lent(home)
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.state.lock().lent -= 1;
        }
    }
}

impl fmt::Debug for Loaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, queued) = self.load();
        write!(f, "Loaders({running} running, {queued} queued)")
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
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
}
