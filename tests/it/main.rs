//! The tests that use the doors users have: the public interface, real nodes, the binary.

mod support;
mod proxy;
mod stream;
mod stub;
#[cfg(target_os = "linux")]
mod doors;
#[cfg(target_os = "linux")]
mod node;
mod api;
mod api_writes;
#[cfg(feature = "auth")]
mod auth;
mod conditional;
#[cfg(feature = "cli")]
mod cli;
mod dialects;
mod fresh;
mod chaos;
mod getter_thread;
mod group;
#[cfg(target_os = "linux")]
mod hits;
mod interop;
mod one_load;
mod no_circle;
mod peers;
mod available;
mod stale;
mod mounted;
#[cfg(feature = "tls")]
mod tls;
#[cfg(target_os = "linux")]
mod stopping;
mod drains;
mod overload;
#[cfg(target_os = "linux")]
mod attacks;
mod tidy;
