//! The commands, their flags, and how the program ends. Results go to stdout, all else to
//! stderr.

mod access;
mod activation;
mod args;
mod end;
mod signals;
mod tls;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod serve;
pub(crate) mod write;

pub(crate) use args::{Args, Command};
pub(crate) use end::end;
