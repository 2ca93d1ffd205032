//! A clock that ticks by uses, and what time it was then.

/// Samples of the time, each an eighth of the entries' turnover after the one before.
const SAMPLES: usize = 64;
const SAMPLE_SHARE: u32 = 8;

#[derive(Debug)]
pub(super) struct Ticks {
    now: u32,
    /// Ticks and the coarse times at which they began, as a ring.
    samples: [(u32, u32); SAMPLES],
    newest: usize,
}

impl Default for Ticks {
    fn default() -> Self {
        Self { now: 0, samples: [(0, 0); SAMPLES], newest: 0 }
    }
}

impl Ticks {
    pub(super) fn now(&self) -> u32 {
        self.now
    }

    /// How many ticks ago `tick` was.
    pub(super) fn age(&self, tick: u32) -> u32 {
        self.now.wrapping_sub(tick)
    }

    /// The next tick, at a coarse time, in a cache of so many entries.
    pub(super) fn advance(&mut self, time: u32, entries: u32) -> u32 {
        self.now = self.now.wrapping_add(1);
        let (sampled, _) = self.samples[self.newest];
        if self.age(sampled) > entries / SAMPLE_SHARE {
            self.newest = (self.newest + 1) % SAMPLES;
            self.samples[self.newest] = (self.now, time);
        }
        self.now
    }

    /// The coarse time of a tick, about: not before the oldest sample, nor after `now`.
    pub(super) fn time_of(&self, tick: u32, now: u32) -> u32 {
        let age = self.age(tick);
        let sample = |back: usize| self.samples[(self.newest + SAMPLES - back) % SAMPLES];
        // The first sample that is not younger.
        let at = (0..SAMPLES).find(|&back| self.age(sample(back).0) >= age);
        match at {
            // Between this sample and the one after it: the later is the safer guess.
            Some(0) => now,
            Some(back) => sample(back - 1).1,
            None => sample(SAMPLES - 1).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_tick_is_known_to_an_eighth_of_the_turnover() {
        let mut ticks = Ticks::default();
        for time in 1..=4_000 {
            ticks.advance(time, 1_000);
        }
        for tick in [4_000, 3_900, 3_000, 1] {
            let told = ticks.time_of(tick, 4_000);
            assert!((tick..=tick + 126).contains(&told), "{tick} told as {told}");
        }
        for time in 4_001..=40_000 {
            ticks.advance(time, 1_000);
        }
        let told = ticks.time_of(1, 40_000);
        assert!(told > 30_000 && told < 33_000, "as far back as the samples go: {told}");
    }
}
