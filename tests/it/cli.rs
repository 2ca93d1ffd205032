//! The binary, through its flags, its signals and its ports.

mod access;
pub(crate) mod process;
#[cfg(target_os = "linux")]
mod restarts;
mod warm;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, wait_until};
use process::{Node, Process, database, get, larder};

#[test]
fn serve_answers_from_every_kind_of_origin() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("sub")).unwrap();
    fs::write(temp.path().join("sub/a file"), [0, 255, b'\n']).unwrap();
    let (_database, sqlite) = database(temp.path(), &[("Tom", "630")]);
    let node = Node::alone(&[
        &format!("files=dir:{}", temp.path().display()),
        &format!("scores={sqlite}"),
        "words=static:a=b=c,d=e",
    ]);
    assert_eq!(node.get("/api/files/sub/a%20file"), (200, vec![0, 255, b'\n']));
    assert_eq!(node.get("/api/scores/Tom"), (200, b"630".to_vec()));
    assert_eq!(node.get("/api?group=words&key=a"), (200, b"b=c".to_vec()));
    let (status, text) = node.get("/api/scores/nobody");
    assert_eq!(status, 404);
    assert!(String::from_utf8(text).unwrap().contains("\"nobody\""));
    assert_eq!(node.get("/readyz").0, 200);
}

#[test]
fn processes_of_one_ring_answer_the_same_and_load_each_key_once() {
    const KEYS: u64 = 60;
    let temp = tempfile::tempdir().unwrap();
    let name = |key| format!("file {key}");
    let bytes = |key: u64| key.to_string().repeat(1_000).into_bytes();
    for key in 0..KEYS {
        fs::write(temp.path().join(name(key)), bytes(key)).unwrap();
    }
    let nodes = Node::ring(3, &format!("files=dir:{}", temp.path().display()));
    thread::scope(|scope| {
        for api in nodes.iter().map(|node| &node.api) {
            scope.spawn(move || {
                for key in 0..KEYS {
                    let path = format!("/api/files/{}", name(key).replace(' ', "%20"));
                    assert_eq!(get(api, &path), (200, bytes(key)));
                }
            });
        }
    });
    let loads: Vec<u64> = nodes.iter().map(|node| node.counter("files", "local_loads")).collect();
    assert_eq!(loads.iter().sum::<u64>(), KEYS, "{loads:?}");
    assert!(loads.iter().all(|loads| *loads > 0), "one node owns nothing: {loads:?}");
}

/// A node whose one load hangs as long as the database is locked, and a client that waits.
struct InFlight {
    node: Node,
    database: rusqlite::Connection,
    client: thread::JoinHandle<(u16, Vec<u8>)>,
    _temp: tempfile::TempDir,
}

impl InFlight {
    fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (database, origin) = database(temp.path(), &[("k", "a value")]);
        let node = Node::alone(&[&format!("g={origin}")]);
        database.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let api = node.api.clone();
        let client = thread::spawn(move || get(&api, "/api/g/k"));
        wait_until("the load is under way", || node.counter("g", "getters_running") == 1);
        Self { node, database, client, _temp: temp }
    }

    fn wait_until_draining(&self) {
        wait_until("it takes no more", || TcpStream::connect(&self.node.api).is_err());
    }
}

#[test]
fn sigterm_lets_a_request_in_flight_finish_and_leaves_nothing() {
    let mut flight = InFlight::start();
    let mut idle = TcpStream::connect(&flight.node.api).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let mut byte = [0];
        idle.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    let signalled = Instant::now();
    flight.node.process.signal("TERM");
    flight.wait_until_draining();
    flight.database.execute_batch("COMMIT").unwrap();
    assert_eq!(flight.client.join().unwrap(), (200, b"a value".to_vec()));
    assert_eq!(flight.node.process.wait_for_end().code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(10), "{:?}", signalled.elapsed());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "the idle connection is closed");
    assert!(flight.node.process.leftovers().is_empty(), "{:?}", flight.node.process.leftovers());
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut flight = InFlight::start();
        flight.node.process.signal(signal);
        flight.wait_until_draining();
        flight.node.process.signal(signal);
        assert_eq!(flight.node.process.wait_for_end().code(), Some(code));
        assert!(flight.client.join().is_err(), "the client was cut off");
    }
}

/// Runs `larder`, which must end with `code`; what it says on stderr.
fn refusal(args: &[&str], code: i32) -> String {
    let output = larder(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?} said {said}");
    assert!(said.starts_with("larder: "), "{args:?} said {said}");
    assert!(output.stdout.is_empty(), "{args:?} wrote to stdout");
    said
}

#[test]
fn get_tells_by_its_exit_code_how_it_went() {
    let temp = tempfile::tempdir().unwrap();
    let (database, origin) = database(temp.path(), &[("a b/ä", "1\n2"), ("..", "dots")]);
    let node = Node::alone(&[&format!("g={origin}")]);
    for (key, value) in [("a b/ä", "1\n2"), ("..", "dots")] {
        let output = larder(&["get", &node.api, "g", key]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), value.as_bytes()));
    }
    let url = format!("http://{}/", node.api);
    assert!(refusal(&["get", &url, "g", "nobody"], 1).contains("\"nobody\""));
    assert!(refusal(&["get", &url, "other", "k"], 1).contains("no such group: \"other\""));
    assert!(refusal(&["get", &url, "g"], 2).contains("<KEY>"));
    database.execute("DROP TABLE t", ()).unwrap();
    assert!(refusal(&["get", &url, "g", "unread"], 3).contains("502"));
    drop(node);
    assert!(refusal(&["get", &url, "g", "k"], 3).contains("--api"));
}

#[test]
fn keys_are_set_and_removed_on_every_node() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("k"), "old").unwrap();
    fs::write(temp.path().join("l"), "old").unwrap();
    let nodes = Node::ring(2, &format!("g=dir:{}", temp.path().display()));
    let all_are = |key: &str, value: &str| {
        let path = format!("/api/g/{key}");
        nodes.iter().all(|node| node.get(&path) == (200, value.as_bytes().to_vec()))
    };
    assert!(all_are("k", "old") && all_are("l", "old"));
    let api = &nodes[0].api;
    let write = |args: &[&str]| {
        let output = larder(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.is_empty(), "{args:?} said {said}");
    };
    write(&["set", api, "g", "k", "set", "--ttl", "1h"]);
    assert!(all_are("k", "set"));
    // Nothing on stdin is an empty value.
    write(&["set", api, "g", "k"]);
    assert!(all_are("k", ""));
    fs::write(temp.path().join("k"), "new").unwrap();
    fs::write(temp.path().join("l"), "new").unwrap();
    write(&["remove", api, "g", "k"]);
    assert!(all_are("k", "new") && all_are("l", "old"));
    write(&["remove", api, "g", "l", "a \"b\"/..", "k"]);
    assert!(all_are("l", "new"));
    fs::write(temp.path().join("k"), "newer").unwrap();
    write(&["purge", api, "g"]);
    assert!(all_are("k", "newer"));
    assert!(refusal(&["remove", api, "X", "k"], 1).contains("no such group"));
    assert!(refusal(&["set", &nodes[1].peer, "g", "k", "v"], 3).contains("--api"));
    refusal(&["remove", api, "g"], 2);
    let mut gone = nodes;
    drop(gone.pop());
    let said = refusal(&["remove", &gone[0].api, "g", "k", "--timeout", "20s"], 3);
    assert!(said.contains("1 of 2 nodes") || said.contains("unconfirmed"), "{said}");
}

#[test]
fn get_takes_no_other_server_for_a_node() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        for body in ["200 OK", "404 Not Found"] {
            let (mut stream, _) = listener.accept().unwrap();
            // The request is read whole, so that closing does not reset the connection.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            let head = format!("HTTP/1.1 {body}\r\nContent-Length: 2\r\n\r\nhi");
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    assert!(refusal(&["get", &address, "g", "k"], 3).contains("answered 200: hi"));
    assert!(refusal(&["get", &address, "g", "k"], 3).contains("answered 404: hi"));
    server.join().unwrap();
}

#[test]
fn bad_flags_name_the_fix() {
    let group = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--group"];
    for (more, code, fix) in [
        (&["scores"][..], 2, "NAME=ORIGIN"),
        (&["g=static:k=v", "--cache-bytes", "much"], 2, "64MiB"),
        (&["g=static:k=v", "--dialect", "klingon"], 2, "native"),
        (&["g=static:k=v", "--eviction", "fifo"], 2, "lru, s3-fifo-ages"),
        (&["g=static:k=v", "--snapshot-every", "soon"], 2, "--snapshot-every"),
        (&["g=static:k=v", "--liste", "x"], 2, "--listen"),
        (&["g=redis:localhost"], 4, "dir:PATH"),
        (&["g=dir:/no/such/folder"], 4, "/no/such/folder"),
        (&["a/b=static:k=v"], 4, "choose another name"),
        (&["g=static:k=v", "--peers", "10.0.0.1:8001"], 4, "add it"),
        (&["g=static:k=v", "--peers", "https://10.0.0.1:8001"], 4, "http://host:port"),
        (&["g=static:k=v", "--config", "/no/such/file"], 4, "--config /no/such/file"),
    ] {
        let said = refusal(&[&["serve"], &group[..], more].concat(), code);
        assert!(said.contains(fix), "{fix:?} is missing in {said}");
    }
    assert!(refusal(&["serve"], 4).contains("--group NAME=ORIGIN"));
    assert!(refusal(&["get", "nowhere", "g", "k"], 2).contains("http://host:port"));
    assert!(refusal(&["serv"], 2).contains("'serve'"));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--listen", &address, "--api", "127.0.0.1:0", "--group", "g=static:k=v"];
    assert!(refusal(&args, 3).contains(&address));
}

#[test]
fn an_unknown_key_of_the_file_is_told_with_line_and_column() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("larder.toml").display().to_string();
    fs::write(&file, "listen = \"127.0.0.1:0\"\n  lisen = 1\n").unwrap();
    let said = refusal(&["serve", "--config", &file], 4);
    for word in [&*file, "line 2, column 3", "`lisen`", "`listen`"] {
        assert!(said.contains(word), "{word} is missing in {said}");
    }
}

#[test]
fn flags_go_before_the_environment_that_goes_before_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("larder.toml").display().to_string();
    let text = r#"
        listen = "127.0.0.1:0"
        api = "no address"
        advertise = "http://file:1"
        peers = ["http://file:1"]
        [groups.a]
        origin = "static:k=file"
        [groups.b]
        origin = "static:k=file"
    "#;
    fs::write(&file, text).unwrap();
    let environment = [
        ("LARDER_CONFIG", &*file),
        ("LARDER_API", "127.0.0.1:0"),
        ("LARDER_ADVERTISE", "http://environment:1"),
        ("LARDER_PEERS", "http://flag:1,environment:1"),
    ];
    let flags = ["--advertise", "http://flag:1", "--group", "b=static:k=flag"];
    let node = Node::start(&flags, &environment).unwrap();
    assert_eq!(node.get("/stats").0, 200);
    let stats: serde_json::Value = serde_json::from_slice(&node.get("/stats").1).unwrap();
    assert_eq!(stats["self"], "http://flag:1");
    assert_eq!(stats["peers"].as_array().unwrap().len(), 2);
    // The peer of the environment does not exist: its keys are loaded here.
    assert_eq!(node.get("/api/a/k"), (200, b"file".to_vec()));
    assert_eq!(node.get("/api/b/k"), (200, b"flag".to_vec()));
}

#[test]
fn a_groups_own_eviction_goes_before_the_nodes_and_the_flag_before_both() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("larder.toml").display().to_string();
    let text = r#"
        listen = "127.0.0.1:0"
        api = "127.0.0.1:0"
        eviction = "s3-fifo-ages"
        [groups.own]
        origin = "static:k=v"
        eviction = "lru"
        [groups.nodes]
        origin = "static:k=v"
    "#;
    fs::write(&file, text).unwrap();
    let both = |name| [("own", name), ("nodes", name)];
    for (flags, environment, expected) in [
        (&[][..], &[][..], [("own", "lru"), ("nodes", "s3-fifo-ages")]),
        (&[], &[("LARDER_EVICTION", "s3-fifo-ages")], both("s3-fifo-ages")),
        (&["--eviction", "lru"], &[("LARDER_EVICTION", "s3-fifo-ages")], both("lru")),
    ] {
        let node = Node::start(&[&["--config", &file], flags].concat(), environment).unwrap();
        let stats: serde_json::Value = serde_json::from_slice(&node.get("/stats").1).unwrap();
        for (group, name) in expected {
            assert_eq!(stats["groups"][group]["eviction"], name, "{group} with {flags:?}");
        }
    }
}

#[test]
fn the_demo_answers_and_leaves_nothing_behind() {
    // Either this holds the port or another does: the demo has to go without.
    let _taken = TcpListener::bind("127.0.0.1:9999");
    let mut demo = Process::start(&["demo"], &[]);
    assert!(demo.line_with("Port 9999").is_some());
    let line = demo.line_with("  api    http://").unwrap();
    let api = line.trim_start().trim_start_matches("api    http://");
    assert_eq!(get(api, "/api?key=Tom"), (200, b"630".to_vec()));
    assert!(demo.line_with("read \"Tom\" from the table").is_some());
    assert!(demo.line_with("local_loads 1").is_some());
    let (status, text) = get(api, "/api?key=nobody");
    assert_eq!(status, 404);
    assert!(String::from_utf8(text).unwrap().contains("\"nobody\""));
    assert_eq!(get(api, "/api/scores/player10000").0, 200);
    assert!(!demo.leftovers().is_empty());
    demo.signal("INT");
    assert_eq!(demo.wait_for_end().code(), Some(0));
    assert!(demo.leftovers().is_empty(), "{:?}", demo.leftovers());
}

#[test]
fn help_fits_a_screen_and_ends_with_an_example() {
    for command in [&[][..], &["serve"], &["get"], &["demo"]] {
        let output = larder(&[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0));
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.lines().count() <= 40, "{command:?}: {} lines", help.lines().count());
        let (_, example) = help.split_once("\nExample:\n").unwrap();
        assert!(example.starts_with("  larder "), "{command:?}: {example}");
    }
}
