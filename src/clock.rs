//! Monotonic time for expiry, which a test can move by hand.

use std::fmt;
use std::num::NonZeroU64;
#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A point on a [`Clock`], in milliseconds after its start, and how far ahead it lay when it was
/// set: an expiry knows the age of what expires.
///
/// ```text
///   63                              24 23                        0
///   [ milliseconds, 34 years of them | time to live, in seconds  ]
/// ```
///
/// Eight bytes, also as an `Option`. What is now has all the lower bits set, so that an expiry in
/// this very millisecond has come, and comparing two points is comparing two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(NonZeroU64);

const TTL_BITS: u32 = 24;
const MOST_TTL_SECS: u64 = (1 << TTL_BITS) - 1;
const MOST_MILLIS: u64 = u64::MAX >> TTL_BITS;

impl Tick {
    /// The point so many milliseconds after the clock's start; the clock's end when that comes
    /// first. The start itself is the first millisecond, for there is no zero.
    fn at(millis: u64, ttl_secs: u64) -> Self {
        let millis = millis.saturating_add(1).min(MOST_MILLIS);
        let bits = millis << TTL_BITS | ttl_secs.min(MOST_TTL_SECS);
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// The point so many milliseconds later.
    pub(crate) fn later(self, millis: u64) -> Self {
        let later = millis.min(MOST_MILLIS) << TTL_BITS;
        Self(self.0.saturating_add(later))
    }

    /// Milliseconds from `earlier` to this point; none when it comes before.
    pub(crate) fn since(self, earlier: Self) -> Option<u64> {
        self.to_millis().checked_sub(earlier.to_millis())
    }

    fn ttl_secs(self) -> u64 {
        self.0.get() & MOST_TTL_SECS
    }

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
        (self.to_millis() / COARSE_MILLIS) as u32
    }

    /// What a difference of coarse times is.
    pub(crate) fn coarse_duration(units: u64) -> Duration {
        Duration::from_millis(units.saturating_mul(COARSE_MILLIS))
    }

    /// Milliseconds after the clock's start.
    pub(crate) fn to_millis(self) -> u64 {
        self.0.get() >> TTL_BITS
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
        Tick::at(millis, MOST_TTL_SECS)
    }

    /// The point `ttl` from now; a time to live beyond the clock's end never expires.
    pub(crate) fn after(&self, ttl: Duration) -> Tick {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Tick::at(self.now().to_millis().saturating_add(millis) - 1, ttl.as_secs())
    }

    /// What is left until `tick`; zero when it has passed.
    pub(crate) fn until(&self, tick: Tick) -> Duration {
        Duration::from_millis(tick.since(self.now()).unwrap_or_default())
    }

    /// How old is what expires, or has expired, at `tick`: since [`after`](Self::after) was asked
    /// for it, in seconds.
    pub(crate) fn age_secs(&self, tick: Tick) -> u32 {
        let born = tick.to_millis().saturating_sub(tick.ttl_secs() * 1_000);
        let secs = self.now().to_millis().saturating_sub(born) / 1_000;
        u32::try_from(secs).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().to_millis())
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
        let last = clock.after(Duration::MAX);
        assert!(last > clock.now());
        assert!(last.later(u64::MAX) >= last);
    }

    #[test]
    fn an_expiry_knows_how_old_is_what_expires() {
        let (clock, millis) = Clock::manual();
        millis.store(7_000, Ordering::SeqCst);
        let expires = clock.after(Duration::from_secs(10));
        for (at, age) in [(7_000, 0), (9_500, 2), (17_000, 10), (27_999, 20), (28_000, 21)] {
            millis.store(at, Ordering::SeqCst);
            assert_eq!(clock.age_secs(expires), age, "at {at}");
        }
    }

    #[test]
    fn what_is_kept_for_longer_ends_that_much_later() {
        let (clock, millis) = Clock::manual();
        let dead = clock.after(Duration::from_secs(2)).later(3_000);
        millis.store(4_999, Ordering::SeqCst);
        assert!(clock.now() < dead);
        millis.store(5_000, Ordering::SeqCst);
        assert!(clock.now() >= dead);
        assert_eq!(clock.now().since(dead), Some(0));
    }

    #[test]
    fn an_optional_tick_takes_eight_bytes() {
        assert_eq!(size_of::<Option<Tick>>(), 8);
    }
}
