//! Which signatures have been seen: a request that comes a second time is refused.
//!
//! As IPsec and WireGuard do it: a sender numbers its signatures, and for each sender the
//! highest number is kept with a window of bits behind it. That costs the same few bytes
//! however many requests a second there are. Only valid signatures get here, so that only those
//! who have the secret can fill the memory.

use std::collections::HashMap;

use crate::sync::Mutex;

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: u64 = 1_024;
/// So far may a request fall behind the sender's latest before it is too late: at 100,000
/// requests a second two thirds of a second. A word less than there is: the newest is begun.
const WINDOW: u64 = (WORDS - 1) * WORD_BITS;
/// Senders remembered at once, of 8 KiB each; each start of a node is a new one.
pub(super) const SENDERS: usize = 1_024;

/// The numbers that have been seen of each sender.
#[derive(Debug, Default)]
pub(super) struct Replays {
    senders: Mutex<HashMap<u128, Window>>,
}

#[derive(Debug)]
struct Window {
    highest: u64,
    /// A ring of bits, one for each number from that of `highest` down.
    seen: Box<[u64; WORDS as usize]>,
    /// When no signature of this sender that has been seen can be valid any more.
    until: u64,
}

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is new, and noted.
    New,
    /// It was used before, or is too old to tell.
    Again,
    /// There is no room for one more sender.
    Full,
}

impl Replays {
    /// Notes the number of a valid signature which is of no use after `until`.
    pub(super) fn note(&self, sender: u128, number: u64, until: u64, now: u64) -> Seen {
        let mut senders = self.senders.lock();
        if !senders.contains_key(&sender) && senders.len() >= SENDERS {
            senders.retain(|_, window| window.until >= now);
            if senders.len() >= SENDERS {
                return Seen::Full;
            }
        }
        let window = senders.entry(sender).or_insert_with(|| Window::new(number));
        window.until = window.until.max(until);
        if window.note(number) { Seen::New } else { Seen::Again }
    }
}

impl Window {
    fn new(highest: u64) -> Self {
        Self { highest, seen: Box::new([0; WORDS as usize]), until: 0 }
    }

    /// Whether the number is new.
    fn note(&mut self, number: u64) -> bool {
        if number > self.highest {
            self.forget_up_to(number);
        } else if self.highest - number >= WINDOW {
            return false;
        }
        let (word, bit) = place(number);
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }

    /// Moves the window on, by whole words (as in RFC 6479): those that come in are empty.
    fn forget_up_to(&mut self, number: u64) {
        let (from, to) = (self.highest / WORD_BITS + 1, number / WORD_BITS);
        // More of them than there are would empty some twice.
        for word in from.max(to.saturating_sub(WORDS - 1))..=to {
            self.seen[(word % WORDS) as usize] = 0;
        }
        self.highest = number;
    }
}

/// The word of a number, and the bit in it.
fn place(number: u64) -> (usize, u64) {
    ((number / WORD_BITS % WORDS) as usize, 1 << (number % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn note(replays: &Replays, sender: u128, number: u64) -> Seen {
        replays.note(sender, number, 100, 0)
    }

    #[test]
    fn a_number_is_new_once_for_each_sender() {
        let replays = Replays::default();
        for sender in [1, 2] {
            for number in [0, 5, 3, u64::MAX - WINDOW, u64::MAX] {
                assert_eq!(note(&replays, sender, number), Seen::New);
                assert_eq!(note(&replays, sender, number), Seen::Again);
            }
        }
    }

    #[test]
    fn a_number_that_has_left_the_window_counts_as_seen() {
        let replays = Replays::default();
        assert_eq!(note(&replays, 1, WINDOW), Seen::New);
        assert_eq!(note(&replays, 1, 1), Seen::New);
        assert_eq!(note(&replays, 1, 0), Seen::Again);
    }

    #[test]
    fn a_full_memory_takes_no_new_sender_until_an_old_one_is_of_no_use() {
        let replays = Replays::default();
        for sender in 0..SENDERS as u128 {
            let until = if sender == 7 { 50 } else { 100 };
            assert_eq!(replays.note(sender, 0, until, 0), Seen::New);
        }
        let newcomer = u128::MAX;
        assert_eq!(replays.note(newcomer, 0, 150, 50), Seen::Full);
        assert_eq!(replays.note(3, 1, 150, 50), Seen::New, "known senders go on");
        assert_eq!(replays.note(newcomer, 0, 151, 51), Seen::New);
        assert_eq!(replays.note(7, 0, 151, 51), Seen::Full, "it was forgotten");
    }

    proptest! {
        #[test]
        fn numbers_in_any_order_are_new_when_they_are_and_not_too_old(
            steps in prop::collection::vec(prop_oneof![0..200u64, WINDOW - 3..WINDOW + 3], 1..400),
            backwards in prop::collection::vec(any::<bool>(), 400),
        ) {
            let (replays, mut seen, mut highest) = (Replays::default(), HashSet::new(), 0);
            let mut number = 4 * WINDOW;
            for (step, back) in steps.into_iter().zip(backwards) {
                number = if back { number.saturating_sub(step) } else { number + step };
                highest = highest.max(number);
                let is_new = highest - number < WINDOW && seen.insert(number);
                let expected = if is_new { Seen::New } else { Seen::Again };
                prop_assert_eq!(note(&replays, 1, number), expected, "{}", number);
            }
        }
    }
}
