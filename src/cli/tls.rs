//! The flags for TLS.

use std::path::PathBuf;

use larder::{NodeConfig, TlsConfig};

use super::end::{Ending, Exit};

#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// Speak TLS with the peers: this node's certificate, in PEM
    #[arg(long, value_name = "FILE", env = "LARDER_PEER_CERT", hide_env = true)]
    peer_cert: Option<PathBuf>,
    /// The key of --peer-cert
    #[arg(long, value_name = "FILE", env = "LARDER_PEER_KEY", hide_env = true)]
    peer_key: Option<PathBuf>,
    /// Who must have signed the certificates of the peers
    #[arg(long, value_name = "FILE", env = "LARDER_PEER_CA", hide_env = true)]
    peer_ca: Option<PathBuf>,
    /// Speak TLS with the clients: the certificate that they are shown, in PEM
    #[arg(long, value_name = "FILE", env = "LARDER_API_CERT", hide_env = true)]
    api_cert: Option<PathBuf>,
    /// The key of --api-cert
    #[arg(long, value_name = "FILE", env = "LARDER_API_KEY", hide_env = true)]
    api_key: Option<PathBuf>,
    /// Who must have signed the clients' certificates [default: none is asked for]
    #[arg(long, value_name = "FILE", env = "LARDER_API_CA", hide_env = true)]
    api_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// Puts the flags over what the file says.
    pub(super) fn apply(self, config: &mut NodeConfig) -> Result<(), Ending> {
        let files = (self.peer_cert, self.peer_key, self.peer_ca);
        config.peer_tls = section("peer", config.peer_tls.take(), files)?;
        let files = (self.api_cert, self.api_key, self.api_ca);
        config.api_tls = section("api", config.api_tls.take(), files)?;
        Ok(())
    }
}

type Files = (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>);

fn section(
    name: &str,
    file: Option<TlsConfig>,
    (cert, key, ca): Files,
) -> Result<Option<TlsConfig>, Ending> {
    let mut config = match (file, &cert, &key) {
        (Some(config), _, _) => config,
        (None, Some(cert), Some(key)) => TlsConfig::new(cert, key),
        (None, None, None) if ca.is_none() => return Ok(None),
        (None, _, _) => {
            let message = format!(
                "TLS takes both --{name}-cert and --{name}-key: give the one that is missing"
            );
            return Err(Ending::new(Exit::BadConfig, message));
        }
    };
    config.cert = cert.unwrap_or(config.cert);
    config.key = key.unwrap_or(config.key);
    config.ca = ca.or(config.ca);
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_file_one_by_one() {
        let file = TlsConfig::new("file.pem", "file.key").ca("file-ca.pem");
        let merged = section("peer", Some(file), (Some("flag.pem".into()), None, None)).unwrap();
        let expected = TlsConfig::new("flag.pem", "file.key").ca("file-ca.pem");
        assert_eq!(merged, Some(expected));
    }

    #[test]
    fn half_of_what_tls_takes_is_refused() {
        for files in [
            (Some("a.pem".into()), None, None),
            (None, Some("a.key".into()), None),
            (None, None, Some("ca.pem".into())),
        ] {
            assert!(section("api", None, files).is_err());
        }
        assert_eq!(section("api", None, (None, None, None)).ok(), Some(None));
    }
}
