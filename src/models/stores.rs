//! A model of the store, alone.

use std::sync::Arc;

use super::on_threads;
use crate::clock::Clock;
use crate::lru::entry_bytes;
use crate::store::{Left, Store, Which};

/// Room for three entries without a value.
const BUDGET: usize = 3 * entry_bytes(1, 0);

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
            let mut left = Left::new();
            shared.insert(which, key, vec![0; len].into(), None, &mut left);
            assert!(shared.reserved() <= BUDGET, "more is reserved than the budget");
            if let Some(found) = shared.get(key, &mut left) {
                assert!(found.value.len() < BUDGET, "a value that cannot fit was kept");
            }
        }
    });
    store.validate();
}
