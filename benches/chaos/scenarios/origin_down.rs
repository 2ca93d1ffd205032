//! The origin fails for half of the run, after all that is cached has expired.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Rig, Run};
use crate::client::{Client, Reply};
use crate::load::Keys;
use crate::node::GROUP;
use crate::schedule::{Event, Fault, Mood, NODES};
use crate::support::{decimals, grouped};
use crate::table::{self, Promises};
use crate::value;

const KEYS: u64 = 500;
const TTL: Duration = Duration::from_secs(2);
const DOWN: Duration = Duration::from_secs(60);

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "stale_if_error = \"10m\"", 0)?;
    rig.origin.set_ttl(TTL);
    warm_up(&rig);
    let begin = run.time / 4;
    let down = DOWN.min(run.time / 2);
    let end = begin + down;
    let load = rig.load(run, Keys::Uniform(KEYS));
    let started = Instant::now();
    let (record, most) = std::thread::scope(|scope| {
        let down = scope.spawn(|| {
            std::thread::sleep((started + begin).saturating_duration_since(Instant::now()));
            rig.origin.set_mood(Mood::Failing);
            std::thread::sleep((started + end).saturating_duration_since(Instant::now()));
            let before = rig.origin.loads();
            rig.origin.set_mood(Mood::Fine);
            // Until what was loaded anew expires.
            std::thread::sleep(TTL * 3 / 4);
            let loads = rig.origin.loads();
            let new = loads.iter().map(|(key, count)| count - before.get(key).unwrap_or(&0));
            new.max().unwrap_or(0)
        });
        (load.run(started), down.join().expect("it does not panic"))
    });
    let times = rig.origin.load_times(started);
    let events = [Event { begin, end, fault: Fault::Origin(Mood::Failing) }];
    table::print_seconds(&record, &events, started, &times);
    table::print_findings(&record);
    table::expect_of_all(promises, &record);
    let excused = record.total(|second| second.excused);
    let what = "every cached key is served while the origin fails";
    promises.expect(what, format!("{} gets were not", grouped(excused as f64)), excused == 0);
    let old = record.sources.get("stale").copied().unwrap_or(0);
    promises.expect("as stale", grouped(old as f64), old > 0);
    let span = started + begin + Duration::from_secs(1)..started + end;
    let probes = times.iter().filter(|&time| span.contains(time)).count();
    let per_second = probes as f64 / (down.as_secs_f64() - 1.0);
    let what = "each node probes at most once a second";
    promises.expect(what, decimals(per_second), per_second <= NODES as f64);
    promises.expect("at most one load a key after its return", most, most == 1);
    Ok(())
}

/// Every key is cached by its owner.
fn warm_up(rig: &Rig) {
    let mut client = Client::new(Arc::clone(&rig.fleet.places));
    for key in 0..KEYS {
        let reply = client.get(0, &format!("/api/{GROUP}/{}", value::key(key)));
        assert!(matches!(reply, Reply::Answer(answer) if answer.status == 200));
    }
}
