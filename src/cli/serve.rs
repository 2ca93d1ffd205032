//! `larder serve`: one node, until a signal.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use bytesize::ByteSize;
use larder::{Error, GroupConfig, Node, NodeConfig, SnapshotEvent, TlsConfig};

use super::access::{self, Guards};
use super::activation;
use super::args::ServeArgs;
use super::end::{Ending, Exit};
use super::signals::{Signals, Wish};

/// How long requests in flight have to finish: the program is to be gone within 10 s.
const DRAIN: Duration = Duration::from_secs(8);
/// How long what was cut off has to end, and snapshots to be written, when requests took all
/// that time: a getter that hangs is left behind.
const CUT_OFF: Duration = Duration::from_millis(1_500);

pub(crate) fn run(args: ServeArgs) -> Result<(), Ending> {
    // First of all: it takes them out of the environment, which only one thread may change.
    let sockets = activation::sockets()?;
    let insecure = args.insecure;
    let config = settings(args)?;
    let guards = Guards::of(&config);
    let mut signals = Signals::catch()?;
    let schemes = [&config.peer_tls, &config.api_tls].map(scheme);
    if schemes.contains(&"https") || guards.can_change() {
        signals.catch_reload()?;
    }
    let grace = config.drain_grace;
    let node = Node::start_on(sockets, config, tell)?;
    say(&announcement(&node, schemes));
    if !insecure {
        guards.warnings(&node).iter().for_each(|warning| say(warning));
    }
    while signals.wait() == Wish::Reload {
        match node.reload() {
            Ok(()) => say("the files were read anew"),
            Err(error) => {
                say(&format!("everything stays as it was, TLS, secrets and tokens: {error}"));
            }
        }
    }
    match drain(node, grace) {
        Ok(true) => {}
        Ok(false) => say(&format!("cut off the requests that had not finished after {DRAIN:?}")),
        Err(_) => {
            let all = DRAIN + CUT_OFF;
            say(&format!("cut off what had not ended after {all:?}: a request, or a snapshot"));
        }
    }
    Ok(())
}

/// Flags over the file over the defaults.
fn settings(args: ServeArgs) -> Result<NodeConfig, Ending> {
    let mut config = match &args.config {
        Some(path) => read(path)?,
        None => NodeConfig::default(),
    };
    config.listen = args.listen.unwrap_or(config.listen);
    config.api = args.api.or(config.api);
    config.advertise = args.advertise.or(config.advertise);
    config.peers = args.peers.unwrap_or(config.peers);
    config.drain_grace = args.drain_grace.unwrap_or(config.drain_grace);
    config.secrets = if args.secret_file.is_none() { access::secrets()? } else { None };
    config.secret_file = args.secret_file.or(config.secret_file);
    config.tokens_file = args.tokens_file.or(config.tokens_file);
    config.dialect = args.dialect.unwrap_or(config.dialect);
    config.snapshot = args.snapshot.or(config.snapshot);
    config.snapshot_every = args.snapshot_every.unwrap_or(config.snapshot_every);
    args.tls.apply(&mut config)?;
    for (name, origin) in args.groups {
        match config.groups.get_mut(&name) {
            Some(group) => group.origin = origin,
            None => drop(config.groups.insert(name, GroupConfig::new(origin))),
        }
    }
    if let Some(cache_bytes) = args.cache_bytes {
        config.cache_bytes = cache_bytes;
        config.groups.values_mut().for_each(|group| group.cache_bytes = None);
    }
    if let Some(eviction) = args.eviction {
        config.eviction = eviction;
        config.groups.values_mut().for_each(|group| group.eviction = None);
    }
    if config.groups.is_empty() {
        let message = "no group, so nothing could be served: add --group NAME=ORIGIN, or \
                       [groups.NAME] to the --config file";
        return Err(Ending::new(Exit::BadConfig, message));
    }
    Ok(config)
}

fn read(path: &Path) -> Result<NodeConfig, Ending> {
    let bad = |reason: String| {
        Ending::new(Exit::BadConfig, format!("--config {}: {reason}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    NodeConfig::from_toml(&text).map_err(|error| match error {
        // The path says already what it is about.
        Error::BadSetting { reason, .. } => bad(reason),
        error => bad(error.to_string()),
    })
}

fn scheme(tls: &Option<TlsConfig>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

fn announcement(node: &Node, [peer, api]: [&str; 2]) -> String {
    let pool = node.pool();
    let listens = |scheme: &str, addr: Option<_>| match addr {
        Some(addr) => format!("on {scheme}://{addr}"),
        None => "nowhere".to_owned(),
    };
    format!("peers {}, api {}", listens(peer, pool.peer_addr()), listens(api, pool.api_addr()))
}

/// Whether all requests finished in time; an error when not even their end did.
fn drain(node: Node, grace: Duration) -> Result<bool, RecvTimeoutError> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(node.shutdown(DRAIN)));
    told.recv_timeout(grace + DRAIN + CUT_OFF)
}

/// Says what has become of a snapshot; that one was written goes without saying.
fn tell(event: &SnapshotEvent) {
    let (group, line) = match event {
        SnapshotEvent::Restored { group, path, result: Ok(read) } => {
            let path = path.display();
            let line = match read.bytes {
                0 => format!("starts cold: no snapshot at {path} yet"),
                bytes => {
                    let size = ByteSize::b(bytes).display().si();
                    format!("{} entries from {path} ({size})", grouped(read.entries))
                }
            };
            (group, line)
        }
        SnapshotEvent::Restored { group, result: Err(error), .. } => {
            (group, format!("starts cold: {error}"))
        }
        SnapshotEvent::Written { group, result: Err(error), .. } => {
            (group, format!("no snapshot was written: {error}"))
        }
        _ => return,
    };
    say(&format!("group {group:?}: {line}"));
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn say(message: &str) {
    // A node whose stderr is gone still serves.
    let _ = writeln!(io::stderr().lock(), "larder: {message}");
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_apart() {
        let told = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(told, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
