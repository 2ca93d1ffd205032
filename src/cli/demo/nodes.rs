//! The demo's nodes, and a getter that tells of each load.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use larder::origin::Origin;
use larder::{BoxError, Getter, Group, HttpPool, Limits, Loaded, Stats};

use crate::cli::end::Ending;

const GROUP: &str = "scores";
const CACHE_BYTES: usize = 64 << 20;
const PEER_PORTS: [u16; 3] = [8001, 8002, 8003];
const API_PORT: u16 = 9999;
/// A demo has few clients.
const LANE_WORKERS: usize = 8;
const SHUTDOWN: Duration = Duration::from_secs(2);

pub(super) struct Nodes {
    nodes: Vec<Shown>,
    api: SocketAddr,
    notes: Vec<String>,
}

/// A node, and its counters as they were last shown.
struct Shown {
    pool: HttpPool,
    group: Group,
    last: String,
}

impl Nodes {
    /// The first node serves the API; all load from `origin`.
    pub(super) fn start(origin: &Origin) -> Result<Self, Ending> {
        let mut notes = Vec::new();
        let mut pools = Vec::new();
        let api = free_address(API_PORT, &mut notes);
        for (n, port) in PEER_PORTS.into_iter().enumerate() {
            let listen = free_address(port, &mut notes);
            let mut limits = Limits::default();
            limits.lane_workers = LANE_WORKERS;
            let builder = HttpPool::builder().listen(&listen).limits(limits);
            let builder = if n == 0 { builder.api(&api) } else { builder };
            pools.push(builder.start()?);
        }
        let urls: Vec<String> = pools.iter().map(|pool| pool.url().to_owned()).collect();
        let api = pools.iter().find_map(HttpPool::api_addr);
        let api = api.expect("the first node was started with an API");
        let mut nodes = Vec::new();
        for pool in pools {
            pool.set_peers(&urls)?;
            let getter = Told { node: name(&pool), origin: origin.clone() };
            let group = pool.group(GROUP, CACHE_BYTES, getter)?;
            let last = counters(&group.stats());
            nodes.push(Shown { pool, group, last });
        }
        Ok(Self { nodes, api, notes })
    }

    pub(super) fn urls(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.pool.url()).collect()
    }

    pub(super) fn api(&self) -> SocketAddr {
        self.api
    }

    /// The ports that were taken.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Prints the counters of the nodes on which they have changed.
    pub(super) fn tell_changes(&mut self) -> io::Result<()> {
        for node in &mut self.nodes {
            let now = counters(&node.group.stats());
            if now != node.last {
                writeln!(io::stdout().lock(), "{}  {now}", name(&node.pool))?;
                node.last = now;
            }
        }
        Ok(())
    }

    pub(super) fn shutdown(self) {
        let deadline = Instant::now() + SHUTDOWN;
        for node in self.nodes {
            node.pool.shutdown(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// The origin, with a line on stdout for each load.
struct Told {
    node: String,
    origin: Origin,
}

impl Getter for Told {
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        let started = Instant::now();
        let loaded = self.origin.get(key);
        let took = started.elapsed().as_millis();
        let end = match &loaded {
            Ok(_) => String::new(),
            Err(error) => format!(": {error}"),
        };
        // A demo that nobody reads any more ends at its next counters.
        let line = format!("{}  read {key:?} from the table in {took} ms{end}", self.node);
        let _ = writeln!(io::stdout().lock(), "{line}");
        loaded
    }
}

fn name(pool: &HttpPool) -> String {
    format!("node {}", pool.url().trim_start_matches("http://127.0.0.1:"))
}

fn counters(stats: &Stats) -> String {
    let Stats { gets, cache_hits, peer_loads, local_loads, local_load_errs, .. } = stats;
    format!(
        "gets {gets}  cache_hits {cache_hits}  peer_loads {peer_loads}  local_loads \
         {local_loads}  local_load_errs {local_load_errs}"
    )
}

/// `port` of loopback; or, with a note, any other when it is taken.
fn free_address(port: u16, notes: &mut Vec<String>) -> String {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => format!("127.0.0.1:{port}"),
        Err(error) => {
            notes.push(format!("Port {port} cannot be used ({error}): taking another."));
            "127.0.0.1:0".to_owned()
        }
    }
}
