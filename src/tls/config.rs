//! What a user says of TLS: plain data.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The files for TLS on a listener, each in PEM.
///
/// Given for peers ([`HttpPoolBuilder::peer_tls`](crate::HttpPoolBuilder::peer_tls)), `cert` and
/// `key` are also what this node shows to its peers, and `ca` is what theirs must come from: both
/// sides know each other, and no other authority is believed. A certificate for that needs the
/// node's host among its subject alternative names, and both extended key usages, `serverAuth` and
/// `clientAuth`, or none. `ca` may hold several authorities, so that one can follow another.
///
/// Lists of revoked certificates are not read: give certificates short lives, and let
/// [`HttpPool::reload_tls`](crate::HttpPool::reload_tls) read the next ones.
///
/// Needs the feature `tls`.
///
/// ```
/// use larder::{ClientCerts, TlsConfig};
///
/// let peers = TlsConfig::new("node-1.pem", "node-1.key").ca("ring-ca.pem");
/// assert_eq!(peers.client_certs(), ClientCerts::Required);
/// let clients = TlsConfig::new("api.pem", "api.key");
/// assert_eq!(clients.client_certs(), ClientCerts::None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate, and behind it those between it and the authority.
    pub cert: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// The authorities whose certificates are believed. Defaults to none, which peers cannot do
    /// with.
    pub ca: Option<PathBuf>,
    /// What is asked of who connects. Defaults to [`ClientCerts::Required`] where there is a
    /// `ca`, and to [`ClientCerts::None`] otherwise.
    pub client_certs: Option<ClientCerts>,
}

impl TlsConfig {
    /// A certificate and its key, with defaults for the rest.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { cert: cert.into(), key: key.into(), ca: None, client_certs: None }
    }

    /// The authorities whose certificates are believed.
    #[must_use]
    pub fn ca(self, ca: impl Into<PathBuf>) -> Self {
        Self { ca: Some(ca.into()), ..self }
    }

    /// What is asked of who connects.
    #[must_use]
    pub fn with_client_certs(self, client_certs: ClientCerts) -> Self {
        Self { client_certs: Some(client_certs), ..self }
    }

    /// What is asked of who connects, with the default filled in.
    pub fn client_certs(&self) -> ClientCerts {
        let default = if self.ca.is_some() { ClientCerts::Required } else { ClientCerts::None };
        self.client_certs.unwrap_or(default)
    }
}

/// Whether who connects must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCerts {
    /// Who has none of the authority's is refused.
    Required,
    /// Who shows one must show one of the authority's.
    Optional,
    /// None is asked for.
    None,
}

impl ClientCerts {
    const ALL: [Self; 3] = [Self::Required, Self::Optional, Self::None];

    /// The name, as settings and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::None => "none",
        }
    }
}

impl fmt::Display for ClientCerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ClientCerts {
    type Err = Error;

    /// Reads a [`name`](Self::name).
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`], which lists the names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|certs| certs.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::bad_setting("client_certs", format!("{name:?} is not one of {names}"))
        })
    }
}
