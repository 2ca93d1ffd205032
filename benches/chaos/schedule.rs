//! Which faults there are, and when: a seed decides.
//!
//! Three tracks run beside each other: processes are killed, stopped or leave the ring, links go bad, the origin
//! misbehaves. On each track there is one fault at a time, so that there are always nodes that
//! can be asked.

use std::fmt;
use std::time::Duration;

use super::proxy::Toxic;

pub(crate) const NODES: usize = 5;

/// What the origin does instead of answering well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Slow(Duration),
    Failing,
    /// Answers nothing until it is over.
    Hanging,
}

/// One fault, from when to when since the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Event {
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// kill -9, and a start at the end.
    Kill(usize),
    /// STOP, and CONT at the end.
    Stop(usize),
    /// Leaves the ring, node by node, and comes back onto it; it runs on, and clients do not
    /// ask it meanwhile.
    Leave(usize),
    /// One direction between two nodes.
    Link(usize, usize, Toxic),
    /// All links to a node and from it.
    Around(usize, Toxic),
    /// Nothing passes between the nodes below this one and the others.
    Split(usize),
    Origin(Mood),
}

/// What links do when nothing is wrong: what was asked first may be answered last.
pub(crate) const CALM_LINK: Toxic = Toxic::Jitter(Duration::from_millis(60));
/// Nothing happens in the beginning and at the end.
const CALM: Duration = Duration::from_secs(3);

/// The faults of a seed, in the order in which they begin.
pub(crate) fn schedule(seed: u64, time: Duration) -> Vec<Event> {
    /// The fault that comes next.
    type Pick = fn(&mut fastrand::Rng) -> Fault;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut events = Vec::new();
    let tracks: [(u64, u64, Pick); 3] =
        [(1_000, 5_000, of_process), (500, 3_000, of_links), (3_000, 8_000, of_origin)];
    for (shortest, longest, fault) in tracks {
        let mut at = CALM;
        loop {
            let pause = Duration::from_millis(rng.u64(shortest..longest));
            let lasts = Duration::from_millis(rng.u64(300..4_000));
            let event =
                Event { begin: at + pause, end: at + pause + lasts, fault: fault(&mut rng) };
            if event.end + CALM * 2 > time {
                break;
            }
            at = event.end;
            events.push(event);
        }
    }
    events.sort_by_key(|event| event.begin);
    events
}

fn of_process(rng: &mut fastrand::Rng) -> Fault {
    let node = rng.usize(..NODES);
    match rng.u8(..3) {
        0 => Fault::Kill(node),
        1 => Fault::Stop(node),
        _ => Fault::Leave(node),
    }
}

fn of_links(rng: &mut fastrand::Rng) -> Fault {
    let toxic = match rng.u8(..8) {
        0 => Toxic::Latency(Duration::from_millis(rng.u64(20..1_500))),
        1 => Toxic::Slow(rng.u32(200..20_000)),
        2 => Toxic::BlackHole,
        3 => Toxic::OneWay,
        4 => Toxic::Reset,
        5 => Toxic::Cut(rng.u8(10..=100)),
        6 => Toxic::Corrupt(rng.u8(10..=100)),
        _ => Toxic::Scramble(rng.u8(10..=100)),
    };
    let node = rng.usize(..NODES);
    match rng.u8(..6) {
        0..=2 => Fault::Link(node, (node + rng.usize(1..NODES)) % NODES, toxic),
        3..=4 => Fault::Around(node, toxic),
        _ => Fault::Split(rng.usize(1..NODES)),
    }
}

fn of_origin(rng: &mut fastrand::Rng) -> Fault {
    Fault::Origin(match rng.u8(..4) {
        0 => Mood::Failing,
        1 => Mood::Hanging,
        _ => Mood::Slow(Duration::from_millis(rng.u64(20..800))),
    })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(node) => write!(f, "kill {node}"),
            Self::Stop(node) => write!(f, "stop {node}"),
            Self::Leave(node) => write!(f, "leave {node}"),
            Self::Link(from, to, toxic) => write!(f, "{from}>{to} {toxic}"),
            Self::Around(node, toxic) => write!(f, "<{node}> {toxic}"),
            Self::Split(first) => write!(f, "split {first}/{}", NODES - first),
            Self::Origin(Mood::Slow(time)) => write!(f, "origin slow {} ms", time.as_millis()),
            Self::Origin(mood) => write!(f, "origin {mood:?}"),
        }
    }
}

impl fmt::Display for Toxic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("fine"),
            Self::Jitter(time) => write!(f, "jitter {} ms", time.as_millis()),
            Self::Latency(time) => write!(f, "latency {} ms", time.as_millis()),
            Self::Slow(rate) => write!(f, "slow {rate} B/s"),
            Self::BlackHole => f.write_str("black hole"),
            Self::OneWay => f.write_str("one way"),
            Self::Reset => f.write_str("reset"),
            Self::Cut(share) => write!(f, "cut {share} %"),
            Self::Corrupt(share) => write!(f, "corrupt {share} %"),
            Self::Scramble(share) => write!(f, "scramble {share} %"),
        }
    }
}
