//! The configuration's TOML: how sizes, times and names are written there.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Error as _};

use super::NodeConfig;
use crate::error::{Error, Result};
use crate::serve::Limits;
use crate::store::Eviction;
use crate::tls::{ClientCerts, TlsConfig};
use crate::wire::Dialect;

impl NodeConfig {
    /// Reads a configuration from TOML.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] with line and column: for what is no TOML, a key that is not
    /// known, and a value that is not of its key's type.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text)
            .map_err(|error| Error::bad_setting("configuration", error.to_string().trim_end()))
    }
}

/// [`Limits`], field by field: serde belongs to this module alone.
#[derive(serde::Deserialize)]
#[serde(remote = "Limits", default = "Limits::default", deny_unknown_fields)]
pub(super) struct LimitsForm {
    connections: usize,
    connections_per_address: usize,
    #[serde(deserialize_with = "time")]
    handshake_timeout: Duration,
    #[serde(deserialize_with = "size")]
    head_bytes: usize,
    head_lines: usize,
    #[serde(deserialize_with = "time")]
    head_timeout: Duration,
    #[serde(deserialize_with = "size")]
    body_bytes: usize,
    #[serde(deserialize_with = "time")]
    body_timeout: Duration,
    #[serde(deserialize_with = "time")]
    idle_timeout: Duration,
    #[serde(deserialize_with = "time")]
    write_timeout: Duration,
    lane_workers: usize,
    lane_waiting: usize,
    #[serde(deserialize_with = "time")]
    lane_wait: Duration,
    lane_workers_per_group: Option<usize>,
    #[serde(deserialize_with = "time")]
    peer_connect: Duration,
    #[serde(deserialize_with = "time")]
    peer_call: Duration,
    peer_calls: usize,
}

/// [`TlsConfig`], likewise.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsForm {
    cert: PathBuf,
    key: PathBuf,
    ca: Option<PathBuf>,
    #[serde(default, deserialize_with = "client_certs")]
    client_certs: Option<ClientCerts>,
}

pub(super) fn tls<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TlsConfig>, D::Error> {
    let TlsForm { cert, key, ca, client_certs } = TlsForm::deserialize(from)?;
    Ok(Some(TlsConfig { ca, client_certs, ..TlsConfig::new(cert, key) }))
}

fn client_certs<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ClientCerts>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// `"64MiB"`, or a number of bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let size = ByteSize::deserialize(from)
        .map_err(|error| D::Error::custom(format!("{error}: write a size such as \"64MiB\"")))?;
    usize::try_from(size.as_u64())
        .map_err(|_| D::Error::custom(format!("{size} is more than this machine can address")))
}

pub(super) fn optional_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    size(from).map(Some)
}

/// `"10s"`, `"300ms"`, `"1m 30s"`.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map_err(|error| {
        D::Error::custom(format!("{text:?} is no time ({error}): write it as \"10s\" or \"300ms\""))
    })
}

pub(super) fn optional_time<'de, D>(from: D) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    time(from).map(Some)
}

pub(super) fn dialect<'de, D: Deserializer<'de>>(from: D) -> Result<Dialect, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) fn eviction<'de, D: Deserializer<'de>>(from: D) -> Result<Eviction, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) fn optional_eviction<'de, D>(from: D) -> Result<Option<Eviction>, D::Error>
where
    D: Deserializer<'de>,
{
    eviction(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GroupConfig;

    fn refusal(text: &str) -> String {
        NodeConfig::from_toml(text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_written_is_the_defaults() {
        assert_eq!(NodeConfig::from_toml(""), Ok(NodeConfig::default()));
    }

    #[test]
    fn what_is_written_of_the_node_is_read() {
        let text = r#"
            listen = "10.0.0.1:8001"
            advertise = "http://node-1:8001"
            api = "10.0.0.1:9999"
            peers = ["http://node-1:8001", "http://node-2:8001"]
            secret_file = "/etc/larder/secret"
            tokens_file = "/etc/larder/tokens"
            dialect = "native"
            cache_bytes = "1.5GiB"
            eviction = "s3-fifo-ages"
            snapshot = "/var/lib/larder"
            snapshot_every = "5m"
            drain_grace = "3s"

            [connect_to]
            "http://node-2:8001" = "127.0.0.1:4001"
        "#;
        let expected = NodeConfig {
            listen: "10.0.0.1:8001".to_owned(),
            advertise: Some("http://node-1:8001".to_owned()),
            api: Some("10.0.0.1:9999".to_owned()),
            peers: vec!["http://node-1:8001".to_owned(), "http://node-2:8001".to_owned()],
            secret_file: Some("/etc/larder/secret".into()),
            tokens_file: Some("/etc/larder/tokens".into()),
            connect_to: [("http://node-2:8001".to_owned(), "127.0.0.1:4001".to_owned())].into(),
            dialect: Dialect::Native,
            cache_bytes: 3 << 29,
            eviction: Eviction::S3FifoAges,
            snapshot: Some("/var/lib/larder".into()),
            snapshot_every: Duration::from_secs(300),
            drain_grace: Duration::from_secs(3),
            ..NodeConfig::default()
        };
        assert_eq!(NodeConfig::from_toml(text), Ok(expected));
    }

    #[test]
    fn what_is_written_of_groups_and_limits_is_read() {
        let text = r#"
            [groups.pages]
            origin = "dir:/srv/pages"
            cache_bytes = 1000
            eviction = "lru"
            get_timeout = "300ms"
            load_timeout = "1m 30s"
            ttl = "1h"
            ttl_jitter = 0.25
            stale_while_revalidate = "10s"
            stale_if_error = "1day"
            not_found_ttl = "0s"
            error_ttl = "2s"
            hot_ttl = "5s"

            [limits]
            head_bytes = "8KiB"
            lane_workers_per_group = 3
            peer_call = "500ms"
            peer_calls = 8
        "#;
        let pages = GroupConfig {
            origin: "dir:/srv/pages".to_owned(),
            cache_bytes: Some(1_000),
            eviction: Some(Eviction::Lru),
            get_timeout: Some(Duration::from_millis(300)),
            load_timeout: Some(Duration::from_secs(90)),
            ttl: Some(Duration::from_secs(3_600)),
            ttl_jitter: Some(0.25),
            stale_while_revalidate: Some(Duration::from_secs(10)),
            stale_if_error: Some(Duration::from_secs(86_400)),
            not_found_ttl: Some(Duration::ZERO),
            error_ttl: Some(Duration::from_secs(2)),
            hot_ttl: Some(Duration::from_secs(5)),
        };
        let limits = Limits {
            head_bytes: 8 << 10,
            lane_workers_per_group: Some(3),
            peer_call: Duration::from_millis(500),
            peer_calls: 8,
            ..Limits::default()
        };
        let groups = [("pages".to_owned(), pages)].into();
        let expected = NodeConfig { groups, limits, ..NodeConfig::default() };
        assert_eq!(NodeConfig::from_toml(text), Ok(expected));
    }

    #[test]
    fn what_is_written_of_tls_is_read() {
        let text = r#"
            [peer_tls]
            cert = "node.pem"
            key = "node.key"
            ca = "ca.pem"

            [api_tls]
            cert = "api.pem"
            key = "api.key"
            ca = "clients.pem"
            client_certs = "optional"
        "#;
        let api = TlsConfig::new("api.pem", "api.key").ca("clients.pem");
        let expected = NodeConfig {
            peer_tls: Some(TlsConfig::new("node.pem", "node.key").ca("ca.pem")),
            api_tls: Some(api.with_client_certs(ClientCerts::Optional)),
            ..NodeConfig::default()
        };
        assert_eq!(NodeConfig::from_toml(text), Ok(expected));
        assert!(refusal("[api_tls]\ncert = \"a\"").contains("missing field `key`"));
        let error = refusal("[api_tls]\ncert = \"\"\nkey = \"\"\nclient_certs = \"maybe\"");
        assert!(error.contains("line 4") && error.contains("required, optional, none"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_those_there_are() {
        let error = refusal("listen = \"127.0.0.1:1\"\nlisten_on = 1\n");
        for word in ["line 2, column 1", "listen_on", "advertise"] {
            assert!(error.contains(word), "{word} is missing in {error}");
        }
        let error = refusal("[limits]\nconnections = 1\nconection = 1\n");
        assert!(error.contains("line 3, column 1") && error.contains("conection"), "{error}");
        let error = refusal("[groups.g]\norigin = \"static:\"\nttl_s = 1\n");
        assert!(error.contains("line 3, column 1") && error.contains("ttl_s"), "{error}");
    }

    #[test]
    fn a_bad_value_is_told_with_its_place_and_how_to_write_it() {
        let error = refusal("\ncache_bytes = \"64 bananas\"\n");
        assert!(error.contains("line 2, column 15") && error.contains("64MiB"), "{error}");
        let error = refusal("[limits]\npeer_call = \"soon\"\n");
        assert!(error.contains("line 2, column 13") && error.contains("300ms"), "{error}");
        let error = refusal("dialect = \"klingon\"");
        assert!(error.contains("line 1") && error.contains("native"), "{error}");
        for text in ["\n\neviction = \"fifo\"\n", "[groups.g]\norigin = \"\"\neviction = \"fifo\""]
        {
            let error = refusal(text);
            assert!(error.contains("line 3") && error.contains("lru, s3-fifo-ages"), "{error}");
        }
    }

    #[test]
    fn a_group_without_an_origin_is_refused() {
        let error = refusal("[groups.pages]\ncache_bytes = 1\n");
        assert!(error.contains("line 1") && error.contains("origin"), "{error}");
    }
}
