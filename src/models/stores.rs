//! Models of the store, alone.

use std::sync::Arc;

use super::on_threads;
use crate::clock::Clock;
use crate::lru::{Eviction, Lru, entry_bytes};
use crate::snapshot::Record;
use crate::store::{Left, Look, Store, Which};

/// Room for three entries without a value, and for the tables of two shards.
const BUDGET: usize = 3 * entry_bytes(1, 0, false) + 2 * Lru::smallest_table_bytes(Eviction::Lru);

/// What each thread does: key, cache, and the value's length.
const INSERTS: [[(&[u8], Which, usize); 3]; 3] = [
    [(b"a", Which::Main, 0), (b"b", Which::Hot, 90), (b"a", Which::Main, BUDGET)],
    [(b"a", Which::Hot, 30), (b"c", Which::Main, 0), (b"d", Which::Main, 200)],
    [(b"b", Which::Main, 10), (b"a", Which::Main, 60), (b"e", Which::Hot, 0)],
];

pub(super) fn filling_a_small_budget_never_passes_it() {
    let store = Arc::new(Store::new(BUDGET, Clock::monotonic()));
    let shared = Arc::clone(&store);
    on_threads(INSERTS.len(), move |thread| {
        for (key, which, len) in INSERTS[thread] {
            let mut left = Left::default();
            shared.insert(which, key, vec![0; len].into(), None, &mut left);
            assert!(shared.reserved() <= BUDGET, "more is reserved than the budget");
            if let Some(found) = shared.get(key, Look::Peek, drop) {
                assert!(found.value.len() < BUDGET, "a value that cannot fit was kept");
            }
        }
    });
    store.validate();
}

/// Budgets that a thread sets while others fill the store.
const BUDGETS: [usize; 2] = [BUDGET / 2, BUDGET - 100];

pub(super) fn a_lower_budget_holds_when_it_has_been_set() {
    let store = Arc::new(Store::new(BUDGET, Clock::monotonic()));
    let shared = Arc::clone(&store);
    on_threads(INSERTS.len(), move |thread| {
        let mut left = Left::default();
        if thread == 0 {
            for budget in BUDGETS {
                shared.set_budget(budget, &mut left);
                assert!(shared.held() <= budget, "more is held than the budget allows");
            }
            return;
        }
        for (key, which, len) in INSERTS[thread] {
            shared.insert(which, key, vec![0; len].into(), None, &mut left);
        }
        shared.clear(&mut left);
    });
    store.validate();
    assert!(store.reserved() <= BUDGETS[1], "the last budget holds");
}

/// Whichever comes first.
pub(super) fn what_a_snapshot_brings_leaves_alone_what_is_newer() {
    let store = Arc::new(Store::new(BUDGET, Clock::monotonic()));
    let shared = Arc::clone(&store);
    on_threads(2, move |thread| {
        let mut left = Left::default();
        if thread == 0 {
            let record = Record { key: b"a", value: b"old", ttl: None, hot: false };
            shared.carry_in(&record, &mut left);
        } else {
            shared.insert(Which::Main, b"a", "new".into(), None, &mut left);
        }
    });
    let found = store.get(b"a", Look::Peek, drop);
    assert_eq!(found.map(|found| found.value), Some("new".into()));
    store.validate();
}
