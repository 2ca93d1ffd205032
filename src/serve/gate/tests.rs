use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;
use crate::serve::{AtOnce, Request};

/// Generous: only a hang is longer.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK: &[u8] = b"GET /asked HTTP/1.1\r\nHost: x\r\n\r\n";

/// Answers with the target.
struct Echo;

impl Service for Echo {
    fn at_once(&self, request: &Request<'_>) -> AtOnce {
        AtOnce::Answer(Answer::text(200, request.target))
    }

    fn work(&self, _request: &Request<'_>) -> Answer {
        unreachable!("everything is answered at once")
    }

    fn shared(&self, _request: &Request<'_>, _answer: &Answer) {
        unreachable!("no request parks")
    }
}

fn gate(listener: Listener) -> Gate {
    let limits = Limits { lane_workers: 1, ..Limits::default() };
    Gate::start("test", listener, None, Arc::new(Echo), &limits, Arc::default()).unwrap()
}

fn socket() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn client(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn is_last_answer(mut client: TcpStream) -> bool {
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer.contains("Connection: close\r\n") && answer.ends_with("\r\n\r\n/asked\n")
}

#[test]
fn idle_connections_may_still_ask_when_the_listener_is_closed() {
    let gate = gate(Listener::own(socket()));
    let clients: Vec<TcpStream> = (0..4).map(|_| client(gate.addr())).collect();
    // Longer than the test takes: only the clients end it.
    let quiet = Instant::now() + PATIENCE;
    gate.begin(Drain { quiet, deadline: quiet + PATIENCE });
    let (tell, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| tell.send(gate.finish_drain()));
        while TcpStream::connect_timeout(&gate.addr(), NOTICE).is_ok() {
            assert!(Instant::now() < quiet, "it is never closed");
        }
        assert!(ended.try_recv().is_err());
        for mut client in clients {
            client.write_all(ASK).unwrap();
            assert!(is_last_answer(client));
        }
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
    });
    assert!(gate.shared.open.lock().take_ended().is_empty(), "every thread was joined");
}

#[test]
fn a_listener_that_others_have_is_given_up_and_not_ended() {
    let socket = socket();
    let addr = socket.local_addr().unwrap();
    for _ in 0..3 {
        let shared = Listener::shared(socket.try_clone().unwrap()).unwrap();
        let gate = gate(shared);
        let mut first = client(addr);
        first.write_all(ASK).unwrap();
        first.peek(&mut [0]).unwrap();
        drop(first);
        gate.begin_drain(Instant::now() + PATIENCE);
        // It waits in the socket's queue for whoever comes next.
        let mut waiting = client(addr);
        waiting.write_all(ASK).unwrap();
        assert!(gate.finish_drain());
        drop(gate);
        let (accepted, _) = socket.accept().unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), waiting.local_addr().unwrap());
    }
}

#[test]
fn a_listener_that_has_a_heir_goes_on_with_it() {
    let socket = socket();
    let addr = socket.local_addr().unwrap();
    let shared = || Listener::shared(socket.try_clone().unwrap()).unwrap();
    // Both wait for connections, and the one that ends is not always the one that is woken.
    let (old, heir) = (gate(shared()), gate(shared()));
    old.begin_drain(Instant::now() + PATIENCE);
    assert!(old.finish_drain());
    assert!(old.acceptor.lock().is_none());
    for _ in 0..20 {
        let mut client = client(addr);
        client.write_all(b"GET /asked HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
        assert!(is_last_answer(client));
    }
    drop(heir);
}
