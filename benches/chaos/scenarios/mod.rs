//! What can be run: the nemesis with its random faults, and one scenario for each promise that
//! has a figure.

mod corrupt;
mod faults;
mod herd;
mod hot;
mod kills;
mod origin_down;
mod stop;

use std::io;
use std::time::Duration;

use super::history::History;
use super::load::{Keys, Load};
use super::nodes::Fleet;
use super::origin::Origin;
use super::table::Promises;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Random faults of processes, links and the origin, under gets and writes
    #[default]
    Faults,
    /// Many threads on five nodes want the same cold key
    Herd,
    /// A node is killed every 10 s
    Kills,
    /// A node is stopped, and goes on
    Stop,
    /// The origin fails when everything has expired
    OriginDown,
    /// Answers of peers are damaged
    Corrupt,
    /// One key has a fifth of all gets
    Hot,
}

/// What a run is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) rate: u64,
}

impl Scenario {
    pub(crate) fn run(self, run: &Run, promises: &mut Promises) -> io::Result<()> {
        match self {
            Self::Faults => faults::run(run, promises),
            Self::Herd => herd::run(run, promises),
            Self::Kills => kills::run(run, promises),
            Self::Stop => stop::run(run, promises),
            Self::OriginDown => origin_down::run(run, promises),
            Self::Corrupt => corrupt::run(run, promises),
            Self::Hot => hot::run(run, promises),
        }
    }
}

/// The nodes, their origin, and what is known of their keys.
#[derive(Debug)]
struct Rig {
    fleet: Fleet,
    origin: Origin,
    history: History,
}

impl Rig {
    /// With further lines of the group's configuration; the first `written` keys may be written.
    fn start(run: &Run, group: &str, written: u64) -> io::Result<Self> {
        let origin = Origin::start()?;
        let fleet = Fleet::start(&origin, group, run.seed)?;
        Ok(Self { fleet, origin, history: History::new(written) })
    }

    /// Gets alone, for the time of the run.
    fn load(&self, run: &Run, keys: Keys) -> Load<'_> {
        Load {
            fleet: &self.fleet,
            origin: &self.origin,
            history: &self.history,
            seed: run.seed,
            gets_per_second: run.rate,
            bursts_per_second: 0,
            keys,
            time: run.time,
        }
    }
}
