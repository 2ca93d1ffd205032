//! A pool without a listener, mounted on a tiny_http server of the program's own.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use larder::testing::{Fault, TestOrigin};
use larder::{Error, Group, GroupOptions, HttpPool, Limits};

use crate::support::{Client, PATIENCE, get, key_owned_by};

/// A program's own server, which gives its requests to a pool.
struct Mounted {
    server: Arc<tiny_http::Server>,
    pool: Arc<HttpPool>,
    workers: Vec<JoinHandle<()>>,
    origin: TestOrigin,
}

const WORKERS: usize = 2;

impl Mounted {
    fn start() -> Self {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let url = format!("http://{}", server.server_addr());
        let pool = Arc::new(HttpPool::builder().advertise(&url).start().unwrap());
        let origin = TestOrigin::new();
        pool.group("g", 1 << 20, origin.clone()).unwrap();
        let worker = |_| {
            let (server, pool) = (Arc::clone(&server), Arc::clone(&pool));
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    pool.handle(request);
                }
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        Self { server, pool, workers, origin }
    }

    fn addr(&self) -> SocketAddr {
        self.server.server_addr().to_ip().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for _ in 0..WORKERS {
            self.server.unblock();
        }
        for worker in self.workers.drain(..) {
            worker.join().unwrap();
        }
    }
}

/// A node, and a key that it asks the mounted one for.
fn asking(mounted: &Mounted) -> (HttpPool, Group, TestOrigin, String) {
    let mut limits = Limits::default();
    (limits.lane_workers, limits.peer_call) = (2, PATIENCE);
    let pool = HttpPool::builder().listen("http://127.0.0.1:0").limits(limits).start().unwrap();
    pool.set_peers([pool.url(), mounted.pool.url()]).unwrap();
    let origin = TestOrigin::new();
    let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE);
    let group = pool.group_with(options, "g", origin.clone()).unwrap();
    let key = key_owned_by(&pool, mounted.pool.url());
    (pool, group, origin, key)
}

#[test]
fn a_mounted_pool_is_a_peer_like_any_other() {
    let mounted = Mounted::start();
    assert_eq!((mounted.pool.peer_addr(), mounted.pool.api_addr()), (None, None));
    let (pool, group, own, _) = asking(&mounted);
    let keys = (0..100).map(|i| format!("a/b c {i}"));
    let keys: Vec<_> = keys.filter(|key| pool.owner(key) == mounted.pool.url()).collect();
    for key in keys.iter().chain(&keys) {
        assert_eq!(group.get(key).unwrap(), TestOrigin::value(key).as_str());
    }
    assert_eq!(own.total_loads(), 0);
    assert_eq!(mounted.origin.total_loads(), keys.len() as u64);
    assert_eq!(group.stats().peer_errors, 0);
}

#[test]
fn the_errors_of_a_mounted_pool_arrive_as_what_they_are() {
    let mounted = Mounted::start();
    let (_pool, group, own, key) = asking(&mounted);
    mounted.origin.set_fault_of(&key, Fault::NotFound);
    assert!(group.get(&key).unwrap_err().is_not_found());
    mounted.origin.set_fault_of(&key, Fault::Panic);
    assert!(matches!(group.get(&key), Err(Error::GetterPanicked { .. })));
    assert_eq!((own.total_loads(), group.stats().peer_errors), (0, 0));
}

#[test]
fn what_is_not_a_peers_request_is_answered_as_by_a_listener_of_its_own() {
    let mounted = Mounted::start();
    let with_listener = HttpPool::bind("http://127.0.0.1:0").unwrap();
    with_listener.group("g", 1 << 20, TestOrigin::new()).unwrap();
    for path in ["/", "/_larder/g", "/_larder/g/%zz", "/_larder/nobody/k", "/_larder/g/k"] {
        let (ours, theirs) =
            (get(mounted.addr(), path), get(with_listener.peer_addr().unwrap(), path));
        assert_eq!((ours.status, ours.text()), (theirs.status, theirs.text()), "{path}");
    }
    for (request, status) in [
        ("PUT /_larder/g/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405),
        ("BREW /_larder/g/k HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("HEAD /_larder/g/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
    ] {
        let client = Client::from(TcpStream::connect(mounted.addr()).unwrap());
        client.send(request).unwrap();
        let status_line = format!("HTTP/1.1 {status} ");
        let mut start = vec![0; status_line.len()];
        std::io::Read::read_exact(&mut client.socket(), &mut start).unwrap();
        assert_eq!(String::from_utf8_lossy(&start), status_line);
    }
}
