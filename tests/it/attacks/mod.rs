//! Attacks on the listeners of a real node, each with what it must come to: the documented
//! refusal, others served meanwhile, and nothing left behind.

mod refused;
mod crowds;
mod slow;
mod pipelined;
mod mutator;
mod mutations;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by a test with hundreds of connections: several at once need more open files than a
/// process is commonly allowed.
fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}
