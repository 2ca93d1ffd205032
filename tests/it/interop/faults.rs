//! Faults in a ring of two larder and two Go nodes, under load.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use larder::{Dialect, Group};

use super::go::{Admin, Mount};
use super::origin::Origin;
use super::ring::{LarderNode, Ring, Setup, Who};
use super::{PATIENCE, wait_until};

const SETUP: Setup =
    Setup { dialect: Dialect::Groupcache, base: "/_groupcache/", mount: Mount::Direct };
const CLIENTS: usize = 8;
const KEYS: usize = 200;
/// Gets after which a fault is over, or the next one comes: each node has seen each key.
const PHASE: u64 = 4 * 4 * KEYS as u64;

/// Where clients ask. The addresses of a Go node outlive it, and a group is another one after
/// its node was started again.
enum Door {
    Larder(RwLock<Group>),
    Go(Admin),
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    answers: AtomicU64,
    /// Gets of a Go node that was down, or went down meanwhile.
    unreachable: AtomicU64,
    failures: Mutex<Vec<String>>,
    longest: Mutex<Duration>,
}

impl Seen {
    fn fail(&self, failure: String) {
        self.failures.lock().unwrap().push(failure);
    }

    /// Waits until the clients have had a phase's answers.
    fn let_a_phase_pass(&self) {
        let enough = self.answers.load(Ordering::SeqCst) + PHASE;
        wait_until("a phase", || {
            self.answers.load(Ordering::SeqCst) >= enough
                || !self.failures.lock().unwrap().is_empty()
        });
    }
}

/// Stops the clients also when the test panics.
struct StopOnDrop<'a>(&'a Seen);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

fn key(n: usize) -> String {
    format!("dir/{}+{}%", n % KEYS, n % 7)
}

/// Asks door after door for key after key.
fn client(doors: &[Door], seen: &Seen, number: usize) {
    for n in (number * 17).. {
        if seen.stop.load(Ordering::SeqCst) {
            return;
        }
        // Each client goes through all keys at one door before the next.
        let (key, door) = (key(n % KEYS), &doors[(n / KEYS + number) % doors.len()]);
        let started = Instant::now();
        let answer = match door {
            Door::Larder(group) => {
                let group = group.read().unwrap().clone();
                group.get(&key).map(|value| Some(value.to_vec())).map_err(|e| e.to_string())
            }
            Door::Go(admin) => match admin.try_get("/get", &[("key", &key)]) {
                Some((200, value)) => Ok(Some(value)),
                Some((_, text)) => Err(String::from_utf8_lossy(&text).into_owned()),
                None => Ok(None),
            },
        };
        let took = started.elapsed();
        let mut longest = seen.longest.lock().unwrap();
        *longest = took.max(*longest);
        drop(longest);
        match answer {
            Ok(Some(value)) if value == Origin::value(&key).as_bytes() => {
                seen.answers.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Some(value)) => {
                seen.fail(format!("{key:?} gave {:?}", String::from_utf8_lossy(&value)));
            }
            Ok(None) => {
                seen.unreachable.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => seen.fail(format!("{key:?}: {error}")),
        }
    }
}

/// Runs the clients while `fault` happens, and checks what they have seen.
///
/// No node may have loaded a key twice: a node that was started again counts as another one.
fn under_load(fault: impl FnOnce(&mut Ring, &[Door], &Seen)) {
    let Some(programs) = super::go_programs() else { return };
    let mut ring = Ring::start(&programs, 2, 2, SETUP);
    let larder = ring.larder.iter().map(|node| Door::Larder(RwLock::new(node.group.clone())));
    let go = ring.go.iter().map(|node| Door::Go(node.admin().clone()));
    let doors: Vec<Door> = larder.chain(go).collect();
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&seen);
        for number in 0..CLIENTS {
            let (doors, seen) = (&doors, &seen);
            scope.spawn(move || client(doors, seen, number));
        }
        seen.let_a_phase_pass();
        fault(&mut ring, &doors, &seen);
        seen.let_a_phase_pass();
    });
    let failures = seen.failures.into_inner().unwrap();
    let answers = seen.answers.into_inner();
    assert!(failures.is_empty(), "{} of {answers}: {:?}", failures.len(), failures[0]);
    let longest = seen.longest.into_inner().unwrap();
    assert!(longest < PATIENCE, "a get took {longest:?}");
    report(&ring.origin, answers, seen.unreachable.into_inner(), longest);
}

fn report(origin: &Origin, answers: u64, unreachable: u64, longest: Duration) {
    let mut most = 0;
    let mut total = 0;
    for key in (0..KEYS).map(key) {
        let loads = origin.loads(&key);
        assert!(loads.values().all(|&times| times == 1), "{key:?}: {loads:?}");
        (most, total) = (loads.len().max(most), total + loads.len());
    }
    println!(
        "{answers} right answers, {unreachable} gets of a node that was down, longest get \
         {longest:?}, {total} loads of {KEYS} keys, at most {most} of one"
    );
}

/// Each new key is loaded by its owner, once, whoever asks; and each node owns some.
fn check_that_the_ring_is_whole(ring: &Ring) {
    let mut loaders = BTreeSet::new();
    for key in (0..KEYS).map(|n| format!("after/{n}")) {
        let owner = ring.name(ring.owner(&key)).to_owned();
        ring.nodes().for_each(|node| assert_eq!(ring.get(node, &key), Origin::value(&key)));
        assert_eq!(ring.origin.loads(&key), [(owner.clone(), 1)].into(), "{key:?}");
        loaders.insert(owner);
    }
    assert_eq!(loaders.len(), ring.nodes().count(), "{loaders:?}");
}

#[test]
fn a_go_node_is_killed_and_started_again() {
    under_load(|ring, _, seen| {
        let node = ring.go.remove(0);
        let (url, admin) = (node.process.url.clone(), node.admin().address.clone());
        let urls = ring.larder[0].pool.peers();
        drop(node);
        let before = seen.unreachable.load(Ordering::SeqCst);
        seen.let_a_phase_pass();
        assert!(seen.unreachable.load(Ordering::SeqCst) > before, "the node was down");
        ring.start_go([&url, &admin], "go 0 again", &urls);
        seen.let_a_phase_pass();
        check_that_the_ring_is_whole(ring);
    });
}

#[test]
fn a_larder_node_is_dropped_and_started_again() {
    under_load(|ring, doors, seen| {
        let node = ring.larder.remove(0);
        let (url, urls) = (node.pool.url().to_owned(), node.pool.peers());
        drop(node);
        seen.let_a_phase_pass();
        let errors = |ring: &Ring| ring.go.iter().map(|node| node.stat("peer_errors")).sum::<u64>();
        assert!(errors(ring) > 0, "the node was down");
        let again = LarderNode::start("larder 0 again", &url, SETUP.dialect, &ring.origin);
        again.pool.set_peers(&urls).unwrap();
        let Door::Larder(door) = &doors[0] else { panic!("the first door is the node's") };
        *door.write().unwrap() = again.group.clone();
        ring.larder.insert(0, again);
        seen.let_a_phase_pass();
        check_that_the_ring_is_whole(ring);
    });
}

#[test]
fn the_lists_of_peers_disagree() {
    under_load(|ring, _, seen| {
        let nodes: Vec<Who> = ring.nodes().collect();
        let urls = ring.urls();
        // How many of those that follow each node knows, beside itself.
        for known in [0, 1, 2, 3] {
            for (n, &node) in nodes.iter().enumerate() {
                let list = (0..=known).map(|next| urls[(n + next) % urls.len()].clone());
                ring.set_peers(node, &list.collect::<Vec<_>>());
            }
            seen.let_a_phase_pass();
        }
    });
}

/// Go nodes alone would wait for each other for ever: the owner that is asked asks back, and
/// waits for the flight that waits for it.
#[test]
fn a_circle_through_larder_ends() {
    let Some(programs) = super::go_programs() else { return };
    let ring = Ring::start(&programs, 1, 1, SETUP);
    let [larder, go] = [Who::Larder(0), Who::Go(0)];
    // For the Go node every key is larder's, itself being left out.
    ring.set_peers(go, &[ring.url(larder).to_owned()]);
    let mut circles = 0;
    for key in (0..KEYS).map(key) {
        circles += u64::from(ring.larder[0].pool.owner(&key) == ring.url(go));
        std::thread::scope(|scope| {
            for node in [larder, go, larder, go] {
                let (ring, key) = (&ring, &key);
                scope.spawn(move || assert_eq!(ring.get(node, key), Origin::value(key)));
            }
        });
        assert_eq!(ring.origin.loads(&key), [("larder 0".to_owned(), 1)].into(), "{key:?}");
    }
    assert!(circles > 0 && ring.go[0].stat("server_requests") >= circles / 2, "{circles}");
}
