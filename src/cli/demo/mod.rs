//! `larder demo`: three nodes in this process, and what they do, told as it happens.

mod nodes;
mod table;

use std::io::{self, Write};
use std::time::Duration;

use super::end::Ending;
use super::signals::Signals;
use nodes::Nodes;

/// How long a read of the table takes, so that caching is felt.
const DELAY: Duration = Duration::from_millis(100);
/// How often the counters are looked at.
const TICK: Duration = Duration::from_millis(250);

pub(crate) fn run() -> Result<(), Ending> {
    let mut signals = Signals::catch()?;
    let folder = tempfile::Builder::new().prefix("larder-demo-").tempdir();
    let folder = folder.map_err(|error| Ending::failed("cannot make a folder", &error))?;
    let mut nodes = Nodes::start(&table::open(folder.path())?.with_delay(DELAY))?;
    introduce(&nodes).map_err(|error| Ending::unheard(&error))?;
    while !signals.has_come() {
        nodes.tell_changes().map_err(|error| Ending::unheard(&error))?;
        std::thread::sleep(TICK);
    }
    nodes.shutdown();
    let path = folder.path().display().to_string();
    folder.close().map_err(|error| Ending::failed(&format!("cannot remove {path}"), &error))
}

fn introduce(nodes: &Nodes) -> io::Result<()> {
    let (urls, api) = (nodes.urls().join("  "), nodes.api());
    let rows = table::ROWS;
    let mut out = io::stdout().lock();
    for note in nodes.notes() {
        writeln!(out, "{note}")?;
    }
    writeln!(
        out,
        "Three nodes share the keys of one SQLite table: {rows} scores, {DELAY:?} a read.

  nodes  {urls}
  api    http://{api}

In another terminal:

  curl 'http://{api}/api?key=Tom'          # 630, read from the table by the key's owner
  curl -i 'http://{api}/api/scores/Tom'    # again, at once: X-Larder tells where it was
  curl 'http://{api}/api?key=nobody'       # no such key: a 404

Each read of the table and each change of a node's counters is told below.
Ctrl-C ends the demo.
"
    )
}
