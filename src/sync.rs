//! The door of parking_lot, crossbeam and once_cell; under `cfg(shuttle)` the primitives that
//! the flight and the store are built from are shuttle's, so that its scheduler can try
//! every order of events that matters (see `models.rs`).

pub(crate) use crossbeam::channel;
pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use once_cell::sync::OnceCell;

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic;

#[cfg(not(shuttle))]
pub(crate) fn spawn(
    name: String,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(work)
}

#[cfg(shuttle)]
pub(crate) use modelled::{Condvar, Mutex, MutexGuard, spawn};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic;

/// parking_lot's interface over shuttle's primitives.
#[cfg(shuttle)]
mod modelled {
    use std::ops::{Deref, DerefMut};
    use std::time::{Duration, Instant};

    use shuttle::sync as model;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(model::Mutex<T>);

    /// The inner guard is absent only while a `Condvar` waits with it.
    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T>(Option<model::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(model::Mutex::new(value))
        }

        /// As parking_lot's, without poisoning.
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)))
        }
    }

    const HELD: &str = "the guard is held outside of a wait";

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect(HELD)
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect(HELD)
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(model::Condvar);

    pub(crate) struct WaitTimeoutResult;

    impl WaitTimeoutResult {
        /// Time stands still in a model: a wait ends by a notification only.
        pub(crate) fn timed_out(&self) -> bool {
            false
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(model::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect(HELD);
            let held = self.0.wait(held).unwrap_or_else(std::sync::PoisonError::into_inner);
            guard.0 = Some(held);
        }

        pub(crate) fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _deadline: Instant,
        ) -> WaitTimeoutResult {
            self.wait(guard);
            WaitTimeoutResult
        }

        pub(crate) fn wait_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _timeout: Duration,
        ) -> WaitTimeoutResult {
            self.wait(guard);
            WaitTimeoutResult
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the interface of the real one")]
    pub(crate) fn spawn(
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<shuttle::thread::JoinHandle<()>> {
        Ok(shuttle::thread::Builder::new().name(name).spawn(work).expect("a modelled thread"))
    }
}
