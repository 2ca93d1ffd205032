//! The nemesis: carries faults out, each from its begin to its end.

use std::io;
use std::time::Instant;

use super::nodes::Fleet;
use super::origin::Origin;
use super::proxy::Toxic;
use super::schedule::{CALM_LINK, Event, Fault, Mood};

/// Carries the faults out, from `started` on.
pub(crate) fn run(
    events: &[Event],
    started: Instant,
    fleet: &Fleet,
    origin: &Origin,
) -> io::Result<()> {
    let turns =
        events.iter().flat_map(|event| [(event.begin, event, true), (event.end, event, false)]);
    let mut turns: Vec<_> = turns.collect();
    turns.sort_by_key(|(at, ..)| *at);
    for (at, event, is_begin) in turns {
        std::thread::sleep((started + at).saturating_duration_since(Instant::now()));
        match is_begin {
            true => begin(event.fault, fleet, origin)?,
            false => end(event.fault, fleet, origin)?,
        }
    }
    Ok(())
}

fn begin(fault: Fault, fleet: &Fleet, origin: &Origin) -> io::Result<()> {
    match fault {
        Fault::Kill(node) => fleet.kill(node)?,
        Fault::Stop(node) => fleet.stop(node)?,
        Fault::Leave(node) => fleet.leave(node)?,
        Fault::Link(from, to, toxic) => fleet.set_links(toxic, |f, t| (f, t) == (from, to)),
        Fault::Around(node, toxic) => fleet.set_links(toxic, |f, t| f == node || t == node),
        Fault::Split(first) => {
            fleet.set_links(Toxic::BlackHole, |from, to| (from < first) != (to < first));
        }
        Fault::Origin(mood) => origin.set_mood(mood),
    }
    Ok(())
}

fn end(fault: Fault, fleet: &Fleet, origin: &Origin) -> io::Result<()> {
    match fault {
        Fault::Kill(node) => fleet.start_node(node)?,
        Fault::Stop(node) => fleet.go_on(node)?,
        Fault::Leave(node) => fleet.come_back(node)?,
        // The only one on its track.
        Fault::Link(..) | Fault::Around(..) | Fault::Split(_) => {
            fleet.set_links(CALM_LINK, |_, _| true);
        }
        Fault::Origin(_) => origin.set_mood(Mood::Fine),
    }
    Ok(())
}
