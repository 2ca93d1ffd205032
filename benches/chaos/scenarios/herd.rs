//! Many threads on all nodes want the same cold key at once.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use super::{Rig, Run};
use crate::client::{Client, Reply};
use crate::history::Verdict;
use crate::node::GROUP;
use crate::schedule::{Mood, NODES};
use crate::support::{decimals, grouped};
use crate::table::{Promises, millis};
use crate::value;

const THREADS: usize = 64;
/// Of a run of a minute.
const KEYS: u64 = 1_000;
/// Kills, of a run of a minute; each before so many keys of the node that is killed.
const KILLS: u64 = 20;
const KEYS_A_KILL: usize = 5;
const GETTER: Duration = Duration::from_millis(50);
const BEYOND_THE_GETTER: Duration = Duration::from_millis(300);

/// What became of some keys.
struct Waves {
    loads: HashMap<String, u64>,
    worst: Duration,
    bad: Vec<String>,
}

pub(super) fn run(run: &Run, promises: &mut Promises) -> io::Result<()> {
    let rig = Rig::start(run, "", 0)?;
    rig.origin.set_mood(Mood::Slow(GETTER));
    let scaled = |n: u64| (n * run.time.as_secs() / 60).clamp(1, n);
    let keys = scaled(KEYS);
    let all: Vec<usize> = (0..NODES).collect();
    println!("\n{NODES} nodes x {THREADS} threads, {keys} cold keys:");
    let waves = wave(&rig, &all, (0..keys).collect());
    print(&waves);
    promises.expect("one load a key", waves.sum(), waves.sum() == keys);
    promises.expect("no get fails", waves.bad.len(), waves.bad.is_empty());

    println!("\nThe owner was killed just before, {} times:", scaled(KILLS));
    let killed = after_kills(&rig, scaled(KILLS), 1_000_000)?;
    print(&killed);
    let mean = killed.sum() as f64 / killed.loads.len() as f64;
    promises.expect("at most 1.05 loads a key", decimals(mean), mean <= 1.05);
    promises.expect("at most 2 of any", killed.most(), killed.most() <= 2);
    promises.expect("no get fails", killed.bad.len(), killed.bad.is_empty());

    println!("\nTwo nodes do not know the fifth, {keys} cold keys:");
    let old: Vec<usize> = (0..NODES - 1).collect();
    (0..NODES / 2).try_for_each(|node| rig.fleet.set_peers(node, &old))?;
    let split = wave(&rig, &all, (2_000_000..2_000_000 + keys).collect());
    print(&split);
    promises.expect("at most 2 loads a key", split.most(), split.most() <= 2);
    promises.expect("no get fails", split.bad.len(), split.bad.is_empty());
    let is_kept = split.worst <= GETTER + BEYOND_THE_GETTER;
    promises.expect("the slowest get within 350 ms", millis(Some(split.worst)), is_kept);
    Ok(())
}

impl Waves {
    fn sum(&self) -> u64 {
        self.loads.values().sum()
    }

    fn most(&self) -> u64 {
        self.loads.values().copied().max().unwrap_or(0)
    }
}

fn print(waves: &Waves) {
    let (loads, keys) = (grouped(waves.sum() as f64), waves.loads.len());
    println!("{loads} loads of {keys} keys; slowest get {} ms", millis(Some(waves.worst)));
    waves.bad.iter().take(5).for_each(|bad| println!("{bad}"));
}

/// Kills nodes in turn, each time before asking for keys that it owns.
fn after_kills(rig: &Rig, kills: u64, first: u64) -> io::Result<Waves> {
    let mut all = Waves { loads: HashMap::new(), worst: Duration::ZERO, bad: Vec::new() };
    let mut numbers: Range<u64> = first..u64::MAX;
    for kill in 0..kills {
        let node = kill as usize % NODES;
        let owned = numbers.by_ref().filter(|&key| rig.fleet.owner(&value::key(key)) == node);
        let keys: Vec<u64> = owned.take(KEYS_A_KILL).collect();
        let others: Vec<usize> = (0..NODES).filter(|&other| other != node).collect();
        rig.fleet.kill(node)?;
        let waves = wave(rig, &others, keys);
        all.loads.extend(waves.loads);
        all.worst = all.worst.max(waves.worst);
        all.bad.extend(waves.bad);
        rig.fleet.start_node(node)?;
    }
    Ok(all)
}

/// Asks these nodes for one key after the other, with all threads at once.
fn wave(rig: &Rig, nodes: &[usize], keys: Vec<u64>) -> Waves {
    let barrier = Barrier::new(nodes.len() * THREADS);
    let (worst, bad) = (Mutex::new(Duration::ZERO), Mutex::new(Vec::new()));
    let ask = &|node: usize| {
        let mut client = Client::new(Arc::clone(&rig.fleet.places));
        for &key in &keys {
            let begun = rig.history.begin_get(key);
            barrier.wait();
            let asked = Instant::now();
            let reply = client.get(node, &format!("/api/{GROUP}/{}", value::key(key)));
            let took = asked.elapsed();
            let mut worst = worst.lock().expect("no thread panics");
            *worst = worst.max(took);
            drop(worst);
            let is_right = match &reply {
                Reply::Answer(answer) if answer.status == 200 => {
                    rig.history.end_get(begun, &answer.body) == Verdict::Right
                }
                _ => false,
            };
            if !is_right {
                let mut bad = bad.lock().expect("no thread panics");
                bad.push(format!("node {node}, key {key}: {reply:.200?}"));
            }
        }
    };
    std::thread::scope(|scope| {
        for &node in nodes {
            for _ in 0..THREADS {
                let spawn = std::thread::Builder::new().stack_size(256 << 10);
                spawn.spawn_scoped(scope, move || ask(node)).expect("a thread");
            }
        }
    });
    let loads = keys.iter().map(|&key| value::key(key));
    let all = rig.origin.loads();
    let loads = loads.map(|key| (key.clone(), all.get(&key).copied().unwrap_or(0))).collect();
    let (worst, bad) = (worst.into_inner(), bad.into_inner());
    Waves { loads, worst: worst.expect("no panic"), bad: bad.expect("no panic") }
}
