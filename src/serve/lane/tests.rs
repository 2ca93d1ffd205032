use std::sync::mpsc;
use std::thread;

use super::*;
use crate::serve::AtOnce;

/// Generous: only a hang is longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request for it is not answered before the test lets it.
const HELD: &str = "/held";

/// Answers with the target; tells of requests for [`HELD`], and holds them.
struct Echo {
    begun: Mutex<mpsc::Sender<()>>,
    held: Mutex<mpsc::Receiver<()>>,
}

impl Service for Echo {
    fn at_once(&self, _request: &Request<'_>) -> AtOnce {
        unreachable!("a lane carries requests out")
    }

    fn work(&self, request: &Request<'_>) -> Answer {
        if request.target == HELD {
            let _ = self.begun.lock().send(());
            let _ = self.held.lock().recv();
        }
        Answer::text(200, request.target)
    }

    fn shared(&self, _request: &Request<'_>, _answer: &Answer) {}
}

struct Bench {
    lane: Lane,
    begun: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn bench(workers: usize) -> Bench {
    let ((tell, begun), (release, held)) = (mpsc::channel(), mpsc::channel());
    let echo = Arc::new(Echo { begun: Mutex::new(tell), held: Mutex::new(held) });
    let limits = Limits { lane_workers: workers, ..Limits::default() };
    let lane = Lane::start("test", echo, &limits, Arc::default()).unwrap();
    Bench { lane, begun, release }
}

impl Lane {
    fn ask(&self, target: &str) -> Answer {
        let request = Request {
            method: Method::Get,
            target,
            within: None,
            conditions: Conditions::default(),
            body: Vec::new(),
        };
        self.call(&request, Instant::now() + PATIENCE)
    }

    fn answers(&self, target: &str) {
        let answer = self.ask(target);
        assert_eq!((answer.status, &*answer.body), (200, format!("{target}\n").as_bytes()));
    }

    /// Breaks the connection that is drawn next.
    fn break_one(&self) {
        let slot = self.idle.try_recv().unwrap();
        if let Slot::Open(connection) = &slot {
            connection.stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
        self.give_back.send(slot).unwrap();
        for _ in 1..self.workers {
            self.give_back.send(self.idle.try_recv().unwrap()).unwrap();
        }
    }

    /// From now on nobody can connect to the server, as when its accepting has ended.
    fn kill_server(&self) {
        let server = self.server.lock();
        std::fs::remove_file(server.as_ref().unwrap().path()).unwrap();
    }
}

#[test]
fn a_connection_that_breaks_costs_one_request_and_is_replaced() {
    let Bench { lane, .. } = bench(1);
    lane.answers("/1");
    lane.break_one();
    assert_eq!(lane.ask("/2").status, 500);
    for i in 3..6 {
        lane.answers(&format!("/{i}"));
    }
    assert_eq!((lane.meters.lane_breaks.get(), lane.meters.lane_rebuilds.get()), (1, 0));
}

#[test]
fn a_server_that_has_died_is_built_anew_once_and_every_connection_goes_on() {
    let Bench { lane, .. } = bench(3);
    lane.kill_server();
    lane.break_one();
    // Over each connection several times: those to the old server, too.
    let broken = (0..9).filter(|i| lane.ask(&format!("/{i}")).status != 200).count();
    assert_eq!(broken, 1, "only the request whose connection broke");
    assert_eq!((lane.meters.lane_breaks.get(), lane.meters.lane_rebuilds.get()), (1, 1));
}

#[test]
fn a_request_in_flight_is_answered_while_its_server_is_replaced() {
    let Bench { lane, begun, release } = bench(2);
    thread::scope(|scope| {
        let held = scope.spawn(|| lane.ask(HELD));
        begun.recv_timeout(PATIENCE).unwrap();
        lane.kill_server();
        let Slot::Open(connection) = lane.idle.try_recv().unwrap() else { panic!("is open") };
        drop(connection);
        lane.give_back.send(Slot::Broken).unwrap();
        lane.answers("/1");
        release.send(()).unwrap();
        assert_eq!(held.join().unwrap().status, 200);
    });
    for i in 0..4 {
        lane.answers(&format!("/{i}"));
    }
    assert_eq!(lane.meters.lane_rebuilds.get(), 1);
}

#[test]
fn more_requests_than_may_wait_are_shed() {
    let Bench { mut lane, begun, release } = bench(1);
    lane.max_waiting = 0;
    thread::scope(|scope| {
        let held = scope.spawn(|| lane.ask(HELD));
        begun.recv_timeout(PATIENCE).unwrap();
        let shed = lane.ask("/1");
        assert_eq!(shed.status, 503);
        assert!(shed.lines.contains("Retry-After: 1\r\n"), "{shed:?}");
        release.send(()).unwrap();
        assert_eq!(held.join().unwrap().status, 200);
    });
    assert_eq!(lane.meters.lane_shed.get(), 1);
}
