//! Several requests in one write.

use std::io::Write;

use larder::testing::TestOrigin;

use crate::doors::{Door, Kind};
use crate::node::Node;
use crate::support::{Client, request};

on_listeners_of_each_kind! {
    pipelined_requests_are_answered_in_order_also_behind_a_slow_one,
    a_flood_of_pipelined_requests_starves_nobody,
    a_hundred_requests_in_one_write_hits_and_misses_are_answered_in_order,
    requests_are_told_apart_wherever_they_are_cut,
}

const REQUESTS: usize = 10;

fn pipelined_requests_are_answered_in_order_also_behind_a_slow_one(kind: Kind) {
    let mut node = Node::start_as(kind, &[("lane_workers", 1)]);
    for door in node.doors() {
        let base = door.base;
        let slow = format!("slow{}", base.len());
        let fast = (1..REQUESTS).map(|i| format!("{}{i}", base.len()));
        let keys: Vec<String> = std::iter::once(slow).chain(fast).collect();
        let requests: String =
            keys.iter().map(|key| door.request(&format!("{base}/{key}"))).collect();
        let mut client = door.connect();
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

fn a_flood_of_pipelined_requests_starves_nobody(kind: Kind) {
    let mut node = Node::start_as(kind, &[]);
    for door in node.doors() {
        let path = format!("{}/good", door.base);
        let clients: Vec<Client> = (0..8).map(|_| door.connect()).collect();
        std::thread::scope(|scope| {
            for mut client in clients {
                let flood: String = (0..2_000).map(|_| door.request(&path)).collect();
                scope.spawn(move || {
                    let mut writer = client.writer();
                    std::thread::scope(|scope| {
                        scope.spawn(move || writer.write_all(flood.as_bytes()));
                        for _ in 0..2_000 {
                            assert_eq!(client.answer().unwrap().status, 200);
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
fn pipeline(len: usize, door: &Door, round: usize) -> (String, Vec<(u16, String)>) {
    let (base, mut requests) = (door.base, String::new());
    let mut answers = Vec::new();
    for i in 0..len {
        let key = if i % 3 == 1 { format!("{}{round}.{i}", base.len()) } else { "good".to_owned() };
        if i % 5 == 4 {
            // Its body looks like a request.
            let body = request(&format!("{base}/nobody"));
            let length = body.len();
            let head = format!(
                "POST {base}/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            );
            requests += &(door.admitted(&head, &body) + &body);
            answers.push((400, String::new()));
        } else {
            requests += &door.request(&format!("{base}/{key}"));
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

fn a_hundred_requests_in_one_write_hits_and_misses_are_answered_in_order(kind: Kind) {
    let mut node = Node::start_as(kind, &[]);
    for door in node.doors() {
        let mut client = door.connect();
        for round in 0..3 {
            let (requests, answers) = pipeline(100, &door, round);
            client.send(requests).unwrap();
            expect(&mut client, &answers);
        }
    }
    node.settles();
}

fn requests_are_told_apart_wherever_they_are_cut(kind: Kind) {
    let mut node = Node::start_as(kind, &[]);
    for door in node.doors() {
        let mut client = door.connect();
        for cut in 1.. {
            // Made anew each time: what is signed is good once.
            let (requests, answers) = pipeline(5, &door, 0);
            let first = requests.find("\r\n\r\n").unwrap() + 4;
            let Some((one, other)) = requests.split_at_checked(cut) else { break };
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
