//! The threads that getters run on: started when needed, at most so many, ended when idle.
//!
//! A getter may hang for ever. It then keeps its thread, which stays counted, while its
//! callers leave at their deadlines. A getter that waits for another load lends its place to
//! another thread, since that load may stand in the queue behind it. A caller may take a place
//! too, and run its getter itself.
//!
//! A job that is queued is never forgotten: an idle thread has been told of it, or whoever
//! gives a place back looks for it.

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
    /// Places that callers have taken.
    callers: usize,
    /// Threads that wait for another load, so that as many more may run.
    lent: usize,
    closed: bool,
}

impl State {
    fn running(&self) -> usize {
        self.threads - self.idle + self.callers
    }
}

thread_local! {
    /// The loaders among which the thread has a place.
    static HOME: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

impl Loaders {
    pub(crate) fn new(name: String, max_threads: usize, max_queued: usize) -> Self {
        let queue = VecDeque::new();
        let state = State { queue, idle: 0, threads: 0, callers: 0, lent: 0, closed: false };
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
        if shared.has_room(&state) {
            if state.idle > spoken_for {
                state.queue.push_back(job);
                shared.work.notify_one();
                return Ok(());
            }
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

    /// A place for the calling thread, which is to run its job itself; none when all are taken.
    pub(crate) fn take_place(&self) -> Option<Place<'_>> {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if !shared.has_room(&state) && !mutant::active(Mutant::TakeAnyPlace) {
            return None;
        }
        state.callers += 1;
        drop(state);
        let before = HOME.with(|home| home.replace(Some(Arc::clone(shared))));
        Some(Place { shared, before })
    }

    /// Getters running, and loads that wait for one.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.shared.state.lock();
        (state.running(), state.queue.len())
    }
}

impl Shared {
    fn places(&self, state: &State) -> usize {
        self.max_threads + state.lent
    }

    /// Whether one more may run, beside those that run and those that wait.
    fn has_room(&self, state: &State) -> bool {
        state.running() + state.queue.len() < self.places(state)
    }

    /// Sees to the queue when a place has become free.
    fn fill_place<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        while !state.queue.is_empty() && state.running() < self.places(&state) {
            // When it was queued all places were taken, and nobody was told.
            if state.idle >= state.queue.len() {
                self.work.notify_one();
                return;
            }
            let Some(job) = state.queue.pop_front() else { return };
            state.threads += 1;
            drop(state);
            // When it fails the job is dropped, and those who wait for its flight start another.
            if self.start(job).is_ok() {
                return;
            }
            state = self.state.lock();
        }
    }

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
            if state.threads + state.callers > self.places(&state) {
                // The thread whose place this one had has come back to it, or a caller has taken
                // it. The word that there is a job may have gone to this thread: it is passed on.
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

/// A caller's place, for as long as it runs its job; given back when dropped.
#[must_use]
pub(crate) struct Place<'a> {
    shared: &'a Arc<Shared>,
    /// Where else the thread has a place.
    before: Option<Arc<Shared>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let before = self.before.take();
        HOME.with(|home| home.replace(before));
        let mut state = self.shared.state.lock();
        state.callers -= 1;
        if !mutant::active(Mutant::LeaveTheQueue) {
            self.shared.fill_place(state);
        }
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
        shared.fill_place(state);
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
mod tests;
