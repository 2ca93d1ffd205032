//! The tests that use the doors users have: the public interface, real nodes, the binary.

mod one_load;
mod tidy;
