//! Who may call a peer, and for how long: the breaker, the timer and the cap on calls that all
//! threads share, and what the peers together say about this node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, Leave, Position};
use super::timer::Timer;
use crate::mutant::{self, Mutant};
use crate::sync::{self, Mutex};

/// How many peers are not asked because they were silent, of all that there are.
///
/// When most of them seem silent it is this node that is cut off, or slow, or was suspended. So
/// half of them, rounded up, may be blamed; the others go on being asked, a few calls at a time.
/// A refusal needs no such doubt: only the other side can have sent it.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    peers: usize,
    suspected: usize,
}

impl Suspects {
    /// There are so many peers on the ring.
    pub(crate) fn set_peers(&self, peers: usize) {
        self.count.lock().peers = peers;
    }

    /// One more peer is silent; none when that would be most of them.
    fn accuse(self: &Arc<Self>) -> Option<Suspicion> {
        let mut count = self.count.lock();
        let most = count.peers.div_ceil(2);
        if count.suspected >= most {
            return None;
        }
        if mutant::active(Mutant::AccuseInTwoSteps) {
            drop(count);
            count = self.count.lock();
        }
        count.suspected += 1;
        Some(Suspicion(Arc::clone(self)))
    }

    #[cfg(test)]
    pub(crate) fn suspected(&self) -> usize {
        self.count.lock().suspected
    }
}

/// A peer that is not asked because it was silent; until dropped.
#[derive(Debug)]
struct Suspicion(Arc<Suspects>);

impl Drop for Suspicion {
    fn drop(&mut self) {
        self.0.count.lock().suspected -= 1;
    }
}

/// What a call told of its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It answered, this much late, when that is known.
    Alive(Option<Duration>),
    /// Nobody is there.
    Refused,
    /// It did not answer in the time that it usually needs, or closed the connection instead.
    Struck,
    /// It answered nonsense. That costs no time, and each such answer is to be counted: it is
    /// asked all the same.
    Bad,
    /// The call was too short.
    Nothing,
    /// It had not answered when this node came to look, long after it meant to.
    LateHere,
}

/// The door to one peer.
#[derive(Debug)]
pub(crate) struct Admission {
    max_calls: usize,
    suspects: Arc<Suspects>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    timer: Timer,
    suspicion: Option<Suspicion>,
    /// What the last call told that told anything.
    failing: bool,
    calls: usize,
    shed: u64,
}

/// A peer as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) failing: bool,
    pub(crate) calls: usize,
    /// Calls that were not made because too many were under way.
    pub(crate) shed: u64,
    pub(crate) opens: u64,
}

impl Admission {
    pub(crate) fn new(max_calls: usize, timer: Timer, suspects: Arc<Suspects>) -> Self {
        let breaker = Breaker::default();
        let state = State { breaker, timer, suspicion: None, failing: false, calls: 0, shed: 0 };
        Self { max_calls, suspects, state: Mutex::new(state) }
    }

    /// A place among the calls to the peer; none when it is not to be asked, or not now.
    pub(crate) fn enter(&self) -> Option<Call<'_>> {
        let mut state = self.state.lock();
        let leave = state.breaker.admit(Instant::now())?;
        if state.calls >= self.max_calls && leave == Leave::Ask {
            state.shed += 1;
            return None;
        }
        if mutant::active(Mutant::EnterInTwoSteps) {
            drop(state);
            state = self.state.lock();
        }
        state.calls += 1;
        Some(Call { admission: self, leave, told: false })
    }

    /// Whether the peer is not asked, but for a probe.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().breaker.position() != Position::Closed
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state.lock();
        Seen {
            position: state.breaker.position(),
            failing: state.failing,
            calls: state.calls,
            shed: state.shed,
            opens: state.breaker.opens(),
        }
    }
}

/// One of the calls to a peer, until dropped.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    admission: &'a Admission,
    leave: Leave,
    told: bool,
}

impl Call<'_> {
    /// How long after it was to answer the peer is given up.
    pub(crate) fn timeout(&self) -> Duration {
        let state = self.admission.state.lock();
        let failed = if self.leave == Leave::Probe { state.breaker.failed_probes() } else { 0 };
        state.timer.timeout(failed)
    }

    /// What the request that began at `began` told of the peer. A call may have several: a peer
    /// that is loading is asked again.
    pub(crate) fn tell(&mut self, began: Instant, told: Told) {
        if matches!(told, Told::Nothing | Told::LateHere) {
            return;
        }
        let (now, chance) = (Instant::now(), sync::fraction());
        let mut state = self.admission.state.lock();
        let State { breaker, timer, suspicion, failing, .. } = &mut *state;
        *failing = true;
        match told {
            Told::Bad | Told::Nothing | Told::LateHere => return,
            Told::Alive(late) => {
                if breaker.position() != Position::Closed {
                    timer.reset();
                }
                late.into_iter().for_each(|late| timer.sample(late));
                *failing = false;
                breaker.answered(now);
                *suspicion = None;
            }
            Told::Refused => breaker.refused(self.leave, began, now, chance),
            Told::Struck => {
                // It would have taken longer than this: on a machine that is too busy for the
                // time that was usual, the next call has more.
                timer.sample(timer.timeout(0));
                breaker.struck(self.leave, began, now, chance, || {
                    *suspicion = self.admission.suspects.accuse();
                    suspicion.is_some()
                });
            }
        }
        self.told = true;
        self.leave = Leave::Ask;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        state.calls -= 1;
        if !self.told && !mutant::active(Mutant::ProbeIsForgotten) {
            state.breaker.gave_up(self.leave, Instant::now());
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn admissions(peers: usize, max_calls: usize) -> (Arc<Suspects>, Vec<Admission>) {
        let suspects = Arc::<Suspects>::default();
        suspects.set_peers(peers);
        let admission =
            || Admission::new(max_calls, Timer::new(MS, 500 * MS), Arc::clone(&suspects));
        let admissions = (0..peers).map(|_| admission()).collect();
        (suspects, admissions)
    }

    fn end(admission: &Admission, told: Told) {
        admission.enter().expect("the peer is asked").tell(Instant::now(), told);
    }

    #[test]
    fn no_more_calls_than_may_are_under_way() {
        let (_, peers) = admissions(1, 2);
        let calls = [peers[0].enter(), peers[0].enter()];
        assert!(calls.iter().all(Option::is_some) && peers[0].enter().is_none());
        assert_eq!((peers[0].seen().calls, peers[0].seen().shed), (2, 1));
        drop(calls);
        assert!(peers[0].enter().is_some());
        assert_eq!(peers[0].seen().calls, 0);
    }

    #[test]
    fn half_of_the_peers_may_be_silent_and_the_others_go_on_being_asked() {
        for (count, blamed) in [(1, 1), (2, 1), (3, 2), (4, 2), (9, 5)] {
            let (suspects, peers) = admissions(count, 2);
            for peer in &peers {
                for _ in 0..3 {
                    end(peer, Told::Struck);
                }
            }
            let open = peers.iter().filter(|peer| peer.is_open()).count();
            assert_eq!((open, suspects.suspected()), (blamed, blamed), "of {count}");
        }
    }

    #[test]
    fn peers_that_refuse_are_believed_and_do_not_count_as_silent() {
        let (suspects, peers) = admissions(3, 2);
        peers.iter().for_each(|peer| end(peer, Told::Refused));
        assert!(peers.iter().all(Admission::is_open));
        assert_eq!(suspects.suspected(), 0);
    }

    #[test]
    fn a_peer_that_answers_or_leaves_the_ring_is_no_longer_suspected() {
        let (suspects, mut peers) = admissions(4, 2);
        for peer in &peers[..2] {
            (0..3).for_each(|_| end(peer, Told::Struck));
        }
        let mut call = peers[2].enter().unwrap();
        call.tell(Instant::now(), Told::Alive(Some(MS)));
        drop(call);
        assert_eq!(suspects.suspected(), 2);
        drop(peers.remove(0));
        assert_eq!(suspects.suspected(), 1);
    }

    #[test]
    fn a_peer_that_was_given_up_has_longer_the_next_time() {
        let (_, peers) = admissions(1, 2);
        (0..50).for_each(|_| end(&peers[0], Told::Alive(Some(Duration::ZERO))));
        let before = peers[0].enter().unwrap().timeout();
        end(&peers[0], Told::Struck);
        assert!(peers[0].enter().unwrap().timeout() > before);
    }

    #[test]
    fn calls_that_tell_nothing_change_nothing() {
        let (_, peers) = admissions(2, 2);
        for _ in 0..10 {
            end(&peers[0], Told::Nothing);
        }
        assert_eq!(peers[0].seen().position, Position::Closed);
        assert_eq!(peers[0].enter().unwrap().timeout(), 500 * MS);
        end(&peers[0], Told::Alive(Some(Duration::ZERO)));
        assert_eq!(peers[0].enter().unwrap().timeout(), MS);
    }
}
