//! Several requests in one write.

use larder::testing::TestOrigin;

use crate::node::Node;
use crate::support::{Client, request};

const REQUESTS: usize = 10;

#[test]
fn pipelined_requests_are_answered_in_order_also_behind_a_slow_one() {
    let mut node = Node::start(&[("lane_workers", 1)]);
    for (addr, base) in [(node.api, "/api/g"), (node.peer, "/_larder/g")] {
        let slow = format!("slow{}", base.len());
        let fast = (1..REQUESTS).map(|i| format!("{}{i}", base.len()));
        let keys: Vec<String> = std::iter::once(slow).chain(fast).collect();
        let requests: String = keys.iter().map(|key| request(&format!("{base}/{key}"))).collect();
        let mut client = Client::connect(addr);
        client.send(requests).unwrap();
        node.serves();
        for key in &keys {
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            let value = TestOrigin::value(key);
            assert!(answer.body.ends_with(value.as_bytes()), "{answer:?} is not for {key}");
        }
        assert_eq!(client.get("/healthz").unwrap().status, 200);
    }
    node.settles();
}

#[test]
fn a_flood_of_pipelined_requests_starves_nobody() {
    let mut node = Node::start(&[]);
    let path = "/api/g/good";
    let flood = request(path).repeat(2_000);
    for addr in [node.peer, node.api] {
        let clients: Vec<Client> = (0..8).map(|_| Client::connect(addr)).collect();
        std::thread::scope(|scope| {
            for mut client in clients {
                let flood = &flood;
                scope.spawn(move || {
                    let writer = client.socket().try_clone().unwrap();
                    std::thread::scope(|scope| {
                        scope.spawn(|| std::io::Write::write_all(&mut &writer, flood.as_bytes()));
                        for _ in 0..2_000 {
                            client.answer().unwrap();
                        }
                    });
                });
            }
            node.serves();
        });
    }
    node.settles();
}
