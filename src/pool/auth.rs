//! Who may ask this node, and how it shows its peers who it is.

mod clients;
mod cluster;

use std::sync::Arc;

use super::HttpPool;
use crate::auth::{Secrets, Tokens};
use crate::client::Sign;
use crate::error::{Error, Result};
use crate::serve::{Guard, Meters};
use crate::wire::{Answers, Spec};

/// What the builder was given.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) secrets: Option<Secrets>,
    pub(super) tokens: Option<Tokens>,
}

/// The guards of a pool's listeners. What they know can be changed while it runs.
#[derive(Debug, Default)]
pub(super) struct Auth {
    cluster: Option<Arc<cluster::Cluster>>,
    clients: Option<Arc<clients::Clients>>,
}

impl Auth {
    pub(super) fn new(
        settings: Settings,
        spec: &Spec,
        own_url: &str,
        peer_meters: &Arc<Meters>,
        api_meters: &Arc<Meters>,
    ) -> Result<Self> {
        // Where answers are plain there are Go nodes.
        if settings.secrets.is_some() && spec.answers == Answers::Plain {
            let reason = format!(
                "cannot be used with the dialect {}: no Go node can sign what it asks, or verify",
                spec.name
            );
            return Err(Error::bad_setting("secret", reason));
        }
        let cluster = |secrets| cluster::Cluster::new(secrets, own_url, Arc::clone(peer_meters));
        let clients = |tokens| clients::Clients::new(tokens, Arc::clone(api_meters));
        Ok(Self {
            cluster: settings.secrets.map(cluster).map(Arc::new),
            clients: settings.tokens.map(clients).map(Arc::new),
        })
    }

    pub(super) fn signer(&self) -> Option<Arc<dyn Sign>> {
        self.cluster.clone().map(|cluster| cluster as Arc<dyn Sign>)
    }

    pub(super) fn peer_guard(&self) -> Option<&dyn Guard> {
        self.cluster.as_deref().map(|cluster| cluster as &dyn Guard)
    }

    pub(super) fn api_guard(&self) -> Option<&dyn Guard> {
        self.clients.as_deref().map(|clients| clients as &dyn Guard)
    }
}

impl HttpPool {
    /// Changes the secrets of a pool that was started with some. From now on requests are signed
    /// with the first of these and verified with all of them: see [`Secrets`] for how to change a
    /// whole cluster.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when it was started without.
    pub fn set_secrets(&self, secrets: Secrets) -> Result<()> {
        let cluster = self.shared.auth.cluster.as_ref();
        cluster.ok_or_else(|| started_without("secret"))?.set(secrets);
        Ok(())
    }

    /// Changes the tokens of a pool that was started with some. A token that is not among these
    /// is of no use from now on.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when it was started without.
    pub fn set_tokens(&self, tokens: Tokens) -> Result<()> {
        let clients = self.shared.auth.clients.as_ref();
        clients.ok_or_else(|| started_without("tokens"))?.set(tokens);
        Ok(())
    }
}

/// Whether a listener is guarded is decided once: a file that is missing must not open it.
fn started_without(setting: &str) -> Error {
    Error::bad_setting(setting, "this node was started without: restart it with one")
}
