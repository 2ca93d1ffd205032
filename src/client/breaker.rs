//! The breaker of one peer: whether to ask it, by what the last calls told of it.
//!
//! ```text
//!            refused once, or silent three times in a row
//!   Closed ──────────────────────────────────────────────────────► Open: not asked
//!     ▲                                                             │  ▲
//!     │ any answer                                   its pause over │  │ the probe failed:
//!     │                                                             ▼  │ a longer pause
//!     └───────────────────────────────────────────────────────── HalfOpen: one call at a time
//! ```
//!
//! A state machine and nothing else: time, chance and the peer's reputation come from outside.

use std::time::{Duration, Instant};

use crate::mutant::{self, Mutant};

/// Failures in a row that open it, when none of them is a proof.
const STRIKES: u32 = 3;
/// The first pause, and what the pauses double up to while the peer stays away.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(shuttle) { 0 } else { 150 });
const LONGEST_PAUSE: Duration = Duration::from_millis(1_200);
/// A pause is by so much of itself shorter or longer, by chance: nodes do not probe in step.
const JITTER: f64 = 1.0 / 3.0;
/// A peer that has been well for so long has recovered; one that fails before that flaps.
const WELL: Duration = Duration::from_secs(10);
/// Each flap doubles the pauses, so often at most: up to 4.8 s.
const MOST_FLAPS: u32 = 2;

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    phase: Phase,
    /// When it was closed last.
    closed: Option<Instant>,
    flaps: u32,
    opens: u64,
}

#[derive(Debug)]
enum Phase {
    Closed {
        strikes: u32,
    },
    Open {
        until: Instant,
        failed_probes: u32,
    },
    /// A probe is under way.
    HalfOpen {
        failed_probes: u32,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed { strikes: 0 }
    }
}

/// What a call may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    Ask,
    /// The one call that tries a peer whose breaker is open.
    Probe,
}

/// What the breaker is at, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    Closed,
    Open,
    HalfOpen,
}

impl Breaker {
    /// Leave to ask the peer; none while it is not to be asked.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Leave> {
        match self.phase {
            Phase::Closed { .. } => Some(Leave::Ask),
            Phase::Open { until, failed_probes } if now >= until => {
                self.phase = Phase::HalfOpen { failed_probes };
                Some(Leave::Probe)
            }
            Phase::HalfOpen { .. } if mutant::active(Mutant::ProbeInACrowd) => Some(Leave::Probe),
            Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// The peer has answered: it lives, whatever it said.
    pub(crate) fn answered(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Closed { .. }) {
            self.closed = Some(now);
        }
        self.phase = Phase::Closed { strikes: 0 };
    }

    /// A call that began at `began` was refused, or its connection reset: nobody is there.
    pub(crate) fn refused(&mut self, leave: Leave, began: Instant, now: Instant, chance: f64) {
        self.failed(leave, began, now, chance, |_| true);
    }

    /// A call that began at `began` got no answer. `may_open` says whether the peer is to be
    /// blamed for it.
    pub(crate) fn struck(
        &mut self,
        leave: Leave,
        began: Instant,
        now: Instant,
        chance: f64,
        may_open: impl FnOnce() -> bool,
    ) {
        self.failed(leave, began, now, chance, |strikes| strikes >= STRIKES && may_open());
    }

    /// A probe ended without telling anything of the peer: the next call may try.
    pub(crate) fn gave_up(&mut self, leave: Leave, now: Instant) {
        if let (Leave::Probe, Phase::HalfOpen { failed_probes }) = (leave, &self.phase) {
            self.phase = Phase::Open { until: now, failed_probes: *failed_probes };
        }
    }

    fn failed(
        &mut self,
        leave: Leave,
        began: Instant,
        now: Instant,
        chance: f64,
        opens: impl FnOnce(u32) -> bool,
    ) {
        match self.phase {
            // Calls from before the peer came back tell nothing of how it is now.
            Phase::Closed { .. } if self.closed.is_some_and(|closed| began < closed) => {}
            Phase::Closed { strikes } => {
                let strikes = strikes.saturating_add(1);
                if opens(strikes) {
                    self.open(now, chance);
                } else {
                    self.phase = Phase::Closed { strikes };
                }
            }
            Phase::HalfOpen { failed_probes } if leave == Leave::Probe => {
                self.pause(now, chance, failed_probes.saturating_add(1));
            }
            // Known already; calls that were under way do not make the pause longer.
            Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
    }

    fn open(&mut self, now: Instant, chance: f64) {
        self.opens += 1;
        let flaps = self.closed.is_some_and(|closed| now < closed + WELL);
        self.flaps = if flaps { MOST_FLAPS.min(self.flaps + 1) } else { 0 };
        self.pause(now, chance, 0);
    }

    fn pause(&mut self, now: Instant, chance: f64, failed_probes: u32) {
        let pause = FIRST_PAUSE * (1 << failed_probes.min(8));
        let pause = pause.min(LONGEST_PAUSE) * (1 << self.flaps);
        let until = now + pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
        self.phase = Phase::Open { until, failed_probes };
    }

    /// Probes in a row that have failed.
    pub(crate) fn failed_probes(&self) -> u32 {
        match self.phase {
            Phase::Closed { .. } => 0,
            Phase::Open { failed_probes, .. } | Phase::HalfOpen { failed_probes } => failed_probes,
        }
    }

    pub(crate) fn position(&self) -> Position {
        match self.phase {
            Phase::Closed { .. } => Position::Closed,
            Phase::Open { .. } => Position::Open,
            Phase::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// How often it was opened.
    pub(crate) fn opens(&self) -> u64 {
        self.opens
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// The chance that makes a pause what its constant says.
    const EVEN: f64 = 0.5;

    /// A breaker and the time.
    struct Rig {
        breaker: Breaker,
        start: Instant,
        now: Instant,
    }

    impl Rig {
        fn new() -> Self {
            let start = Instant::now();
            Self { breaker: Breaker::default(), start, now: start }
        }

        fn at(&mut self, millis: u32) -> &mut Self {
            self.now = self.start + MS * millis;
            self
        }

        fn admits(&mut self) -> Option<Leave> {
            self.breaker.admit(self.now)
        }

        /// A call that ends as soon as it began.
        fn refused(&mut self) {
            let leave = self.admits().expect("the peer is asked");
            self.breaker.refused(leave, self.now, self.now, EVEN);
        }

        fn struck(&mut self) {
            let leave = self.admits().expect("the peer is asked");
            self.breaker.struck(leave, self.now, self.now, EVEN, || true);
        }

        fn answered(&mut self) {
            self.admits().expect("the peer is asked");
            self.breaker.answered(self.now);
        }

        /// When a call is let through, at the earliest.
        fn next_probe(&mut self) -> u32 {
            let from = (self.now - self.start).as_millis() as u32;
            let first = (from..).find(|&millis| self.at(millis).admits().is_some());
            first.unwrap()
        }
    }

    #[test]
    fn a_refusal_opens_it_at_once_and_silence_at_the_third_time_in_a_row() {
        let mut rig = Rig::new();
        rig.refused();
        assert_eq!((rig.admits(), rig.breaker.position()), (None, Position::Open));

        let mut rig = Rig::new();
        rig.struck();
        rig.struck();
        rig.answered();
        rig.struck();
        rig.struck();
        assert_eq!(rig.breaker.position(), Position::Closed, "no three in a row");
        rig.struck();
        assert_eq!((rig.admits(), rig.breaker.opens()), (None, 1));
    }

    #[test]
    fn one_probe_at_a_time_is_let_through_and_an_answer_closes_it() {
        let mut rig = Rig::new();
        rig.refused();
        assert_eq!(rig.at(149).admits(), None);
        assert_eq!(rig.at(150).admits(), Some(Leave::Probe));
        assert_eq!((rig.admits(), rig.breaker.position()), (None, Position::HalfOpen));
        rig.breaker.answered(rig.now);
        assert_eq!((rig.admits(), rig.breaker.position()), (Some(Leave::Ask), Position::Closed));
    }

    #[test]
    fn a_probe_that_tells_nothing_leaves_its_place_to_the_next() {
        let mut rig = Rig::new();
        rig.refused();
        assert_eq!(rig.at(150).admits(), Some(Leave::Probe));
        rig.breaker.gave_up(Leave::Probe, rig.now);
        assert_eq!(rig.admits(), Some(Leave::Probe));
    }

    #[test]
    fn pauses_double_up_to_a_second_and_stay_short_enough_to_notice_a_return() {
        let mut rig = Rig::new();
        rig.struck();
        rig.struck();
        rig.struck();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let before = (rig.now - rig.start).as_millis() as u32;
            pauses.push(rig.next_probe() - before);
            rig.breaker.struck(Leave::Probe, rig.now, rig.now, EVEN, || true);
        }
        assert_eq!(pauses, [150, 300, 600, 1_200, 1_200, 1_200]);
        assert_eq!(rig.breaker.opens(), 1, "it was never closed");
    }

    #[test]
    fn a_peer_that_flaps_is_probed_less_often_until_it_has_been_well() {
        let mut rig = Rig::new();
        let mut pauses = Vec::new();
        for _ in 0..4 {
            rig.refused();
            let before = (rig.now - rig.start).as_millis() as u32;
            pauses.push(rig.next_probe() - before);
            rig.breaker.answered(rig.now);
        }
        assert_eq!(pauses, [150, 300, 600, 600]);
        rig.at(60_000).refused();
        assert_eq!(rig.next_probe(), 60_150);
    }

    #[test]
    fn calls_from_before_the_peer_came_back_do_not_open_it_again() {
        let mut rig = Rig::new();
        let began = rig.now;
        rig.refused();
        rig.at(150).answered();
        for _ in 0..10 {
            rig.breaker.refused(Leave::Ask, began, rig.now, EVEN);
        }
        assert_eq!(rig.breaker.position(), Position::Closed);
    }

    #[test]
    fn a_peer_that_is_not_to_be_blamed_goes_on_being_asked() {
        let mut rig = Rig::new();
        for _ in 0..10 {
            assert_eq!(rig.admits(), Some(Leave::Ask));
            rig.breaker.struck(Leave::Ask, rig.now, rig.now, EVEN, || false);
        }
        rig.struck();
        assert_eq!(rig.admits(), None, "now it is");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Pass(u32),
        Admit,
        /// The oldest call that is under way ends so.
        Answered,
        Refused,
        Struck,
        GaveUp,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            (1..3_000u32).prop_map(Event::Pass),
            Just(Event::Admit),
            Just(Event::Answered),
            Just(Event::Refused),
            Just(Event::Struck),
            Just(Event::GaveUp),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_one_probe_is_under_way_and_a_return_is_noticed(
            events in events(),
            chance in 0.0..1.0f64,
        ) {
            let mut breaker = Breaker::default();
            let mut now = Instant::now();
            let mut calls: Vec<(Leave, Instant)> = Vec::new();
            for event in events {
                match event {
                    Event::Pass(millis) => now += MS * millis,
                    Event::Admit => calls.extend(breaker.admit(now).map(|leave| (leave, now))),
                    _ if calls.is_empty() => {}
                    ended => {
                        let (leave, began) = calls.remove(0);
                        match ended {
                            Event::Answered => breaker.answered(now),
                            Event::Refused => breaker.refused(leave, began, now, chance),
                            Event::Struck => breaker.struck(leave, began, now, chance, || true),
                            _ => breaker.gave_up(leave, now),
                        }
                    }
                }
                let probes = calls.iter().filter(|(leave, _)| *leave == Leave::Probe).count();
                if breaker.position() == Position::HalfOpen {
                    prop_assert!(probes >= 1, "nobody is there to end it");
                }
            }
            // However it was treated, once calls end it is tried within the longest pause.
            for (leave, _) in calls {
                breaker.gave_up(leave, now);
            }
            let longest = LONGEST_PAUSE.mul_f64(1.0 + JITTER) * (1 << MOST_FLAPS);
            prop_assert!(breaker.admit(now + longest).is_some());
            if breaker.position() == Position::HalfOpen {
                prop_assert_eq!(breaker.admit(now + longest), None);
            }
        }
    }
}
