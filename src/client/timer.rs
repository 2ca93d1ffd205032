//! How long a peer's answer is waited for: as long as it usually takes, and some more.
//!
//! TCP has the same question and a good answer, RFC 6298: the mean of what was seen, and four
//! times the mean deviation. A peer that is always quick is missed soon, one whose answers come
//! now and then is given time, and a busy machine makes itself room.

use std::time::Duration;

/// Shares of the newest sample in the mean and in the deviation.
const MEAN_GAIN: f64 = 1.0 / 8.0;
const DEVIATION_GAIN: f64 = 1.0 / 4.0;
const DEVIATIONS: f64 = 4.0;

#[derive(Debug)]
pub(crate) struct Timer {
    floor: Duration,
    ceiling: Duration,
    /// In seconds; none before the first sample.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    mean: f64,
    deviation: f64,
}

impl Timer {
    /// A timer that is never shorter than `floor` nor longer than `ceiling`.
    pub(crate) fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling, seen: None }
    }

    /// An answer has taken so long.
    pub(crate) fn sample(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.seen = Some(match self.seen {
            None => Seen { mean: took, deviation: took / 2.0 },
            Some(Seen { mean, deviation }) => Seen {
                deviation: deviation + DEVIATION_GAIN * ((took - mean).abs() - deviation),
                mean: mean + MEAN_GAIN * (took - mean),
            },
        });
    }

    /// Forgets what it has seen: the peer is not what it was.
    pub(crate) fn reset(&mut self) {
        self.seen = None;
    }

    /// How long to wait, doubled for each time in a row that it was too short.
    pub(crate) fn timeout(&self, too_short: u32) -> Duration {
        let Some(Seen { mean, deviation }) = self.seen else { return self.ceiling };
        let usual = Duration::try_from_secs_f64(mean + DEVIATIONS * deviation);
        let usual = usual.unwrap_or(self.ceiling).max(self.floor);
        usual.saturating_mul(1 << too_short.min(8)).min(self.ceiling)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn timer(samples: impl IntoIterator<Item = u32>) -> Timer {
        let mut timer = Timer::new(50 * MS, 500 * MS);
        samples.into_iter().for_each(|millis| timer.sample(MS * millis));
        timer
    }

    #[test]
    fn a_peer_that_is_not_known_gets_the_longest_time_and_a_quick_one_the_shortest() {
        assert_eq!(timer([]).timeout(0), 500 * MS);
        assert_eq!(timer([1]).timeout(0), 50 * MS);
        assert_eq!(timer([600; 20]).timeout(0), 500 * MS);
    }

    #[test]
    fn the_time_follows_the_answers_up_at_once_and_down_soon() {
        let steady = timer([60; 50]).timeout(0);
        assert!((60 * MS..70 * MS).contains(&steady), "{steady:?}");
        let jumpy = timer((0..50).map(|n| if n % 2 == 0 { 1 } else { 100 })).timeout(0);
        assert!((150 * MS..400 * MS).contains(&jumpy), "{jumpy:?}");
        let late = timer([1; 50].into_iter().chain([200])).timeout(0);
        assert!(late > 200 * MS, "{late:?}");
        let settled = timer([1; 50].into_iter().chain([200]).chain([1; 50])).timeout(0);
        assert_eq!(settled, 50 * MS);
    }

    #[test]
    fn each_failure_doubles_the_time_up_to_the_longest() {
        let timer = timer([1]);
        let times = [0, 1, 2, 3, 4, 40].map(|failures| timer.timeout(failures));
        assert_eq!(times, [50, 100, 200, 400, 500, 500].map(|millis| MS * millis));
    }
}
