//! SIGTERM and ctrl-C: the first is a wish to end in good order, the second ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator;

use super::end::Ending;

/// As shells count: 130 for SIGINT, 143 for SIGTERM.
const EXIT_BASE: i32 = 128;

pub(super) struct Signals(iterator::Signals);

impl Signals {
    /// From now on no signal ends the program at once, except a second one.
    pub(super) fn catch() -> Result<Self, Ending> {
        Self::register().map_err(|error| Ending::failed("cannot catch signals", &error))
    }

    fn register() -> io::Result<Self> {
        let wished = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag not set yet.
            flag::register_conditional_shutdown(signal, EXIT_BASE + signal, Arc::clone(&wished))?;
            flag::register(signal, Arc::clone(&wished))?;
        }
        iterator::Signals::new([SIGINT, SIGTERM]).map(Self)
    }

    /// Waits for the first signal.
    pub(super) fn wait(&mut self) {
        self.0.forever().next();
    }

    /// Whether a signal has come.
    pub(super) fn has_come(&mut self) -> bool {
        self.0.pending().next().is_some()
    }
}
