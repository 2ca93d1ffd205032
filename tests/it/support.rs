//! What tests of more than one file share: patience, and a plain HTTP client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use larder::HttpPool;

use crate::stream::Stream;

/// Generous: only a hang is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        // Conditions are polled: the other side needs the processor as well.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A key that `pool` believes `owner` to own.
pub(crate) fn key_owned_by(pool: &HttpPool, owner: &str) -> String {
    let keys = (0..10_000).map(|i| format!("key {i}"));
    let owned = keys.into_iter().find(|key| pool.owner(key) == owner);
    owned.unwrap_or_else(|| panic!("{owner} owns none of 10,000 keys"))
}

/// One connection of a client that sends exactly the bytes it is told to.
pub(crate) struct Client {
    stream: BufReader<Stream>,
}

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.split("\r\n").any(|line| line == header)
    }
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::from(TcpStream::connect(addr).unwrap())
    }

    pub(crate) fn from(stream: TcpStream) -> Self {
        Self::over(Stream::plain(stream))
    }

    pub(crate) fn over(stream: Stream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().socket()
    }

    /// For a thread that writes while another one reads.
    pub(crate) fn writer(&self) -> Stream {
        self.stream.get_ref().clone()
    }

    /// Sends no more.
    pub(crate) fn finish(&self) {
        self.stream.get_ref().finish();
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer().write_all(bytes.as_ref())
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send(request(path))?;
        self.answer()
    }

    /// Whether an answer begins, or the other side has closed instead.
    pub(crate) fn begins(&mut self) -> io::Result<bool> {
        Ok(!self.stream.fill_buf()?.is_empty())
    }

    /// Reads one answer whole.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let length = answer.head.split("\r\n").find_map(|l| l.strip_prefix("Content-Length: "));
        answer.body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Reads an answer that ends with its head, as those to a HEAD do.
    pub(crate) fn head(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not an answer: {head:?}")))?;
        Ok(Answer { status, head, body: Vec::new() })
    }

    /// What still comes until the other side has closed, if it does.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, io::Error> {
        self.rest_until(&[io::ErrorKind::ConnectionReset])
    }

    /// As [`rest`](Self::rest); TLS may lack its farewell, which half a request is not given.
    pub(crate) fn rest_of_half(&mut self) -> Result<Vec<u8>, io::Error> {
        self.rest_until(&[io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof])
    }

    fn rest_until(&mut self, ends: &[io::ErrorKind]) -> Result<Vec<u8>, io::Error> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if !ends.contains(&error.kind()) => Err(error),
            _ => Ok(rest),
        }
    }
}

/// A plain GET.
pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: larder\r\n\r\n")
}

/// The answer to a GET over a connection of its own.
pub(crate) fn get(addr: SocketAddr, path: &str) -> Answer {
    Client::connect(addr).get(path).unwrap()
}
