//! An origin that counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{BoxError, NotFound};
use crate::getter::{Getter, Loaded};
use crate::sync::{Condvar, Mutex};

/// What a [`TestOrigin`] does instead of giving a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Gives the value, after this long.
    Delay(Duration),
    /// Returns an error.
    Fail,
    /// Returns [`NotFound`].
    NotFound,
    /// Does not return before [`TestOrigin::release`].
    Hang,
    /// Panics.
    Panic,
}

/// A getter that counts its calls by key, gives `value of KEY`, and misbehaves on command.
///
/// A clone is another handle to the same origin.
#[derive(Debug, Clone, Default)]
pub struct TestOrigin {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    loads: HashMap<String, u64>,
    fault: Option<Fault>,
    faults: HashMap<String, Fault>,
    hanging: usize,
    /// Counts the releases, so that a getter knows one that came after it hung.
    releases: u64,
}

impl TestOrigin {
    /// An origin without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value that this origin has for `key`.
    pub fn value(key: &str) -> String {
        format!("value of {key}")
    }

    /// From now on every key without a fault of its own has this one, or none.
    pub fn set_fault(&self, fault: impl Into<Option<Fault>>) {
        self.shared.state.lock().fault = fault.into();
    }

    /// From now on `key` has this fault, or only that of all keys.
    pub fn set_fault_of(&self, key: &str, fault: impl Into<Option<Fault>>) {
        let mut state = self.shared.state.lock();
        match fault.into() {
            Some(fault) => state.faults.insert(key.to_owned(), fault),
            None => state.faults.remove(key),
        };
    }

    /// Lets every load that hangs now go on and give its value.
    pub fn release(&self) {
        self.shared.state.lock().releases += 1;
        self.shared.changed.notify_all();
    }

    /// How often `key` was loaded, in vain or not.
    pub fn loads(&self, key: &str) -> u64 {
        self.shared.state.lock().loads.get(key).copied().unwrap_or(0)
    }

    /// How often any key was loaded.
    pub fn total_loads(&self) -> u64 {
        self.shared.state.lock().loads.values().sum()
    }

    /// How many loads hang now.
    pub fn hanging(&self) -> usize {
        self.shared.state.lock().hanging
    }

    fn hang(&self) {
        let mut state = self.shared.state.lock();
        let releases = state.releases;
        state.hanging += 1;
        while state.releases == releases {
            self.shared.changed.wait(&mut state);
        }
        state.hanging -= 1;
    }
}

impl Getter for TestOrigin {
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        let fault = {
            let mut state = self.shared.state.lock();
            *state.loads.entry(key.to_owned()).or_default() += 1;
            state.faults.get(key).copied().or(state.fault)
        };
        match fault {
            None => {}
            Some(Fault::Delay(delay)) => std::thread::sleep(delay),
            Some(Fault::Fail) => return Err(format!("{key} failed on command").into()),
            Some(Fault::NotFound) => return Err(NotFound.into()),
            Some(Fault::Hang) => self.hang(),
            Some(Fault::Panic) => panic!("{key} panicked on command"),
        }
        Ok(Self::value(key).into())
    }
}
