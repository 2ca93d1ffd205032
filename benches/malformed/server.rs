//! A `larder serve` to be lied to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::conversation::{Door, KEYS, name, value};

/// The server: a process, killed when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) doors: [Door; 2],
}

impl Server {
    pub(crate) fn start() -> Self {
        let pairs = (0..KEYS).map(|key| format!("{}={}", name(key), value(key)));
        let pairs = pairs.collect::<Vec<_>>().join(",");
        // A command line has no room for as much.
        let config = format!("[groups.g]\norigin = \"static:{pairs}\"\n");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("larder.toml");
        fs::write(&file, config).expect("a file");
        let mut process = Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--config"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(process.stderr.take().expect("is piped")).lines();
        let line = lines.find_map(|line| {
            let line = line.ok()?;
            line.contains("larder: peers on ").then_some(line)
        });
        let line = line.expect("it says where it listens");
        let mut addrs = line.split("http://").skip(1).map(|rest| {
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse().expect("an address")
        });
        let mut door = |base| Door { addr: addrs.next().expect("two listeners"), base };
        let doors = [door("/_larder/g/"), door("/api/g/")];
        // What it still has to say is not waited for.
        std::thread::spawn(move || lines.for_each(|line| println!("{}", line.unwrap_or_default())));
        Self { process, doors }
    }

    /// Its threads and open files, once nobody is connected: no more than `before`, or for want
    /// of that, unchanged for a second.
    pub(crate) fn settled(&self, before: Option<(u64, u64)>) -> (u64, u64) {
        let deadline = Instant::now() + PATIENCE;
        let (mut since, mut now) = (Instant::now(), self.usage());
        while Instant::now() < deadline {
            let settled = match before {
                Some(before) => now.0 <= before.0 && now.1 <= before.1,
                None => since.elapsed() > Duration::from_secs(1),
            };
            if settled {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            let last = std::mem::replace(&mut now, self.usage());
            if now != last {
                since = Instant::now();
            }
        }
        now
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|ended| ended.is_none())
    }

    fn usage(&self) -> (u64, u64) {
        let count = |what| {
            fs::read_dir(format!("/proc/{}/{what}", self.process.id())).map_or(0, Iterator::count)
        };
        (count("task") as u64, count("fd") as u64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
