//! kill -9 of one node after the other, every 10 s; it starts again 5 s later.

use std::io;
use std::time::{Duration, Instant};

use super::{Rig, Run};
use crate::load::Keys;
use crate::nemesis;
use crate::schedule::{Event, Fault, NODES};
use crate::table::{self, Promises, millis};

const KEYS: u64 = 10_000;
const EVERY: Duration = Duration::from_secs(10);
const DOWN: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const AFTER_A_KILL: Duration = Duration::from_millis(50);
const BACK_AFTER: Duration = Duration::from_millis(1_500);

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "", 0)?;
    let kill = |n: u32| Event {
        begin: EVERY * n,
        end: EVERY * n + DOWN,
        fault: Fault::Kill(n as usize % NODES),
    };
    let events: Vec<Event> =
        (1..).map(kill).take_while(|event| event.end + SECOND <= run.time).collect();
    let load = rig.load(run, Keys::Uniform(KEYS));
    let started = Instant::now();
    let (record, faults) = std::thread::scope(|scope| {
        let faults = scope.spawn(|| nemesis::run(&events, started, &rig.fleet, &rig.origin));
        (load.run(started), faults.join().expect("the nemesis does not panic"))
    });
    faults?;
    table::print_seconds(&record, &events, started, &rig.origin.load_times(started));
    table::print_findings(&record);
    table::expect_of_all(promises, &record);
    promises.expect("nodes were killed", events.len(), !events.is_empty());
    let p99 = |from, to| record.quantile(from, to, 0.99).unwrap_or_default();
    // Before the first kill and after the first rush of cold keys.
    let steady = p99(EVERY / 2, EVERY);
    let after = events.iter().map(|kill| p99(kill.begin, kill.begin + SECOND)).max();
    let back = events.iter().map(|kill| p99(kill.begin + BACK_AFTER, kill.end)).max();
    println!("p99 before the first kill: {} ms", millis(Some(steady)));
    let is_kept = after.is_some_and(|after| after <= AFTER_A_KILL);
    promises.expect("p99 within 50 ms in the second after a kill", millis(after), is_kept);
    let is_kept = back.is_some_and(|back| back <= steady.max(AFTER_A_KILL / 2) * 2);
    promises.expect("p99 back to what it was after 1.5 s", millis(back), is_kept);
    Ok(())
}
