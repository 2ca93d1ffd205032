//! What the comparisons share.

pub mod caches;
pub mod entries;
pub mod servers;

// Of the benches of larder itself; the binaries use their own copies, for its plans and tables.
#[path = "../../support/mod.rs"]
mod support;
pub mod policies;
pub mod traces;
