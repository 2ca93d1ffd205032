//! STOP of one node for 30 s, or half the run, and CONT.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Rig, Run};
use crate::load::Keys;
use crate::nodes::Fleet;
use crate::schedule::{Event, Fault};
use crate::table::{self, Promises, millis};

/// The node that is stopped.
const NODE: usize = 2;
const WARM_UP: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const IN_THE_FIRST_SECOND: Duration = Duration::from_millis(150);
const MOST_WAITING: i64 = 32;
const IN_USE_AFTER: Duration = Duration::from_secs(2);

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "", 0)?;
    // All of them cold, so that the owner is asked each time.
    let load = rig.load(run, Keys::Cold(0));
    let begin = WARM_UP.min(run.time / 4);
    let end = begin + Duration::from_secs(30).min(run.time / 2);
    let started = Instant::now();
    let (record, stopped) = std::thread::scope(|scope| {
        let stop = scope.spawn(|| stop(&rig.fleet, started, begin, end));
        (load.run(started), stop.join().expect("it does not panic"))
    });
    let (most_waiting, in_use_after) = stopped?;
    let events = [Event { begin, end, fault: Fault::Stop(NODE) }];
    table::print_seconds(&record, &events, started, &rig.origin.load_times(started));
    table::print_findings(&record);
    table::expect_of_all(promises, &record);
    let first = record.quantile(begin, begin + SECOND, 0.99);
    let is_kept = first.is_some_and(|first| first <= IN_THE_FIRST_SECOND);
    promises.expect("p99 within 150 ms in the first second", millis(first), is_kept);
    let later = record.quantile(begin + SECOND * 2, end, 0.99);
    println!("p99 from the third second on: {} ms", millis(later));
    let what = "no more than 32 calls of a node wait for it at once";
    promises.expect(what, most_waiting, most_waiting <= MOST_WAITING);
    let is_kept = in_use_after.is_some_and(|time| time <= IN_USE_AFTER);
    promises.expect("in use by all within 2 s of CONT, in ms", millis(in_use_after), is_kept);
    Ok(())
}

/// Stops the node and lets it go on; the most calls of one node that waited for it, and how
/// long after CONT it had answered each of the others.
fn stop(
    fleet: &Fleet,
    started: Instant,
    begin: Duration,
    end: Duration,
) -> io::Result<(i64, Option<Duration>)> {
    let sleep_until =
        |at| std::thread::sleep((started + at).saturating_duration_since(Instant::now()));
    let links = fleet.links(|from, to| to == NODE && from != NODE);
    let meters: Vec<_> = links.iter().map(|link| link.meters()).collect();
    sleep_until(begin);
    // What waited before is not because of the stop.
    meters.iter().for_each(|meters| meters.most_waiting.store(0, Ordering::SeqCst));
    fleet.stop(NODE)?;
    sleep_until(end);
    let most = meters.iter().map(|meters| meters.most_waiting.load(Ordering::SeqCst)).max();
    let before: Vec<u64> =
        meters.iter().map(|meters| meters.answers.load(Ordering::SeqCst)).collect();
    fleet.go_on(NODE)?;
    let going = Instant::now();
    while going.elapsed() < IN_USE_AFTER * 5 {
        let mut answers = meters.iter().zip(&before);
        if answers.all(|(meters, before)| meters.answers.load(Ordering::SeqCst) > *before) {
            return Ok((most.unwrap_or(0), Some(going.elapsed())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((most.unwrap_or(0), None))
}
