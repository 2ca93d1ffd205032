//! larder beside golang/groupcache, in the same run: hits over HTTP, and the hop to a peer.
//!
//! `make bench-go` builds the Go node and names its folder in `LARDER_INTEROP_GO`; without it
//! there is nothing to compare with, and this prints so.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder::{Dialect, Group, HttpPool};
use support::{GoNode, INTEROP_GO, wrk};

const ROUNDS: usize = 5;
const HIT_SECONDS: u64 = 2;
const HOP_SPAN: Duration = Duration::from_secs(1);
/// A prime, so that each thread can walk over all keys in steps of its own: threads in step
/// would share hops.
const HOP_KEYS: usize = 4_093;
const CACHE_BYTES: usize = 64 << 20;
/// `N:` is a key whose value has N bytes.
const SIZES: [&str; 2] = ["100:", "10000:"];

fn main() {
    let Some(programs) = std::env::var_os(INTEROP_GO) else {
        println!("not run: {INTEROP_GO} is not set; see `make bench-go`");
        return;
    };
    let programs = Path::new(&programs);
    hits(programs);
    hops(programs);
}

fn set_peers(node: &GoNode, urls: &[&str]) {
    ureq::post(format!("{}/peers", node.admin)).send(urls.join(",")).unwrap();
}

struct LarderNode {
    pool: HttpPool,
    group: Group,
}

impl LarderNode {
    fn start(cache_bytes: usize) -> Self {
        let builder = HttpPool::builder().listen("http://127.0.0.1:0");
        let pool = builder.dialect(Dialect::Groupcache).start().unwrap();
        let value = |key: &str| {
            let size = key.split(':').next().unwrap_or_default().parse()?;
            Ok(vec![b'v'; size])
        };
        let group = pool.group("interop", cache_bytes, value).unwrap();
        Self { pool, group }
    }
}

/// Requests a second of one cached key over HTTP, as wrk counts them.
fn hits(programs: &Path) {
    let (larder, go) = (LarderNode::start(CACHE_BYTES), GoNode::start(programs, CACHE_BYTES));
    println!("hits over HTTP, requests/s, medians of {ROUNDS} rounds\n");
    println!("| bytes | connections | larder | Go |\n| --- | --- | --- | --- |");
    for size in SIZES {
        for connections in [16, 64] {
            let target = |url| format!("{url}/_groupcache/interop/{size}hit");
            let hit = |url| wrk(&target(url), connections, HIT_SECONDS).per_second;
            let [larder, go] = medians([&|| hit(larder.pool.url()), &|| hit(&go.url)]);
            println!("| {} | {connections} | {larder:.0} | {go:.0} |", bytes(size));
        }
    }
}

fn bytes(size: &str) -> &str {
    size.trim_end_matches(':')
}

/// Gets a second of keys that the asked node has in its cache and the asking one never keeps.
fn hops(programs: &Path) {
    let askers = (LarderNode::start(0), GoNode::start(programs, 0));
    let owners = (LarderNode::start(CACHE_BYTES), GoNode::start(programs, CACHE_BYTES));
    println!("\nthe hop to a peer (who asks, who owns), gets/s, medians of {ROUNDS} rounds\n");
    println!(
        "| bytes | threads | larder asks larder | larder asks Go | Go asks larder | Go asks Go |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for size in SIZES {
        for threads in [1, 8, 32] {
            let [larder, go] = [owners.0.pool.url(), &owners.1.url];
            let larder_asks = |owner| hop_of_larder(&askers.0, owner, size, threads);
            let go_asks = |owner| hop_of_go(&askers.1, owner, size, threads);
            let [ll, lg, gl, gg] = medians([
                &|| larder_asks(larder),
                &|| larder_asks(go),
                &|| go_asks(larder),
                &|| go_asks(go),
            ]);
            println!("| {} | {threads} | {ll:.0} | {lg:.0} | {gl:.0} | {gg:.0} |", bytes(size));
        }
    }
}

fn hop_of_larder(asker: &LarderNode, owner: &str, size: &str, threads: usize) -> f64 {
    asker.pool.set_peers([asker.pool.url(), owner]).unwrap();
    let keys = (0..).map(|n| format!("{size}{n}"));
    let keys = keys.filter(|key| asker.pool.owner(key) == owner).take(HOP_KEYS);
    let keys: Vec<String> = keys.collect();
    let (gets, before, started) = (AtomicU64::new(0), asker.group.stats(), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (keys, gets) = (&keys, &gets);
            scope.spawn(move || {
                let mut n = thread;
                while started.elapsed() < HOP_SPAN {
                    asker.group.get(&keys[n % HOP_KEYS]).unwrap();
                    gets.fetch_add(1, Ordering::Relaxed);
                    n += 2 * thread + 1;
                }
            });
        }
    });
    let took = started.elapsed();
    let (gets, after) = (gets.into_inner(), asker.group.stats());
    // Two threads that meet at a key share a hop all the same.
    let hops = after.peer_loads - before.peer_loads;
    assert!(hops > gets / 10 * 9, "{hops} of {gets} gets were hops");
    assert_eq!(after.peer_errors, before.peer_errors);
    gets as f64 / took.as_secs_f64()
}

fn hop_of_go(asker: &GoNode, owner: &str, size: &str, threads: usize) -> f64 {
    set_peers(asker, &[&asker.url, owner]);
    let span = format!("{}s", HOP_SPAN.as_secs());
    let url = format!("{}/hop?threads={threads}&prefix={size}&span={span}", asker.admin);
    ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap().parse().unwrap()
}

/// The median of each, measured in turn so that what else the machine does hits all alike.
fn medians<const N: usize>(measures: [&dyn Fn() -> f64; N]) -> [f64; N] {
    // Once unrecorded: caches are filled, connections opened.
    measures.iter().for_each(|measure| {
        measure();
    });
    let mut rounds = [(); N].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        for (measure, seen) in measures.iter().zip(&mut rounds) {
            seen.push(measure());
        }
    }
    rounds.map(|mut seen| {
        seen.sort_by(f64::total_cmp);
        seen[ROUNDS / 2]
    })
}
