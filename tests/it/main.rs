//! The tests that use the doors users have: the public interface, real nodes, the binary.

mod api;
#[cfg(feature = "cli")]
mod cli;
mod group;
mod one_load;
mod tidy;
