//! A peer that does as it is told, right or wrong.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What a [`StubPeer`] sends to a request.
pub(crate) enum Reply {
    Answer(Vec<u8>),
    /// Then the connection is closed; nothing at all may come before that.
    Last(Vec<u8>),
    /// Until the caller gives up.
    Silence,
}

/// A peer that does as it is told, right or wrong.
pub(crate) struct StubPeer {
    addr: SocketAddr,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl StubPeer {
    /// `reply` gets a request's path, and how many its connection has answered before.
    pub(crate) fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, stopping) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (reply, stop) = (Arc::new(reply), Arc::clone(&stopping));
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let reply = Arc::clone(&reply);
                // Ends with its connection, which the caller's pool closes.
                std::thread::spawn(move || converse(stream?, &*reply));
            }
        });
        Self { addr, stopping, acceptor: Some(acceptor) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for StubPeer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        let _ = self.acceptor.take().unwrap().join();
    }
}

fn converse(stream: TcpStream, reply: &dyn Fn(&str, usize) -> Reply) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    for answered in 0.. {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        match reply(path, answered) {
            Reply::Answer(bytes) => stream.get_ref().write_all(&bytes)?,
            Reply::Last(bytes) => return stream.get_ref().write_all(&bytes),
            Reply::Silence => io::copy(&mut stream, &mut io::sink()).map(drop)?,
        }
    }
    Ok(())
}
