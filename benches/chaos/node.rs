//! A node: this program again, as a process of its own, built on the public library as the
//! binary is (`NodeConfig`, `Node`), with a group whose getter asks the origin.

use std::io::stdin;
use std::time::Duration;

use larder::{GroupConfig, GroupOptions, Node, NodeConfig, Result};

use super::origin::OriginClient;

/// The group that every node has.
pub(crate) const GROUP: &str = "g";
/// How the configuration names the origin.
pub(crate) const SCHEME: &str = "chaos://";
/// The first words of the line that tells that the node listens.
pub(crate) const READY: &str = "ready";

/// Runs a node of this configuration until its input ends.
pub(crate) fn run(toml: &str) -> Result<()> {
    let mut config = NodeConfig::from_toml(toml)?;
    // Their origin is none that the library knows.
    let groups = std::mem::take(&mut config.groups);
    let node = Node::start(config)?;
    for (name, group) in &groups {
        let address = group.origin.strip_prefix(SCHEME).unwrap_or(&group.origin);
        let address = address.parse().expect("the origin is an address");
        node.pool().group_with(options(group), name, OriginClient::new(address))?;
    }
    println!("{READY}");
    for line in stdin().lines() {
        let line = line.expect("commands are text");
        // The only command: another ring.
        node.pool().set_peers(line.split(','))?;
        println!("{READY}");
    }
    node.shutdown(Duration::from_secs(1));
    Ok(())
}

fn options(group: &GroupConfig) -> GroupOptions {
    type Set = fn(GroupOptions, Duration) -> GroupOptions;
    let times: [(Option<Duration>, Set); 5] = [
        (group.get_timeout, GroupOptions::get_timeout),
        (group.load_timeout, GroupOptions::load_timeout),
        (group.ttl, GroupOptions::ttl),
        (group.stale_while_revalidate, GroupOptions::stale_while_revalidate),
        (group.stale_if_error, GroupOptions::stale_if_error),
    ];
    let options = GroupOptions::new(group.cache_bytes.unwrap_or(64 << 20));
    times.into_iter().fold(options, |options, (time, set)| match time {
        Some(time) => set(options, time),
        None => options,
    })
}
