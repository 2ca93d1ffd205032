//! Who may have a worker: each group up to its share, and so many waiting for so long.
//!
//! ```text
//!   a request ──► its group's share ──► a free connection ──► a worker
//!                 full: waits           none: waits
//! ```
//!
//! Both waits together are bounded, in how many wait and for how long. A group that has all of
//! its share can therefore not keep the others from their workers, nor from the waiting room.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::serve::limits::Limits;
use crate::sync::{Condvar, Mutex};

pub(super) struct Shares {
    /// Workers of one group at once.
    most: usize,
    pub(super) room: Room,
    /// One for each group that has been loaded from: groups do not come and go.
    groups: Mutex<HashMap<String, Arc<Share>>>,
}

/// The waiting room.
pub(super) struct Room {
    most: usize,
    waiting: AtomicUsize,
}

struct Share {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: usize,
}

impl Shares {
    pub(super) fn new(limits: &Limits) -> Self {
        let half = limits.lane_workers.div_ceil(2);
        let most = limits.lane_workers_per_group.unwrap_or(half);
        let room = Room { most: limits.lane_waiting, waiting: AtomicUsize::new(0) };
        Self { most, room, groups: Mutex::default() }
    }

    /// A place in the share of `group`, and whether it was waited for; none when too many wait
    /// or it is `until`.
    pub(super) fn take(&self, group: &str, until: Instant) -> Option<(Place, bool)> {
        let share = self.of(group);
        let mut state = share.state.lock();
        let mut waited = false;
        if state.running >= self.most {
            if state.waiting >= self.room.most.div_ceil(2) {
                return None;
            }
            let _chair = self.room.enter()?;
            waited = true;
            state.waiting += 1;
            while state.running >= self.most {
                if share.freed.wait_until(&mut state, until).timed_out() {
                    break;
                }
            }
            state.waiting -= 1;
            if state.running >= self.most {
                return None;
            }
        }
        state.running += 1;
        drop(state);
        Some((Place(share), waited))
    }

    fn of(&self, group: &str) -> Arc<Share> {
        let mut groups = self.groups.lock();
        if let Some(share) = groups.get(group) {
            return Arc::clone(share);
        }
        let share = Arc::new(Share { state: Mutex::default(), freed: Condvar::new() });
        groups.insert(group.to_owned(), Arc::clone(&share));
        share
    }
}

impl Room {
    /// A chair in it, given up when dropped; none when all are taken.
    pub(super) fn enter(&self) -> Option<Chair<'_>> {
        let chair = Chair(self);
        let taken = self.waiting.fetch_add(1, Ordering::Relaxed);
        (taken < self.most).then_some(chair)
    }
}

#[cfg(test)]
impl Room {
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

pub(super) struct Chair<'a>(&'a Room);

impl Drop for Chair<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in a group's share; free again when dropped.
pub(super) struct Place(Arc<Share>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
        self.0.freed.notify_one();
    }
}
