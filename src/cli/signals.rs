//! SIGTERM and ctrl-C: the first is a wish to end in good order, the second ends at once.
//! SIGHUP, where it is asked for: files are to be read anew.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator;

use super::end::Ending;

/// As shells count: 130 for SIGINT, 143 for SIGTERM.
const EXIT_BASE: i32 = 128;

pub(super) struct Signals(iterator::Signals);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    End,
    Reload,
}

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

    /// From now on SIGHUP is a wish, too, and no end: only for who has something to read anew.
    pub(super) fn catch_reload(&self) -> Result<(), Ending> {
        let caught = self.0.handle().add_signal(SIGHUP);
        caught.map_err(|error| Ending::failed("cannot catch SIGHUP", &error))
    }

    /// Waits for a signal.
    pub(super) fn wait(&mut self) -> Wish {
        match self.0.forever().next() {
            Some(SIGHUP) => Wish::Reload,
            _ => Wish::End,
        }
    }

    /// Whether a signal has come.
    pub(super) fn has_come(&mut self) -> bool {
        self.0.pending().next().is_some()
    }
}
