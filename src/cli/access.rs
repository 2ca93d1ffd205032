//! Who can reach a node, and what shows it who they are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use larder::{ClientCerts, Error, Node, NodeConfig, Secrets, TlsConfig};

use super::end::{Ending, Exit};

/// The secrets of the environment: for those who have no place for a file.
const SECRET: &str = "LARDER_SECRET";
/// The token of the environment.
const TOKEN: &str = "LARDER_TOKEN";

/// What guards the listeners of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guards {
    peers: Guard,
    api: Guard,
    /// Some are read from files.
    files: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Nothing,
    /// Peers show a certificate or sign; clients show a token, or at least meet TLS.
    Something,
}

/// The secrets that `LARDER_SECRET` holds, when it is set.
pub(super) fn secrets() -> Result<Option<Secrets>, Ending> {
    let Some(text) = env::var_os(SECRET) else { return Ok(None) };
    let bad = |reason: &str| Ending::new(Exit::BadConfig, format!("{SECRET}: {reason}"));
    let text = text.to_str().ok_or_else(|| bad("is not UTF-8"))?;
    Secrets::parse(text).map(Some).map_err(|error| match error {
        // The variable's name says already what it is about.
        Error::BadSetting { reason, .. } => bad(&reason),
        error => bad(&error.to_string()),
    })
}

/// The token of a command that asks a node, when it was given one.
pub(super) fn token(file: Option<&Path>) -> Result<Option<String>, Ending> {
    let (named, text) = match file {
        Some(path) => (named(path), fs::read_to_string(path).map_err(|error| error.to_string())),
        None => match env::var_os(TOKEN) {
            Some(text) => (TOKEN.to_owned(), as_text(&text)),
            None => return Ok(None),
        },
    };
    let bad = |reason: &str| Ending::new(Exit::BadConfig, format!("{named}: {reason}"));
    let text = text.map_err(|reason| bad(&reason))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("holds no token: write nothing but the token itself there"));
    }
    Ok(Some(token.to_owned()))
}

fn named(path: &Path) -> String {
    format!("--token-file {}", path.display())
}

fn as_text(text: &OsStr) -> Result<String, String> {
    text.to_str().map(str::to_owned).ok_or_else(|| "is not UTF-8".to_owned())
}

impl Guards {
    pub(super) fn of(config: &NodeConfig) -> Self {
        let guard = |is_there| if is_there { Guard::Something } else { Guard::Nothing };
        let certs = config.peer_tls.as_ref().map(TlsConfig::client_certs);
        let secret = config.secrets.is_some() || config.secret_file.is_some();
        Self {
            peers: guard(secret || certs == Some(ClientCerts::Required)),
            api: guard(config.tokens_file.is_some() || config.api_tls.is_some()),
            files: [&config.secret_file, &config.tokens_file].into_iter().any(Option::is_some),
        }
    }

    /// Whether there are files that can be read anew.
    pub(super) fn can_change(self) -> bool {
        self.files
    }

    /// What is to be said of listeners that strangers may reach.
    pub(super) fn warnings(self, node: &Node) -> Vec<String> {
        let (peers, api) = (node.pool().peer_addr(), node.pool().api_addr());
        let peers = warning("peers", peers, self.peers, "ask as a peer does", "--secret-file");
        let api = warning("api", api, self.api, "get every key", "--tokens-file");
        peers.into_iter().chain(api).collect()
    }
}

fn warning(
    listener: &str,
    addr: Option<SocketAddr>,
    guard: Guard,
    may: &str,
    flag: &str,
) -> Option<String> {
    let addr =
        addr.filter(|addr| !addr.ip().to_canonical().is_loopback() && guard == Guard::Nothing)?;
    Some(format!(
        "warning: {listener} on {addr}: whoever reaches it may {may}; give {flag}, or --insecure \
         if nobody else can"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(addr: &str, guard: Guard) -> Option<String> {
        warning("api", Some(addr.parse().unwrap()), guard, "ask", "--flag")
    }

    #[test]
    fn a_listener_that_others_reach_unguarded_is_warned_of() {
        for open in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[fe80::1]:1"] {
            assert!(warned(open, Guard::Nothing).unwrap().contains("--flag"), "{open}");
            assert_eq!(warned(open, Guard::Something), None);
        }
        for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(warned(near, Guard::Nothing), None);
        }
        assert_eq!(warning("api", None, Guard::Nothing, "", ""), None);
    }
}
