//! A peer that answers every request with the same bytes, as a Go node would send them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(super) struct Stub {
    addr: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    stopped: AtomicBool,
    answer: Vec<u8>,
    request_lines: Mutex<Vec<String>>,
}

impl Stub {
    /// Listens from now on; each connection is closed after one answer.
    pub(super) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State {
            stopped: AtomicBool::new(false),
            answer: answer.into(),
            request_lines: Mutex::default(),
        });
        let theirs = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.stopped.load(Ordering::SeqCst) {
                    break;
                }
                // A client that has gone is its own affair.
                let _ = stream.and_then(|stream| theirs.serve(&stream));
            }
        });
        Self { addr, state, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Method and target of the requests that have come so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.state.request_lines.lock().unwrap().clone()
    }
}

impl State {
    fn serve(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let request = first.trim_end_matches(" HTTP/1.1").to_owned();
        self.request_lines.lock().unwrap().push(request);
        stream.write_all(&self.answer)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        let _ = self.thread.take().unwrap().join();
    }
}

/// A whole answer with its length, as Go's server writes small ones.
pub(super) fn reply(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An answer in chunks, as Go's server writes large ones; `end` closes the last.
pub(super) fn chunked(body: &[u8], end: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(1_000) {
        answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(end.as_bytes());
    answer
}
