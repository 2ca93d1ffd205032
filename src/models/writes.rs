//! Models of keys that are removed and set while they are loaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::gets::{end, group, options};
use super::{Gate, on_threads, switch};
use crate::clock::Clock;
use crate::error::NotFound;
use crate::getter::Loaded;
use crate::group::Group;
use crate::peer::{Peer, PeerError, PeerPicker};

/// Where the value lives: a number that only grows.
#[derive(Clone, Default)]
struct Origin {
    value: Arc<AtomicUsize>,
    /// Opened when a load has read the value, and has not brought it yet.
    read: Arc<Gate>,
}

impl Origin {
    fn change(&self) -> usize {
        self.value.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn load(&self) -> String {
        let value = self.value.load(Ordering::SeqCst);
        self.read.open();
        switch();
        value.to_string()
    }
}

/// While a load is under way two threads change the origin, remove the key and get it: neither
/// gets what was there before.
fn nobody_gets_what_was_removed(group: &Group, origin: &Origin) {
    let caller = group.clone();
    let first = shuttle::thread::spawn(move || caller.get("k").unwrap());
    origin.read.pass();
    let (caller, origin) = (group.clone(), origin.clone());
    on_threads(2, move |_| {
        let changed = origin.change();
        caller.remove_local("k").unwrap();
        let got: usize = caller.get("k").unwrap().as_str().unwrap().parse().unwrap();
        assert!(got >= changed, "got {got} after {changed} had been told of");
    });
    first.join().unwrap();
}

pub(super) fn what_was_removed_does_not_come_back() {
    let origin = Origin::default();
    let load = origin.clone();
    let (group, _) = group(options(4), move |_, _| Ok(load.load()));
    nobody_gets_what_was_removed(&group, &origin);
    end(group);
}

/// The same of a key that has expired: the old value is served, and is loaded anew meanwhile.
pub(super) fn what_was_removed_while_it_was_refreshed_does_not_come_back() {
    let (clock, millis) = Clock::manual();
    let ttl = Duration::from_millis(10);
    let options = options(4).ttl(ttl).stale_while_revalidate(ttl * 1_000).clock(clock);
    let origin = Origin::default();
    let load = origin.clone();
    let (group, _) = group(options, move |_, _| Ok(load.load()));
    group.get("k").unwrap();
    millis.store(10, Ordering::SeqCst);
    nobody_gets_what_was_removed(&group, &origin);
    end(group);
}

/// A peer that owns every key, and reads the origin.
struct Owner(Origin);

impl Peer for Owner {
    fn name(&self) -> &'static str {
        "owner"
    }

    fn get(&self, _group: &str, _key: &str, _deadline: Instant) -> Result<Loaded, PeerError> {
        Ok(self.0.load().into())
    }
}

struct AllHis(Arc<Owner>);

impl PeerPicker for AllHis {
    fn pick(&self, _key: &str) -> Option<Arc<dyn Peer>> {
        Some(Arc::<Owner>::clone(&self.0))
    }
}

/// The same of what the hot cache keeps.
pub(super) fn a_copy_that_was_removed_does_not_come_back() {
    let origin = Origin::default();
    let (group, _) = group(options(1), |_, _| Err("a peer owns this key".into()));
    group.register_peers(Arc::new(AllHis(Arc::new(Owner(origin.clone()))))).unwrap();
    nobody_gets_what_was_removed(&group, &origin);
    end(group);
}

/// Whatever is loaded at the same time, and however often.
pub(super) fn what_was_set_is_what_is_got() {
    let (group, _) = group(options(4), |_, _| Ok("loaded".to_owned()));
    let caller = group.clone();
    on_threads(3, move |n| {
        if n == 0 {
            caller.set_local("k", Loaded::new("set")).unwrap();
            assert_eq!(caller.get("k").unwrap(), "set");
        } else {
            let got = caller.get("k").unwrap();
            assert!(got == "set" || got == "loaded");
        }
    });
    assert_eq!(group.get("k").unwrap(), "set");
    end(group);
}

/// The key comes into being while a load is about to find that there is none.
pub(super) fn that_there_was_no_such_key_is_forgotten_with_it() {
    let is_there = Arc::new(AtomicBool::new(false));
    let looked = Arc::new(Gate::default());
    let (there, gate) = (Arc::clone(&is_there), Arc::clone(&looked));
    let hour = Duration::from_secs(3_600);
    let (group, _) = group(options(4).not_found_ttl(hour), move |_, _| {
        let found = there.load(Ordering::SeqCst);
        gate.open();
        switch();
        if found { Ok("new".to_owned()) } else { Err(NotFound.into()) }
    });
    let caller = group.clone();
    on_threads(2, move |n| {
        if n == 0 {
            looked.pass();
            is_there.store(true, Ordering::SeqCst);
            caller.remove_local("k").unwrap();
            assert_eq!(caller.get("k").unwrap(), "new");
        } else if let Err(error) = caller.get("k") {
            assert!(error.is_not_found(), "{error}");
        }
    });
    end(group);
}
