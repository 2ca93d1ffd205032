//! A ring of two `larder serve` at full load for minutes, by clients that connect, cut off in the
//! middle of requests and answers, and read slowly: is every value right, does memory stay, and
//! is everything given back at the end?
//!
//! `make soak SECONDS=600`.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../../tests/it/tls/authority.rs"]
#[allow(dead_code, reason = "the tests make worse certificates too")]
mod authority;
mod client;
mod keys;
mod lives;
mod ring;
#[path = "../malformed/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::time::{Duration, Instant};

use lives::{Crowd, Tally};
use ring::Ring;
use support::Plan;
use watch::Watch;

const SECONDS: u64 = 30;
/// Load before the first look, so that all there is to start has started.
const WARM: Duration = Duration::from_secs(8);

fn main() -> Result<(), String> {
    let seconds = setting("--seconds").unwrap_or(SECONDS);
    let seed = setting("--seed").unwrap_or(0x50a4);
    // Its rounds are of no use here; what it says of the machine is.
    let _ = Plan::announce("soak", seconds as f64);
    let mut ring = Ring::start();
    let tally = Tally::default();
    Crowd::new(&ring, &tally, !seed).live(WARM);
    let before = ring.settled(None);
    let (tally, load) = (Tally::default(), Duration::from_secs(seconds));
    let crowd = Crowd::new(&ring, &tally, seed);
    let watch = std::thread::scope(|scope| {
        let watching = scope.spawn(|| Watch::over(&ring, &tally, load));
        crowd.live(load);
        watching.join().expect("the watch goes on")
    });
    let ended = Instant::now();
    let after = ring.settled(Some(before));
    watch.report(&tally);
    println!();
    for (node, (before, after)) in before.iter().zip(&after).enumerate() {
        println!(
            "node {node}: threads before and after {} and {}, files {} and {}",
            before.threads, after.threads, before.files, after.files
        );
    }
    println!("({:.1} s after the last client had gone)", ended.elapsed().as_secs_f64());
    tally.failures().iter().for_each(|failure| println!("{failure}"));
    let given_back = before.iter().zip(&after).all(|(before, after)| after.is_within(*before));
    match (ring.is_alive(), tally.wrong(), given_back) {
        (true, 0, true) => Ok(()),
        (alive, wrong, _) => Err(format!(
            "alive: {alive}; wrong values: {wrong}; threads and files given back: {given_back}"
        )),
    }
}

/// A number on the command line.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::args().skip_while(|arg| arg != name).nth(1)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {value:?}")))
}
