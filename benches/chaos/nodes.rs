//! Five processes, each on an address of its own, and a link for each direction between two.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::client::{self, Reply};
use super::node::{GROUP, READY, SCHEME};
use super::origin::Origin;
use super::proxy::{Link, Toxic};
use super::schedule::NODES;

/// What clients know of a node.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) api: SocketAddr,
    /// Neither killed nor stopped, and on the ring.
    up: AtomicBool,
    /// Counts kills, stops and starts: what began before one of them may be lost to it.
    turns: AtomicU64,
}

impl Place {
    /// The present turn, when the node can be asked.
    pub(crate) fn turn(&self) -> Option<u64> {
        let turn = self.turns.load(Ordering::SeqCst);
        self.up.load(Ordering::SeqCst).then_some(turn)
    }

    pub(crate) fn is_turn(&self, turn: u64) -> bool {
        self.turns.load(Ordering::SeqCst) == turn
    }

    /// Before a node is taken away, and after it is there again: so that no loss is unexplained.
    fn change(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
        self.turns.fetch_add(1, Ordering::SeqCst);
    }
}

/// All nodes; their processes end when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) places: Arc<Vec<Place>>,
    urls: Vec<String>,
    configs: Vec<String>,
    processes: Vec<Mutex<Option<Process>>>,
    /// By node that asks, and node that is asked.
    links: Vec<Vec<Option<Link>>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Fleet {
    /// Starts all nodes, with these further lines of the group's configuration.
    pub(crate) fn start(origin: &Origin, group: &str, seed: u64) -> io::Result<Self> {
        let mut held = Vec::new();
        for node in 0..NODES {
            let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + node as u8));
            held.push([TcpListener::bind((ip, 0))?, TcpListener::bind((ip, 0))?]);
        }
        let mut addrs = Vec::new();
        for [peer, api] in &held {
            addrs.push([peer.local_addr()?, api.local_addr()?]);
        }
        let mut links = Vec::new();
        for from in 0..NODES {
            let link = |to: usize| {
                let seed = seed ^ (from * NODES + to) as u64;
                (from != to).then(|| Link::start(addrs[to][0], seed)).transpose()
            };
            links.push((0..NODES).map(link).collect::<io::Result<Vec<_>>>()?);
        }
        let urls: Vec<String> = addrs.iter().map(|[peer, _]| format!("http://{peer}")).collect();
        let config = |node: usize| config(node, &addrs, &urls, &links[node], origin, group);
        let configs = (0..NODES).map(config).collect();
        let place = |&[_, api]: &[SocketAddr; 2]| Place {
            api,
            up: AtomicBool::new(false),
            turns: AtomicU64::new(0),
        };
        let places = Arc::new(addrs.iter().map(place).collect());
        let processes = (0..NODES).map(|_| Mutex::new(None)).collect();
        let fleet = Self { places, urls, configs, processes, links };
        // Nothing else takes ports of these addresses, outgoing connections are from 127.0.0.1.
        drop(held);
        (0..NODES).try_for_each(|node| fleet.start_node(node))?;
        Ok(fleet)
    }

    /// Starts a node that was killed.
    pub(crate) fn start_node(&self, node: usize) -> io::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["node", &self.configs[node]]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let commands = child.stdin.take().expect("it is piped");
        let replies = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut process = Process { child, commands, replies };
        process.wait_until_ready()?;
        *self.process(node) = Some(process);
        self.places[node].change(true);
        Ok(())
    }

    /// kill -9.
    pub(crate) fn kill(&self, node: usize) -> io::Result<()> {
        self.places[node].change(false);
        match self.process(node).take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    pub(crate) fn stop(&self, node: usize) -> io::Result<()> {
        self.places[node].change(false);
        self.signal(node, "-STOP")
    }

    pub(crate) fn go_on(&self, node: usize) -> io::Result<()> {
        self.signal(node, "-CONT")?;
        self.places[node].change(true);
        Ok(())
    }

    /// Takes a node off the rings of the others, one after the other.
    pub(crate) fn leave(&self, node: usize) -> io::Result<()> {
        self.places[node].change(false);
        let others: Vec<usize> = (0..NODES).filter(|&other| other != node).collect();
        others.iter().try_for_each(|&other| self.set_peers(other, &others))
    }

    /// Puts it onto all rings again.
    pub(crate) fn come_back(&self, node: usize) -> io::Result<()> {
        let all: Vec<usize> = (0..NODES).collect();
        all.iter().try_for_each(|&other| self.set_peers(other, &all))?;
        self.places[node].change(true);
        Ok(())
    }

    /// Gives a node another ring.
    pub(crate) fn set_peers(&self, node: usize, peers: &[usize]) -> io::Result<()> {
        let urls: Vec<&str> = peers.iter().map(|&peer| &*self.urls[peer]).collect();
        let mut process = self.process(node);
        let process = process.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        writeln!(process.commands, "{}", urls.join(","))?;
        process.wait_until_ready()
    }

    pub(crate) fn link(&self, from: usize, to: usize) -> Option<&Link> {
        self.links[from][to].as_ref()
    }

    /// The links of which `is_meant` says so, by the node that asks and the one that is asked.
    pub(crate) fn links(&self, is_meant: impl Fn(usize, usize) -> bool) -> Vec<&Link> {
        let all = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
        all.filter(|&(from, to)| is_meant(from, to))
            .filter_map(|(from, to)| self.link(from, to))
            .collect()
    }

    pub(crate) fn set_links(&self, toxic: Toxic, is_meant: impl Fn(usize, usize) -> bool) {
        self.links(is_meant).into_iter().for_each(|link| link.set(toxic));
    }

    /// The counters that a node tells of itself.
    pub(crate) fn stats(&self, node: usize) -> serde_json::Value {
        match client::Client::new(Arc::clone(&self.places)).get(node, "/stats") {
            Reply::Answer(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).expect("the counters are JSON")
            }
            reply => panic!("node {node} does not tell its counters: {reply:?}"),
        }
    }

    /// One counter of the group, of all nodes together.
    pub(crate) fn sum(&self, counter: &str) -> u64 {
        let of = |node| self.stats(node)["groups"][GROUP][counter].as_u64().unwrap_or(0);
        (0..NODES).map(of).sum()
    }

    /// The node that owns a key.
    pub(crate) fn owner(&self, key: &str) -> usize {
        // A pool that listens to nobody, with the ring of all.
        thread_local! {
            static RING: std::cell::OnceCell<larder::HttpPool> =
                const { std::cell::OnceCell::new() };
        }
        RING.with(|ring| {
            let ring = ring.get_or_init(|| {
                let builder = larder::HttpPool::builder().advertise(&self.urls[0]);
                builder.peers(&self.urls).start().expect("a ring without a listener")
            });
            let owner = ring.owner(key);
            self.urls.iter().position(|url| *url == owner).expect("the owner is a node")
        })
    }

    fn process(&self, node: usize) -> MutexGuard<'_, Option<Process>> {
        self.processes[node].lock().expect("no thread panics with the lock held")
    }

    fn signal(&self, node: usize, signal: &str) -> io::Result<()> {
        let process = self.process(node);
        let pid = process.as_ref().ok_or(io::ErrorKind::NotConnected)?.child.id();
        let status = Command::new("kill").args([signal, &pid.to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("kill failed")) }
    }
}

impl Process {
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        let is_ready = line.trim_end() == READY;
        is_ready.then_some(()).ok_or_else(|| io::Error::other("a node did not start; see above"))
    }

    fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A node's configuration, as the binary would read it but for the origin.
fn config(
    node: usize,
    addrs: &[[SocketAddr; 2]],
    urls: &[String],
    links: &[Option<Link>],
    origin: &Origin,
    group: &str,
) -> String {
    let [peer, api] = addrs[node];
    let (peers, origin) = (urls.join("\", \""), origin.addr());
    let connect = urls.iter().zip(links).filter_map(|(url, link)| Some((url, link.as_ref()?)));
    let connect = connect.map(|(url, link)| format!("\"{url}\" = \"{}\"\n", link.addr()));
    let connect: String = connect.collect();
    format!(
        "listen = \"{peer}\"\napi = \"{api}\"\npeers = [\"{peers}\"]\n\n[connect_to]\n{connect}\n\
         [groups.{GROUP}]\norigin = \"{SCHEME}{origin}\"\n{group}\n"
    )
}
