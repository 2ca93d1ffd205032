//! Faults that the models of `models.rs` must catch: a model that has not been seen to fail
//! proves nothing. They exist only under `cfg(shuttle)`; elsewhere [`active`] is a constant.

/// One fault, planted where its comment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mutant {
    /// `Group`: the leader of a flight does not look in the cache again.
    NoSecondLookup = 1,
    /// `flight`: a flight leaves the table before its value is kept.
    LeaveBeforeKeep,
    /// `flight`: a leader that vanishes leaves its flight in the air.
    NoDropGuard,
    /// `flight`: a landing wakes one waiter only.
    WakeOne,
    /// `flight`: the value of a leader that was superseded is kept.
    KeepSuperseded,
    /// `store`: the budget is read and then added to, not in one step.
    ReserveInTwoSteps,
    /// `loaders`: a job is left to an idle thread that another job has been left to already.
    CountIdleTwice,
}

#[cfg(not(shuttle))]
pub(crate) const fn active(_: Mutant) -> bool {
    false
}

#[cfg(shuttle)]
pub(crate) use switch::{active, with};

#[cfg(shuttle)]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    /// The active mutant, or 0. Not shuttle's atomic: reading it is no step of a model.
    static ACTIVE: AtomicU8 = AtomicU8::new(0);

    pub(crate) fn active(mutant: Mutant) -> bool {
        ACTIVE.load(Ordering::SeqCst) == mutant as u8
    }

    /// Runs `check` with `mutant` planted.
    pub(crate) fn with<R>(mutant: Mutant, check: impl FnOnce() -> R) -> R {
        ACTIVE.store(mutant as u8, Ordering::SeqCst);
        let result = check();
        ACTIVE.store(0, Ordering::SeqCst);
        result
    }
}
