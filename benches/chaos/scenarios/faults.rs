//! The nemesis: random faults under gets and writes, and a look at every key at the end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Rig, Run};
use crate::client::{Client, Reply};
use crate::history::Verdict;
use crate::load::Keys;
use crate::nemesis;
use crate::node::GROUP;
use crate::schedule::{self, CALM_LINK, NODES};
use crate::support::{decimals, grouped};
use crate::table::{self, Promises};
use crate::value;

/// Few, so that each is read often between two writes.
const KEYS: u64 = 200;
const BURSTS_PER_SECOND: u64 = 8;
/// Loads take time, so that writes meet them.
const LOAD: Duration = Duration::from_millis(40);

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "", KEYS)?;
    rig.origin.set_time(LOAD);
    rig.fleet.set_links(CALM_LINK, |_, _| true);
    let events = schedule::schedule(run.seed, run.time);
    let mut load = rig.load(run, Keys::Uniform(KEYS));
    load.bursts_per_second = BURSTS_PER_SECOND;
    let started = Instant::now();
    let (record, faults) = std::thread::scope(|scope| {
        let faults = scope.spawn(|| nemesis::run(&events, started, &rig.fleet, &rig.origin));
        (load.run(started), faults.join().expect("the nemesis does not panic"))
    });
    faults?;
    table::print_seconds(&record, &events, started, &rig.origin.load_times(started));
    table::print_findings(&record);
    print_loads(&rig);
    table::expect_of_all(promises, &record);
    promises.expect("faults were made", events.len(), !events.is_empty());
    let [confirmed, not] = [record.total(|s| s.confirmed), record.total(|s| s.unconfirmed)];
    let figure = format!("{} and {} not", grouped(confirmed as f64), grouped(not as f64));
    promises.expect("writes were confirmed", figure, confirmed > 0);
    let (sweep, bad) = (KEYS * NODES as u64, look_at_all(&rig));
    bad.iter().take(8).for_each(|bad| println!("at the end: {bad}"));
    let figure = format!("{} of {} are not", bad.len(), grouped(sweep as f64));
    promises.expect("all keys are right on all nodes at the end", figure, bad.is_empty());
    Ok(())
}

fn print_loads(rig: &Rig) {
    let loads = rig.origin.loads();
    let sum: u64 = loads.values().sum();
    let most = loads.iter().max_by_key(|(_, count)| **count);
    let mean = decimals(sum as f64 / loads.len().max(1) as f64);
    if let Some((key, most)) = most {
        println!("loads: {sum} of {} keys, {mean} a key, {most} of {key}\n", loads.len());
    }
}

/// Gets every key of every node; tells which are not as they should be.
fn look_at_all(rig: &Rig) -> Vec<String> {
    let mut client = Client::new(Arc::clone(&rig.fleet.places));
    let mut bad = Vec::new();
    // What the last faults have left behind may last this long.
    std::thread::sleep(Duration::from_secs(1));
    for node in 0..NODES {
        for key in 0..KEYS {
            let begun = rig.history.begin_get(key);
            let found = match client.get(node, &format!("/api/{GROUP}/{}", value::key(key))) {
                Reply::Answer(answer) if answer.status == 200 => {
                    match rig.history.end_get(begun, &answer.body) {
                        Verdict::Right => continue,
                        verdict => format!("{verdict:?}"),
                    }
                }
                Reply::Answer(answer) => {
                    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
                }
                reply => format!("{reply:?}"),
            };
            bad.push(format!("node {node}, key {key}: {found}"));
        }
    }
    bad
}
