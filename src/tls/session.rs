//! One TLS connection, above whatever carries its bytes.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Connection, HandshakeKind};

/// One TLS connection. What carries its bytes is lent to each call, and decides how long that
/// waits; a call that ends with an error of the carrier's loses nothing and may be repeated.
pub(crate) struct Session {
    connection: Connection,
    /// What looks at a client's certificate.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Session {
    pub(super) fn new(
        connection: Connection,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Self {
        Self { connection, verifier }
    }

    /// Says hello, until both sides know each other.
    pub(crate) fn handshake(&mut self, carrier: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            self.flush(carrier)?;
            if !self.connection.is_handshaking() {
                break;
            }
            if self.receive(carrier)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        if self.is_resumed() { self.look_again(UnixTime::now()) } else { Ok(()) }
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// A session that is resumed brings its client's certificate along unseen, and that may have
    /// expired since.
    pub(super) fn look_again(&self, now: UnixTime) -> io::Result<()> {
        let chain = self.connection.peer_certificates().and_then(<[_]>::split_first);
        if let (Some(verifier), Some((cert, between))) = (&self.verifier, chain) {
            verifier.verify_client_cert(cert, between, now).map_err(invalid)?;
        }
        Ok(())
    }

    /// Reads; 0 when the other side has closed.
    pub(crate) fn read(
        &mut self,
        carrier: &mut (impl Read + Write),
        bytes: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Closed without a word: what is inside has lengths, and they show a cut.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            // What rustls itself has to say, such as the answer to a change of keys.
            self.flush(carrier)?;
            self.receive(carrier)?;
        }
    }

    /// Takes some of `parts`, and hands what there is to the carrier, once. Nothing is taken as
    /// long as something waits: see [`is_flushed`](Self::is_flushed).
    pub(crate) fn write(
        &mut self,
        carrier: &mut impl Write,
        parts: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let mut taken = 0;
        if self.is_flushed() {
            taken = self.connection.writer().write_vectored(parts)?;
        }
        match self.connection.write_tls(carrier) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            Ok(_) | Err(_) => Ok(taken),
        }
    }

    /// Whether all that was taken has gone to the carrier.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.connection.wants_write()
    }

    /// Hands what waits to the carrier.
    pub(crate) fn flush(&mut self, carrier: &mut impl Write) -> io::Result<()> {
        while !self.is_flushed() {
            self.write(carrier, &[])?;
        }
        Ok(())
    }

    /// Tells the other side that no more comes; it may have gone.
    pub(crate) fn close(&mut self, carrier: &mut impl Write) {
        self.connection.send_close_notify();
        let _ = self.flush(carrier);
    }

    fn receive(&mut self, carrier: &mut (impl Read + Write)) -> io::Result<usize> {
        let received = loop {
            match self.connection.read_tls(carrier) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received?,
            }
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The alert, so that the other side can say what was wrong.
            let _ = self.flush(carrier);
            return Err(invalid(error));
        }
        Ok(received)
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
