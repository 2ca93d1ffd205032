//! A client's side of a connection, in the clear or inside TLS: one thread may read while another
//! writes, as with a socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use crate::support::PATIENCE;

#[derive(Clone)]
pub(crate) struct Stream {
    socket: Arc<TcpStream>,
    #[cfg(feature = "tls")]
    session: Option<Arc<session::Session>>,
}

impl Stream {
    pub(crate) fn plain(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket: Arc::new(socket),
            #[cfg(feature = "tls")]
            session: None,
        }
    }

    /// Its handshake comes with the first bytes that are written or read.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(socket: TcpStream, config: &Arc<rustls::ClientConfig>) -> Self {
        let session = Some(Arc::new(session::Session::new(config)));
        Self { session, ..Self::plain(socket) }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Ends what is sent.
    pub(crate) fn finish(&self) {
        #[cfg(feature = "tls")]
        if let Some(session) = &self.session {
            session.finish(&self.socket);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(session) = &self.session {
            return session.read(&self.socket, buffer);
        }
        (&*self.socket).read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(session) = &self.session {
            return session.write(&self.socket, bytes);
        }
        (&*self.socket).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "tls")]
mod session {
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::sync::{Arc, Mutex, MutexGuard};

    use rustls::{ClientConfig, ClientConnection};

    use crate::tls::HOST;

    /// So much is encrypted at once.
    const PIECE: usize = 64 << 10;

    /// What `rustls::Stream` is, but neither a read nor a write keeps the other from going on.
    pub(super) struct Session {
        connection: Mutex<ClientConnection>,
        /// Held over a write, so that records leave in their order.
        writing: Mutex<()>,
    }

    impl Session {
        pub(super) fn new(config: &Arc<ClientConfig>) -> Self {
            let name = HOST.try_into().unwrap();
            let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
            connection.set_buffer_limit(None);
            Self { connection: Mutex::new(connection), writing: Mutex::default() }
        }

        /// The connection, once it has shaken hands.
        fn ready(&self, mut socket: &TcpStream) -> io::Result<MutexGuard<'_, ClientConnection>> {
            let mut connection = self.connection.lock().unwrap();
            while connection.is_handshaking() {
                connection.complete_io(&mut socket)?;
            }
            Ok(connection)
        }

        pub(super) fn read(&self, mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                match self.ready(socket)?.reader().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => return read,
                }
                // The wait, for which nobody else has to wait.
                socket.peek(&mut [0])?;
                let mut connection = self.connection.lock().unwrap();
                connection.read_tls(&mut socket)?;
                connection.process_new_packets().map_err(io::Error::other)?;
            }
        }

        pub(super) fn write(&self, socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
            let bytes = &bytes[..bytes.len().min(PIECE)];
            let _writing = self.writing.lock().unwrap();
            let mut records = Vec::new();
            let mut connection = self.ready(socket)?;
            connection.writer().write_all(bytes)?;
            take(&mut connection, &mut records)?;
            drop(connection);
            (&*socket).write_all(&records)?;
            Ok(bytes.len())
        }

        pub(super) fn finish(&self, mut socket: &TcpStream) {
            let _writing = self.writing.lock().unwrap();
            let mut records = Vec::new();
            // Whoever has not been let in has nothing to end.
            let Ok(mut connection) = self.ready(socket) else { return };
            connection.send_close_notify();
            let _ = take(&mut connection, &mut records);
            let _ = socket.write_all(&records);
        }
    }

    fn take(connection: &mut ClientConnection, records: &mut Vec<u8>) -> io::Result<()> {
        while connection.wants_write() {
            connection.write_tls(records)?;
        }
        Ok(())
    }
}
