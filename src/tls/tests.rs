use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::{Section, Session, Tls, TlsConfig};

/// A way for bytes: what one side writes the other reads.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<u8>,
    outgoing: VecDeque<u8>,
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(bytes)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Little at a time: a session must bear interruptions anywhere.
        let len = bytes.len().min(100);
        self.outgoing.write(&bytes[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A certificate for 127.0.0.1 that is its own authority.
fn section(folder: &Path) -> Tls {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Tls::new(Section::Peer, TlsConfig::new(&cert, &key).ca(&cert)).unwrap()
}

/// Handshakes both until neither waits for the other, then sends a word each way.
fn converse(tls: &Tls) -> (Session, Session) {
    let (mut client, mut server) = (tls.connect("127.0.0.1").unwrap(), tls.accept().unwrap());
    let mut wire = Wire::default();
    let flip = |wire: &mut Wire| std::mem::swap(&mut wire.incoming, &mut wire.outgoing);
    loop {
        let here = client.handshake(&mut wire);
        flip(&mut wire);
        let there = server.handshake(&mut wire);
        flip(&mut wire);
        match (here, there) {
            (Ok(()), Ok(())) => break,
            (here, there) => {
                for error in [here, there].into_iter().filter_map(Result::err) {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                }
            }
        }
    }
    // Behind the session's tickets, which are on their way.
    flip(&mut wire);
    send(&mut server, &mut wire, b"hello");
    flip(&mut wire);
    let mut bytes = [0; 9];
    assert_eq!(client.read(&mut wire, &mut bytes).unwrap(), 5);
    assert_eq!(&bytes[..5], b"hello");
    (client, server)
}

fn send(session: &mut Session, wire: &mut Wire, bytes: &[u8]) {
    assert_eq!(session.write(wire, &[io::IoSlice::new(bytes)]).unwrap(), bytes.len());
    session.flush(wire).unwrap();
}

#[test]
fn a_resumed_client_whose_certificate_has_expired_since_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tls = section(folder.path());
    converse(&tls);
    let (_, server) = converse(&tls);
    assert!(server.is_resumed(), "the second time there is a session to resume");
    server.look_again(UnixTime::now()).unwrap();
    let in_5_000_years = UnixTime::since_unix_epoch(Duration::from_secs(5_000 * 31_557_600));
    let error = server.look_again(in_5_000_years).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn what_is_read_anew_resumes_nothing_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let tls = section(folder.path());
    converse(&tls);
    tls.swap(tls.read().unwrap());
    let (_, server) = converse(&tls);
    assert!(!server.is_resumed());
}
