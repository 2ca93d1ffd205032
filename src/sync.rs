//! The door of parking_lot, crossbeam and once_cell; under `cfg(shuttle)` the primitives that
//! the flight and the store are built from are shuttle's, so that its scheduler can try
//! every order of events that matters (see `models.rs`).

pub(crate) use crossbeam::channel;
pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use once_cell::sync::OnceCell;

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use std::{sync::atomic, thread_local};

/// How the store hashes its keys.
#[cfg(not(shuttle))]
pub(crate) type KeyHasher = foldhash::fast::RandomState;

/// Starts a thread that somebody waits for. Not modelled: a listener's threads are not.
pub(crate) fn start(
    name: String,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(work)
}

/// Starts a thread that nobody waits for.
#[cfg(not(shuttle))]
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    start(name, work).map(drop)
}

/// True once in so many calls.
#[cfg(not(shuttle))]
pub(crate) fn one_in(calls: u32) -> bool {
    fastrand::u32(..calls) == 0
}

/// A number by chance, from 0 up to 1.
pub(crate) fn fraction() -> f64 {
    if cfg!(shuttle) { 0.0 } else { fastrand::f64() }
}

/// Any number.
#[cfg(not(shuttle))]
pub(crate) fn random() -> u64 {
    fastrand::u64(..)
}

#[cfg(all(test, shuttle))]
pub(crate) use modelled::join_spawned;
#[cfg(shuttle)]
pub(crate) use modelled::{Condvar, KeyHasher, Mutex, MutexGuard, one_in, random, spawn};
#[cfg(shuttle)]
pub(crate) use shuttle::{sync::atomic, thread_local};

/// parking_lot's interface over shuttle's primitives. Whatever is random outside of a model is
/// fixed in it, or drawn by shuttle, so that a schedule can be replayed.
#[cfg(shuttle)]
mod modelled {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;
    use std::time::{Duration, Instant};

    use shuttle::rand::{Rng, thread_rng};
    use shuttle::sync as model;
    use shuttle::thread::{Builder, JoinHandle};

    pub(crate) type KeyHasher = foldhash::fast::FixedState;

    /// Every draw wins: what is done once in so many times is what needs a model.
    pub(crate) fn one_in(_calls: u32) -> bool {
        true
    }

    /// Each number is higher than the one before, so that a replay compares them alike.
    pub(crate) fn random() -> u64 {
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        LAST.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(model::Mutex<T>);

    /// The inner guard is absent only while a `Condvar` waits with it.
    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        held: Option<model::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(model::Mutex::new(value))
        }

        /// As parking_lot's, without poisoning.
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, held: Some(self.hold()) }
        }

        fn hold(&self) -> model::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    const HELD: &str = "the guard is held outside of a wait";

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.held.as_ref().expect(HELD)
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().expect(HELD)
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(model::Condvar);

    pub(crate) struct WaitTimeoutResult(bool);

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            self.0
        }
    }

    /// One wait in so many times out.
    const TIMES_OUT_ONE_IN: u32 = 4;

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(model::Condvar::new())
        }

        /// Waits for a notification, or times out, by shuttle's choice. The lock is free in
        /// between for as long as the schedule has it, so that a time-out may race with
        /// anything. To a caller that looks at its own clock it is a spurious wake-up.
        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) -> WaitTimeoutResult {
            let held = guard.held.take().expect(HELD);
            let times_out = thread_rng().gen_ratio(1, TIMES_OUT_ONE_IN);
            guard.held = Some(if times_out {
                drop(held);
                guard.mutex.hold()
            } else {
                self.0.wait(held).unwrap_or_else(PoisonError::into_inner)
            });
            WaitTimeoutResult(times_out)
        }

        pub(crate) fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _deadline: Instant,
        ) -> WaitTimeoutResult {
            self.wait(guard)
        }

        pub(crate) fn wait_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _timeout: Duration,
        ) -> WaitTimeoutResult {
            self.wait(guard)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    shuttle::lazy_static! {
        /// The threads of the model that runs. A handle that is kept keeps its thread attached:
        /// one that never ends is a deadlock to shuttle, and the model fails.
        static ref SPAWNED: std::sync::Mutex<Vec<JoinHandle<()>>> = std::sync::Mutex::default();
    }

    fn spawned() -> std::sync::MutexGuard<'static, Vec<JoinHandle<()>>> {
        SPAWNED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the interface of the real one")]
    pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = Builder::new().name(name).spawn(work).expect("a modelled thread");
        spawned().push(thread);
        Ok(())
    }

    /// Waits until every thread that the model has spawned through [`spawn`] has ended.
    #[cfg(test)]
    pub(crate) fn join_spawned() {
        while let Some(thread) = { spawned().pop() } {
            assert!(thread.join().is_ok(), "a thread of the crate panicked");
        }
    }
}
