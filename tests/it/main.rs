//! The tests that use the doors users have: the public interface, real nodes, the binary.

mod api;
mod group;
mod one_load;
mod tidy;
