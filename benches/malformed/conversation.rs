//! What is said over one connection, and whether the answers are those to it.

use std::net::SocketAddr;

use super::mutator;

pub(crate) const KEYS: usize = 64;
/// What each answer starts with, and no value has.
const START: &[u8] = b"HTTP/1.1 ";
/// Lengths of the values, in repetitions of what names the key: up to 21 kB.
const REPEATS: [usize; 8] = [1, 10, 1, 200, 1, 10, 50, 3_000];

/// `GET {base}KEY` is answered with the key's value, at each listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    pub(crate) base: &'static str,
}

/// How a conversation ends once all is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// No more is sent, and the answers are read.
    Shutdown,
    Reset,
    /// The connection stays open for a while.
    Park,
}

/// What is said over one connection.
pub(crate) struct Conversation {
    pub(crate) door: usize,
    /// The keys of the good requests at the start.
    good: Vec<usize>,
    pub(crate) malformed: u64,
    pub(crate) bytes: Vec<u8>,
    /// Where what is sent is cut in two.
    pub(crate) cut: usize,
    pub(crate) end: End,
}

impl Conversation {
    pub(crate) fn new(rng: &mut fastrand::Rng, doors: [Door; 2]) -> Self {
        let door = rng.usize(..2);
        let base = doors[door].base;
        let mut keys = std::iter::repeat_with(|| rng.usize(..KEYS));
        let good: Vec<usize> = keys.by_ref().take(8).collect();
        let templates = templates(base, good[7]);
        let good = good[..rng.usize(..3)].to_vec();
        let mut bytes: Vec<u8> = good.iter().flat_map(|&key| get(base, key).into_bytes()).collect();
        let malformed = rng.u64(1..=4);
        for _ in 0..malformed {
            bytes.extend(mutator::mutated(rng, &templates));
        }
        for _ in 0..rng.usize(..2) {
            bytes.extend(get(base, rng.usize(..KEYS)).into_bytes());
        }
        let cut = if rng.u8(..4) == 0 { rng.usize(..=bytes.len()) } else { bytes.len() };
        let end = match rng.u8(..20) {
            0 => End::Park,
            1 => End::Reset,
            _ => End::Shutdown,
        };
        Self { door, good, malformed, bytes, cut, end }
    }

    /// How many requests were answered beyond the good ones at the start; or what is wrong.
    pub(crate) fn check(&self, door: Door, answers: &[u8]) -> Result<u64, String> {
        let mut rest = answers;
        for &key in &self.good {
            let len = answer_len(rest).filter(|&len| len <= rest.len());
            let answer = &rest[..len.unwrap_or(rest.len())];
            if !is_answer(answer, key) {
                let answers = answers.escape_ascii();
                return Err(format!("at {}: key {key} is answered with {answers}", door.addr));
            }
            rest = &rest[answer.len()..];
        }
        if !rest.is_empty() && !rest.starts_with(START) {
            return Err(format!("no answer: {}", rest.escape_ascii()));
        }
        self.check_values(rest)
    }

    /// Each value is of a key that was named, in this order, and whole unless a part was asked for.
    fn check_values(&self, answers: &[u8]) -> Result<u64, String> {
        // A key may be named in other letters.
        let sent = String::from_utf8_lossy(&self.bytes).replace("%6B", "k").replace("%6b", "k");
        let mut sent = sent.as_bytes();
        let (mut rest, mut count) = (answers, 0);
        while let Some(answer) = rest.strip_prefix(START) {
            let end = find(answer, START).unwrap_or(answer.len());
            let answer;
            (answer, rest) = rest.split_at(START.len() + end);
            count += 1;
            let Some(key) = key_of(answer) else { continue };
            let is_part = answer.starts_with(b"HTTP/1.1 206 ");
            if !is_part && !is_answer(answer, key) {
                return Err(format!("not the value of key {key}: {}", answer.escape_ascii()));
            }
            let name = name(key);
            let asked = find(sent, name.as_bytes());
            let asked = asked.ok_or_else(|| format!("nobody asked for key {key}"))?;
            sent = &sent[asked + name.len()..];
        }
        Ok(count)
    }
}

/// The key whose value an answer has, as far as that shows.
fn key_of(answer: &[u8]) -> Option<usize> {
    let named = &answer[find(answer, b"<<k")? + 3..];
    std::str::from_utf8(named.get(..2)?).ok()?.parse().ok()
}

fn templates(base: &str, key: usize) -> Vec<String> {
    let name = name(key);
    let other = "Host: x\r\nUser-Agent: liar\r\nAccept: */*\r\n";
    vec![
        get(base, key),
        format!("HEAD {base}{name} HTTP/1.1\r\n{other}Connection: keep-alive\r\n\r\n"),
        format!("GET {base}{name} HTTP/1.1\r\n{other}Larder-Within-Ms: 900\r\n\r\n"),
        format!("GET {base}{name}?x=%20 HTTP/1.0\r\n{other}Connection: keep-alive\r\n\r\n"),
        format!("GET {base}%6B{} HTTP/1.1\r\n{other}Content-Length: 0\r\n\r\n", &name[1..]),
        format!("GET {base}{name} HTTP/1.1\r\n{other}Range: bytes=2-20\r\n\r\n"),
        format!("GET {base}{name} HTTP/1.1\r\n{other}If-None-Match: \"0\", W/\"1\"\r\n\r\n"),
        format!("GET /api?key={name}&group=g HTTP/1.1\r\n{other}\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{other}Connection: close\r\n\r\n"),
        // A body, but nothing that writes: a value that was set would be no answer to a good get.
        format!("GET {base}{name} HTTP/1.1\r\n{other}Content-Length: 5\r\n\r\nhello"),
        format!(
            "GET {base}{name} HTTP/1.1\r\n{other}Expect: 100-continue\r\nContent-Length: 36\r\n\r\n\
             GET /api/g/k00 HTTP/1.1\r\nHost: y\r\n\r\n"
        ),
    ]
}

pub(crate) fn get(base: &str, key: usize) -> String {
    format!("GET {base}{} HTTP/1.1\r\nHost: x\r\n\r\n", name(key))
}

/// All of one length.
pub(crate) fn name(key: usize) -> String {
    format!("k{key:02}")
}

pub(crate) fn value(key: usize) -> String {
    format!("<<{}>>", name(key)).repeat(REPEATS[key % REPEATS.len()])
}

/// Whether this is the whole answer to a get of `key`.
pub(crate) fn is_answer(answer: &[u8], key: usize) -> bool {
    let value = value(key);
    // Nothing but a peer's message may stand around the value.
    answer.starts_with(b"HTTP/1.1 200 OK\r\n")
        && answer_len(answer) == Some(answer.len())
        && answer.ends_with(value.as_bytes())
        && find(answer, b"<<k").is_some_and(|at| at + value.len() == answer.len())
}

/// The length of the answer that `bytes` begin with, when its head is there.
pub(crate) fn answer_len(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    Some(head + length.parse::<usize>().ok()?)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
