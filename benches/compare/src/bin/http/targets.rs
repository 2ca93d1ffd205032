//! The servers, each in processes of its own, with one key and value for each size.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use larder_compare::servers::{stop, wait_for};
use tempfile::TempDir;

use crate::load::Exchange;
use crate::serve;
use crate::support::{Client, GoNode, INTEROP_GO, family_of, process_cpu_of};

pub(crate) const GROUP: &str = "bench";
const GO_CACHE_BYTES: usize = 64 << 20;
/// Of nginx and memcached: as many as there are loading threads, and cores here.
const THREADS: &str = "2";
/// Gets of each of memcslap's threads.
const SLAP_GETS: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    LarderApi,
    LarderPeer,
    /// golang/groupcache's HTTPPool, as a peer asks it.
    Groupcache,
    /// Static files, all of them open already.
    Nginx,
    /// The least that makes a server of it.
    Hyper,
    /// A thread for each connection that writes what larder's API would.
    Echo,
    Memcached,
}

/// `N:...` has `N` bytes, as in the Go node.
pub(crate) fn key(bytes: usize) -> String {
    format!("{bytes}:hit")
}

pub(crate) fn value(bytes: usize) -> Vec<u8> {
    vec![b'v'; bytes]
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LarderApi => "larder, for clients",
            Self::LarderPeer => "larder, for peers",
            Self::Groupcache => "golang/groupcache",
            Self::Nginx => "nginx, static files",
            Self::Hyper => "hyper 1, nothing else",
            Self::Echo => "bare TCP, blind",
            Self::Memcached => "memcached",
        }
    }

    /// How many times as many requests larder is to answer.
    pub(crate) fn aim(self, bytes: usize) -> Option<f64> {
        match self {
            Self::LarderApi | Self::LarderPeer => None,
            Self::Groupcache if bytes < 1_000 => Some(1.8),
            Self::Groupcache => Some(3.5),
            Self::Nginx => Some(1.0),
            Self::Hyper | Self::Memcached => Some(0.95),
            Self::Echo => Some(0.85),
        }
    }

    fn path(self, bytes: usize) -> String {
        let below = match self {
            Self::LarderApi | Self::Echo => "/api/bench/",
            Self::LarderPeer => "/_larder/bench/",
            Self::Groupcache => "/_groupcache/interop/",
            Self::Nginx | Self::Hyper | Self::Memcached => "/",
        };
        format!("{below}{}", key(bytes))
    }
}

/// The servers that are installed, running and filled.
pub(crate) struct Targets {
    addrs: HashMap<(Target, usize), SocketAddr>,
    /// The processes of each, for their time.
    processes: HashMap<Target, Vec<u32>>,
    _running: Vec<Running>,
    _go: Option<GoNode>,
    _files: TempDir,
}

/// A server that runs until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Asked to, nginx ends its workers as well; killed, it would leave them behind.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        if asked.is_ok_and(|status| status.success()) {
            let child = RefCell::new(&mut self.0);
            wait_for(|| ended(&mut child.borrow_mut()));
        }
        stop(&mut self.0);
    }
}

impl Targets {
    pub(crate) fn start(sizes: &[usize]) -> Self {
        let files = tempfile::tempdir().expect("a folder for nginx");
        let (addrs, processes) = (HashMap::new(), HashMap::new());
        let (_running, _go) = (Vec::new(), None);
        let mut targets = Self { addrs, processes, _running, _go, _files: files };
        targets.start_own(sizes);
        targets.start_go(sizes);
        let files = targets._files.path().to_owned();
        targets.start_installed(Target::Nginx, sizes, |port| nginx(&files, sizes, port));
        targets.start_installed(Target::Memcached, sizes, memcached);
        if let Some(&addr) = targets.addrs.get(&(Target::Memcached, sizes[0])) {
            sizes.iter().for_each(|&bytes| store(addr, bytes));
        }
        targets
    }

    fn start_own(&mut self, sizes: &[usize]) {
        let larder = self.serve("larder", &[]);
        for &bytes in sizes {
            self.addrs.insert((Target::LarderApi, bytes), larder.1[0]);
            self.addrs.insert((Target::LarderPeer, bytes), larder.1[1]);
        }
        self.processes.insert(Target::LarderApi, vec![larder.0]);
        self.processes.insert(Target::LarderPeer, vec![larder.0]);
        let texts: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let hyper = self.serve("hyper", &texts);
        self.processes.insert(Target::Hyper, vec![hyper.0]);
        let mut echoes = Vec::new();
        for &bytes in sizes {
            self.addrs.insert((Target::Hyper, bytes), hyper.1[0]);
            let model = [larder.1[0].to_string(), Target::Echo.path(bytes), bytes.to_string()];
            let echo = self.serve("echo", &model);
            self.addrs.insert((Target::Echo, bytes), echo.1[0]);
            echoes.push(echo.0);
        }
        self.processes.insert(Target::Echo, echoes);
    }

    /// One of this program's own servers: its process and its addresses.
    fn serve(&mut self, what: &str, args: &[String]) -> (u32, Vec<SocketAddr>) {
        let mut child = serve::start(what, args);
        let (id, mut line) = (child.id(), String::new());
        let output = child.stdout.take().expect("it was piped");
        self._running.push(Running(child));
        BufReader::new(output).read_line(&mut line).expect("the server's first line");
        let addrs = line.split_whitespace().map(|addr| addr.parse().expect("an address"));
        (id, addrs.collect())
    }

    fn start_go(&mut self, sizes: &[usize]) {
        let Some(programs) = std::env::var_os(INTEROP_GO) else { return };
        let go = GoNode::start(Path::new(&programs), GO_CACHE_BYTES);
        let addr = go.url.trim_start_matches("http://").parse().expect("an address");
        for &bytes in sizes {
            self.addrs.insert((Target::Groupcache, bytes), addr);
        }
        self.processes.insert(Target::Groupcache, vec![go.child.id()]);
        self._go = Some(go);
    }

    /// A server that takes a port and does not tell it; none when it is not installed.
    fn start_installed(
        &mut self,
        target: Target,
        sizes: &[usize],
        command: impl Fn(u16) -> Command,
    ) {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("an address");
        drop(free);
        let mut command = command(addr.port());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                self.processes.insert(target, vec![child.id()]);
                self._running.push(Running(child));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => panic!("{} does not start: {error}", target.name()),
        }
        let listens = wait_for(|| TcpStream::connect(addr).is_ok());
        assert!(listens, "{} does not listen", target.name());
        for &bytes in sizes {
            self.addrs.insert((target, bytes), addr);
        }
    }

    pub(crate) fn has(&self, target: Target) -> bool {
        self.processes.contains_key(&target)
    }

    pub(crate) fn url(&self, target: Target, bytes: usize) -> String {
        format!("http://{}{}", self.addrs[&(target, bytes)], target.path(bytes))
    }

    /// What a client and the server say to each other.
    pub(crate) fn exchange(&self, target: Target, bytes: usize) -> Exchange {
        let addr = self.addrs[&(target, bytes)];
        if target == Target::Memcached {
            let (key, value) = (key(bytes), String::from_utf8(value(bytes)).expect("ASCII"));
            let answer = format!("VALUE {key} 0 {bytes}\r\n{value}\r\nEND\r\n").into_bytes();
            return Exchange { addr, request: format!("get {key}\r\n").into_bytes(), answer };
        }
        let client = Client::connect(addr, &target.path(bytes), &value(bytes));
        let (request, answer) = (client.request().to_vec(), client.answer().to_vec());
        Exchange { addr, request, answer }
    }

    /// Processor time of the server so far.
    pub(crate) fn cpu(&self, target: Target) -> Duration {
        let families = self.processes[&target].iter().flat_map(|&process| family_of(process));
        families.map(|process| process_cpu_of(&process)).sum()
    }
}

fn nginx(folder: &Path, sizes: &[usize], port: u16) -> Command {
    for &bytes in sizes {
        fs::write(folder.join(key(bytes)), value(bytes)).expect("a file");
    }
    let (conf, folder) = (folder.join("nginx.conf"), folder.display());
    // The user matters to root only: the folder is closed to others.
    let text = format!(
        "daemon off; worker_processes {THREADS}; user root; pid {folder}/pid;\n\
         error_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
         access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;\n\
         keepalive_timeout 1h; keepalive_requests 1000000000;\n\
         open_file_cache max=16 inactive=1h; open_file_cache_valid 1h;\n\
         server {{ listen 127.0.0.1:{port}; root {folder}; }}\n\
         }}\n"
    );
    fs::write(&conf, text).expect("a configuration");
    // Debian has it where root's programs are.
    let found = ["/usr/sbin/nginx"].into_iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(found.unwrap_or("nginx"));
    command.arg("-e").arg(format!("{folder}/error.log")).arg("-c").arg(conf);
    command
}

fn memcached(port: u16) -> Command {
    let mut command = Command::new("memcached");
    // The user matters to root only.
    command.args(["-l", "127.0.0.1", "-u", "root", "-t", THREADS, "-p", &port.to_string()]);
    command
}

fn store(memcached: SocketAddr, bytes: usize) {
    let mut stream = TcpStream::connect(memcached).expect("memcached accepts");
    let head = format!("set {} 0 0 {bytes}\r\n", key(bytes));
    let request = [head.as_bytes(), &value(bytes), b"\r\n"].concat();
    stream.write_all(&request).expect("memcached reads");
    let mut stored = [0; 8];
    stream.read_exact(&mut stored).expect("memcached answers");
    assert_eq!(stored, *b"STORED\r\n");
}

/// memcached under the loader of its own client library, which is slower.
pub(crate) fn second_opinion(targets: &Targets, connections: &[usize]) {
    let Some(addr) = targets.addrs.iter().find(|(of, _)| of.0 == Target::Memcached) else {
        return;
    };
    for connections in connections {
        let mut command = Command::new("memcslap");
        command.arg(format!("--servers={}", addr.1)).args(["--test=get", "--tcp-nodelay"]);
        command.arg(format!("--concurrency={connections}"));
        command.arg(format!("--execute-number={SLAP_GETS}"));
        let Ok(output) = command.output() else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("Time to get"));
        let seconds: Option<f64> =
            line.and_then(|line| line.rsplit(':').next()?.split_whitespace().next()?.parse().ok());
        let Some(seconds) = seconds else { return };
        let gets = (SLAP_GETS * connections) as f64;
        println!("memcached under memcslap, {connections} threads: {:.0} gets/s", gets / seconds);
    }
}
