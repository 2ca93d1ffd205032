//! Drains under load: no request is lost or cut.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larder::testing::{Fault, TestOrigin};
use larder::{GroupOptions, HttpPool};

use crate::support::{Client, PATIENCE, request, wait_until};

/// How many drains; a run by hand may ask for more.
const DRAINS: &str = "LARDER_TEST_DRAINS";
const FEW: usize = 3;
const CLIENTS: usize = 12;

pub(crate) fn how_many() -> usize {
    std::env::var(DRAINS).map_or(FEW, |drains| drains.parse().unwrap())
}

/// What has become of the requests of all clients.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: AtomicUsize,
    /// Connections closed between two requests, just when one was sent: HTTP leaves it to the
    /// client to ask again.
    crossed: AtomicUsize,
    /// Requests that were not answered, or not whole.
    pub(crate) lost: AtomicUsize,
    /// Attempts to connect that were refused.
    pub(crate) refused: AtomicUsize,
    pub(crate) stop: AtomicBool,
}

/// How a client goes about its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Until it is told that it is to be closed.
    KeepsIt,
    /// A new one for each request.
    OneForEach,
}

impl Tally {
    /// A client that asks for `paths` again and again until it is told to stop, or is refused.
    pub(crate) fn client(
        &self,
        addr: SocketAddr,
        habit: Habit,
        mut paths: impl Iterator<Item = String>,
    ) {
        while let Some(stream) = self.connect(addr) {
            let mut client = Client::from(stream);
            let mut asked = 0;
            while !self.stop.load(Ordering::SeqCst) && self.ask(&mut client, &mut paths, asked) {
                asked += 1;
                if habit == Habit::OneForEach {
                    break;
                }
            }
        }
    }

    fn connect(&self, addr: SocketAddr) -> Option<TcpStream> {
        if self.stop.load(Ordering::SeqCst) {
            return None;
        }
        let connected = TcpStream::connect(addr);
        if connected.is_err() {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        connected.ok()
    }

    /// Asks once; whether the connection may be used again.
    fn ask(
        &self,
        client: &mut Client,
        paths: &mut impl Iterator<Item = String>,
        asked: usize,
    ) -> bool {
        let path = paths.next().unwrap();
        let begins = client.send(request(&path)).and_then(|()| client.begins());
        if asked > 0 && begins.as_ref().map_or_else(is_end, |begins| !begins) {
            self.crossed.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        match begins.and_then(|_| client.answer()) {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
                self.answered.fetch_add(1, Ordering::SeqCst);
                !answer.has("Connection: close")
            }
            Err(error) => {
                eprintln!("{path}, request {asked} of its connection: {error}");
                self.lost.fetch_add(1, Ordering::SeqCst);
                false
            }
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// Keys of a client's own: some cached, and always new ones that take a moment to load.
fn paths(client: usize, base: &str) -> impl Iterator<Item = String> {
    (0..).map(move |n: usize| match n % 3 {
        0 => format!("{base}/{client}-{n}"),
        _ => format!("{base}/same"),
    })
}

fn drain_under_load() -> (usize, usize) {
    let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
    let pool = builder.start().unwrap();
    let origin = TestOrigin::new();
    origin.set_fault(Fault::Delay(Duration::from_millis(3)));
    let options = GroupOptions::new(1 << 20).get_timeout(PATIENCE);
    pool.group_with(options, "g", origin).unwrap();
    let tally = Tally::default();
    let doors = [(pool.api_addr().unwrap(), "/api/g"), (pool.peer_addr().unwrap(), "/_larder/g")];
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (addr, base) = doors[n % 2];
            let habit = if n < CLIENTS / 2 { Habit::KeepsIt } else { Habit::OneForEach };
            let tally = &tally;
            scope.spawn(move || tally.client(addr, habit, paths(n, base)));
        }
        wait_until("there is load", || tally.answered.load(Ordering::SeqCst) > 20 * CLIENTS);
        assert!(pool.shutdown(PATIENCE), "all finished in time");
    });
    assert_eq!(tally.lost.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.refused.load(Ordering::SeqCst), CLIENTS, "until it was closed: {tally:?}");
    (tally.answered.into_inner(), tally.crossed.into_inner())
}

#[test]
fn a_drain_under_load_loses_no_request() {
    let drains = how_many();
    let (mut answered, mut crossed) = (0, 0);
    for _ in 0..drains {
        let drain = drain_under_load();
        (answered, crossed) = (answered + drain.0, crossed + drain.1);
    }
    println!("{drains} drains: {answered} requests answered, 0 lost, {crossed} to be asked again");
}
