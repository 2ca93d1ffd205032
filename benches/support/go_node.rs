//! The node of golang/groupcache that `tests/interop/build.sh` builds.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The variable that names the folder of the programs in Go.
pub(crate) const INTEROP_GO: &str = "LARDER_INTEROP_GO";

/// A Go node, whose key `N:...` has `N` bytes; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct GoNode {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) admin: String,
}

impl GoNode {
    pub(crate) fn start(programs: &Path, cache_bytes: usize) -> Self {
        let mut command = Command::new(programs.join("groupnode"));
        command.args(["-cache", &cache_bytes.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("groupnode starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("it was piped");
        BufReader::new(output).read_line(&mut line).expect("the node's first line");
        let (url, admin) = line.trim().split_once(' ').expect("the node's two addresses");
        Self { child, url: url.to_owned(), admin: format!("http://{admin}") }
    }
}

impl Drop for GoNode {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
