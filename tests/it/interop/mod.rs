//! Rings of larder and Go nodes, side by side.
//!
//! `make interop` builds the Go programs and names their folder in `LARDER_INTEROP_GO`; where
//! it is not set, these tests say so and pass.

mod go;
mod keys;
mod origin;
mod ring;
mod alone;
mod rings;
mod faults;
mod family;

use std::path::PathBuf;

use crate::support::{PATIENCE, wait_until};

/// The folder with the Go programs, if the test is to run.
fn go_programs() -> Option<PathBuf> {
    let folder = std::env::var_os("LARDER_INTEROP_GO").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("not run: LARDER_INTEROP_GO is not set; see `make interop`");
    }
    folder
}
