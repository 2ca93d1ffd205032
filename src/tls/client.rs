//! How peers are met: as those whom the authority knows, by the host in their address.

use std::sync::Arc;

use rustls::{ClientConfig, crypto::CryptoProvider};

use super::section::{ALPN, Identity};
use crate::error::Result;

pub(super) fn client(
    identity: &Identity<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ClientConfig>> {
    let (_, authorities) = identity.authorities("to know the peers by")?;
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| identity.cert.bad(error.to_string()))?
        .with_root_certificates(authorities.clone())
        .with_client_auth_cert(identity.chain.clone(), identity.private_key.clone_key())
        .map_err(|error| identity.refused(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}
