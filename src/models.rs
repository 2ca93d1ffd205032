//! Models: the real code under shuttle's scheduler, which tries thousands of orders of events.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --lib --no-default-features models
//! ```
//!
//! `LARDER_SCHEDULES` says how many schedules each model is checked with. A model that fails
//! prints its schedule; with that in `LARDER_REPLAY` (on one line), the same test runs it again.
//!
//! A model ends with every thread of the crate ended and every flight landed: one that is left
//! behind is a deadlock to shuttle. Each model must fail when one of the faults of `mutant.rs`
//! is planted that it is there for.

mod flights;
mod gets;
mod jobs;
mod peers;
mod rounds;
mod stale;
mod stores;
mod writes;

use std::panic::{catch_unwind, panic_any, set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, PoisonError, RwLock};

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, MaxSteps, Runner};

use crate::mutant::{self, Mutant};

type Model = fn();

/// Makes a test of each model, and a table of the faults that it must notice.
macro_rules! models {
    ($($module:ident::$model:ident: $($mutant:ident)*;)*) => {
        mod holds {
            $(#[test]
            fn $model() {
                super::holds(stringify!($model), super::$module::$model);
            })*
        }

        const MODELS: &[(&str, Model, &[Mutant])] = &[
            $((stringify!($model), $module::$model, &[$(Mutant::$mutant),*]),)*
        ];
    };
}

models! {
    flights::a_lost_leader_leaves_the_lead_to_one_of_its_waiters:
        NoDropGuard EndBeforeLeave;
    flights::an_overdue_flight_does_not_undo_the_one_after_it:
        KeepSuperseded KeepInTwoSteps LeaveAnyFlight;
    gets::three_callers_of_a_cold_key_load_it_once:
        NoSecondLookup JoinInTwoSteps LeaveBeforeKeep WakeBeforeOutcome WakeOne;
    gets::a_failing_getter_reaches_its_callers_and_frees_the_key:
        EndBeforeLeave WakeOne;
    gets::a_panicking_getter_reaches_its_callers_and_frees_the_key:
        PanicEscapes EndBeforeLeave;
    gets::one_of_three_callers_loads_for_all:
        NoSecondLookup JoinInTwoSteps LeaveBeforeKeep WakeBeforeOutcome WakeOne;
    gets::a_panic_on_a_callers_thread_reaches_the_others_and_frees_the_key:
        PanicEscapes EndBeforeLeave;
    gets::no_more_getters_run_at_once_than_may:
        TakeAnyPlace LeaveTheQueue;
    gets::a_load_that_is_refused_frees_its_key:
        NoDropGuard;
    gets::a_load_that_is_refused_beside_a_callers_frees_its_key:
        NoDropGuard;
    gets::a_load_that_its_caller_left_in_the_queue_is_not_begun:
        WorkForNobody;
    gets::a_caller_in_a_hurry_leaves_the_load_to_the_patient:
        NoDropGuard;
    gets::a_caller_in_a_hurry_leaves_the_asking_to_the_patient:
        NoDropGuard;
    gets::a_group_dropped_while_it_loads_leaves_nothing_behind:
        CloseQuietly;
    gets::three_callers_of_a_peers_key_ask_once:
        NoSecondLookup NoSecondLookupBeforeAsking;
    gets::callers_of_a_peer_that_fails_load_the_key_once:
        NoSecondLookup;
    gets::a_getter_that_gets_needs_no_second_place:
        LendNoPlace;
    gets::a_getter_that_gets_on_a_callers_thread_needs_no_second_place:
        LendNoPlace;
    jobs::a_job_that_waits_for_another_gets_it:
        CountIdleTwice EndBesideAJob;
    jobs::a_lent_place_is_as_good_as_any:
        LendNoPlace;
    jobs::a_place_that_is_taken_back_takes_no_job_with_it:
        EndWithoutAWord;
    jobs::what_is_queued_behind_a_caller_is_not_forgotten:
        LeaveTheQueue;
    jobs::no_job_and_no_thread_outlives_the_loaders:
        CloseQuietly;
    writes::what_was_removed_does_not_come_back:
        DoomIsForgotten DoomInTwoSteps RemoveBeforeDoom;
    writes::a_copy_that_was_removed_does_not_come_back:
        DoomIsForgotten RemoveBeforeDoom;
    writes::what_was_removed_while_it_was_refreshed_does_not_come_back:
        DoomIsForgotten RemoveBeforeDoom;
    writes::what_was_set_is_what_is_got:
        SetBesideFlights;
    writes::that_there_was_no_such_key_is_forgotten_with_it:
        DoomIsForgotten KeepNegative;
    stale::one_load_refreshes_and_nobody_waits_for_it:
        JoinInTwoSteps;
    stale::what_has_been_refreshed_is_not_refreshed_again:
        NoSecondLookup JoinInTwoSteps LeaveBeforeKeep;
    stale::while_the_origin_fails_one_load_tries_it:
        ProbeInTwoSteps;
    rounds::what_was_removed_everywhere_is_got_nowhere:
        NoTombstone NoSecondRound;
    rounds::what_a_node_has_asked_for_before_is_not_joined_after:
        NoSecondRound;
    rounds::a_set_does_not_outlive_a_removal_that_came_after_it:
        PutBlindly;
    peers::one_call_at_a_time_probes_a_peer_that_is_away:
        ProbeInACrowd ProbeIsForgotten;
    peers::no_more_calls_to_a_peer_are_under_way_than_may:
        EnterInTwoSteps;
    peers::not_all_peers_are_blamed_at_once:
        AccuseInTwoSteps;
    stores::filling_a_small_budget_never_passes_it:
        ReserveInTwoSteps ReplacedKeepsBytes GrowUnreserved;
    stores::a_lower_budget_holds_when_it_has_been_set:
        ReserveByOldBudget;
    stores::what_a_snapshot_brings_leaves_alone_what_is_newer:
        CarryInBlindly;
}

/// A planted fault shows in every thread: models share this lock, mutants take it alone.
static PLANTING: RwLock<()> = RwLock::new(());

fn holds(name: &str, model: Model) {
    let _shared = PLANTING.read().unwrap_or_else(PoisonError::into_inner);
    if let Ok(schedule) = std::env::var("LARDER_REPLAY") {
        run(ReplayScheduler::new_from_encoded(schedule.trim()), model, &Arc::default());
        return;
    }
    let (ran, started) = (Arc::default(), std::time::Instant::now());
    try_schedules(model, &ran);
    let (ran, took) = (ran.load(Ordering::SeqCst), started.elapsed());
    report(&format!("{name}: {ran} schedules in {took:.1?}"));
}

#[test]
fn every_mutant_is_caught() {
    let _alone = PLANTING.write().unwrap_or_else(PoisonError::into_inner);
    for &(name, model, mutants) in MODELS {
        assert!(!mutants.is_empty(), "{name} has not been seen to fail");
        for &mutant in mutants {
            let ran = Arc::default();
            let check = || catch_unwind(|| try_schedules(model, &ran));
            assert!(mutant::with(mutant, check).is_err(), "{name} does not notice {mutant:?}");
            let ran = ran.load(Ordering::SeqCst);
            report(&format!("{name}: notices {mutant:?} in schedule {ran}"));
        }
    }
    for mutant in Mutant::ALL {
        let caught = MODELS.iter().any(|(_, _, mutants)| mutants.contains(mutant));
        assert!(caught, "no model is there for {mutant:?}");
    }
}

/// Chance and time have no part in a model, or its failures could not be replayed.
#[test]
fn nothing_but_the_schedule_decides() {
    let _shared = PLANTING.read().unwrap_or_else(PoisonError::into_inner);
    for &(_, model, _) in MODELS {
        let twice_each = RandomScheduler::new(schedules() / 40);
        run(UncontrolledNondeterminismCheckScheduler::new(twice_each), model, &Arc::default());
    }
}

#[expect(clippy::print_stderr, reason = "shown by `cargo test -- --nocapture`")]
fn report(line: &str) {
    eprintln!("{line}");
}

fn schedules() -> usize {
    let schedules = std::env::var("LARDER_SCHEDULES").ok();
    schedules.map_or(40_000, |n| n.parse().expect("LARDER_SCHEDULES is a number"))
}

/// Half of the schedules at random, half with few preemptions at places chosen by chance (PCT).
fn try_schedules(model: Model, ran: &Arc<AtomicUsize>) {
    run(RandomScheduler::new(schedules() / 2), model, ran);
    run(PctScheduler::new(PREEMPTIONS, schedules() / 2), model, ran);
}

const PREEMPTIONS: usize = 3;

fn run(scheduler: impl Scheduler + 'static, model: Model, ran: &Arc<AtomicUsize>) {
    expect_panics();
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    // A tenth of it is far more than any model needs: what goes on that long goes in circles.
    config.max_steps = MaxSteps::FailAfter(20_000);
    config.silence_warnings = true;
    let ran = Arc::clone(ran);
    Runner::new(scheduler, config).run(move || {
        ran.fetch_add(1, Ordering::SeqCst);
        model();
    });
}

/// The payload of a panic that is part of a model.
struct OnPurpose;

/// A panic that is not reported as the model's failure.
fn panic_on_purpose() -> ! {
    panic_any(OnPurpose)
}

/// Keeps shuttle's panic hook, which prints the schedule, from panics that belong to a model.
fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The first run of all puts shuttle's hook in place, for good.
        Runner::new(RandomScheduler::new(1), Config::new()).run(|| ());
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            if !info.payload().is::<OnPurpose>() {
                hook(info);
            }
        }));
    });
}

/// A gate that model threads wait at until it is opened, however long that takes.
#[derive(Default)]
struct Gate {
    open: shuttle::sync::Mutex<bool>,
    opened: shuttle::sync::Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }
}

/// A place where the schedule may switch to another thread.
fn switch() {
    shuttle::thread::sleep(std::time::Duration::ZERO);
}

/// Runs `work` on so many threads and waits for all of them.
fn on_threads(count: usize, work: impl Fn(usize) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let spawn = |n| {
        let work = Arc::clone(&work);
        shuttle::thread::spawn(move || work(n))
    };
    for thread in (0..count).map(spawn).collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}
