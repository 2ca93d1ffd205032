//! Singleflight: of the callers that want the same key at the same time, one leads and the
//! others wait on its flight's condition variable.
//!
//! ```text
//!            join ──► Leader ──land──► Landed ──► every waiter gets the outcome
//!             │         └─────drop───► Lost   ──► every waiter joins again; one leads
//!             └─────► Waiter ──its deadline─────► TimedOut: this waiter alone gives up
//!                       └─────older than max_age► Overdue: joins again and starts a new flight
//! ```
//!
//! Whatever becomes of the leader, the key is free afterwards. A flight that is overdue is
//! superseded by the next one: its outcome still reaches those who wait for it, but is not kept.
//! The same becomes of a flight that is doomed, because its key was removed or set meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::mutant::{self, Mutant};
use crate::sync::{Condvar, Mutex};

/// The flights of one kind, by key.
#[derive(Debug)]
pub(crate) struct Flights<V> {
    /// Locked before a flight's `state`, never after it.
    table: Mutex<Table<V>>,
    /// After this long a flight no longer takes callers, and the next caller starts a new one.
    max_age: Duration,
}

type Table<V> = HashMap<Box<[u8]>, Arc<Flight<V>>>;

#[derive(Debug)]
struct Flight<V> {
    started: Instant,
    state: Mutex<State<V>>,
    landed: Condvar,
}

#[derive(Debug)]
struct State<V> {
    phase: Phase<V>,
    waiters: usize,
    /// Until then somebody who has left may come again.
    wanted_until: Option<Instant>,
    superseded: bool,
}

#[derive(Debug)]
enum Phase<V> {
    Flying,
    Landed(V),
    Lost,
}

/// What a caller is in the flight it joined.
#[derive(Debug)]
pub(crate) enum Role<V: Clone> {
    Leader(Leader<V>),
    Waiter(Waiter<V>),
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Landing<V> {
    Landed(V),
    /// The leader left without an outcome: join again.
    Lost,
    /// The flight is older than the table's `max_age`: join again.
    Overdue,
    /// The waiter's own deadline has passed.
    TimedOut,
}

impl<V: Clone> Flights<V> {
    pub(crate) fn new(max_age: Duration) -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(HashMap::new()), max_age })
    }

    /// Joins the flight of `key`, or starts it.
    pub(crate) fn join(self: &Arc<Self>, key: &[u8]) -> Role<V> {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(key) {
            if flight.started.elapsed() < self.max_age {
                return Role::Waiter(Waiter::new(self, flight));
            }
            flight.state.lock().superseded = true;
        }
        if mutant::active(Mutant::JoinInTwoSteps) {
            drop(table);
            table = self.table.lock();
        }
        Role::Leader(self.start(&mut table, key))
    }

    /// Joins the flight of `key` when there is one.
    pub(crate) fn join_existing(self: &Arc<Self>, key: &[u8]) -> Option<Waiter<V>> {
        let table = self.table.lock();
        let flight = table.get(key)?;
        (flight.started.elapsed() < self.max_age).then(|| Waiter::new(self, flight))
    }

    /// Dooms the flight of `key`: it is out of the table, so that later callers start afresh,
    /// and its outcome reaches those who wait for it but is not kept.
    ///
    /// When this returns the outcome has been kept or will never be. Both under the table's lock:
    ///
    /// ```text
    ///   one dooms                another dooms
    ///   out of the table
    ///                            finds no flight, removes the key, is done
    ///                            (the flight lands and is kept: the other's key is back)
    ///   tells the flight
    /// ```
    pub(crate) fn doom(&self, key: &[u8]) {
        let mut table = self.table.lock();
        let Some(flight) = table.remove(key) else { return };
        if mutant::active(Mutant::DoomInTwoSteps) {
            drop(table);
        }
        flight.state.lock().superseded = !mutant::active(Mutant::DoomIsForgotten);
    }

    /// Dooms all flights that there are, as [`doom`](Self::doom) does one.
    pub(crate) fn doom_all(&self) {
        let mut table = self.table.lock();
        for (_, flight) in table.drain() {
            flight.state.lock().superseded = true;
        }
    }

    /// Dooms the flight of `key` and starts one in its place, with no moment in between in which
    /// another could be started.
    pub(crate) fn take_over(self: &Arc<Self>, key: &[u8]) -> Leader<V> {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(key) {
            flight.state.lock().superseded = true;
        }
        self.start(&mut table, key)
    }

    fn start(self: &Arc<Self>, table: &mut Table<V>, key: &[u8]) -> Leader<V> {
        let flight = Arc::new(Flight {
            started: Instant::now(),
            state: Mutex::new(State {
                phase: Phase::Flying,
                waiters: 0,
                wanted_until: None,
                superseded: false,
            }),
            landed: Condvar::new(),
        });
        table.insert(key.into(), Arc::clone(&flight));
        Leader { flights: Arc::clone(self), key: key.into(), flight, ended: false }
    }

    /// How many keys are in flight.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }
}

/// The duty to land a flight. Dropped without landing, also by a panic, the flight is lost.
#[derive(Debug)]
pub(crate) struct Leader<V: Clone> {
    flights: Arc<Flights<V>>,
    key: Box<[u8]>,
    flight: Arc<Flight<V>>,
    ended: bool,
}

impl<V: Clone> Leader<V> {
    /// A place in this flight's waiting room.
    pub(crate) fn waiter(&self) -> Waiter<V> {
        Waiter::new(&self.flights, &self.flight)
    }

    /// Whether nobody waits for the outcome any more, or comes again for it.
    pub(crate) fn is_alone(&self) -> bool {
        let state = self.flight.state.lock();
        state.waiters == 0 && state.wanted_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Ends the flight with `outcome`, which reaches every waiter.
    ///
    /// `keep` runs first, unless the flight was superseded: it puts the outcome where later
    /// callers look before they join. The order matters:
    ///
    /// ```text
    ///   leader              a later caller
    ///   keep                                      leaves the table first, and keeps second:
    ///   leave the table     looks: not kept       the later caller would start a second load
    ///   show the outcome    joins: no flight
    /// ```
    ///
    /// And were the outcome shown before the table is left, a caller that has seen an error and
    /// comes again could join the same flight, and see an error that is over.
    ///
    /// `keep` runs under the flight's lock, so that no one can supersede the flight in between,
    /// and so it must call nobody's code but our own; what it returns comes back.
    pub(crate) fn land<R>(mut self, outcome: V, keep: impl FnOnce(&V) -> R) -> Option<R> {
        if mutant::active(Mutant::LeaveBeforeKeep) {
            self.leave();
        }
        let mut state = self.flight.state.lock();
        let keeps = !state.superseded || mutant::active(Mutant::KeepSuperseded);
        if mutant::active(Mutant::KeepInTwoSteps) {
            drop(state);
            state = self.flight.state.lock();
        }
        let kept = keeps.then(|| keep(&outcome));
        drop(state);
        self.end(Phase::Landed(outcome));
        kept
    }

    /// Out of the table first: who sees the end and joins again must not meet this flight.
    fn end(&mut self, end: Phase<V>) {
        self.ended = true;
        if mutant::active(Mutant::EndBeforeLeave) {
            self.show(end);
            self.leave();
        } else {
            self.leave();
            self.show(end);
        }
    }

    fn leave(&self) {
        let mut table = self.flights.table.lock();
        let is_ours =
            |flight| Arc::ptr_eq(flight, &self.flight) || mutant::active(Mutant::LeaveAnyFlight);
        if table.get(&self.key).is_some_and(is_ours) {
            table.remove(&self.key);
        }
    }

    fn show(&self, end: Phase<V>) {
        if mutant::active(Mutant::WakeBeforeOutcome) {
            self.wake();
            self.flight.state.lock().phase = end;
        } else {
            self.flight.state.lock().phase = end;
            self.wake();
        }
    }

    fn wake(&self) {
        if mutant::active(Mutant::WakeOne) {
            self.flight.landed.notify_one();
        } else {
            self.flight.landed.notify_all();
        }
    }
}

impl<V: Clone> Drop for Leader<V> {
    fn drop(&mut self) {
        if !self.ended && !mutant::active(Mutant::NoDropGuard) {
            self.end(Phase::Lost);
        }
    }
}

/// A place in a flight's waiting room.
#[derive(Debug)]
pub(crate) struct Waiter<V: Clone> {
    flight: Arc<Flight<V>>,
    /// When the flight becomes overdue; none when that is beyond the end of time.
    overdue: Option<Instant>,
}

impl<V: Clone> Waiter<V> {
    fn new(flights: &Flights<V>, flight: &Arc<Flight<V>>) -> Self {
        flight.state.lock().waiters += 1;
        let overdue = flight.started.checked_add(flights.max_age);
        Self { flight: Arc::clone(flight), overdue }
    }

    /// Keeps the flight from being [alone](Leader::is_alone) until then, also when this waiter
    /// has left.
    pub(crate) fn stays_wanted_until(&self, until: Instant) {
        let mut state = self.flight.state.lock();
        state.wanted_until = state.wanted_until.max(Some(until));
    }

    /// Parks until the flight ends, becomes overdue, or `deadline` passes.
    pub(crate) fn wait(&self, deadline: Instant) -> Landing<V> {
        let until = self.overdue.map_or(deadline, |overdue| overdue.min(deadline));
        let mut state = self.flight.state.lock();
        loop {
            match &state.phase {
                Phase::Landed(outcome) => return Landing::Landed(outcome.clone()),
                Phase::Lost => return Landing::Lost,
                Phase::Flying if Instant::now() >= deadline => return Landing::TimedOut,
                Phase::Flying if Instant::now() >= until => return Landing::Overdue,
                Phase::Flying => {}
            }
            self.flight.landed.wait_until(&mut state, until);
        }
    }
}

impl<V: Clone> Drop for Waiter<V> {
    fn drop(&mut self) {
        self.flight.state.lock().waiters -= 1;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn soon() -> Instant {
        Instant::now() + LONG
    }

    fn lead<V: Clone>(flights: &Arc<Flights<V>>, key: &[u8]) -> Leader<V> {
        match flights.join(key) {
            Role::Leader(leader) => leader,
            Role::Waiter(_) => panic!("{key:?} is in flight already"),
        }
    }

    fn follow<V: Clone>(flights: &Arc<Flights<V>>, key: &[u8]) -> Waiter<V> {
        match flights.join(key) {
            Role::Waiter(waiter) => waiter,
            Role::Leader(_) => panic!("{key:?} is not in flight"),
        }
    }

    #[test]
    fn the_outcome_reaches_every_waiter_and_the_key_is_free() {
        let flights = Flights::new(LONG);
        let leader = lead(&flights, b"k");
        let waiters: Vec<_> = (0..8).map(|_| follow(&flights, b"k")).collect();
        std::thread::scope(|scope| {
            for waiter in &waiters {
                scope.spawn(|| assert_eq!(waiter.wait(soon()), Landing::Landed(7)));
            }
            assert_eq!(leader.land(7, |&kept| kept), Some(7));
        });
        assert_eq!(flights.len(), 0);
        drop(lead(&flights, b"k"));
    }

    #[test]
    fn keys_fly_apart() {
        let flights = Flights::<u8>::new(LONG);
        let (_a, _b) = (lead(&flights, b"a"), lead(&flights, b"b"));
        assert_eq!(flights.len(), 2);
    }

    #[test]
    fn a_waiter_gives_up_at_its_own_deadline_and_the_flight_goes_on() {
        let flights = Flights::new(LONG);
        let leader = lead(&flights, b"k");
        let (hasty, patient) = (follow(&flights, b"k"), follow(&flights, b"k"));
        assert_eq!(hasty.wait(Instant::now()), Landing::TimedOut);
        leader.land(1, |_| ());
        assert_eq!(patient.wait(soon()), Landing::Landed(1));
    }

    #[test]
    fn a_leader_that_panics_frees_the_key_and_wakes_its_waiters() {
        let flights = Flights::<u8>::new(LONG);
        let leader = lead(&flights, b"k");
        let waiter = follow(&flights, b"k");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _leader = leader;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(waiter.wait(soon()), Landing::Lost);
        drop(lead(&flights, b"k"));
    }

    #[test]
    fn an_overdue_flight_is_superseded_and_its_value_not_kept() {
        let flights = Flights::new(Duration::ZERO);
        let slow = lead(&flights, b"k");
        let waiter = slow.waiter();
        assert_eq!(waiter.wait(soon()), Landing::Overdue);
        assert!(flights.join_existing(b"k").is_none());
        let fresh = lead(&flights, b"k");
        assert_eq!(slow.land("old", |_| ()), None, "a superseded value is not kept");
        assert_eq!(waiter.wait(soon()), Landing::Landed("old"), "but reaches who waits for it");
        assert_eq!(flights.len(), 1, "the fresh flight is still there");
        assert_eq!(fresh.land("new", |_| ()), Some(()));
    }

    #[test]
    fn a_doomed_flight_reaches_its_callers_and_is_not_kept() {
        let flights = Flights::new(LONG);
        let leader = lead(&flights, b"k");
        let waiter = leader.waiter();
        flights.doom(b"k");
        assert!(flights.join_existing(b"k").is_none());
        let fresh = lead(&flights, b"k");
        assert_eq!(leader.land("old", |_| ()), None);
        assert_eq!(waiter.wait(soon()), Landing::Landed("old"));
        assert_eq!(flights.len(), 1, "the fresh flight is still there");
        assert_eq!(fresh.land("new", |_| ()), Some(()));
        flights.doom(b"k");
    }

    #[test]
    fn a_flight_that_is_taken_over_is_doomed_and_its_successor_takes_callers() {
        let flights = Flights::new(LONG);
        let old = lead(&flights, b"k");
        let new = flights.take_over(b"k");
        let waiter = follow(&flights, b"k");
        assert_eq!(old.land("old", |_| ()), None);
        assert_eq!(new.land("new", |_| ()), Some(()));
        assert_eq!(waiter.wait(soon()), Landing::Landed("new"));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_leader_knows_when_nobody_waits_any_more() {
        let flights = Flights::<u8>::new(LONG);
        let leader = lead(&flights, b"k");
        assert!(leader.is_alone());
        let waiter = flights.join_existing(b"k");
        assert!(waiter.is_some() && !leader.is_alone());
        drop(waiter);
        assert!(leader.is_alone());
    }
    #[test]
    fn who_comes_again_is_waited_for_and_not_for_ever() {
        let flights = Flights::<u8>::new(LONG);
        let leader = lead(&flights, b"k");
        leader.waiter().stays_wanted_until(soon());
        assert!(!leader.is_alone());
        let leader = lead(&flights, b"l");
        leader.waiter().stays_wanted_until(Instant::now());
        assert!(leader.is_alone());
    }
}
