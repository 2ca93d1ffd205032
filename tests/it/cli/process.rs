//! The binary as a child process: started, read line by line, ended by its id.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::PATIENCE;

/// Runs `larder` to its end.
pub(crate) fn larder(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// As [`larder`], with something of an environment.
pub(super) fn larder_with(args: &[&str], environment: &[(&str, &str)]) -> Output {
    command(args).envs(environment.iter().copied()).output().unwrap()
}

/// `larder` with `args`, and nothing of this process's environment that it would listen to.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// A running `larder`. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    /// Lines of stdout and stderr.
    lines: Receiver<String>,
    /// Its folder for temporary files.
    temp: TempDir,
}

impl Process {
    pub(crate) fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(args);
        command.envs(environment.iter().copied()).stdout(Stdio::piped());
        Self::spawn(command)
    }

    /// As systemd starts it: with sockets for peers and for clients that listen already.
    fn start_on(args: &[&str], peer: &TcpListener, api: &TcpListener) -> Self {
        // A command of std's takes three descriptors; the shell moves them to where they belong.
        let script = "exec 3<&0 4<&1 </dev/null >&2; export LISTEN_PID=$$; exec \"$@\"";
        let larder = command(args);
        let mut shell = Command::new("sh");
        for (name, value) in larder.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.args(["-c", script, "sh"]).arg(larder.get_program()).args(larder.get_args());
        shell.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "peer:api");
        let handle =
            |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        shell.stdin(handle(peer)).stdout(handle(api));
        Self::spawn(shell)
    }

    fn spawn(mut command: Command) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut child = command.env("TMPDIR", temp.path()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = mpsc::channel();
        let stdout = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for stream in stdout.into_iter().chain([stderr]) {
            let tell = tell.clone();
            // Reads on when nobody listens any more: the pipe must not fill up.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        Self { child, lines, temp }
    }

    /// The next line that holds `words`; none when the process ends without one.
    pub(crate) fn line_with(&self, words: &str) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return Some(line),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line with {words:?} in time"),
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has left among temporary files.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.temp.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().display().to_string()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `larder serve`.
pub(super) struct Node {
    pub(super) process: Process,
    pub(super) peer: String,
    pub(super) api: String,
    /// What it said before it listened.
    pub(super) said: Vec<String>,
}

impl Node {
    /// None when it ended before it listened.
    pub(super) fn start(args: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        Self::listening(Process::start(&[&["serve"], args].concat(), environment))
    }

    /// A node on sockets that listen already.
    pub(super) fn on(peer: &TcpListener, api: &TcpListener, args: &[&str]) -> Self {
        Self::listening(Process::start_on(&[&["serve"], args].concat(), peer, api)).unwrap()
    }

    fn listening(process: Process) -> Option<Self> {
        let mut said = Vec::new();
        loop {
            let line = process.line_with("larder: ")?;
            if let Some(addresses) = line.strip_prefix("larder: peers on http://") {
                let (peer, api) = addresses.split_once(", api on http://").unwrap();
                let (peer, api) = (peer.to_owned(), api.to_owned());
                return Some(Self { process, peer, api, said });
            }
            said.push(line);
        }
    }

    /// A node alone, on ports of the system's choice.
    pub(super) fn alone(groups: &[&str]) -> Self {
        let mut args = vec!["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
        args.extend(groups.iter().flat_map(|group| ["--group", group]));
        Self::start(&args, &[]).unwrap()
    }

    /// Nodes of one ring, with these groups.
    pub(super) fn ring(n: usize, group: &str) -> Vec<Self> {
        // A port that was free a moment ago may be taken by now: then others are tried.
        let mut rings = (0..10).map(|_| Self::try_ring(n, group));
        rings.find_map(|nodes| nodes).expect("ports that stay free")
    }

    fn try_ring(n: usize, group: &str) -> Option<Vec<Self>> {
        let held: Vec<_> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> =
            held.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        drop(held);
        let peers = addresses.join(",");
        let start = |listen: &String| {
            let args = ["--listen", listen, "--peers", &peers];
            Self::start(&[&args[..], &["--api", "127.0.0.1:0", "--group", group]].concat(), &[])
        };
        addresses.iter().map(start).collect()
    }

    pub(super) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        get(&self.api, path)
    }

    /// A counter of a group.
    pub(super) fn counter(&self, group: &str, name: &str) -> u64 {
        let (status, body) = self.get("/stats");
        assert_eq!(status, 200);
        let stats: serde_json::Value = serde_json::from_slice(&body).unwrap();
        stats["groups"][group][name].as_u64().unwrap()
    }
}

/// Status and body of a GET.
pub(super) fn get(api: &str, path: &str) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut response = agent.get(format!("http://{api}{path}")).call().unwrap();
    (response.status().as_u16(), response.body_mut().read_to_vec().unwrap())
}

/// A database with a table `t` of the column `key` and `value`.
pub(super) fn database(folder: &Path, rows: &[(&str, &str)]) -> (rusqlite::Connection, String) {
    let file = folder.join("t.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute("CREATE TABLE t (key TEXT PRIMARY KEY, value TEXT)", ()).unwrap();
    for row in rows {
        connection.execute("INSERT INTO t VALUES (?1, ?2)", *row).unwrap();
    }
    (connection, format!("sqlite:{}?sql=SELECT value FROM t WHERE key=?1", file.display()))
}
