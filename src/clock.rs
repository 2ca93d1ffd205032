//! Monotonic time for expiry, which a test can move by hand.

use std::fmt;
use std::num::NonZeroU64;
#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A point on a [`Clock`], in milliseconds after its start.
///
/// Eight bytes, also as an `Option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(NonZeroU64);

impl Tick {
    /// The eight bytes of a tick, for an entry that carries one.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        NonZeroU64::new(u64::from_le_bytes(bytes)).map(Self)
    }

    /// Hundredths of a second since the clock's start, for what need not be exact. Wraps after
    /// 497 days.
    pub(crate) fn coarse(self) -> u32 {
        (self.0.get() / COARSE_MILLIS) as u32
    }

    /// What a difference of coarse times is.
    pub(crate) fn coarse_duration(units: u64) -> Duration {
        Duration::from_millis(units.saturating_mul(COARSE_MILLIS))
    }

    /// Milliseconds after the clock's start.
    pub(crate) fn to_millis(self) -> u64 {
        self.0.get()
    }
}

/// Milliseconds of a unit of coarse time.
const COARSE_MILLIS: u64 = 10;

/// Monotonic time: a wall clock that jumps changes nothing here.
#[derive(Clone)]
pub(crate) enum Clock {
    Monotonic(Instant),
    /// Milliseconds, set by a test.
    #[cfg(test)]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn monotonic() -> Self {
        Self::Monotonic(Instant::now())
    }

    /// A clock that stands still, and the hand that moves it.
    #[cfg(test)]
    pub(crate) fn manual() -> (Self, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(0));
        (Self::Manual(Arc::clone(&millis)), millis)
    }

    pub(crate) fn now(&self) -> Tick {
        let millis = match self {
            Self::Monotonic(start) => {
                u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
            }
            #[cfg(test)]
            Self::Manual(millis) => millis.load(Ordering::SeqCst),
        };
        Tick(NonZeroU64::MIN.saturating_add(millis))
    }

    /// The point `ttl` from now; a time to live beyond the clock's end never expires.
    pub(crate) fn after(&self, ttl: Duration) -> Tick {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Tick(self.now().0.saturating_add(millis))
    }

    /// What is left until `tick`; zero when it has passed.
    pub(crate) fn until(&self, tick: Tick) -> Duration {
        Duration::from_millis(tick.0.get().saturating_sub(self.now().0.get()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}

/// The point `timeout` from now; a timeout beyond the end of time becomes a year.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or_else(|| now + YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_lies_its_time_to_live_ahead_and_then_behind() {
        let (clock, millis) = Clock::manual();
        let expires = clock.after(Duration::from_secs(2));
        assert_eq!(clock.until(expires), Duration::from_secs(2));
        millis.store(1_999, Ordering::SeqCst);
        assert!(clock.now() < expires);
        millis.store(2_000, Ordering::SeqCst);
        assert!(clock.now() >= expires);
        millis.store(9_000, Ordering::SeqCst);
        assert_eq!(clock.until(expires), Duration::ZERO);
    }

    #[test]
    fn a_time_to_live_beyond_the_end_of_time_does_not_overflow() {
        let clock = Clock::monotonic();
        assert!(clock.after(Duration::MAX) > clock.now());
    }

    #[test]
    fn an_optional_tick_takes_eight_bytes() {
        assert_eq!(size_of::<Option<Tick>>(), 8);
    }
}
