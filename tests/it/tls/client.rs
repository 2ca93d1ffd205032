//! A client that speaks TLS as it is told to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use larder::TlsConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::authority::HOST;
use crate::support::{Answer, PATIENCE, request};

/// One connection inside TLS.
pub(super) struct Client {
    pub(super) stream: StreamOwned<ClientConnection, TcpStream>,
}

/// What a client believes and shows.
pub(super) fn config(
    ca: &Path,
    shows: Option<&TlsConfig>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authorities);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.cert).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Of any version that there is.
pub(crate) fn config_for(ca: &Path, shows: Option<&TlsConfig>) -> Arc<ClientConfig> {
    config(ca, shows, rustls::ALL_VERSIONS)
}

impl Client {
    /// Connects; the handshake comes with the first request.
    pub(super) fn connect(addr: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self::over(TcpStream::connect(addr).unwrap(), config)
    }

    pub(super) fn over(stream: TcpStream, config: &Arc<ClientConfig>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = HOST.try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { stream: StreamOwned::new(connection, stream) }
    }

    pub(super) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send(request(path).as_bytes())?;
        self.answer()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads one answer whole.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not an answer: {head:?}")))?;
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, head, body })
    }
}

/// The answer to a GET over a connection of its own.
pub(super) fn get(addr: SocketAddr, config: &Arc<ClientConfig>, path: &str) -> io::Result<Answer> {
    Client::connect(addr, config).get(path)
}
