//! One section's TLS: its files, and what was made of them when they were last read.

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConnection};
use rustls::{Error as TlsError, InconsistentKeys};

use super::Section;
use super::client::client;
use super::config::TlsConfig;
use super::files::File;
use super::server::{Server, server};
use super::session::Session;
use crate::error::{Error, Result};

/// The protocol that is spoken inside.
pub(super) const ALPN: &[u8] = b"http/1.1";

/// One section's TLS. New connections use what [`swap`](Self::swap) put in last; the others go on
/// with what they began with.
pub(crate) struct Tls {
    section: Section,
    config: TlsConfig,
    made: ArcSwap<Fresh>,
}

/// What is made of a section's files.
pub(crate) struct Fresh {
    server: Server,
    /// None where this node calls nobody.
    client: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Reads the files of `config`.
    pub(crate) fn new(section: Section, config: TlsConfig) -> Result<Self> {
        let made = ArcSwap::from_pointee(make(section, &config)?);
        Ok(Self { section, config, made })
    }

    /// Reads the files anew, for [`swap`](Self::swap).
    pub(crate) fn read(&self) -> Result<Fresh> {
        make(self.section, &self.config)
    }

    /// New connections use `fresh`.
    pub(crate) fn swap(&self, fresh: Fresh) {
        self.made.store(Arc::new(fresh));
    }

    /// A session with who has connected.
    pub(crate) fn accept(&self) -> io::Result<Session> {
        let made = self.made.load();
        let connection = ServerConnection::new(Arc::clone(&made.server.config));
        let connection = connection.map_err(io::Error::other)?;
        Ok(Session::new(Connection::Server(connection), made.server.verifier.clone()))
    }

    /// A session with the node at `host`, which may be a name or an address.
    pub(crate) fn connect(&self, host: &str) -> io::Result<Session> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let made = self.made.load();
        let config = made.client.as_ref().ok_or_else(|| io::Error::other("for listening only"))?;
        let connection = ClientConnection::new(Arc::clone(config), name);
        let connection = connection.map_err(io::Error::other)?;
        Ok(Session::new(Connection::Client(connection), None))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a section's files hold.
pub(super) struct Identity<'a> {
    section: Section,
    pub(super) cert: File<'a>,
    key: File<'a>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) private_key: PrivateKeyDer<'static>,
    authorities: Option<(File<'a>, RootCertStore)>,
}

impl Identity<'_> {
    /// The authorities, which are needed `for_what`.
    pub(super) fn authorities(&self, for_what: &str) -> Result<(File<'_>, &RootCertStore)> {
        let found = self.authorities.as_ref().map(|(file, store)| (*file, store));
        found.ok_or_else(|| {
            let setting = format!("{}.ca", self.section.name());
            let reason = format!("is needed {for_what}: the authority's certificate, in PEM");
            Error::bad_setting(setting, reason)
        })
    }

    /// The error that rustls has with certificate and key.
    pub(super) fn refused(&self, error: &TlsError) -> Error {
        let cert = self.cert.path.display();
        match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => self.key.bad(format!(
                "does not belong to the certificate in {cert}: give the key that it was made for"
            )),
            TlsError::InvalidCertificate(_) => self.cert.bad(format!("cannot be used ({error})")),
            _ => self.key.bad(format!("cannot be used with {cert} ({error})")),
        }
    }
}

fn make(section: Section, config: &TlsConfig) -> Result<Fresh> {
    let file = |setting, path| File { section, setting, path };
    let (cert, key) = (file("cert", config.cert.as_path()), file("key", config.key.as_path()));
    let ca = config.ca.as_deref().map(|path| file("ca", path));
    let identity = Identity {
        section,
        cert,
        key,
        chain: cert.certificates()?,
        private_key: key.key()?,
        authorities: ca.map(|ca| Ok::<_, Error>((ca, ca.authorities()?))).transpose()?,
    };
    // Passed along, so that a program that embeds larder keeps its own choice for itself.
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let server = server(&identity, config.client_certs(), &provider)?;
    let client = match section {
        Section::Peer => Some(client(&identity, &provider)?),
        Section::Api => None,
    };
    Ok(Fresh { server, client })
}
