//! Requests that were good before chance changed them; `benches/malformed` has more of them.

const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    "%",
    "%2F",
    "/",
    "?",
    "\u{e4}",
    "\r\n\r\n",
    "HTTP/2.0",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 99999999999999\r\n",
    "Content-Length: +5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "\r\n Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Host: y\r\n",
    "0\r\n\r\n",
    "40;x=GET /a HTTP/1.1\r\n",
    "larder-lane-id: 1\r\n",
    "Larder-Within-Ms: 0\r\n",
    "Connection: upgrade\r\n",
    "Connection: close\r\n",
    "Range: bytes=0-\r\n",
    "If-None-Match: *\r\n",
    "Authorization: Bearer x\r\n",
];

/// One of the `good` requests after one to five changes; the last may be another good request.
pub(crate) fn mutated(rng: &mut fastrand::Rng, good: &[String]) -> Vec<u8> {
    let mut bytes = choose(rng, good).as_bytes().to_vec();
    for _ in 0..rng.usize(1..6) {
        change(rng, good, &mut bytes);
    }
    bytes
}

fn change(rng: &mut fastrand::Rng, good: &[String], bytes: &mut Vec<u8>) {
    let at = rng.usize(..=bytes.len());
    let end = rng.usize(at..=bytes.len().min(at + 20));
    match rng.u8(..10) {
        0 if at < bytes.len() => bytes[at] = rng.u8(..),
        1 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        2 => drop(bytes.drain(at..end)),
        3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
        4 => bytes.truncate(at),
        5 => bytes.extend_from_slice(choose(rng, good).as_bytes()),
        6 => duplicate_line(rng, bytes),
        7 => drop(bytes.splice(at..end, std::iter::repeat_with(|| rng.u8(..)).take(end - at))),
        8 => {
            // The start of one request, the end of another.
            let other = choose(rng, good).as_bytes();
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
        _ => drop(bytes.splice(at..at, choose(rng, PIECES).bytes())),
    }
}

fn duplicate_line(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let ends: Vec<usize> = ends.map(|(at, _)| at + 1).collect();
    let Some(&end) = rng.choice(&ends) else { return };
    let start = bytes[..end - 1].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = bytes[start..end].to_vec();
    drop(bytes.splice(end..end, line));
}

fn choose<'a, T>(rng: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}
