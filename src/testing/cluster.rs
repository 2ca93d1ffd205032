//! Nodes on loopback.

use std::time::Duration;

use crate::error::Result;
use crate::group::{Group, GroupOptions};
use crate::pool::HttpPool;
use crate::serve::Limits;
use crate::testing::TestOrigin;

/// Real nodes on loopback ports in this process, with a ring of all of them.
///
/// Dropped, it stops them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<HttpPool>,
}

/// Enough for tests, and far fewer threads than a node in service has.
const LANE_WORKERS: usize = 8;
/// A busy machine is no failed peer.
const PEER_CALL: Duration = Duration::from_secs(15);

impl Cluster {
    /// Starts `n` nodes, each with a listener for peers and one for clients.
    ///
    /// # Errors
    ///
    /// As [`HttpPoolBuilder::start`](crate::HttpPoolBuilder::start).
    pub fn start(n: usize) -> Result<Self> {
        let (lane_workers, peer_call) = (LANE_WORKERS, PEER_CALL);
        Self::start_with(n, &Limits { lane_workers, peer_call, ..Limits::default() })
    }

    /// As [`start`](Self::start), with limits.
    ///
    /// # Errors
    ///
    /// As [`HttpPoolBuilder::start`](crate::HttpPoolBuilder::start).
    pub fn start_with(n: usize, limits: &Limits) -> Result<Self> {
        let node = || {
            let builder = HttpPool::builder().listen("http://127.0.0.1:0").api("127.0.0.1:0");
            builder.limits(limits.clone()).start()
        };
        let nodes = (0..n).map(|_| node()).collect::<Result<Vec<_>>>()?;
        let urls: Vec<String> = nodes.iter().map(|node| node.url().to_owned()).collect();
        for node in &nodes {
            node.set_peers(&urls)?;
        }
        Ok(Self { nodes })
    }

    /// The nodes, in the order of their start.
    pub fn nodes(&self) -> &[HttpPool] {
        &self.nodes
    }

    /// Makes a group on every node, all loading from the same origin.
    ///
    /// # Errors
    ///
    /// As [`HttpPool::group`].
    pub fn group(&self, name: &str, cache_bytes: usize, origin: &TestOrigin) -> Result<Vec<Group>> {
        self.group_with(&GroupOptions::new(cache_bytes), name, origin)
    }

    /// As [`group`](Self::group), with options.
    ///
    /// # Errors
    ///
    /// As [`HttpPool::group_with`].
    pub fn group_with(
        &self,
        options: &GroupOptions,
        name: &str,
        origin: &TestOrigin,
    ) -> Result<Vec<Group>> {
        let groups = self.nodes.iter();
        groups.map(|node| node.group_with(options.clone(), name, origin.clone())).collect()
    }

    /// Stops a node as a crash would: its connections are cut, and the others still have it
    /// on their ring.
    pub fn stop(&mut self, node: usize) {
        self.nodes.remove(node);
    }
}
