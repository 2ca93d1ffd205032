//! The binary with its flags for TLS, and SIGHUP.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::authority::{Authority, HOST, Until};
use super::client::{Client, config_for, get};
use crate::cli::process::{Process, larder};
use crate::support::wait_until;

/// A running `larder serve` with TLS on both listeners.
struct Node {
    process: Process,
    peer: SocketAddr,
    api: SocketAddr,
}

impl Node {
    fn start(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let args = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
        let group = ["--group", "g=static:k=v"];
        let process = Process::start(&[&args[..], &group, flags].concat(), environment);
        let line = process.line_with("larder: peers on https://").expect("it listens");
        let line = line.strip_prefix("larder: peers on https://").unwrap();
        let (peer, api) = line.split_once(", api on https://").unwrap();
        let (peer, api) = (peer.parse().unwrap(), api.parse().unwrap());
        Self { process, peer, api }
    }
}

#[test]
fn the_binary_speaks_tls_by_its_flags_and_reads_files_anew_on_sighup() {
    let authority = Authority::new("ring");
    let files = authority.good("node");
    let path = |path: &std::path::Path| path.display().to_string();
    let (cert, key, ca) = (path(&files.cert), path(&files.key), path(&authority.ca()));
    let flags = ["--peer-cert", &cert, "--peer-key", &key, "--peer-ca", &ca];
    let environment = [("LARDER_API_CERT", &*cert), ("LARDER_API_KEY", &*key)];
    let mut node = Node::start(&flags, &environment);
    let anyone = || config_for(&authority.ca(), None);
    let mut old = Client::connect(node.api, &anyone());
    assert_eq!(old.get("/api/g/k").unwrap().text(), "v");
    assert!(get(node.peer, &anyone(), "/healthz").is_err(), "peers show certificates");
    let peer = config_for(&authority.ca(), Some(&authority.good("peer")));
    assert_eq!(get(node.peer, &peer, "/healthz").unwrap().status, 200);
    let shown = |client: &Client| client.stream.conn.peer_certificates().unwrap()[0].to_vec();

    let new = authority.good("new");
    fs::copy(&new.cert, &files.cert).unwrap();
    node.process.signal("HUP");
    let line = node.process.line_with("TLS").unwrap();
    assert!(line.contains("stays as it was") && line.contains("node.key"), "{line}");
    fs::copy(&new.key, &files.key).unwrap();
    node.process.signal("HUP");
    assert!(node.process.line_with("read anew").is_some());
    let mut fresh = Client::connect(node.api, &anyone());
    assert_eq!(fresh.get("/api/g/k").unwrap().text(), "v");
    assert_ne!(shown(&fresh), shown(&old));
    assert_eq!(old.get("/api/g/k").unwrap().text(), "v");
    node.process.signal("TERM");
    assert_eq!(node.process.wait_for_end().code(), Some(0));
}

#[test]
fn the_binary_takes_tls_from_its_file() {
    let authority = Authority::new("ring");
    let files = authority.good("node");
    let (cert, key, ca) = (files.cert.display(), files.key.display(), authority.ca());
    let config = authority.folder().join("larder.toml");
    let ca = ca.display();
    let text = format!(
        "[peer_tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nca = \"{ca}\"\n\
         [api_tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nca = \"{ca}\"\n\
         client_certs = \"optional\"\n"
    );
    fs::write(&config, text).unwrap();
    let node = Node::start(&["--config", &config.display().to_string()], &[]);
    let anyone = config_for(&authority.ca(), None);
    assert_eq!(get(node.api, &anyone, "/api/g/k").unwrap().text(), "v");
    assert!(get(node.peer, &anyone, "/healthz").is_err());
}

#[test]
fn half_of_the_flags_or_a_bad_file_is_told() {
    let authority = Authority::new("ring");
    let (good, other) = (authority.good("good"), authority.good("other"));
    let (cert, key) = (good.cert.display().to_string(), other.key.display().to_string());
    let serve = ["serve", "--listen", &format!("{HOST}:0"), "--group", "g=static:k=v"];
    for (flags, word) in [
        (&["--api-cert", &cert][..], "--api-key"),
        (&["--api-cert", &cert, "--api-key", &key], "does not belong"),
    ] {
        let output = larder(&[&serve[..], &["--api", "127.0.0.1:0"], flags].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(word), "{said}");
    }
}

/// Threads and open files of a process.
#[cfg(target_os = "linux")]
fn usage(process: &Process) -> [usize; 2] {
    let count = |what| fs::read_dir(format!("/proc/{}/{what}", process.id())).unwrap().count();
    [count("task"), count("fd")]
}

#[cfg(target_os = "linux")]
#[test]
fn attacks_on_handshakes_let_nobody_in_and_leave_nothing_behind() {
    const EACH: usize = 100;
    let (authority, other) = (Authority::new("ring"), Authority::new("other"));
    let files = authority.good("node");
    let (cert, key, ca) = (files.cert.display(), files.key.display(), authority.ca());
    let tls = format!("cert = \"{cert}\"\nkey = \"{key}\"\nca = \"{}\"\n", ca.display());
    let config = authority.folder().join("larder.toml");
    let limits = "[limits]\nhandshake_timeout = \"3s\"\n";
    fs::write(&config, format!("[peer_tls]\n{tls}[api_tls]\n{tls}{limits}")).unwrap();
    let node = Node::start(&["--config", &config.display().to_string()], &[]);
    let good = config_for(&authority.ca(), Some(&authority.good("client")));
    let mut clients = [node.peer, node.api].map(|addr| Client::connect(addr, &good));
    let mut serves =
        || clients.each_mut().iter_mut().all(|c| c.get("/healthz").unwrap().status == 200);
    assert!(serves());
    let before = usage(&node.process);
    let expired = authority.sign("expired", HOST, Until::LongAgo);
    let strangers = [None, Some(&expired), Some(&other.good("client"))];
    for addr in [node.peer, node.api] {
        let slow: Vec<_> = (0..EACH).map(|_| TcpStream::connect(addr).unwrap()).collect();
        // As the start of a hello that is announced to be longer.
        slow.iter().step_by(2).for_each(|mut s| s.write_all(&[22, 3, 1, 2, 0, 1]).unwrap());
        for i in 0..EACH {
            let stranger = config_for(&authority.ca(), strangers[i % strangers.len()]);
            assert!(get(addr, &stranger, "/api/g/k").is_err(), "nobody is let in");
        }
        assert!(serves());
        let after = || usage(&node.process);
        wait_until("all of it is gone", || after().iter().zip(before).all(|(a, b)| *a <= b));
        drop(slow);
    }
    assert!(serves());
}
