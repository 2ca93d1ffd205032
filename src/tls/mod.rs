//! TLS: the files that a listener is given, what is made of them, and the sessions that run on
//! that. The door of rustls, which nothing outside names.

mod config;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod section;
#[cfg(not(feature = "tls"))]
mod without;

pub use config::{ClientCerts, TlsConfig};
#[cfg(feature = "tls")]
pub(crate) use section::Tls;
#[cfg(feature = "tls")]
pub(crate) use session::Session;
#[cfg(not(feature = "tls"))]
pub(crate) use without::{Session, Tls};

/// Whose certificates a section's files are for; also what messages call the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// The listener for peers, and the way to them.
    Peer,
    /// The listener for clients.
    Api,
}

impl Section {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer_tls",
            Self::Api => "api_tls",
        }
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests;
