//! Go nodes among themselves: that what the other tests make allowance for is real.

use super::go::{GoNode, Mount};
use super::keys::{self, Defect};
use super::origin::Origin;

/// Two Go nodes, each asked for every key; what went wrong is what [`keys::defect`] lists.
fn go_nodes_alone(mount: Mount) {
    let Some(programs) = super::go_programs() else { return };
    let origin = Origin::start();
    let node = |name| GoNode::start(&programs, name, &origin.url, "/_groupcache/", mount);
    let nodes = ["go 0", "go 1"].map(node);
    let urls = nodes.each_ref().map(|node| node.process.url.clone());
    nodes.iter().for_each(|node| node.set_peers(&urls));
    let (mut wrong, mut twice) = (0, 0);
    for key in keys::all() {
        let defect = keys::defect(&key, mount);
        assert_eq!(nodes[0].owner(&key), nodes[1].owner(&key), "{key:?}");
        for node in &nodes {
            let answer = node.get(&key);
            if answer != Origin::value(&key) {
                wrong += 1;
                assert_eq!(defect, Some(Defect::SpaceIsPlus), "{key:?}");
                assert_eq!(answer, Origin::value(&keys::mangled(&key)));
            }
        }
        if origin.loads(&key).values().sum::<u64>() > 1 {
            twice += 1;
            assert_eq!(defect, Some(Defect::Redirected), "{key:?}");
        }
    }
    assert!(nodes.iter().all(|node| node.stat("server_requests") > 0));
    assert!(wrong > 0, "Go nodes have learnt to send spaces: take the allowance away");
    assert_eq!(twice > 0, mount == Mount::ServeMux, "{twice} keys were loaded more than once");
    println!("Go alone, {mount:?}: {wrong} wrong answers, {twice} keys loaded more than once");
}

#[test]
fn go_nodes_alone_mistake_a_space_for_a_plus() {
    go_nodes_alone(Mount::Direct);
}

#[test]
fn go_nodes_alone_behind_a_serve_mux_pass_some_owners_by() {
    go_nodes_alone(Mount::ServeMux);
}
