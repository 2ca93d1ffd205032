//! The secrets and tokens of a node: read at its start, and again when they have changed.

use std::path::PathBuf;

use crate::auth::{Secrets, Tokens};
use crate::config::NodeConfig;
use crate::error::Result;
use crate::pool::{HttpPool, HttpPoolBuilder};

/// Where a node's secrets and tokens are read from.
#[derive(Debug)]
pub(super) struct Keys {
    /// None when there are none, or they were given and not read.
    secret_file: Option<PathBuf>,
    tokens_file: Option<PathBuf>,
}

/// What the files held; none where there is no file.
type Read = (Option<Secrets>, Option<Tokens>);

impl Keys {
    pub(super) fn of(config: &NodeConfig) -> Self {
        let secret_file = match config.secrets {
            Some(_) => None,
            None => config.secret_file.clone(),
        };
        Self { secret_file, tokens_file: config.tokens_file.clone() }
    }

    pub(super) fn read(&self) -> Result<Read> {
        let secrets = self.secret_file.as_ref().map(Secrets::read).transpose()?;
        Ok((secrets, self.tokens_file.as_ref().map(Tokens::read).transpose()?))
    }

    /// Gives what was read to a pool that was started with some.
    pub(super) fn set(pool: &HttpPool, (secrets, tokens): Read) -> Result<()> {
        secrets.map_or(Ok(()), |secrets| pool.set_secrets(secrets))?;
        tokens.map_or(Ok(()), |tokens| pool.set_tokens(tokens))
    }
}

/// Gives a pool that is to be the secrets and tokens of its configuration.
pub(super) fn build(config: &NodeConfig, mut builder: HttpPoolBuilder) -> Result<HttpPoolBuilder> {
    let (read, tokens) = Keys::of(config).read()?;
    if let Some(secrets) = config.secrets.clone().or(read) {
        builder = builder.secrets(secrets);
    }
    if let Some(tokens) = tokens {
        builder = builder.tokens(tokens);
    }
    Ok(builder)
}
