//! Answers of peers are damaged: a bit of the body flipped, or the end cut off.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Rig, Run};
use crate::load::{Keys, Record};
use crate::nodes::Fleet;
use crate::proxy::Toxic;
use crate::support::grouped;
use crate::table::{self, Promises};

/// Enough to tell; the run ends with them, or with its time.
const DAMAGED: u64 = 100_000;
/// Of a hundred answers.
const SHARE: u8 = 50;
const TURN: Duration = Duration::from_secs(1);

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "", 0)?;
    let started = Instant::now();
    let mut record = Record::default();
    let (mut first, mut turn) = (0, 0);
    while started.elapsed() < run.time && damaged(&rig.fleet) < DAMAGED {
        // By turns, so that each kind is met by connections that the other has not broken.
        let toxic = if turn % 2 == 0 { Toxic::Corrupt(SHARE) } else { Toxic::Cut(SHARE) };
        rig.fleet.set_links(toxic, |_, _| true);
        // Cold keys: each get whose node is not the owner is one answer of a peer.
        let mut load = rig.load(run, Keys::Cold(first));
        load.time = TURN;
        record.join(load.run(Instant::now()));
        first += run.rate * 2;
        turn += 1;
    }
    rig.fleet.set_links(Toxic::Fine, |_, _| true);
    table::print_findings(&record);
    table::expect_of_all(promises, &record);
    let (damaged, counted) = (damaged(&rig.fleet), rig.fleet.sum("peer_bad_answers"));
    promises.expect("answers were damaged", grouped(damaged as f64), damaged > 0);
    let figure = format!("{} counted", grouped(counted as f64));
    promises.expect("each is counted as a bad answer", figure, counted >= damaged);
    Ok(())
}

fn damaged(fleet: &Fleet) -> u64 {
    let links = fleet.links(|_, _| true);
    links.iter().map(|link| link.meters().damaged.load(Ordering::SeqCst)).sum()
}
