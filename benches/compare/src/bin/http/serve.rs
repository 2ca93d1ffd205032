//! The servers that this program is itself, when it is started once more with [`SERVE`].

use std::convert::Infallible;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use larder::HttpPool;
use tokio::net::TcpListener;

use crate::support::{BareServer, Client};
use crate::targets::{GROUP, key, value};

const SERVE: &str = "--serve";
const CACHE_BYTES: usize = 64 << 20;
/// As many as wrk has.
const HYPER_THREADS: usize = 2;

/// Starts this program as the server `what`, which prints its addresses on one line.
pub(crate) fn start(what: &str, args: &[String]) -> Child {
    let own = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(own);
    command.args([SERVE, what]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("this program starts once more")
}

/// Serves, when the arguments say so, until the other side of its input has gone.
pub(crate) fn was_asked_for() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [serve, what, rest @ ..] = &*args else { return false };
    if serve != SERVE {
        return false;
    }
    match (what.as_str(), rest) {
        ("larder", []) => larder(),
        ("hyper", sizes) => hyper(sizes),
        ("echo", [addr, path, bytes]) => echo(addr, path, bytes),
        _ => panic!("no such server: {what}"),
    }
    true
}

fn until_told() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

fn larder() {
    let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
    let pool = builder.start().expect("a node");
    let getter = |key: &str| Ok(value(key.split(':').next().unwrap_or_default().parse()?));
    let _group = pool.group(GROUP, CACHE_BYTES, getter).expect("a group");
    let addrs = [pool.api_addr(), pool.peer_addr()].map(|addr| addr.expect("it listens"));
    println!("{} {}", addrs[0], addrs[1]);
    until_told();
}

/// Hyper with nothing around it: the path is looked up in a list of as many as there are sizes.
fn hyper(sizes: &[String]) {
    let sizes = sizes.iter().map(|size| size.parse().expect("a size"));
    let pages: Vec<(String, Bytes)> =
        sizes.map(|bytes| (format!("/{}", key(bytes)), Bytes::from(value(bytes)))).collect();
    let pages: &'static [(String, Bytes)] = pages.leak();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HYPER_THREADS)
        .enable_io()
        .build()
        .expect("a runtime");
    runtime.spawn(accept(pages));
    until_told();
}

async fn accept(pages: &'static [(String, Bytes)]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let answer = async move |request: Request<Incoming>| {
        let page = pages.iter().find(|page| page.0 == request.uri().path());
        Ok::<_, Infallible>(Response::new(Full::new(page.expect("a known path").1.clone())))
    };
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

/// Answers as the server at `addr` does, without looking at what is asked.
fn echo(addr: &str, path: &str, bytes: &str) {
    let addr: SocketAddr = addr.parse().expect("an address");
    let model = Client::connect(addr, path, &value(bytes.parse().expect("a size")));
    println!("{}", BareServer::like(&model).addr);
    until_told();
}
