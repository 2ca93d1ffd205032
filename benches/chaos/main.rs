//! Chaos: five nodes, as processes of their own, under faults.
//!
//! ```text
//!  open-loop client ──> node 0 ... node 4 ──> origin, which counts and misbehaves
//!  (checks each byte       │  a proxy for each
//!   and how old it is)     └─ direction of two nodes
//! ```
//!
//! The nodes are this program, started again as `node`: processes that are built on the public
//! library as `larder serve` is, with the same configuration, and with a getter that asks this
//! program's origin. They listen on 127.0.0.2 to 127.0.0.6, and reach each other by the setting
//! `connect_to`, which leads each of them through proxies of its own.
//!
//! What is promised, under every fault: no wrong byte, no value older than a write that was
//! confirmed before the get began, no error while the node that is asked runs and the origin
//! works. The scenarios promise more, and say what.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod client;
mod history;
mod load;
mod nemesis;
mod node;
mod nodes;
mod origin;
mod proxy;
mod scenarios;
mod schedule;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod value;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use scenarios::{Run, Scenario};
use table::Promises;

/// Five nodes under faults; fails when a promise is broken.
#[derive(Debug, Parser)]
struct Args {
    /// How long the faults go on
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Decides faults, keys and nodes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Gets a second
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    #[arg(long, value_enum, default_value_t)]
    scenario: Scenario,
    /// Run the seeds of this folder instead
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("node") {
        let config = words.next().expect("a node is given its configuration");
        return match node::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    let args = Args::parse();
    let result = match &args.seeds {
        Some(folder) => replay(folder, args.rate),
        None => run(args.scenario, args.seed, args.seconds, args.rate),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

#[allow(clippy::print_stderr, reason = "what went wrong is no part of the table")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("chaos: {error}");
    ExitCode::FAILURE
}

/// Whether all promises were kept.
fn run(scenario: Scenario, seed: u64, seconds: u64, rate: u64) -> std::io::Result<bool> {
    println!("\n## chaos: {scenario:?}, seed {seed}, {seconds} s, {rate} gets/s\n");
    println!("{}\n", support::describe());
    let mut promises = Promises::default();
    let run = Run { seed, time: Duration::from_secs(seconds), rate };
    scenario.run(&run, &mut promises)?;
    let broken = promises.broken();
    match broken.len() {
        0 => println!("\nseed {seed}: all promises kept"),
        n => println!("\nseed {seed}: {n} promises BROKEN: {}", broken.join("; ")),
    }
    Ok(broken.is_empty())
}

/// Runs what the files of the folder say: a line each, of scenario, seed, seconds, and what it
/// once found.
fn replay(folder: &PathBuf, rate: u64) -> std::io::Result<bool> {
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    let mut all_kept = true;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "txt")) {
        let text = std::fs::read_to_string(file)?;
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let scenario = <Scenario as clap::ValueEnum>::from_str(word(), true);
        let (seed, seconds) = (word().parse(), word().parse());
        let (Ok(scenario), Ok(seed), Ok(seconds)) = (scenario, seed, seconds) else {
            let reason = format!("{} is not `SCENARIO SEED SECONDS TEXT`", file.display());
            return Err(std::io::Error::other(reason));
        };
        println!("\n{}: {}", file.display(), word().trim());
        all_kept &= run(scenario, seed, seconds, rate)?;
    }
    Ok(all_kept)
}
