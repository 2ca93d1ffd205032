//! What a hit costs: counted in a node's process of its own.

use crate::node::Node;
use crate::support::Client;

const HITS: u64 = 1_000;

#[test]
fn a_hit_allocates_nothing() {
    let mut node = Node::start(&[]);
    for (addr, path) in [
        (node.api, "/api/g/good"),
        (node.api, "/api?group=g&key=good"),
        (node.api, "/api/g/big"),
        (node.peer, "/_larder/g/good"),
    ] {
        let mut client = Client::connect(addr);
        for _ in 0..2 {
            assert_eq!(client.get(path).unwrap().status, 200);
        }
        // A big one takes a while to send.
        let hits = if path.ends_with("big") { HITS / 10 } else { HITS };
        let before = node.count("allocations");
        for _ in 0..hits {
            client.get(path).unwrap();
        }
        // Telling the number takes some itself.
        let allocations = node.count("allocations") - before;
        assert!(allocations < 10, "{path}: {allocations} allocations for {hits} hits");
    }
}
