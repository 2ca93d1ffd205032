//! The Go programs as processes, and their admin listeners.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;
use ureq::Agent;

use super::PATIENCE;

/// A running Go program; dropped, it is killed.
pub(super) struct Process {
    child: Child,
    pub(super) url: String,
    pub(super) admin: Admin,
}

impl Process {
    /// Starts a program, and waits for the line in which it says that it is ready.
    pub(super) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().unwrap();
        let (told, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            told.send(read.map(|_| line)).unwrap_or_default();
        });
        // From here on a panic kills the child.
        let mut process = Self { child, url: String::new(), admin: Admin::new("") };
        let line = heard.recv_timeout(PATIENCE).expect("the program says that it is ready");
        let line = line.unwrap();
        let (url, admin) = line.trim().split_once(' ').expect("the program's two addresses");
        (process.url, process.admin) = (url.to_owned(), Admin::new(admin));
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client to a program's admin listener; a clone shares its connections.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) address: String,
    agent: Agent,
}

impl Admin {
    fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_idle_connections_per_host(16)
            .timeout_global(Some(PATIENCE));
        Self { address: address.to_owned(), agent: config.build().into() }
    }

    /// The status and the body; none when there is no answer.
    pub(super) fn try_get(&self, path: &str, query: &[(&str, &str)]) -> Option<(u16, Vec<u8>)> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let url = format!("http://{}{path}?{query}", self.address);
        let mut response = self.agent.get(url).call().ok()?;
        let body = response.body_mut().with_config().limit(64 << 20).read_to_vec().ok()?;
        Some((response.status().as_u16(), body))
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Vec<u8> {
        let (status, body) = self.try_get(path, query).expect("an answer of the admin listener");
        assert_eq!(status, 200, "{path} {query:?}: {}", String::from_utf8_lossy(&body));
        body
    }

    pub(super) fn json(&self, path: &str, query: &[(&str, &str)]) -> Value {
        serde_json::from_slice(&self.get(path, query)).unwrap()
    }
}

/// How a Go program serves its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// The pool is the handler.
    Direct,
    /// Behind a `http.ServeMux`, which redirects from a path to its cleaned form.
    ServeMux,
}

/// A node of golang/groupcache.
pub(super) struct GoNode {
    pub(super) name: String,
    pub(super) process: Process,
}

impl GoNode {
    /// Starts a node on ports that the system chooses.
    pub(super) fn start(
        programs: &Path,
        name: &str,
        origin: &str,
        base: &str,
        mount: Mount,
    ) -> Self {
        let at = ["http://127.0.0.1:0", "127.0.0.1:0"];
        Self::start_at(at, programs, name, origin, base, mount)
    }

    /// Starts a node with this URL and this admin address.
    pub(super) fn start_at(
        [url, admin]: [&str; 2],
        programs: &Path,
        name: &str,
        origin: &str,
        base: &str,
        mount: Mount,
    ) -> Self {
        let mut command = Command::new(programs.join("groupnode"));
        command.args(["-self", url, "-admin", admin, "-origin", origin]);
        command.args(["-node", name, "-base", base]);
        command.arg(format!("-mux={}", mount == Mount::ServeMux));
        Self { name: name.to_owned(), process: Process::start(&mut command) }
    }

    pub(super) fn admin(&self) -> &Admin {
        &self.process.admin
    }

    pub(super) fn get(&self, key: &str) -> String {
        String::from_utf8(self.admin().get("/get", &[("key", key)])).unwrap()
    }

    pub(super) fn owner(&self, key: &str) -> String {
        String::from_utf8(self.admin().get("/owner", &[("key", key)])).unwrap()
    }

    pub(super) fn set_peers(&self, urls: &[String]) {
        let url = format!("http://{}/peers", self.admin().address);
        let response = self.admin().agent.post(url).send(urls.join(",")).unwrap();
        assert_eq!(response.status(), 200);
    }

    pub(super) fn stat(&self, name: &str) -> u64 {
        self.admin().json("/stats", &[])[name].as_u64().unwrap()
    }
}
