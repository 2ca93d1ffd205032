//! Warm restarts: a node that is stopped or killed, and started again.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Node, Process, database};
use super::refusal;
use crate::support::wait_until;

const KEYS: usize = 50;

/// A folder for snapshots, and a database with a value for each key.
struct Home {
    temp: TempDir,
    database: rusqlite::Connection,
    origin: String,
}

impl Home {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let rows: Vec<(String, String)> =
            (0..KEYS).map(|n| (format!("key{n}"), format!("old {n}"))).collect();
        let rows: Vec<(&str, &str)> = rows.iter().map(|(key, value)| (&**key, &**value)).collect();
        let (database, origin) = database(temp.path(), &rows);
        Self { temp, database, origin: format!("g={origin}") }
    }

    /// Made by the node.
    fn folder(&self) -> PathBuf {
        self.temp.path().join("snapshots/of larder")
    }

    fn file(&self) -> PathBuf {
        self.folder().join("g.larder")
    }

    fn start(&self, more: &[&str]) -> Node {
        let folder = self.folder().display().to_string();
        let args = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--group", &self.origin];
        Node::start(&[&args[..], &["--snapshot", &folder], more].concat(), &[]).unwrap()
    }

    /// From now on the origin has another value of every key.
    fn change(&self) {
        self.database.execute("UPDATE t SET value = 'new'", ()).unwrap();
    }
}

fn get_all(node: &Node) -> Vec<String> {
    let get = |n| {
        let (status, body) = node.get(&format!("/api/g/key{n}"));
        assert_eq!(status, 200);
        String::from_utf8(body).unwrap()
    };
    (0..KEYS).map(get).collect()
}

fn old() -> Vec<String> {
    (0..KEYS).map(|n| format!("old {n}")).collect()
}

fn end(mut node: Node, signal: &str) {
    node.process.signal(signal);
    let code = node.process.wait_for_end().code();
    assert_eq!(code, (signal == "TERM").then_some(0));
    // A killed process cannot clean up behind itself.
    assert!(signal == "KILL" || node.process.leftovers().is_empty());
}

/// The files beside the snapshot, by what follows its name.
fn beside(file: &Path) -> Vec<String> {
    let entries = fs::read_dir(file.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut endings: Vec<String> =
        names.map(|name| name.strip_prefix("g.larder").unwrap().to_owned()).collect();
    endings.sort_unstable();
    endings
}

#[test]
fn a_node_that_was_stopped_serves_all_without_asking_the_origin() {
    let home = Home::new();
    let node = home.start(&[]);
    assert!(node.said[0].contains("group \"g\": starts cold: no snapshot"), "{:?}", node.said);
    assert_eq!(get_all(&node), old());
    end(node, "TERM");
    home.change();
    for _ in 0..2 {
        let node = home.start(&[]);
        let line = format!("larder: group \"g\": 50 entries from {} (", home.file().display());
        assert!(node.said[0].starts_with(&line), "{:?}", node.said);
        assert_eq!(get_all(&node), old());
        assert_eq!((node.counter("g", "loads"), node.counter("g", "local_loads")), (0, 0));
        end(node, "TERM");
        let endings = beside(&home.file());
        assert_eq!(endings.len(), 3, "{endings:?}");
        assert!(endings[2].starts_with(".removed-"), "{endings:?}");
    }
}

#[test]
fn a_node_that_was_killed_comes_back_with_its_last_snapshot() {
    let home = Home::new();
    let node = home.start(&["--snapshot-every", "50ms"]);
    assert_eq!(get_all(&node), old());
    let before = node.counter("g", "snapshots");
    // The one after the next was begun after the gets.
    wait_until("snapshots are written", || node.counter("g", "snapshots") >= before + 2);
    end(node, "KILL");
    home.change();
    let node = home.start(&[]);
    assert_eq!(get_all(&node), old());
    assert_eq!(node.counter("g", "local_loads"), 0);
}

#[test]
fn a_removed_key_does_not_come_back_however_the_node_ends() {
    let home = Home::new();
    let node = home.start(&["--dialect", "mailgun"]);
    get_all(&node);
    end(node, "TERM");
    home.change();
    let node = home.start(&["--dialect", "mailgun"]);
    assert!(node.said[0].contains("50 entries"), "{:?}", node.said);
    let url = format!("http://{}/_groupcache/g/key7", node.peer);
    assert_eq!(ureq::delete(url).config().proxy(None).build().call().unwrap().status(), 200);
    end(node, "KILL");
    let node = home.start(&["--dialect", "mailgun"]);
    assert!(node.said[0].contains("49 entries"), "{:?}", node.said);
    let mut expected = old();
    expected[7] = "new".to_owned();
    assert_eq!(get_all(&node), expected);
    assert_eq!(node.counter("g", "local_loads"), 1);
}

#[test]
fn a_damaged_file_is_told_of_and_the_next_one_takes_its_place() {
    let home = Home::new();
    let node = home.start(&[]);
    get_all(&node);
    end(node, "TERM");
    home.change();
    let mut bytes = fs::read(home.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(home.file(), bytes).unwrap();
    let node = home.start(&[]);
    let said = &node.said[0];
    for words in ["group \"g\": starts cold: ", "g.larder: is damaged at block 0", "next snapshot"]
    {
        assert!(said.contains(words), "{words:?} is missing in {said}");
    }
    assert_eq!(get_all(&node), vec!["new"; KEYS]);
    assert_eq!(node.counter("g", "snapshot_errors"), 1);
    end(node, "TERM");
    let node = home.start(&[]);
    assert_eq!(get_all(&node), vec!["new"; KEYS]);
    assert_eq!(node.counter("g", "local_loads"), 0);
}

#[test]
fn a_folder_that_goes_away_is_told_of_and_no_reason_to_end() {
    let home = Home::new();
    let node = home.start(&["--snapshot-every", "50ms"]);
    wait_until("a snapshot is written", || node.counter("g", "snapshots") > 0);
    fs::remove_dir_all(home.folder()).unwrap();
    // Until it is gone the process may be about to write into it.
    while home.folder().exists() {
        let _ = fs::remove_dir_all(home.folder());
    }
    let line = node.process.line_with("no snapshot was written").unwrap();
    assert!(line.starts_with("larder: group \"g\": ") && line.contains("g.larder"), "{line}");
    assert_eq!(get_all(&node), old());
    end(node, "TERM");
}

#[test]
fn a_snapshot_that_cannot_be_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().display().to_string();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let serve = [&serve[..], &["--group", "g=static:k=v", "--snapshot"]].concat();
    let said = refusal(&[&serve[..], &["/dev/null/folder"]].concat(), 3);
    assert!(said.contains("cannot make /dev/null/folder"), "{said}");
    let said = refusal(&[&serve[..], &[&folder, "--snapshot-every", "0s"]].concat(), 4);
    assert!(said.contains("snapshot_every"), "{said}");
    let first = Process::start(&[&serve[..], &[&folder]].concat(), &[]);
    assert!(first.line_with("peers on").is_some());
    let said = refusal(&[&serve[..], &[&folder]].concat(), 4);
    assert!(said.contains("g.larder") && said.contains("its own path"), "{said}");
}
