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
    bench_with(Limits { lane_workers: workers, lane_wait: PATIENCE, ..Limits::default() })
}

fn bench_with(limits: Limits) -> Bench {
    let ((tell, begun), (release, held)) = (mpsc::channel(), mpsc::channel());
    let echo = Arc::new(Echo { begun: Mutex::new(tell), held: Mutex::new(held) });
    let lane = Lane::start("test", echo, &limits, Arc::default()).unwrap();
    Bench { lane, begun, release }
}

fn request(method: Method, target: &str) -> Request<'_> {
    let conditions = Conditions::default();
    Request { method, target, within: None, left: None, conditions, body: Vec::new() }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Lane {
    fn ask(&self, target: &str) -> Answer {
        self.ask_for(None, target, &|| false).unwrap()
    }

    fn ask_for(
        &self,
        share: Option<&str>,
        target: &str,
        gone: &dyn Fn() -> bool,
    ) -> Option<Answer> {
        let request = request(Method::Get, target);
        self.call(&request, &Terms { deadline: Instant::now() + PATIENCE, share, gone })
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
fn a_connection_that_breaks_is_replaced_and_a_get_tried_once_more() {
    let Bench { lane, .. } = bench(1);
    lane.answers("/1");
    lane.break_one();
    for i in 2..6 {
        lane.answers(&format!("/{i}"));
    }
    assert_eq!((lane.meters.lane_breaks.get(), lane.meters.lane_rebuilds.get()), (1, 0));
}

#[test]
fn what_may_have_been_done_is_not_done_again() {
    let Bench { lane, .. } = bench(1);
    lane.break_one();
    let terms = Terms { deadline: Instant::now() + PATIENCE, share: None, gone: &|| false };
    let put = || lane.call(&request(Method::Put, "/1"), &terms).unwrap().status;
    assert_eq!((put(), put()), (500, 200));
}

#[test]
fn a_server_that_has_died_is_built_anew_once_and_every_connection_goes_on() {
    let Bench { lane, .. } = bench(3);
    lane.kill_server();
    lane.break_one();
    // Over each connection several times: those to the old server, too.
    for i in 0..9 {
        lane.answers(&format!("/{i}"));
    }
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
fn more_requests_than_may_wait_are_shed_at_once() {
    let limits = Limits { lane_workers: 1, lane_waiting: 0, ..Limits::default() };
    let Bench { lane, begun, release } = bench_with(Limits { lane_wait: PATIENCE, ..limits });
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

#[test]
fn who_comes_again_hears_in_time_that_no_worker_was_free() {
    let Bench { lane, begun, release } = bench(1);
    thread::scope(|scope| {
        let held = scope.spawn(|| lane.ask(HELD));
        begun.recv_timeout(PATIENCE).unwrap();
        let within = Duration::from_millis(1);
        let (deadline, gone) = (Instant::now() + within, &|| false);
        let plain = request(Method::Get, "/1");
        for (left, status) in [(Some(PATIENCE), 504), (Some(within), 503), (None, 503)] {
            let request = Request { within: Some(within), left, ..plain.clone() };
            let answer = lane.call(&request, &Terms { deadline, share: None, gone }).unwrap();
            assert_eq!(answer.status, status, "{left:?}");
            assert_eq!(answer.lines.contains("Larder-Error: loading\r\n"), status == 504);
        }
        release.send(()).unwrap();
        assert_eq!(held.join().unwrap().status, 200);
    });
    assert_eq!(lane.meters.lane_shed.get(), 2);
}

#[test]
fn no_request_waits_longer_than_it_may() {
    let lane_wait = Duration::from_millis(1);
    let Bench { lane, begun, release } =
        bench_with(Limits { lane_workers: 1, lane_wait, ..Limits::default() });
    thread::scope(|scope| {
        let held = scope.spawn(|| lane.ask(HELD));
        begun.recv_timeout(PATIENCE).unwrap();
        // Its own deadline is a minute away, and nobody ends the one before it.
        assert_eq!(lane.ask("/1").status, 503);
        release.send(()).unwrap();
        assert_eq!(held.join().unwrap().status, 200);
    });
    assert_eq!(lane.meters.lane_shed.get(), 1);
}

#[test]
fn a_group_has_its_share_of_the_workers_and_the_others_have_the_rest() {
    let Bench { lane, begun, release } = bench(4);
    let ask = |group, target| lane.ask_for(Some(group), target, &|| false).unwrap();
    thread::scope(|scope| {
        let held: Vec<_> = (0..5).map(|_| scope.spawn(|| ask("slow", HELD))).collect();
        for _ in 0..2 {
            begun.recv_timeout(PATIENCE).unwrap();
        }
        wait_until("three wait", || lane.shares.room.len() == 3);
        for _ in 0..20 {
            assert_eq!(ask("quick", "/quick").status, 200);
        }
        assert!(begun.try_recv().is_err(), "a share is half of the workers");
        for _ in 0..5 {
            release.send(()).unwrap();
        }
        assert!(held.into_iter().all(|asked| asked.join().unwrap().status == 200));
    });
    assert_eq!((lane.meters.lane_requests.get(), lane.meters.lane_shed.get()), (25, 0));
}

#[test]
fn a_group_has_half_of_the_waiting_room() {
    let limits = Limits { lane_workers: 2, lane_waiting: 4, ..Limits::default() };
    let Bench { lane, begun, release } = bench_with(Limits { lane_wait: PATIENCE, ..limits });
    let ask = |group| lane.ask_for(Some(group), HELD, &|| false).unwrap().status;
    thread::scope(|scope| {
        let mut held = Vec::new();
        for (n, group) in ["slow", "other"].into_iter().enumerate() {
            held.push(scope.spawn(move || ask(group)));
            begun.recv_timeout(PATIENCE).unwrap();
            held.extend((0..2).map(|_| scope.spawn(move || ask(group))));
            wait_until("two more wait", || lane.shares.room.len() == 2 * (n + 1));
            assert_eq!(ask(group), 503);
        }
        held.iter().for_each(|_| release.send(()).unwrap());
        assert!(held.into_iter().all(|asked| asked.join().unwrap() == 200));
    });
}

#[test]
fn a_request_whose_client_has_gone_while_it_waited_is_not_begun() {
    let Bench { lane, begun, release } = bench(1);
    thread::scope(|scope| {
        let held = scope.spawn(|| lane.ask(HELD));
        begun.recv_timeout(PATIENCE).unwrap();
        let waiting = scope.spawn(|| lane.ask_for(None, HELD, &|| true));
        wait_until("one waits", || lane.shares.room.len() == 1);
        release.send(()).unwrap();
        assert_eq!(held.join().unwrap().status, 200);
        assert_eq!(waiting.join().unwrap(), None);
        assert!(begun.try_recv().is_err());
    });
    assert_eq!(lane.meters.lane_abandoned.get(), 1);
    // Who need not wait is not asked.
    assert!(lane.ask_for(None, "/1", &|| true).is_some());
}

#[test]
fn a_lane_on_which_nothing_could_be_loaded_is_refused() {
    let echo = || {
        Arc::new(Echo { begun: Mutex::new(mpsc::channel().0), held: Mutex::new(mpsc::channel().1) })
    };
    for (limits, name) in [
        (Limits { lane_workers: 0, ..Limits::default() }, "lane_workers"),
        (Limits { lane_workers_per_group: Some(0), ..Limits::default() }, "lane_workers_per_group"),
    ] {
        let refused = Lane::start("test", echo(), &limits, Arc::default());
        assert!(
            matches!(refused.err(), Some(Error::BadSetting { setting, .. }) if setting == name)
        );
    }
}
