//! Secrets and tokens of the binary, and what it says of listeners that have none.

use std::fs;
use std::path::Path;

use super::process::{Node, larder, larder_with};
use super::refusal;

const SECRET: &str = "a secret that is long enough";
const OTHER: &str = "another one, long enough too";
const READ: &str = "reader-0123456789abcdef";

/// A file with this text, by its path.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn start(more: &[&str], environment: &[(&str, &str)]) -> Node {
    let args = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--group", "g=static:k=v"];
    Node::start(&[&args[..], more].concat(), environment).unwrap()
}

#[test]
fn get_shows_a_token_from_a_file_or_the_environment() {
    let temp = tempfile::tempdir().unwrap();
    let tokens = file(temp.path(), "tokens", &format!("# who\nread {READ}\n"));
    let node = start(&["--tokens-file", &tokens], &[]);
    assert_eq!(node.get("/healthz").0, 200);
    assert_eq!(node.get("/api/g/k").0, 401);
    let ask = ["get", &node.api, "g", "k"];
    let told = refusal(&ask, 3);
    assert!(told.contains("401") && told.contains("--token-file"), "{told}");
    let token = file(temp.path(), "token", &format!("{READ}\n"));
    for output in [
        larder(&[&ask[..], &["--token-file", &token]].concat()),
        larder_with(&ask, &[("LARDER_TOKEN", READ)]),
        larder_with(&ask, &[("LARDER_TOKEN", "wrong"), ("LARDER_TOKEN_FILE", &token)]),
    ] {
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"v"[..]), "{output:?}");
    }
    assert!(refusal(&[&ask[..], &["--token-file", "/no/such/file"]].concat(), 4).contains("/no/"));
    let empty = file(temp.path(), "empty", "\n");
    assert!(refusal(&[&ask[..], &["--token-file", &empty]].concat(), 4).contains("no token"));
}

#[test]
fn a_ring_with_a_secret_refuses_a_node_without() {
    let temp = tempfile::tempdir().unwrap();
    let secret = file(temp.path(), "secret", SECRET);
    let asked = start(&["--secret-file", &secret], &[]);
    // The asking node's own port is not known before it listens, and nobody asks for it.
    let own = "http://127.0.0.1:1";
    let peers = format!("{own},{}", asked.peer);
    let more = ["--advertise", own, "--peers", &peers];
    for environment in [&[("LARDER_SECRET", OTHER)][..], &[], &[("LARDER_SECRET", SECRET)]] {
        let asking = start(&more, environment);
        // One of so many is the other's.
        (0..64).for_each(|n| assert_eq!(asking.get(&format!("/api/g/{n}")).0, 404));
        assert_eq!(asking.get("/api/g/k"), (200, b"v".to_vec()));
        let is_member = environment == [("LARDER_SECRET", SECRET)];
        assert_eq!(asking.counter("g", "peer_errors") == 0, is_member);
        assert_eq!(asked.counter("g", "server_requests") > 0, is_member);
    }
}

#[test]
fn sighup_reads_the_files_again_and_a_bad_one_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let tokens = file(temp.path(), "tokens", &format!("read {READ}"));
    let secret = file(temp.path(), "secret", SECRET);
    let node = start(&["--tokens-file", &tokens, "--secret-file", &secret], &[]);
    let status = |token| {
        let output = larder_with(&["get", &node.api, "g", "k"], &[("LARDER_TOKEN", token)]);
        output.status.code()
    };
    let new = "another-0123456789abcdef";
    file(temp.path(), "tokens", &format!("read {new}"));
    file(temp.path(), "secret", "short");
    node.process.signal("HUP");
    let line = node.process.line_with("larder: ").unwrap();
    assert!(line.contains("stays as it was") && line.contains(&secret), "{line}");
    assert_eq!((status(READ), status(new)), (Some(0), Some(3)));
    file(temp.path(), "secret", OTHER);
    node.process.signal("HUP");
    assert_eq!(node.process.line_with("larder: ").unwrap(), "larder: the files were read anew");
    assert_eq!((status(READ), status(new)), (Some(3), Some(0)));
}

#[test]
fn listeners_that_strangers_reach_are_warned_of_unless_that_is_meant() {
    let temp = tempfile::tempdir().unwrap();
    let secret = file(temp.path(), "secret", SECRET);
    let tokens = file(temp.path(), "tokens", &format!("read {READ}"));
    let open = ["--listen", "0.0.0.0:0", "--advertise", "http://127.0.0.1:1", "--api", "0.0.0.0:0"];
    for (more, expected) in [
        (&[][..], &["peers on", "api on"][..]),
        (&["--secret-file", &secret], &["api on"]),
        (&["--tokens-file", &tokens], &["peers on"]),
        (&["--secret-file", &secret, "--tokens-file", &tokens], &[]),
        (&["--insecure"], &[]),
    ] {
        let group = ["--group", "g=static:k=v"];
        let mut node = Node::start(&[&open[..], &group, more].concat(), &[]).unwrap();
        for listener in expected {
            let line = node.process.line_with("larder: ").unwrap();
            assert!(line.contains("warning") && line.contains(listener), "{line}");
            assert!(line.contains("--insecure"), "{line}");
        }
        node.process.signal("TERM");
        assert_eq!(node.process.wait_for_end().code(), Some(0));
        assert_eq!(node.process.line_with("warning"), None, "{more:?}");
    }
}

#[test]
fn secrets_and_tokens_that_cannot_be_used_are_told_at_the_start() {
    let temp = tempfile::tempdir().unwrap();
    let short = file(temp.path(), "short", "hunter2");
    let group = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let group = [&group[..], &["--group", "g=static:k=v"]].concat();
    let secret = file(temp.path(), "secret", SECRET);
    for (more, fix) in [
        (&["--secret-file", &short][..], "line 1 has 7 bytes"),
        (&["--tokens-file", &short], "`read TOKEN`"),
        (&["--secret-file", "/no/such/file"], "/no/such/file"),
        (&["--secret-file", &secret, "--dialect", "groupcache"], "Go node"),
    ] {
        let said = refusal(&[&group[..], more].concat(), 4);
        assert!(said.contains(fix) && !said.contains("hunter2"), "{said}");
    }
    let output = larder_with(&group, &[("LARDER_SECRET", "hunter2")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("LARDER_SECRET: line 1") && !said.contains("hunter2"), "{said}");
}
