//! Cache servers in processes of their own, filled over their protocols.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::entries::{Lengths, key, make};
use crate::support::resident_bytes_of;

/// Requests on their way at once.
const PIPELINE: usize = 1_000;
/// Longer than a start takes, and than a table's growth in the background.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Memcached,
    Redis,
}

impl Server {
    pub const ALL: [Self; 2] = [Self::Memcached, Self::Redis];

    pub fn name(self) -> &'static str {
        match self {
            Self::Memcached => "memcached",
            Self::Redis => "redis-server",
        }
    }

    /// How much the memory of a new server grows with so many entries; none when it is not
    /// installed.
    pub fn resident_bytes(self, entries: usize, lengths: Lengths) -> Option<u64> {
        let running = Running::start(self)?;
        let before = running.resident_bytes();
        running.fill(entries, lengths);
        Some(running.resident_bytes() - before)
    }

    fn command(self, socket: &Path) -> Command {
        let mut command = Command::new(self.name());
        match self {
            // The user matters to root only.
            Self::Memcached => command.args(["-m", "4096", "-u", "root", "-s"]).arg(socket),
            Self::Redis => command
                .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
                .arg(socket),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn write_set(self, requests: &mut String, key: &str, value: &str) {
        let (key_len, len) = (key.len(), value.len());
        let written = match self {
            Self::Memcached => write!(requests, "set {key} 0 0 {len}\r\n{value}\r\n"),
            Self::Redis => {
                write!(requests, "*3\r\n$3\r\nSET\r\n${key_len}\r\n{key}\r\n${len}\r\n{value}\r\n")
            }
        };
        written.expect("a String takes all");
    }

    /// What the server says to each set.
    fn done(self) -> &'static str {
        match self {
            Self::Memcached => "STORED\r\n",
            Self::Redis => "+OK\r\n",
        }
    }

    /// Asks what the server holds; the end of the answer; and what is said of so many entries
    /// once its tables have stopped growing.
    fn inventory(self, entries: usize) -> (&'static str, &'static str, Vec<String>) {
        match self {
            Self::Memcached => {
                let items = format!("STAT curr_items {entries}\r\n");
                ("stats\r\n", "END\r\n", vec![items, "STAT hash_is_expanding 0\r\n".into()])
            }
            Self::Redis => ("DBSIZE\r\n", "\r\n", vec![format!(":{entries}\r\n")]),
        }
    }
}

/// A server that runs until this is dropped.
struct Running {
    server: Server,
    process: Child,
    stream: UnixStream,
    _folder: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

impl Running {
    fn start(server: Server) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let socket = folder.path().join("socket");
        let mut process = match server.command(&socket).spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => panic!("{} does not start: {error}", server.name()),
        };
        match connect(&socket) {
            Ok(stream) => Some(Self { server, process, stream, _folder: folder }),
            Err(error) => {
                stop(&mut process);
                panic!("{} does not listen: {error}", server.name());
            }
        }
    }

    fn fill(&self, entries: usize, lengths: Lengths) {
        let (mut requests, mut answers) = (String::new(), Vec::new());
        for start in (0..entries).step_by(PIPELINE) {
            let batch = start..entries.min(start + PIPELINE);
            let done = self.server.done().repeat(batch.len());
            requests.clear();
            for number in batch {
                let key = key(number, lengths.key);
                let value = String::from_utf8(make(&key, lengths.value)).expect("ASCII");
                self.server.write_set(&mut requests, &key, &value);
            }
            answers.resize(done.len(), 0);
            (&self.stream).write_all(requests.as_bytes()).expect("the server reads");
            (&self.stream).read_exact(&mut answers).expect("the server answers");
            assert_eq!(String::from_utf8_lossy(&answers), done, "all are stored");
        }
        let (question, end, facts) = self.server.inventory(entries);
        let holds = || {
            let answer = self.ask(question, end);
            facts.iter().all(|fact| answer.contains(fact))
        };
        assert!(wait_for(holds), "{} does not hold what it stored", self.server.name());
    }

    fn ask(&self, question: &str, end: &str) -> String {
        (&self.stream).write_all(question.as_bytes()).expect("the server reads");
        let (mut answer, mut chunk) = (Vec::new(), [0; 4 << 10]);
        while !answer.ends_with(end.as_bytes()) {
            let len = (&self.stream).read(&mut chunk).expect("the server answers");
            assert!(len > 0, "{} closed the connection", self.server.name());
            answer.extend_from_slice(&chunk[..len]);
        }
        String::from_utf8(answer).expect("ASCII")
    }

    fn resident_bytes(&self) -> u64 {
        resident_bytes_of(&self.process.id().to_string())
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    wait_for(|| UnixStream::connect(socket).is_ok());
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether the condition came true in time.
pub fn wait_for(condition: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Kills a process.
pub fn stop(process: &mut Child) {
    // Both fail only when it has ended and was waited for already.
    let _ = process.kill();
    let _ = process.wait();
}
