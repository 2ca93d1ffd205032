//! Faults that the models of `models.rs` must catch: a model that has not been seen to fail
//! proves nothing. They exist only under `cfg(shuttle)`; elsewhere [`active`] is a constant.

/// Declares the faults, and under `cfg(shuttle)` a list of all of them, so that none is left out.
macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One fault, planted where its comment says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Mutant {
            $($(#[$doc])* $name,)*
        }

        #[cfg(all(test, shuttle))]
        impl Mutant {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

mutants! {
    /// `Group`: the leader of a flight does not look in the cache again.
    NoSecondLookup,
    /// `Group`: the same, of a flight to a peer only.
    NoSecondLookupBeforeAsking,
    /// `Group`: a load that all its callers have left calls the getter all the same.
    WorkForNobody,
    /// `Group`: a getter's panic ends the load without an outcome.
    PanicEscapes,
    /// `flight`: the table is unlocked between the look for a flight and the start of one.
    JoinInTwoSteps,
    /// `flight`: a flight leaves the table before its value is kept.
    LeaveBeforeKeep,
    /// `flight`: waiters are woken before the outcome is there.
    WakeBeforeOutcome,
    /// `flight`: a leader that vanishes leaves its flight in the air.
    NoDropGuard,
    /// `flight`: a flight's end is seen while the flight is still in the table.
    EndBeforeLeave,
    /// `flight`: a landing wakes one waiter only.
    WakeOne,
    /// `flight`: the value of a leader that was superseded is kept.
    KeepSuperseded,
    /// `flight`: the flight is unlocked between the question whether to keep and the keeping.
    KeepInTwoSteps,
    /// `flight`: a leader that was superseded takes its successor's flight out of the table.
    LeaveAnyFlight,
    /// `flight`: a doomed flight leaves the table and does not learn of it.
    DoomIsForgotten,
    /// `flight`: the table is unlocked before a doomed flight learns of it.
    DoomInTwoSteps,
    /// `Group`: a removed key leaves the cache before its flights are doomed.
    RemoveBeforeDoom,
    /// `Group`: a removed key is still remembered to have no value.
    KeepNegative,
    /// `Group`: two may ask at once whether the origin is to be tried, and both do.
    ProbeInTwoSteps,
    /// `Group`: a value is set beside the key's flights, not as one.
    SetBesideFlights,
    /// `Group`: what a peer gives is kept while a write is under way.
    NoTombstone,
    /// `Group`: the second round of a write leaves the flights alone.
    NoSecondRound,
    /// `Group`: the value of a set is put in, whatever other write came meanwhile.
    PutBlindly,
    /// `store`: the budget is read and then added to, not in one step.
    ReserveInTwoSteps,
    /// `store`: an entry that was replaced keeps its bytes reserved.
    ReplacedKeepsBytes,
    /// `store`: a lower budget is not noticed by who has just reserved by the old one.
    ReserveByOldBudget,
    /// `store`: a shard's table grows without asking for room.
    GrowUnreserved,
    /// `store`: what a snapshot brings takes the place of what came since it was looked for.
    CarryInBlindly,
    /// `loaders`: a job is left to an idle thread that another job has been left to already.
    CountIdleTwice,
    /// `loaders`: a thread whose wait timed out ends, whatever has been queued since.
    EndBesideAJob,
    /// `loaders`: a thread that waits for another load keeps its place.
    LendNoPlace,
    /// `loaders`: a thread whose place is taken back keeps to itself that a job was left to it.
    EndWithoutAWord,
    /// `loaders`: a caller takes a place that there is not.
    TakeAnyPlace,
    /// `loaders`: a caller that gives its place back does not look into the queue.
    LeaveTheQueue,
    /// `loaders`: the idle threads are not told of the end.
    CloseQuietly,
    /// `client`: while one call probes a peer, others are let through as well.
    ProbeInACrowd,
    /// `client`: a probe that ended without telling anything keeps its place.
    ProbeIsForgotten,
    /// `client`: calls are counted, and then one more is let in.
    EnterInTwoSteps,
    /// `client`: silent peers are counted, and then one more is blamed.
    AccuseInTwoSteps,
}

#[cfg(not(shuttle))]
pub(crate) const fn active(_: Mutant) -> bool {
    false
}

#[cfg(shuttle)]
pub(crate) use switch::active;
#[cfg(all(test, shuttle))]
pub(crate) use switch::with;

#[cfg(shuttle)]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    const NONE: u8 = u8::MAX;

    /// The active mutant. Not shuttle's atomic: reading it is no step of a model.
    static ACTIVE: AtomicU8 = AtomicU8::new(NONE);

    pub(crate) fn active(mutant: Mutant) -> bool {
        ACTIVE.load(Ordering::SeqCst) == mutant as u8
    }

    /// Runs `check` with `mutant` planted.
    #[cfg(test)]
    pub(crate) fn with<R>(mutant: Mutant, check: impl FnOnce() -> R) -> R {
        ACTIVE.store(mutant as u8, Ordering::SeqCst);
        let result = check();
        ACTIVE.store(NONE, Ordering::SeqCst);
        result
    }
}
