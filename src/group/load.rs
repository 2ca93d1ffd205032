//! What a get does when the cache has nothing: ask the owner, or call the getter.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stand_in::Asking;
use super::{Asker, Fetched, GetterThread, Group, Source};
use crate::error::{BoxError, Error, NotFound, Result};
use crate::flight::{Landing, Leader, Role, Waiter};
use crate::getter::Loaded;
use crate::loaders;
use crate::mutant::{self, Mutant};
use crate::peer::Peer;
use crate::store::{Left, Which};
use crate::sync;

/// What an owner is asked for so often a minute, by all peers, is worth a copy here.
const HOT_PER_MINUTE: u32 = 10;

/// Of peers that do not tell the rate, one in so many values is kept, as in groupcache.
const HOT_ONE_IN: u32 = 10;

/// How long a load that waits for its turn is still wanted by a peer that comes again for it.
const RETURN: Duration = Duration::from_millis(500);

/// How a flight to a peer ended.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Answered(Result<Fetched>),
    /// The peer gave no valid answer: each caller goes on to the getter.
    Failed,
}

impl Group {
    /// Loads `key` from its owner, or here when that is this node or the owner fails.
    pub(super) fn load(&self, key: &str, deadline: Instant, asker: Asker) -> Result<Fetched> {
        if chain::holds(self.id(), key) {
            let group = self.name().to_owned();
            return Err(Error::AskedForItself { group, key: key.to_owned() });
        }
        let answer = match asker {
            Asker::Here | Asker::Client if self.owner(key).is_some() => self.ask(key, deadline),
            Asker::Here | Asker::Client | Asker::Peer | Asker::ReturningPeer => None,
        };
        answer.unwrap_or_else(|| self.load_here(key, deadline, asker))
    }

    /// Waits on the flight that is under way for `key`; see [`Group::park`].
    pub(super) fn join_existing(
        &self,
        key: &str,
        deadline: Instant,
        asker: Asker,
        started: Instant,
    ) -> Option<Result<Fetched>> {
        if !asker.is_peer()
            && let Some(waiter) = self.inner.asking.join_existing(key.as_bytes())
        {
            return match waiter.wait(deadline) {
                Landing::Landed(Asked::Answered(result)) => Some(result),
                Landing::TimedOut => Some(Err(self.too_late(key, started))),
                Landing::Landed(Asked::Failed) | Landing::Lost | Landing::Overdue => None,
            };
        }
        let waiter = self.inner.loading.join_existing(key.as_bytes())?;
        match waiter.wait(deadline) {
            Landing::Landed(result) => Some(result),
            Landing::TimedOut => {
                stay_wanted(&waiter, asker);
                Some(Err(self.too_late(key, started)))
            }
            Landing::Lost | Landing::Overdue => None,
        }
    }

    fn owner(&self, key: &str) -> Option<Arc<dyn Peer>> {
        self.inner.peers.get().and_then(|peers| peers.pick(key))
    }

    /// Asks the owner, once for all callers of this node; none when it gave no valid answer.
    fn ask(&self, key: &str, deadline: Instant) -> Option<Result<Fetched>> {
        let started = Instant::now();
        loop {
            let waiter = match self.inner.asking.join(key.as_bytes()) {
                Role::Leader(leader) => {
                    // Looked up inside the flight: one that begins after a write asks nobody that
                    // was not told of it, though the ring may have changed since the caller came.
                    let Some(owner) = self.owner(key) else {
                        leader.land(Asked::Failed, |_| ());
                        return None;
                    };
                    return self.lead_ask(leader, &*owner, key, deadline);
                }
                Role::Waiter(waiter) => waiter,
            };
            match waiter.wait(deadline) {
                Landing::Landed(Asked::Answered(result)) => return Some(result),
                Landing::Landed(Asked::Failed) => return None,
                Landing::TimedOut => return Some(Err(self.too_late(key, started))),
                Landing::Lost | Landing::Overdue => {}
            }
        }
    }

    fn lead_ask(
        &self,
        leader: Leader<Asked>,
        owner: &dyn Peer,
        key: &str,
        deadline: Instant,
    ) -> Option<Result<Fetched>> {
        if !mutant::active(Mutant::NoSecondLookupBeforeAsking)
            && let Some(hit) = self.look_again(key)
        {
            leader.land(Asked::Answered(Ok(hit.clone())), |_| ());
            return Some(Ok(hit));
        }
        let started = Instant::now();
        match self.ask_in_turn(owner, key, deadline) {
            Asking::Loaded(loaded) => Some(Ok(self.land_copy(leader, key, loaded))),
            Asking::Answered(error) => {
                self.inner.counters.loads_deduped.add_one();
                leader.land(Asked::Answered(Err(error.clone())), |_| ());
                Some(Err(error))
            }
            // Only this caller's time is over: losing the flight lets a waiter lead.
            Asking::TooLate => {
                self.inner.counters.loads_deduped.add_one();
                Some(Err(self.too_late(key, started)))
            }
            // The load is carried out, and counted, when the getter is called.
            Asking::Failed => {
                leader.land(Asked::Failed, |_| ());
                None
            }
        }
    }

    /// Lands a value that a peer gave; some of them are kept in the hot cache, none in main.
    fn land_copy(&self, leader: Leader<Asked>, key: &str, loaded: Loaded) -> Fetched {
        self.inner.counters.loads_deduped.add_one();
        self.inner.counters.peer_loads.add_one();
        let stale = loaded.stale_age_secs.is_some();
        if stale {
            self.inner.counters.stale_served.add_one();
        }
        let is_hot = match loaded.minute_qps {
            Some(rate) => rate >= HOT_PER_MINUTE,
            None => sync::one_in(HOT_ONE_IN),
        };
        let fetched = self.fetched(loaded, Source::Peer);
        let left = leader.land(Asked::Answered(Ok(fetched.clone())), |_| {
            if is_hot && !stale && self.keeps_from_peers(key) {
                self.keep_copy(key, &fetched)
            } else {
                self.left()
            }
        });
        self.tell(left.unwrap_or_default());
        fetched
    }

    /// Loads `key` by the getter, once for all callers, this node's and peers'.
    fn load_here(&self, key: &str, deadline: Instant, asker: Asker) -> Result<Fetched> {
        if let Some(stale) = self.stale_at_once(key) {
            return Ok(stale);
        }
        let started = Instant::now();
        loop {
            let (waiter, _lent) = match self.inner.loading.join(key.as_bytes()) {
                Role::Waiter(waiter) => (waiter, Some(loaders::lend_place())),
                Role::Leader(leader) => {
                    if let Some(hit) = self.look_again(key) {
                        leader.land(Ok(hit.clone()), |_| ());
                        return Ok(hit);
                    }
                    if let Some(error) = self.remembered(key) {
                        self.inner.counters.negative_hits.add_one();
                        leader.land(Err(error.clone()), |_| ());
                        return Err(error);
                    }
                    let waiter = leader.waiter();
                    self.start_load(leader, key, asker)?;
                    (waiter, None)
                }
            };
            match waiter.wait(deadline) {
                Landing::Landed(result) => return result,
                Landing::TimedOut => {
                    stay_wanted(&waiter, asker);
                    return Err(self.too_late(key, started));
                }
                Landing::Lost | Landing::Overdue => {}
            }
        }
    }

    /// Hands the getter call to a loader thread, so that its callers can leave before it ends;
    /// or makes it here, when the group is to and there is a place for it.
    ///
    /// A get from inside a getter runs on that getter's thread instead: its place among
    /// `max_getters` is taken already, and getters that wait for each other's places would
    /// never end.
    fn start_load(&self, leader: Leader<Result<Fetched>>, key: &str, asker: Asker) -> Result<()> {
        if chain::is_on() {
            self.lead_load(leader, key);
            return Ok(());
        }
        // Who asks over HTTP is told in time that the load takes longer: not from inside it.
        if self.inner.options.getter_thread == GetterThread::Caller
            && asker == Asker::Here
            && let Some(_place) = self.inner.loaders.take_place()
        {
            self.lead_load(leader, key);
            return Ok(());
        }
        let (group, key) = (self.clone(), key.to_owned());
        self.inner.loaders.submit(Box::new(move || group.lead_load(leader, &key)))
    }

    fn lead_load(&self, leader: Leader<Result<Fetched>>, key: &str) {
        if leader.is_alone() && !mutant::active(Mutant::WorkForNobody) {
            // Every caller gave up while the load was queued: nobody is left to work for.
            return;
        }
        self.carry_out(leader, key);
    }

    pub(super) fn carry_out(&self, leader: Leader<Result<Fetched>>, key: &str) {
        let counters = &self.inner.counters;
        counters.loads_deduped.add_one();
        let loaded = self.call_getter(key).map(|loaded| self.with_jitter(loaded));
        let result = loaded.map(|loaded| self.fetched(loaded, Source::Origin));
        match &result {
            Ok(_) => counters.local_loads.add_one(),
            Err(_) => counters.local_load_errs.add_one(),
        }
        let stands_in = self.stands_in(key);
        let left = leader.land(result, |result| self.keep_outcome(key, result, stands_in));
        match left {
            Some(left) => self.tell(left),
            None => counters.overdue_loads.add_one(),
        }
    }

    fn call_getter(&self, key: &str) -> Result<Loaded> {
        let (group, owned_key) = (self.name().to_owned(), key.to_owned());
        let called = catch_unwind(AssertUnwindSafe(|| {
            let _link = chain::link(self.id(), key);
            self.inner.getter.get(key)
        }));
        match called {
            Ok(Ok(loaded)) => self.check_value(key, &loaded).map(|()| loaded),
            Ok(Err(error)) if error.is::<NotFound>() => {
                Err(Error::NotFound { group, key: owned_key })
            }
            Ok(Err(error)) => {
                Err(Error::Getter { group, key: owned_key, message: with_causes(&error) })
            }
            Err(panic) if mutant::active(Mutant::PanicEscapes) => resume_unwind(panic),
            Err(panic) => {
                self.inner.counters.getter_panics.add_one();
                let message = panic_message(&*panic);
                Err(Error::GetterPanicked { group, key: owned_key, message })
            }
        }
    }

    /// As [`look_twice`](Self::look_twice), for a get.
    fn look_again(&self, key: &str) -> Option<Fetched> {
        let hit = self.look_twice(key)?;
        self.inner.counters.cache_hits.add_one();
        Some(hit)
    }

    pub(super) fn keep(&self, which: Which, key: &str, fetched: &Fetched) -> Left {
        let mut left = self.left();
        let value = fetched.value.clone();
        self.inner.store.insert(which, key.as_bytes(), value, fetched.expires, &mut left);
        left
    }

    /// Keeps a copy of what a peer owns, for a limited time: until then a write that does not
    /// reach this node goes unnoticed.
    pub(super) fn keep_copy(&self, key: &str, fetched: &Fetched) -> Left {
        let bound = self.inner.store.clock().after(self.inner.options.hot_ttl);
        let expires = fetched.expires.map_or(bound, |expires| expires.min(bound));
        self.keep(Which::Hot, key, &Fetched { expires: Some(expires), ..fetched.clone() })
    }

    pub(super) fn fetched(&self, loaded: Loaded, source: Source) -> Fetched {
        let expires = loaded.ttl.map(|ttl| self.inner.store.clock().after(ttl));
        let stale = loaded.stale_age_secs.map(|age_secs| Source::Stale { age_secs });
        let source = stale.unwrap_or(source);
        Fetched { value: loaded.value, source, expires }
    }

    fn too_late(&self, key: &str, started: Instant) -> Error {
        let waited = Duration::from_millis(started.elapsed().as_millis() as u64);
        Error::DeadlineExceeded { group: self.name().to_owned(), key: key.to_owned(), waited }
    }

    /// Tells this group from others in the process.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }
}

/// A load that its last caller has left is not begun, unless that caller comes again for it.
fn stay_wanted<V: Clone>(waiter: &Waiter<V>, asker: Asker) {
    if asker == Asker::ReturningPeer {
        waiter.stays_wanted_until(Instant::now() + RETURN);
    }
}

/// The keys that this thread is loading, outermost first: a getter may get other keys.
mod chain {
    use super::RefCell;
    use crate::sync::thread_local;

    thread_local! {
        static CHAIN: RefCell<Vec<(usize, String)>> = const { RefCell::new(Vec::new()) };
    }

    /// Takes the key off the chain again when dropped, also by a panic.
    pub(super) struct Link;

    pub(super) fn link(group: usize, key: &str) -> Link {
        CHAIN.with(|chain| chain.borrow_mut().push((group, key.to_owned())));
        Link
    }

    impl Drop for Link {
        fn drop(&mut self) {
            CHAIN.with(|chain| chain.borrow_mut().pop());
        }
    }

    pub(super) fn holds(group: usize, key: &str) -> bool {
        CHAIN.with(|chain| chain.borrow().iter().any(|link| link.0 == group && link.1 == key))
    }

    pub(super) fn is_on() -> bool {
        CHAIN.with(|chain| !chain.borrow().is_empty())
    }
}

/// An error and what caused it, on one line.
fn with_causes(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
