//! One key has a fifth of all gets, the others follow Zipf's law.

use std::io;
use std::time::Instant;

use super::{Rig, Run};
use crate::load::{Keys, Zipf};
use crate::nodes::Fleet;
use crate::schedule::NODES;
use crate::support::{decimals, grouped};
use crate::table::{self, Promises};
use crate::value;

const KEYS: u64 = 10_000;
const EXPONENT: f64 = 1.2;
const SHARE: f64 = 0.2;
const OF_THE_MEAN: f64 = 1.5;

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "", 0)?;
    let keys = Keys::Hot { share: SHARE, others: Zipf::new(KEYS, EXPONENT) };
    let record = rig.load(run, keys).run(Instant::now());
    table::print_findings(&record);
    table::expect_of_all(promises, &record);
    let owner = rig.fleet.owner(&value::key(0));
    let requests: Vec<u64> = (0..NODES).map(|node| requests(&rig.fleet, node)).collect();
    let mean = requests.iter().sum::<u64>() as f64 / NODES as f64;
    for (node, requests) in requests.iter().enumerate() {
        let (whose, of_mean) =
            (if node == owner { ", owns the key" } else { "" }, *requests as f64 / mean);
        println!(
            "node {node}: {} requests, {} of the mean{whose}",
            grouped(*requests as f64),
            decimals(of_mean)
        );
    }
    let share = requests[owner] as f64 / mean;
    let what = "the owner has at most 1.5 times the mean of requests";
    promises.expect(what, decimals(share), share <= OF_THE_MEAN);
    Ok(())
}

/// Of clients and of peers.
fn requests(fleet: &Fleet, node: usize) -> u64 {
    let stats = fleet.stats(node);
    ["api", "peer"].iter().filter_map(|name| stats["listeners"][name]["requests"].as_u64()).sum()
}
