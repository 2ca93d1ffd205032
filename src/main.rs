//! The binary `larder`: flags in, exit code out. What happens between is in `cli`.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use cli::{Args, Command};

fn main() -> ExitCode {
    let outcome = Args::read().and_then(|args| match args.command {
        Command::Demo => cli::demo::run(),
        Command::Serve(serve) => cli::serve::run(*serve),
        Command::Get(get) => cli::get::run(&get),
        Command::Set(set) => cli::write::set(&set),
        Command::Remove(remove) => cli::write::remove(&remove),
        Command::Purge(purge) => cli::write::purge(&purge),
    });
    cli::end(outcome)
}
