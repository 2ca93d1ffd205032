//! A client that asks for one key over one connection, and a server that does nothing but
//! answer it: HTTP as cheap as it can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server that is silent for longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection, kept alive, and the one request that it repeats.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    /// The whole answer, as it was given first.
    answer: Vec<u8>,
    buffer: Vec<u8>,
    /// How long each exchange took, in nanoseconds.
    pub(crate) latencies: Vec<u64>,
}

impl Client {
    /// Connects, and asks once: the answer must be a 200 with `value` at the end of its body.
    pub(crate) fn connect(addr: SocketAddr, path: &str, value: &[u8]) -> Self {
        let stream = TcpStream::connect(addr).expect("the server accepts");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes();
        (&stream).write_all(&request).expect("the server reads");
        let answer = read_answer(&stream);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(value));
        let buffer = vec![0; answer.len()];
        Self { stream, request, answer, buffer, latencies: Vec::new() }
    }

    /// Asks again: the answer must be the same, to the byte.
    pub(crate) fn ask(&mut self) {
        let started = Instant::now();
        self.stream.write_all(&self.request).expect("the server reads");
        self.stream.read_exact(&mut self.buffer).expect("the server answers");
        self.latencies.push(started.elapsed().as_nanos() as u64);
        assert_eq!(self.buffer, self.answer);
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer
    }
}

/// Reads a head and as much body as it announces.
fn read_answer(mut stream: &TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    loop {
        let mut chunk = [0; 16 << 10];
        let len = stream.read(&mut chunk).expect("the server answers");
        assert!(len > 0, "the connection was closed within an answer");
        answer.extend_from_slice(&chunk[..len]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
        // A head is ASCII, so its length is the same in both.
        let total = head.len() + 4 + length;
        assert!(answer.len() <= total, "no more than one answer");
        if answer.len() == total {
            return answer;
        }
    }
}

/// A server of one thread for each connection that reads so many bytes and writes the same
/// answer, for as long as the process lives.
#[derive(Debug)]
pub(crate) struct BareServer {
    pub(crate) addr: SocketAddr,
}

impl BareServer {
    /// Answers as a server of larder's has answered `model`.
    pub(crate) fn like(model: &Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (request_len, answer) = (model.request().len(), Arc::<[u8]>::from(model.answer()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer) = (stream.expect("a connection"), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, request_len, &answer));
            }
        });
        Self { addr }
    }
}

fn serve(mut stream: TcpStream, request_len: usize, answer: &[u8]) {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut request = vec![0; request_len];
    // Until the client closes.
    while stream.read_exact(&mut request).is_ok() && stream.write_all(answer).is_ok() {}
}
