//! Every key, asked of every node of a mixed ring.

use larder::Dialect;

use super::go::Mount;
use super::keys::{self, Defect};
use super::origin::Origin;
use super::ring::{Ring, Setup, Who};

const GROUPCACHE: Setup =
    Setup { dialect: Dialect::Groupcache, base: "/_groupcache/", mount: Mount::Direct };
const BEHIND_MUX: Setup = Setup { mount: Mount::ServeMux, ..GROUPCACHE };
const GEECACHE: Setup =
    Setup { dialect: Dialect::Geecache, base: "/_geecache/", mount: Mount::Direct };

/// Asks every node of such a ring for every key.
fn every_key_is_right_and_loaded_once(larder: usize, go: usize, setup: Setup) {
    let Some(programs) = super::go_programs() else { return };
    let ring = Ring::start(&programs, larder, go, setup);
    let nodes: Vec<Who> = ring.nodes().collect();
    for (n, key) in keys::all().iter().enumerate() {
        let owner = ring.owner(key);
        // Each node is the first to ask for some keys.
        for turn in 0..nodes.len() {
            let asked = nodes[(n + turn) % nodes.len()];
            let answer = ring.get(asked, key);
            if answer != Origin::value(key) {
                assert!(go_is_to_blame(asked, owner, key, setup.mount), "{asked:?}: {key:?}");
                assert_eq!(answer, Origin::value(&keys::mangled(key)), "{asked:?}: {key:?}");
            }
        }
        check_loads(&ring, key, owner);
    }
    check_counters(&ring);
}

/// Whether a wrong answer is one that two Go nodes made up among themselves.
fn go_is_to_blame(asked: Who, owner: Who, key: &str, mount: Mount) -> bool {
    let among_go = matches!((asked, owner), (Who::Go(_), Who::Go(_))) && asked != owner;
    among_go && keys::defect(key, mount) == Some(Defect::SpaceIsPlus)
}

/// Once, by the owner; a Go owner that redirects leaves the others to load for themselves.
fn check_loads(ring: &Ring, key: &str, owner: Who) {
    let loads = ring.origin.loads(key);
    let redirected = keys::defect(key, ring.setup.mount) == Some(Defect::Redirected);
    if matches!(owner, Who::Go(_)) && redirected {
        assert!(loads.values().all(|&times| times == 1), "{key:?}: {loads:?}");
    } else {
        let once = [(ring.name(owner).to_owned(), 1)].into();
        assert_eq!(loads, once, "{key:?} of {owner:?}");
    }
}

/// Both sides have served the other, and nothing but redirects has failed.
fn check_counters(ring: &Ring) {
    for node in &ring.larder {
        let stats = node.group.stats();
        assert!(stats.server_requests > 0 && stats.peer_loads > 0, "{}: {stats:?}", node.name);
        assert_eq!(stats.local_load_errs, 0, "{}: {stats:?}", node.name);
        if ring.setup.mount == Mount::Direct {
            assert_eq!(stats.peer_errors, 0, "{}: {stats:?}", node.name);
        }
    }
    for node in &ring.go {
        let stats = node.admin().json("/stats", &[]);
        for name in ["server_requests", "peer_loads"] {
            assert!(stats[name].as_u64().unwrap() > 0, "{}: {name}: {stats}", node.name);
        }
        if ring.setup.mount == Mount::Direct {
            assert_eq!(stats["peer_errors"], 0, "{}: {stats}", node.name);
        }
    }
}

#[test]
fn one_larder_and_one_go_node_share_every_key() {
    every_key_is_right_and_loaded_once(1, 1, GROUPCACHE);
}

#[test]
fn two_larder_and_two_go_nodes_share_every_key() {
    every_key_is_right_and_loaded_once(2, 2, GROUPCACHE);
}

#[test]
fn three_larder_and_one_go_node_share_every_key() {
    every_key_is_right_and_loaded_once(3, 1, GROUPCACHE);
}

#[test]
fn one_larder_and_one_go_node_behind_a_serve_mux_share_every_key() {
    every_key_is_right_and_loaded_once(1, 1, BEHIND_MUX);
}

#[test]
fn two_larder_and_two_go_nodes_behind_a_serve_mux_share_every_key() {
    every_key_is_right_and_loaded_once(2, 2, BEHIND_MUX);
}

#[test]
fn three_larder_and_one_go_node_behind_a_serve_mux_share_every_key() {
    every_key_is_right_and_loaded_once(3, 1, BEHIND_MUX);
}

#[test]
fn two_larder_and_two_go_nodes_share_every_key_as_geecache_does() {
    every_key_is_right_and_loaded_once(2, 2, GEECACHE);
}

#[test]
fn two_larder_and_two_go_nodes_behind_a_serve_mux_share_every_key_as_geecache_does() {
    every_key_is_right_and_loaded_once(2, 2, Setup { mount: Mount::ServeMux, ..GEECACHE });
}
