//! Attacks on the listeners of a real node, each with what it must come to: the documented
//! refusal, others served meanwhile, and nothing left behind; on listeners of each kind.

/// Makes each attack a test for listeners of each kind.
macro_rules! on_listeners_of_each_kind {
    ($($attack:ident),+ $(,)?) => {
        mod plain {
            $(#[test] fn $attack() { super::$attack(crate::doors::Kind::Plain); })+
        }
        #[cfg(feature = "tls")]
        mod tls {
            $(#[test] fn $attack() { super::$attack(crate::doors::Kind::Tls); })+
        }
        #[cfg(all(feature = "tls", feature = "auth"))]
        mod guarded {
            $(#[test] fn $attack() { super::$attack(crate::doors::Kind::Guarded); })+
        }
    };
}

mod refused;
mod crowds;
mod slow;
mod pipelined;
mod mutator;
mod mutations;
#[cfg(all(feature = "tls", feature = "auth"))]
mod strangers;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by a test with hundreds of connections: several at once need more open files than a
/// process is commonly allowed.
fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}
