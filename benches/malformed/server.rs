//! A `larder serve`, to be lied to or to be worn out.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The server: a process, killed when dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens for peers, and for clients.
    pub(crate) addrs: [SocketAddr; 2],
}

impl Server {
    /// One that has this configuration, and these flags before it.
    pub(crate) fn start(config: &str, flags: &[&str]) -> Self {
        // A command line has no room for many values.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("larder.toml");
        fs::write(&file, config).expect("a file");
        let mut process = Command::new(env!("CARGO_BIN_EXE_larder"))
            .arg("serve")
            .args(flags)
            .arg("--config")
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
        let mut addrs = line.split("://").skip(1).map(|rest| {
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse().expect("an address")
        });
        let addrs = [(); 2].map(|()| addrs.next().expect("two listeners"));
        // What it still has to say is not waited for.
        std::thread::spawn(move || lines.for_each(|line| println!("{}", line.unwrap_or_default())));
        Self { process, addrs }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|ended| ended.is_none())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its threads and open files.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let count =
            |what| fs::read_dir(format!("/proc/{}/{what}", self.id())).map_or(0, Iterator::count);
        (count("task") as u64, count("fd") as u64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
