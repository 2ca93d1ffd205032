//! One connection to a node, in the clear or inside TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::authority::HOST;
use super::keys;
use super::ring::Door;

/// Whoever is not answered for so long gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room that a slow reader has for what it does not read.
const SMALL_BUFFER: usize = 8 << 10;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

pub(crate) struct Talk<'a> {
    door: &'a Door,
    stream: Stream,
    /// What has come, from `used` on not looked at.
    input: Vec<u8>,
    used: usize,
}

impl<'a> Talk<'a> {
    pub(crate) fn begin(door: &'a Door) -> io::Result<Self> {
        Self::over(TcpStream::connect(door.addr)?, door)
    }

    pub(crate) fn with_little_room(door: &'a Door) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(door.addr), Type::STREAM, None)?;
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
        socket.connect(&door.addr.into())?;
        Self::over(TcpStream::from(socket), door)
    }

    fn over(socket: TcpStream, door: &'a Door) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let stream = match &door.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let name = HOST.try_into().expect("an address");
                let session = ClientConnection::new(config.clone(), name);
                let session = session.map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Self { door, stream, input: Vec::new(), used: 0 })
    }

    pub(crate) fn request(&self, key: usize) -> String {
        format!("GET {}{} HTTP/1.1\r\nHost: soak\r\n\r\n", self.door.base, keys::name(key))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// What comes next, at most so much; none at the end.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<usize> {
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
        let len = self.input.len();
        self.input.resize(len + most, 0);
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut self.input[len..]),
            Stream::Tls(stream) => stream.read(&mut self.input[len..]),
        };
        self.input.truncate(len + *read.as_ref().unwrap_or(&0));
        read
    }

    /// The next answer whole: its status and its body.
    pub(crate) fn answer(&mut self) -> io::Result<(u16, &[u8])> {
        loop {
            if let Some((status, start, end)) = parse(&self.input[self.used..])? {
                let from = self.used;
                if self.input.len() >= from + end {
                    self.used += end;
                    return Ok((status, &self.input[from + start..from + end]));
                }
            }
            if self.read(64 << 10)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The bytes below TLS.
    pub(crate) fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Ends it with a reset.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }
}

/// The status of the answer at the start, and where its body starts and ends; none when its head
/// is not there yet.
fn parse(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = answer.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = answer.headers.iter().find(|header| header.name == "Content-Length");
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let length: usize = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    Ok(Some((answer.code.unwrap_or(0), start, start + length)))
}
