//! larder beside golang/groupcache, in the same run: hits over HTTP, and the hop to a peer.
//!
//! `make bench-go` builds the Go node and names its folder in `LARDER_INTEROP_GO`; without it
//! there is nothing to compare with, and this prints so.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use larder::{Dialect, Group, HttpPool};
use support::{GoNode, INTEROP_GO, ROUNDS, Table, decimals, grouped, median, quantile, wrk};

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
            let rounds = in_turn([&|| hit(larder.pool.url()), &|| hit(&go.url)]);
            let [larder, go] = rounds.map(median);
            println!("| {} | {connections} | {larder:.0} | {go:.0} |", bytes(size));
        }
    }
}

fn bytes(size: &str) -> &str {
    size.trim_end_matches(':')
}

/// Gets of keys that the asked node has in its cache and the asking one never keeps.
#[derive(Debug, Clone, Copy)]
struct Hops {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn hops(programs: &Path) {
    let askers = (LarderNode::start(0), GoNode::start(programs, 0));
    let owners = (LarderNode::start(CACHE_BYTES), GoNode::start(programs, CACHE_BYTES));
    println!(
        "\nthe hop to a peer, medians of {ROUNDS} rounds; \"of Go's\" is gets/s as a multiple"
    );
    println!("of a Go node's that asks a Go node\n");
    let columns = ["", "bytes", "threads", "gets/s", "of Go's", "p50 us", "p99 us"];
    let mut table = Table::new(&columns);
    for size in SIZES {
        for threads in [1, 8, 32] {
            let [larder, go] = [owners.0.pool.url(), &owners.1.url];
            let larder_asks = |owner| hop_of_larder(&askers.0, owner, size, threads);
            let go_asks = |owner| hop_of_go(&askers.1, owner, size, threads);
            let rounds = in_turn([
                &|| larder_asks(larder),
                &|| larder_asks(go),
                &|| go_asks(larder),
                &|| go_asks(go),
            ]);
            let names = ["larder asks larder", "larder asks Go", "Go asks larder", "Go asks Go"];
            for (name, hops) in names.into_iter().zip(&rounds) {
                table.row(row(name, bytes(size), threads, hops, &rounds[3]));
            }
        }
    }
    table.print();
}

fn row(name: &str, bytes: &str, threads: usize, hops: &[Hops], gos: &[Hops]) -> Vec<String> {
    let micros = |time: fn(&Hops) -> Duration| {
        decimals(median(hops.iter().map(|hops| time(hops).as_secs_f64() * 1e6)))
    };
    let ratios = hops.iter().zip(gos).map(|(hops, gos)| hops.per_second / gos.per_second);
    vec![
        name.to_owned(),
        bytes.to_owned(),
        threads.to_string(),
        grouped(median(hops.iter().map(|hops| hops.per_second))),
        decimals(median(ratios)),
        micros(|hops| hops.p50),
        micros(|hops| hops.p99),
    ]
}

fn hop_of_larder(asker: &LarderNode, owner: &str, size: &str, threads: usize) -> Hops {
    asker.pool.set_peers([asker.pool.url(), owner]).unwrap();
    let keys = (0..).map(|n| format!("{size}{n}"));
    let keys = keys.filter(|key| asker.pool.owner(key) == owner).take(HOP_KEYS);
    let keys: Vec<String> = keys.collect();
    let before = asker.group.stats();
    let started = Instant::now();
    let get = |thread: usize| {
        let (mut n, mut latencies) = (thread, Vec::new());
        while started.elapsed() < HOP_SPAN {
            let asked = Instant::now();
            asker.group.get(&keys[n % HOP_KEYS]).unwrap();
            latencies.push(asked.elapsed().as_nanos() as u64);
            n += 2 * thread + 1;
        }
        latencies
    };
    let mut latencies: Vec<u64> = std::thread::scope(|scope| {
        let get = &get;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || get(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (gets, took) = (latencies.len() as u64, started.elapsed());
    let after = asker.group.stats();
    // Two threads that meet at a key share a hop all the same.
    let hops = after.peer_loads - before.peer_loads;
    assert!(hops > gets / 10 * 9, "{hops} of {gets} gets were hops");
    assert_eq!(after.peer_errors, before.peer_errors);
    let mut of = |share| Duration::from_nanos(quantile(&mut latencies, share));
    let (p50, p99) = (of(0.5), of(0.99));
    Hops { per_second: gets as f64 / took.as_secs_f64(), p50, p99 }
}

fn hop_of_go(asker: &GoNode, owner: &str, size: &str, threads: usize) -> Hops {
    set_peers(asker, &[&asker.url, owner]);
    let span = format!("{}s", HOP_SPAN.as_secs());
    let url = format!("{}/hop?threads={threads}&prefix={size}&span={span}", asker.admin);
    let told = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    let mut numbers = told.split_whitespace().map(|number| number.parse::<f64>().unwrap());
    let mut next = || numbers.next().expect("a rate and two times");
    let (per_second, p50, p99) = (next(), next(), next());
    let nanos = |number: f64| Duration::from_nanos(number as u64);
    Hops { per_second, p50: nanos(p50), p99: nanos(p99) }
}

/// What each has measured, in turn so that what else the machine does hits all alike.
fn in_turn<T, const N: usize>(measures: [&dyn Fn() -> T; N]) -> [Vec<T>; N] {
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
    rounds
}
