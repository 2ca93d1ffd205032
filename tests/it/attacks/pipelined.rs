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

/// A key that the node holds, one that it loads, and what is refused without ending the
/// connection; with the status and the end of the body.
fn pipeline(len: usize, base: &str, round: usize) -> (String, Vec<(u16, String)>) {
    let mut requests = String::new();
    let mut answers = Vec::new();
    for i in 0..len {
        let key = if i % 3 == 1 { format!("{}{round}.{i}", base.len()) } else { "good".to_owned() };
        if i % 5 == 4 {
            // Its body looks like a request.
            let body = request(&format!("{base}/nobody"));
            let length = body.len();
            requests += &format!(
                "POST {base}/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            answers.push((400, String::new()));
        } else {
            requests += &request(&format!("{base}/{key}"));
            answers.push((200, TestOrigin::value(&key)));
        }
    }
    (requests, answers)
}

fn expect(client: &mut Client, answers: &[(u16, String)]) {
    for (at, (status, body)) in answers.iter().enumerate() {
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, *status, "{at}: {answer:?}");
        assert!(answer.body.ends_with(body.as_bytes()), "{at}: {answer:?} has not {body}");
    }
}

#[test]
fn a_hundred_requests_in_one_write_hits_and_misses_are_answered_in_order() {
    let mut node = Node::start(&[]);
    for (addr, base) in [(node.api, "/api/g"), (node.peer, "/_larder/g")] {
        let mut client = Client::connect(addr);
        for round in 0..3 {
            let (requests, answers) = pipeline(100, base, round);
            client.send(requests).unwrap();
            expect(&mut client, &answers);
        }
    }
    node.settles();
}

#[test]
fn requests_are_told_apart_wherever_they_are_cut() {
    let mut node = Node::start(&[]);
    for (addr, base) in [(node.api, "/api/g"), (node.peer, "/_larder/g")] {
        let (requests, answers) = pipeline(5, base, 0);
        let first = requests.find("\r\n\r\n").unwrap() + 4;
        let mut client = Client::connect(addr);
        for cut in 1..requests.len() {
            let (one, other) = requests.split_at(cut);
            client.send(one).unwrap();
            // An answer tells that what came before the cut has been read.
            let ahead = usize::from(cut >= first);
            expect(&mut client, &answers[..ahead]);
            client.send(other).unwrap();
            expect(&mut client, &answers[ahead..]);
        }
    }
    node.settles();
}
