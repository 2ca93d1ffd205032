//! The flags. Kept free of doing: each command's work is in its own file.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand};
use larder::{Dialect, Eviction};

use super::end::Ending;
use super::tls::TlsArgs;

/// A distributed read-through cache: nodes that share the load of one slow origin.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done; also after SIGTERM or ctrl-C (a second one ends at once: 143 or 130)
  1  no such key, or no such group
  2  the flags are not understood
  3  the origin, a peer, the network or the system failed
  4  the settings cannot work: a bad address, origin, group name or file

Example:
  larder serve --group scores=static:Tom=630,Jack=589 &
  larder get 127.0.0.1:9999 scores Tom";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it: three nodes, a slow SQLite table, an HTTP API; needs nothing
    #[command(after_help = DEMO_HELP)]
    Demo,
    /// Run one node
    #[command(after_help = SERVE_HELP)]
    Serve(Box<ServeArgs>),
    /// Get one value from a running node, to stdout
    #[command(after_help = GET_HELP)]
    Get(GetArgs),
    /// Set a key on every node, once the origin has been written
    #[command(after_help = SET_HELP)]
    Set(SetArgs),
    /// Remove keys on every node, once the origin has changed
    #[command(after_help = REMOVE_HELP)]
    Remove(RemoveArgs),
    /// Remove all keys of a group on every node
    #[command(after_help = PURGE_HELP)]
    Purge(PurgeArgs),
}

const DEMO_HELP: &str = "\
The nodes are on ports 8001 to 8003 of 127.0.0.1 and the API is on 9999, or on others
when these are taken. The table is in a temporary folder, which goes with the demo.

Example:
  larder demo
  curl 'http://127.0.0.1:9999/api?key=Tom'";

const SERVE_HELP: &str = "\
Origins:
  dir:PATH                    the file KEY below the folder
  sqlite:PATH?sql=SELECT ...  one column of the first row; the key is ?1
  static:KEY=VALUE,...        what is written here

Flags go before LARDER_LISTEN, LARDER_PEERS, ... (all but --group), these before the file.
Every node needs the same --peers (https:// with TLS), itself among them. SIGTERM drains,
SIGHUP reads TLS, secrets and tokens anew. systemd's \"peer\" and \"api\" sockets go first.

Example:
  larder serve --listen 10.0.0.1:8001 --peers 10.0.0.1:8001,10.0.0.2:8001 \\
    --group 'scores=sqlite:game.db?sql=SELECT value FROM scores WHERE key=?1'";

const GET_HELP: &str = "\
The value's bytes go to stdout as they are, without a newline.

Example:
  larder get 127.0.0.1:9999 scores Tom";

const SET_HELP: &str = "\
Done (0) when every node has confirmed: no node gives anything older from then on. The value
saves the next load; a node may drop it, and asks the origin then.

Example:
  larder set 127.0.0.1:9999 scores Tom 630 --ttl 10s
  larder set 127.0.0.1:9999 pages index.html < index.html";

const REMOVE_HELP: &str = "\
Done (0) when every node has confirmed: no node gives what was there before. Otherwise (3) the
nodes that have not are named, and told as soon as they can be.

Example:
  larder remove 127.0.0.1:9999 scores Tom Jack";

const PURGE_HELP: &str = "\
Done (0) when every node has confirmed.

Example:
  larder purge 127.0.0.1:9999 scores";

/// Where a write goes.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// Where a node's API listens: host:port or http://host:port
    #[arg(value_name = "NODE", value_parser = node_url)]
    pub(super) node: String,
    /// The group's name
    #[arg(value_name = "GROUP")]
    pub(super) group: String,
    /// Show the token in this file, which may write; or give it in LARDER_TOKEN
    #[arg(long, value_name = "FILE", env = "LARDER_TOKEN_FILE", hide_env = true)]
    pub(super) token_file: Option<PathBuf>,
    /// Give up after this long
    #[arg(long, value_name = "TIME", default_value = "15s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(super) at: NodeArgs,
    /// The key
    #[arg(value_name = "KEY")]
    pub(super) key: String,
    /// The value [default: what comes from stdin]
    #[arg(value_name = "VALUE")]
    pub(super) value: Option<String>,
    /// How long it may be served [default: until it is removed or evicted]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) ttl: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    pub(super) at: NodeArgs,
    /// The keys
    #[arg(value_name = "KEY", required = true)]
    pub(super) keys: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(super) at: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Listen for peers here; port 0 is any free one [default: 127.0.0.1:8001]
    #[arg(long, value_name = "HOST:PORT", env = "LARDER_LISTEN", hide_env = true)]
    pub(super) listen: Option<String>,
    /// Listen for clients here [default: 127.0.0.1:9999]
    #[arg(long, value_name = "HOST:PORT", env = "LARDER_API", hide_env = true)]
    pub(super) api: Option<String>,
    /// How the peers know this node [default: the address of --listen]
    #[arg(long, value_name = "URL", env = "LARDER_ADVERTISE", hide_env = true)]
    pub(super) advertise: Option<String>,
    /// All nodes, this one included [default: this one alone]
    #[arg(long, value_name = "URL,URL,...", env = "LARDER_PEERS", hide_env = true)]
    #[arg(value_delimiter = ',')]
    pub(super) peers: Option<Vec<String>>,
    /// Peers must sign with one of the secrets in this file, or in LARDER_SECRET
    #[arg(long, value_name = "FILE", env = "LARDER_SECRET_FILE", hide_env = true)]
    pub(super) secret_file: Option<PathBuf>,
    /// Clients must show a token of this file; lines of `read TOKEN` or `write TOKEN`
    #[arg(long, value_name = "FILE", env = "LARDER_TOKENS_FILE", hide_env = true)]
    pub(super) tokens_file: Option<PathBuf>,
    /// Do not warn when strangers can reach a listener
    #[arg(long, env = "LARDER_INSECURE", hide_env = true)]
    pub(super) insecure: bool,
    /// A group and where its values come from; may be given more than once
    #[arg(long = "group", value_name = "NAME=ORIGIN", value_parser = name_and_origin)]
    pub(super) groups: Vec<(String, String)>,
    /// Budget of each group's cache [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "LARDER_CACHE_BYTES", hide_env = true)]
    #[arg(value_parser = size)]
    pub(super) cache_bytes: Option<usize>,
    /// What each full cache gives up: lru or s3-fifo-ages [default: lru]
    #[arg(long, value_name = "NAME", env = "LARDER_EVICTION", hide_env = true)]
    pub(super) eviction: Option<Eviction>,
    /// Keep what is cached in this folder over restarts [default: start cold]
    #[arg(long, value_name = "DIR", env = "LARDER_SNAPSHOT", hide_env = true)]
    pub(super) snapshot: Option<PathBuf>,
    /// Write it this often, and at the end [default: 10m]
    #[arg(long, value_name = "TIME", env = "LARDER_SNAPSHOT_EVERY", hide_env = true)]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) snapshot_every: Option<Duration>,
    /// When told to stop, go on this long with /readyz failing [default: 0s]
    #[arg(long, value_name = "TIME", env = "LARDER_DRAIN_GRACE", hide_env = true)]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) drain_grace: Option<Duration>,
    /// What the nodes agree on; the same on each [default: native]
    #[arg(long, value_name = "NAME", env = "LARDER_DIALECT", hide_env = true)]
    pub(super) dialect: Option<Dialect>,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "LARDER_CONFIG", hide_env = true)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Where a node's API listens: host:port or http://host:port
    #[arg(value_name = "NODE", value_parser = node_url)]
    pub(super) node: String,
    /// The group's name
    #[arg(value_name = "GROUP")]
    pub(super) group: String,
    /// The key
    #[arg(value_name = "KEY")]
    pub(super) key: String,
    /// Show the token in this file; or give it in LARDER_TOKEN
    #[arg(long, value_name = "FILE", env = "LARDER_TOKEN_FILE", hide_env = true)]
    pub(super) token_file: Option<PathBuf>,
    /// Give up after this long
    #[arg(long, value_name = "TIME", default_value = "15s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
}

impl Args {
    /// The flags of this process.
    pub(crate) fn read() -> Result<Self, Ending> {
        Ok(Self::try_parse()?)
    }
}

fn name_and_origin(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, origin)) if !name.is_empty() => Ok((name.to_owned(), origin.to_owned())),
        _ => Err("write NAME=ORIGIN, as in pages=dir:/srv/pages".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse().map_err(|_| "write a size such as 64MiB".to_owned())?;
    usize::try_from(size.as_u64()).map_err(|_| "more than this machine can address".to_owned())
}

fn node_url(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() || address.contains(['/', '?', '#', '@']) {
        return Err("write host:port or http://host:port, where the node's --api is".to_owned());
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_nodes_address_is_taken_with_and_without_http() {
        for given in ["127.0.0.1:9999", "http://127.0.0.1:9999", "http://127.0.0.1:9999/"] {
            assert_eq!(node_url(given).as_deref(), Ok("http://127.0.0.1:9999"));
        }
        assert_eq!(node_url("[::1]:9999").as_deref(), Ok("http://[::1]:9999"));
        for bad in ["", "localhost", "https://h:1", "h:99999", "http://h:1/api", "u@h:1"] {
            assert!(node_url(bad).unwrap_err().contains("host:port"), "{bad:?}");
        }
    }

    #[test]
    fn a_group_is_a_name_and_an_origin_which_may_hold_more_equals_signs() {
        let expected = ("scores".to_owned(), "static:Tom=630".to_owned());
        assert_eq!(name_and_origin("scores=static:Tom=630"), Ok(expected));
        for bad in ["scores", "=static:a=b", ""] {
            assert!(name_and_origin(bad).unwrap_err().contains("NAME=ORIGIN"), "{bad:?}");
        }
    }
}
