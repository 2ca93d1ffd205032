//! How who connects is met.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{ServerConfig, crypto::CryptoProvider};

use super::config::ClientCerts;
use super::section::{ALPN, Identity};
use crate::error::Result;

/// Sessions that may be resumed. Each is used once, and lies in this memory alone: nobody who
/// steals a key of ours can read what was sent before.
const SESSIONS: usize = 1_024;

pub(super) struct Server {
    pub(super) config: Arc<ServerConfig>,
    /// What looks at a client's certificate; none when none is asked for.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
}

pub(super) fn server(
    identity: &Identity<'_>,
    client_certs: ClientCerts,
    provider: &Arc<CryptoProvider>,
) -> Result<Server> {
    let verifier = verifier(identity, client_certs, provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| identity.cert.bad(error.to_string()))?;
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(identity.chain.clone(), identity.private_key.clone_key())
        .map_err(|error| identity.refused(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(Server { config: Arc::new(config), verifier })
}

fn verifier(
    identity: &Identity<'_>,
    client_certs: ClientCerts,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    if client_certs == ClientCerts::None {
        return Ok(None);
    }
    let (ca, authorities) = identity.authorities("to know clients' certificates by")?;
    let authorities = Arc::new(authorities.clone());
    let builder = WebPkiClientVerifier::builder_with_provider(authorities, Arc::clone(provider));
    let builder = match client_certs {
        ClientCerts::Optional => builder.allow_unauthenticated(),
        ClientCerts::Required | ClientCerts::None => builder,
    };
    builder.build().map(Some).map_err(|error| ca.bad(error.to_string()))
}
