//! How long one request to a peer may take, and what it tells of the peer when it fails.

use std::io::ErrorKind;
use std::time::Duration;

use super::admission::Told;
use crate::wire::Nodes;

/// The times of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// The peer is to answer within this, were it only that it is loading.
    pub(super) within: Duration,
    /// For so long it is asked again then; as long as `within` when this is the last time.
    pub(super) left: Duration,
    /// Until the head of its answer is there.
    pub(super) head: Duration,
    /// Until all of its answer is there: a large value takes longer than a sign of life.
    pub(super) whole: Duration,
    /// Whether a peer that does not keep to this is to blame.
    fair: bool,
    /// Whether a value that comes in time tells how quick the peer is: it cannot have waited long
    /// for a load.
    first: bool,
}

impl Wait {
    /// A request by a caller that has `left`, and a call at most; to be answered `within`, and
    /// not more than `timeout` later.
    pub(super) fn new(
        nodes: Nodes,
        call: Duration,
        within: Duration,
        left: Duration,
        timeout: Duration,
    ) -> Self {
        let whole = left.min(call);
        if nodes == Nodes::Mixed {
            // A Go peer cannot say that it is loading: it has all the time that there is.
            let within = whole * 3 / 4;
            let fair = whole >= call / 2;
            return Self { within, left: within, head: whole, whole, fair, first: false };
        }
        let first = within <= call / super::ask::FIRST_WITHIN;
        if left >= within * 2 + timeout {
            return Self { within, left, head: within + timeout, whole, fair: true, first };
        }
        let margin = timeout.min(whole / 2).max(whole / 4);
        let within = whole - margin;
        Self { within, left: within, head: whole, whole, fair: margin >= timeout, first: false }
    }

    /// The times of the head and of the whole that most requests have: the peer is quick, and the
    /// caller patient.
    pub(super) fn usual(nodes: Nodes, call: Duration) -> (Duration, Duration) {
        let shortest = call / super::ask::FIRST_WITHIN;
        let wait = Self::new(nodes, call, shortest, Duration::MAX, shortest);
        (wait.head, wait.whole)
    }

    /// What is left of it after a first attempt.
    pub(super) fn after(&self, took: Duration) -> Self {
        let [head, whole] = [self.head, self.whole].map(|time| time.saturating_sub(took));
        let within = self.within.min(head * 3 / 4);
        let left = if self.comes_again() { self.left.saturating_sub(took) } else { within };
        Self { within, left, head, whole, ..*self }
    }

    /// Whether the peer is asked again when it says that it is loading.
    pub(super) fn comes_again(&self) -> bool {
        self.left > self.within
    }

    /// How late an answer is that came after `took`; none when it may have waited for a load.
    pub(super) fn lateness(&self, took: Duration) -> Option<Duration> {
        match took.checked_sub(self.within) {
            Some(late) => Some(late),
            None => self.first.then_some(took),
        }
    }

    /// What it told of the peer that nothing more came.
    pub(super) fn told_by_silence(&self) -> Told {
        if self.fair { Told::Struck } else { Told::Nothing }
    }

    /// What a request told of the peer that failed after `took`.
    pub(super) fn told_by(&self, error: &ureq::Error, took: Duration) -> Told {
        match error {
            ureq::Error::Io(error) if is_refusal(error.kind()) => Told::Refused,
            ureq::Error::Timeout(_) if took > self.head + self.head / 4 => Told::LateHere,
            ureq::Error::Timeout(_) => self.told_by_silence(),
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => Told::Bad,
            _ => Told::Struck,
        }
    }
}

/// What only the other side can have sent. A connection that is closed in good order tells less:
/// something may have been wrong with the answer.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const CALL: Duration = Duration::from_secs(2);

    fn wait(within: u32, left: u32, timeout: u32) -> Wait {
        Wait::new(Nodes::Alike, CALL, MS * within, MS * left, MS * timeout)
    }

    #[test]
    fn a_peer_is_to_give_a_sign_of_life_soon_and_has_longer_for_a_large_value() {
        let wait = wait(50, 5_000, 60);
        assert_eq!((wait.within, wait.left), (50 * MS, 5_000 * MS));
        assert_eq!((wait.head, wait.whole), (110 * MS, CALL));
        assert!(wait.comes_again() && wait.fair);
    }

    #[test]
    fn the_last_request_of_a_caller_takes_what_is_left() {
        let last = wait(400, 800, 50);
        assert_eq!((last.within, last.left, last.head), (600 * MS, 600 * MS, 800 * MS));
        assert!(!last.comes_again() && last.fair);
        let hasty = wait(50, 100, 50);
        assert_eq!((hasty.within, hasty.head, hasty.fair), (50 * MS, 100 * MS, true));
    }

    #[test]
    fn a_peer_is_not_blamed_for_a_call_that_was_too_short() {
        let short = wait(50, 80, 50);
        let timeout = ureq::Error::Timeout(ureq::Timeout::Global);
        assert_eq!(short.told_by(&timeout, 80 * MS), Told::Nothing);
        assert_eq!(wait(50, 500, 50).told_by(&timeout, 100 * MS), Told::Struck);
        assert_eq!(wait(50, 500, 50).told_by(&timeout, 150 * MS), Told::LateHere);
    }

    #[test]
    fn go_peers_have_all_the_time_that_there_is() {
        let wait = Wait::new(Nodes::Mixed, CALL, 50 * MS, 5_000 * MS, 50 * MS);
        assert_eq!((wait.head, wait.within), (CALL, CALL * 3 / 4));
        assert!(!wait.comes_again() && wait.fair);
    }

    #[test]
    fn an_attempt_after_the_first_has_what_that_left() {
        let again = wait(50, 5_000, 50).after(70 * MS);
        assert_eq!((again.head, again.whole), (30 * MS, CALL - 70 * MS));
        assert!(again.within < again.head && again.comes_again());
        assert!(!wait(400, 800, 50).after(10 * MS).comes_again());
    }
}
