use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

/// A bad hash on purpose: keys share buckets, and some share all of their hash.
fn hash(key: &[u8]) -> u32 {
    u32::from(key.first().copied().unwrap_or(0) % 5)
}

fn entry(key: &[u8], value: impl Into<ByteView>, expires: Option<Tick>) -> Entry {
    Entry::pack(key, value.into(), expires).unwrap()
}

fn get(lru: &mut Lru, key: &[u8], now: Tick) -> Option<ByteView> {
    match lru.get(hash(key), key, 0, || now) {
        Lookup::Hit { value, .. } => Some(value),
        Lookup::Miss | Lookup::Expired => None,
    }
}

fn insert(lru: &mut Lru, which: Which, key: &[u8], len: usize) -> Option<Evicted> {
    lru.insert(which, hash(key), entry(key, vec![7; len], None), 0)
}

#[test]
fn the_oldest_leaves_first_and_a_get_makes_young() {
    let now = Clock::monotonic().now();
    let mut lru = Lru::new(Eviction::Lru);
    for key in [b"a", b"b", b"c"] {
        assert!(insert(&mut lru, Which::Main, key, 1).is_none());
    }
    assert!(get(&mut lru, b"a", now).is_some());
    let order: Vec<_> = std::iter::from_fn(|| lru.evict(Which::Main, 0))
        .map(|(gone, _)| gone.entry.key().to_vec())
        .collect();
    assert_eq!(order, [b"b", b"c", b"a"]);
    assert_eq!((lru.len(Which::Main), lru.bytes(Which::Main)), (0, 0));
}

#[test]
fn replacing_counts_the_new_size_only_whatever_cache_it_was_in() {
    let mut lru = Lru::new(Eviction::Lru);
    insert(&mut lru, Which::Hot, b"k", 100);
    let old = insert(&mut lru, Which::Main, b"k", 7).unwrap();
    assert_eq!((old.which, old.entry.value().len()), (Which::Hot, 100));
    assert_eq!((lru.len(Which::Main), lru.bytes(Which::Main)), (1, entry_bytes(1, 7, false)));
    assert_eq!((lru.len(Which::Hot), lru.bytes(Which::Hot)), (0, 0));
}

#[test]
fn a_table_that_is_mostly_empty_gives_its_memory_back() {
    let mut lru = Lru::new(Eviction::Lru);
    for n in 0..2_000u32 {
        let key = n.to_be_bytes();
        let which = if n % 3 == 0 { Which::Hot } else { Which::Main };
        lru.insert(which, n, entry(&key, vec![7; (n % 40) as usize * 500], None), 0);
    }
    let full = lru.table_bytes();
    for n in 0..1_900u32 {
        assert!(lru.remove(n, &n.to_be_bytes()).is_some());
    }
    let freed = lru.shrink();
    assert_eq!(full - freed, lru.table_bytes());
    assert!(lru.table_bytes() < full / 8, "{} of {full}", lru.table_bytes());
    lru.validate();
    let order: Vec<_> = std::iter::from_fn(|| lru.evict(Which::Main, 0))
        .map(|(gone, _)| u32::from_be_bytes(gone.entry.key().try_into().unwrap()))
        .collect();
    assert!(order.is_sorted() && order.len() == 67, "the order is kept: {order:?}");
    while lru.evict(Which::Hot, 0).is_some() {}
    lru.shrink();
    assert_eq!(lru.table_bytes(), 0);
}

/// So few that they are in strict order.
const KEYS: u8 = 7;

/// Fills a map of so many entries through a trace; says how many were there.
fn hits(eviction: Eviction, entries: usize, trace: impl Iterator<Item = u32>) -> usize {
    let now = Clock::monotonic().now();
    let mut lru = Lru::new(eviction);
    let hash = |key: u32| key.wrapping_mul(0x9E37_79B9).rotate_left(15).wrapping_mul(0x85EB_CA6B);
    trace
        .filter(|key| {
            let key = *key;
            let hit =
                matches!(lru.get(hash(key), &key.to_be_bytes(), 0, || now), Lookup::Hit { .. });
            if !hit {
                if lru.len(Which::Main) == entries {
                    lru.evict(Which::Main, 0);
                }
                lru.insert(Which::Main, hash(key), entry(&key.to_be_bytes(), "v", None), 0);
            }
            hit
        })
        .count()
}

#[test]
fn ages_resist_a_loop_larger_than_the_cache() {
    let trace = || (0..20).flat_map(|_| 0..1_000);
    assert_eq!(hits(Eviction::Lru, 900, trace()), 0);
    let hits = hits(Eviction::S3FifoAges, 900, trace());
    assert!(hits > 19 * 800, "{hits} of at most {}", 19 * 900);
}

#[test]
fn ages_keep_what_is_popular_when_others_pass_through() {
    // 100 keys that are used again and again, among ten times as many that are used once.
    let trace = || (0..100_000).map(|n| if n % 11 == 0 { n / 11 % 100 } else { 1_000 + n });
    let popular = 100_000 / 11;
    assert!(hits(Eviction::Lru, 500, trace()) < popular / 10);
    let hits = hits(Eviction::S3FifoAges, 500, trace());
    assert!(hits > popular * 9 / 10, "{hits} of {popular}");
}

#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    Stale(u8),
    Insert(u8, Which, usize, Option<u8>),
    Remove(u8),
    Evict(Which),
    EvictExpired,
    Shrink,
    Tick(u8),
}

fn op(keys: u8) -> impl Strategy<Value = Op> {
    let key = 0..keys;
    let which = prop_oneof![Just(Which::Main), Just(Which::Hot)];
    let len = prop_oneof![9 => 0..300usize, 1 => Just(20_000)];
    prop_oneof![
        6 => key.clone().prop_map(Op::Get),
        2 => key.clone().prop_map(Op::Stale),
        9 => (key.clone(), which.clone(), len, prop::option::of(0..9u8))
            .prop_map(|(key, which, len, ttl)| Op::Insert(key, which, len, ttl)),
        3 => key.prop_map(Op::Remove),
        3 => which.prop_map(Op::Evict),
        1 => Just(Op::EvictExpired),
        1 => Just(Op::Shrink),
        2 => (0..5u8).prop_map(Op::Tick),
    ]
}

/// The model: a list, oldest first.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Modelled {
    key: u8,
    which: Which,
    len: usize,
    /// In milliseconds.
    expires: Option<u64>,
}

type Model = Vec<Modelled>;

fn take(model: &mut Model, key: u8) -> Option<Modelled> {
    let at = model.iter().position(|entry| entry.key == key)?;
    Some(model.remove(at))
}

fn seen(gone: &Evicted) -> (u8, Which, usize) {
    (gone.entry.key()[0], gone.which, gone.entry.value().len())
}

fn expected(gone: Modelled) -> (u8, Which, usize) {
    (gone.key, gone.which, gone.len)
}

fn dead(model: &Model, grace: u64, now: u64) -> Vec<u8> {
    let expired = model.iter().filter(|entry| entry.expires.is_some_and(|at| at + grace <= now));
    expired.map(|entry| entry.key).collect()
}

/// The map, the model, and their clock.
struct Pair {
    eviction: Eviction,
    /// In milliseconds.
    grace: u64,
    lru: Lru,
    model: Model,
    clock: Clock,
    now: u64,
    set_clock: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Pair {
    fn new(eviction: Eviction, grace: u64) -> Self {
        let (clock, set_clock) = Clock::manual();
        let (lru, model) = (Lru::with_grace(eviction, grace), Model::new());
        Self { eviction, grace, lru, model, clock, now: 0, set_clock }
    }

    /// A look-up that finds a fresh value, or one that finds a stale one.
    fn get(&mut self, key: u8, fresh: bool) {
        let Self { lru, model, clock, now, .. } = self;
        let (is_fresh, is_dead) = model
            .iter()
            .find(|entry| entry.key == key)
            .and_then(|entry| entry.expires)
            .map_or((true, false), |expires| (expires > *now, expires + self.grace <= *now));
        let value = match fresh {
            true => get(lru, &[key], clock.now()),
            false => lru.stale(hash(&[key]), &[key], 0, clock.now()).map(|(value, _)| value),
        };
        let found = (is_fresh == fresh && !is_dead).then(|| take(model, key)).flatten();
        assert_eq!(value.map(|value| value.len()), found.map(|entry| entry.len));
        model.extend(found);
        if is_dead {
            lru.remove(hash(&[key]), &[key]);
            take(model, key);
        }
    }

    fn apply(&mut self, op: Op) {
        let Self { lru, model, clock, now, .. } = self;
        match op {
            Op::Get(key) => self.get(key, true),
            Op::Stale(key) => self.get(key, false),
            Op::Insert(key, which, len, ttl) => {
                let tick = ttl.map(|ttl| clock.after(Duration::from_millis(ttl.into())));
                let packed = entry(&[key], vec![key; len], tick);
                let old = lru.insert(which, hash(&[key]), packed, 0);
                assert_eq!(old.as_ref().map(seen), take(model, key).map(expected));
                let expires = ttl.map(|ttl| *now + u64::from(ttl));
                model.push(Modelled { key, which, len, expires });
            }
            Op::Remove(key) => {
                let gone = lru.remove(hash(&[key]), &[key]);
                assert_eq!(gone.as_ref().map(seen), take(model, key).map(expected));
            }
            Op::Evict(which) => {
                let gone = lru.evict(which, 0).map(|(gone, _)| gone);
                let is_victim = |entry: &&Modelled| match (&gone, self.eviction) {
                    (Some(gone), Eviction::S3FifoAges) => entry.key == gone.entry.key()[0],
                    _ => entry.which == which,
                };
                let victim = model.iter().find(is_victim).map(|entry| entry.key);
                let victim = victim.and_then(|key| take(model, key));
                assert_eq!(gone.as_ref().map(seen), victim.map(expected));
            }
            Op::EvictExpired => {
                let gone = lru.evict_expired(clock.now()).map(|gone| gone.entry.key()[0]);
                let candidates = dead(model, self.grace, *now);
                assert_eq!(gone.is_some(), !candidates.is_empty());
                assert!(gone.is_none_or(|key| candidates.contains(&key)));
                gone.map(|key| take(model, key));
            }
            Op::Shrink => {
                let before = lru.table_bytes();
                assert_eq!(before - lru.shrink(), lru.table_bytes());
            }
            Op::Tick(ms) => {
                *now += u64::from(ms);
                self.set_clock.store(*now, std::sync::atomic::Ordering::SeqCst);
            }
        }
    }

    fn check(&self) {
        self.lru.validate();
        for which in Which::BOTH.into_iter().filter(|_| self.eviction == Eviction::Lru) {
            let model = self.model.iter().filter(|entry| entry.which == which);
            let order = self.lru.first_to_last(which).into_iter();
            let order = order.filter_map(|index| self.lru.entry(index));
            assert!(model.map(|entry| entry.key).eq(order.map(|(entry, _)| entry.key()[0])));
        }
    }
}

proptest! {
    /// The model is a list in strict order of use.
    #[test]
    fn of_many_entries_an_old_one_leaves(keys in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let now = Clock::monotonic().now();
        let (mut lru, mut model) = (Lru::new(Eviction::Lru), Vec::new());
        for key in keys {
            if get(&mut lru, &[key], now).is_none() {
                insert(&mut lru, Which::Main, &[key], 1);
            }
            model.retain(|known| *known != key);
            model.push(key);
            if model.len() > 200 {
                let gone = lru.evict(Which::Main, 0).unwrap().0.entry.key()[0];
                let age = model.iter().position(|known| *known == gone).unwrap();
                prop_assert!(age <= model.len() / 8, "{age} have not been used for longer");
                model.remove(age);
            }
        }
        lru.validate();
    }

    #[test]
    fn it_behaves_as_a_plain_list_would(
        grace in 0..6u64,
        ops in prop::collection::vec(op(KEYS), 0..300),
    ) {
        let mut pair = Pair::new(Eviction::Lru, grace);
        for op in ops {
            pair.apply(op);
            pair.check();
        }
    }

    /// Whom it evicts is not modelled, but all else is.
    #[test]
    fn with_ages_it_behaves_as_a_plain_set_would(
        grace in 0..6u64,
        ops in prop::collection::vec(op(60), 0..300),
    ) {
        let mut pair = Pair::new(Eviction::S3FifoAges, grace);
        for op in ops {
            pair.apply(op);
            pair.check();
        }
    }
}
