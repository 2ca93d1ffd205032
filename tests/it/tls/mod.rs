//! TLS towards peers and clients, with certificates made on the spot.

mod authority;
mod client;
mod ring;
mod refused;
mod handshakes;
mod slow;
mod reload;
mod settings;
mod transfers;
#[cfg(feature = "cli")]
mod binary;

#[cfg(feature = "auth")]
pub(crate) use authority::Until;
pub(crate) use authority::{Authority, HOST};
pub(crate) use client::config_for;
