//! A ring of larder and Go nodes.

use std::path::{Path, PathBuf};

use larder::{Dialect, Group, GroupOptions, HttpPool, Limits};

use super::PATIENCE;
use super::go::{GoNode, Mount};
use super::origin::Origin;

pub(super) struct Ring {
    programs: PathBuf,
    pub(super) setup: Setup,
    pub(super) origin: Origin,
    pub(super) larder: Vec<LarderNode>,
    pub(super) go: Vec<GoNode>,
}

/// What the nodes of a ring agree on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) dialect: Dialect,
    pub(super) base: &'static str,
    pub(super) mount: Mount,
}

pub(super) struct LarderNode {
    pub(super) name: String,
    pub(super) pool: HttpPool,
    pub(super) group: Group,
}

impl LarderNode {
    pub(super) fn start(name: &str, url: &str, dialect: Dialect, origin: &Origin) -> Self {
        let mut limits = Limits::default();
        limits.lane_workers = 16;
        // A busy machine is not to look like a dead peer.
        (limits.peer_connect, limits.peer_call) = (PATIENCE / 6, PATIENCE / 2);
        let builder = HttpPool::builder().listen(url).dialect(dialect).limits(limits);
        let pool = builder.start().unwrap();
        let options = GroupOptions::new(64 << 20).get_timeout(PATIENCE);
        let (node, origin) = (name.to_owned(), origin.clone());
        let getter = move |key: &str| Ok(origin.load(&node, key));
        let group = pool.group_with(options, "interop", getter).unwrap();
        Self { name: name.to_owned(), pool, group }
    }

    pub(super) fn get(&self, key: &str) -> String {
        self.group.get(key).unwrap().as_str().unwrap().to_owned()
    }
}

/// Who is asked: an index of [`Ring::larder`] or of [`Ring::go`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Larder(usize),
    Go(usize),
}

impl Ring {
    pub(super) fn start(programs: &Path, larder: usize, go: usize, setup: Setup) -> Self {
        let origin = Origin::start();
        let larder = (0..larder).map(|n| {
            LarderNode::start(&format!("larder {n}"), "http://127.0.0.1:0", setup.dialect, &origin)
        });
        let larder = larder.collect();
        let go = (0..go).map(|n| {
            GoNode::start(programs, &format!("go {n}"), &origin.url, setup.base, setup.mount)
        });
        let go = go.collect();
        let ring = Self { programs: programs.to_owned(), setup, origin, larder, go };
        let urls = ring.urls();
        ring.nodes().for_each(|node| ring.set_peers(node, &urls));
        ring
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Who> + use<> {
        let go = (0..self.go.len()).map(Who::Go);
        (0..self.larder.len()).map(Who::Larder).chain(go)
    }

    pub(super) fn url(&self, node: Who) -> &str {
        match node {
            Who::Larder(n) => self.larder[n].pool.url(),
            Who::Go(n) => &self.go[n].process.url,
        }
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.nodes().map(|node| self.url(node).to_owned()).collect()
    }

    pub(super) fn set_peers(&self, node: Who, urls: &[String]) {
        match node {
            Who::Larder(n) => self.larder[n].pool.set_peers(urls).unwrap(),
            Who::Go(n) => self.go[n].set_peers(urls),
        }
    }

    pub(super) fn get(&self, node: Who, key: &str) -> String {
        match node {
            Who::Larder(n) => self.larder[n].get(key),
            Who::Go(n) => self.go[n].get(key),
        }
    }

    /// The owner of `key`, on which all nodes must agree.
    pub(super) fn owner(&self, key: &str) -> Who {
        let owners = self.nodes().map(|node| match node {
            Who::Larder(n) => self.larder[n].pool.owner(key),
            Who::Go(n) => self.go[n].owner(key),
        });
        let owners: Vec<String> = owners.collect();
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{key:?} is of {owners:?}");
        self.nodes().find(|&node| self.url(node) == owners[0]).expect("an owner on the ring")
    }

    pub(super) fn name(&self, node: Who) -> &str {
        match node {
            Who::Larder(n) => &self.larder[n].name,
            Who::Go(n) => &self.go[n].name,
        }
    }

    /// Starts a Go node at the addresses of one that was stopped. The name tells the two apart
    /// at the origin.
    pub(super) fn start_go(&mut self, at: [&str; 2], name: &str, peers: &[String]) {
        let Setup { base, mount, .. } = self.setup;
        let node = GoNode::start_at(at, &self.programs, name, &self.origin.url, base, mount);
        node.set_peers(peers);
        self.go.push(node);
    }
}
