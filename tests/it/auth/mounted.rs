//! A pool on a tiny_http server of the program's own checks signatures as well.

use std::io::Write;
use std::net::TcpStream;

use larder::testing::TestOrigin;

use super::{Ear, Node, OLD, pool, secrets};
use crate::support::Client;

#[test]
fn a_mounted_pool_answers_what_is_signed_once() {
    let ear = Ear::new();
    let node = Node::start(pool().advertise(&ear.url()).secrets(secrets(&[OLD])));
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let addr = server.server_addr().to_ip().unwrap();
    let heard = ear.hear(OLD);
    let unsigned = "GET /_larder/g/k HTTP/1.1\r\nHost: x\r\n\r\n";
    let wrong = heard.replacen("/_larder/g/", "/_larder/g/x", 1);
    for (request, status) in [(unsigned, 401), (&*wrong, 401), (&*heard, 200), (&*heard, 401)] {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        node.pool.handle(server.recv().unwrap());
        let answer = Client::from(stream).answer().unwrap();
        assert_eq!(answer.status, status, "{request}");
    }
    assert_eq!(node.origin.total_loads(), 1);
    assert_eq!(node.pool.peer_listener_stats().unauthorized, 3);
    let key = heard.split(' ').nth(1).unwrap().trim_start_matches("/_larder/g/");
    let key = key.replace("%20", " ");
    assert_eq!(node.group.get(&key).unwrap(), TestOrigin::value(&key).as_str());
}
