//! A client of the nodes' API, as plain as one can be: it keeps its connections, and tells an
//! answer from a failure from a loss that is explained by the node's end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::nodes::Place;

/// How long an answer may take: longer than a get may.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often to look whether the node that is waited for was killed or stopped.
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// With the head's names in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    /// The node was killed or stopped before it answered.
    Lost,
    /// No answer, though the node was there all the time.
    Failed(String),
}

/// Connections to all nodes, for one thread.
#[derive(Debug)]
pub(crate) struct Client {
    places: Arc<Vec<Place>>,
    /// With the turn of the node that they were made in.
    kept: Vec<Option<(u64, TcpStream)>>,
}

impl Client {
    pub(crate) fn new(places: Arc<Vec<Place>>) -> Self {
        let kept = places.iter().map(|_| None).collect();
        Self { places, kept }
    }

    pub(crate) fn get(&mut self, node: usize, path: &str) -> Reply {
        self.ask(node, "GET", path, &[])
    }

    pub(crate) fn ask(&mut self, node: usize, method: &str, path: &str, body: &[u8]) -> Reply {
        let place = &self.places[node];
        let Some(turn) = place.turn() else { return Reply::Lost };
        let length = match method {
            "GET" => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: chaos\r\n{length}\r\n");
        let request = [head.as_bytes(), body].concat();
        let kept = self.kept[node].take().filter(|(made, _)| *made == turn);
        let is_kept = kept.is_some();
        let mut result = match kept {
            Some((_, stream)) => exchange(stream, &request, place, turn),
            None => connect(place).and_then(|stream| exchange(stream, &request, place, turn)),
        };
        if is_kept && result.as_ref().is_err_and(|error| was_closed(error)) {
            // The node may close a connection that was idle just when it is used.
            result = connect(place).and_then(|stream| exchange(stream, &request, place, turn));
        }
        match result {
            Ok((answer, stream)) => {
                self.kept[node] = Some((turn, stream));
                Reply::Answer(answer)
            }
            Err(_) if !place.is_turn(turn) => Reply::Lost,
            Err(error) => Reply::Failed(error.to_string()),
        }
    }
}

fn was_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn connect(place: &Place) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&place.api, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GLANCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One request and its answer, and the connection if it can be used again.
fn exchange(
    mut stream: TcpStream,
    request: &[u8],
    place: &Place,
    turn: u64,
) -> io::Result<(Answer, TcpStream)> {
    stream.write_all(request)?;
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => bytes.extend_from_slice(&chunk[..len]),
            Err(error) if is_glance(&error) => {
                if !place.is_turn(turn) {
                    return Err(error);
                }
                if Instant::now() > deadline {
                    return Err(io::Error::other(format!("no answer after {PATIENCE:?}")));
                }
            }
            Err(error) => return Err(error),
        }
        if let Some(answer) = parse(&bytes)? {
            return Ok((answer, stream));
        }
    }
}

fn is_glance(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// The answer, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let bad = || io::Error::other("the answer is no HTTP");
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad())?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    let answer = Answer { status, head, body: bytes[end + 4..].to_vec() };
    let length = match status {
        204 | 304 => 0,
        _ => answer.header("content-length").and_then(|l| l.parse().ok()).ok_or_else(bad)?,
    };
    match answer.body.len().cmp(&length) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(answer)),
        std::cmp::Ordering::Greater => Err(bad()),
    }
}
