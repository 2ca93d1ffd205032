//! The tools of the chaos program (`make chaos`): its checker sees what it is there for, its links
//! do what they are told, and a seed always means the same.
#![allow(dead_code, reason = "the program uses the rest")]

#[path = "../../benches/chaos/history.rs"]
mod history;
#[path = "../../benches/chaos/proxy.rs"]
mod proxy;
#[path = "../../benches/chaos/schedule.rs"]
mod schedule;
#[path = "../../benches/chaos/value.rs"]
mod value;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use history::{History, Verdict};
use proxy::{Link, Toxic};
use schedule::Fault;

use crate::support::{PATIENCE, wait_until};

#[test]
fn the_checker_sees_a_value_older_than_a_confirmed_write() {
    let history = History::new(1);
    let early = history.begin_get(0);
    let version = history.begin_write(0);
    history.confirm(0, version);
    let old = value::make(&value::key(0), 1);
    assert_eq!(history.end_get(early, &old), Verdict::Right, "it began before");
    let late = history.begin_get(0);
    assert_eq!(history.end_get(late, &old), Verdict::Stale { got: 1, oldest: 2 });
    assert_eq!(history.end_get(late, &value::make(&value::key(0), 2)), Verdict::Right);
}

#[test]
fn the_checker_takes_both_versions_of_a_write_that_is_not_confirmed() {
    let history = History::new(1);
    history.begin_write(0);
    for version in [1, 2] {
        let got = history.end_get(history.begin_get(0), &value::make(&value::key(0), version));
        assert_eq!(got, Verdict::Right);
    }
}

#[test]
fn the_checker_sees_every_flipped_bit_and_every_cut() {
    let history = History::new(1);
    let right = value::make(&value::key(7), 1);
    let judge = |bytes: &[u8]| history.end_get(history.begin_get(7), bytes);
    assert_eq!(judge(&right), Verdict::Right);
    for bit in 0..right.len() * 8 {
        let mut flipped = right.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(judge(&flipped), Verdict::Wrong(_)), "bit {bit}");
    }
    for len in 0..right.len() {
        assert!(matches!(judge(&right[..len]), Verdict::Wrong(_)), "cut to {len}");
    }
}

#[test]
fn the_checker_sees_another_keys_value_and_one_that_was_never_written() {
    let history = History::new(1);
    for (key, version) in [(1, 1), (0, 2)] {
        let got = history.end_get(history.begin_get(0), &value::make(&value::key(key), version));
        assert!(matches!(got, Verdict::Wrong(_)), "version {version} of key {key}");
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n";

fn answer() -> Vec<u8> {
    [HEAD.as_bytes(), &[b'v'; 64]].concat()
}

/// A link to a server that answers every 4 bytes with [`answer`], for as long as it is asked.
fn link() -> Link {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Link::start(listener.local_addr().unwrap(), 1).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut request = [0; 4];
                while stream.read_exact(&mut request).is_ok() {
                    if stream.write_all(&answer()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    link
}

fn connect(link: &Link) -> TcpStream {
    let stream = TcpStream::connect(link.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes back for one request, up to the length of an answer.
fn ask(mut stream: &TcpStream) -> Vec<u8> {
    stream.write_all(b"get\n").unwrap();
    let mut bytes = Vec::new();
    // A reset ends it as well.
    let _ = stream.take(answer().len() as u64).read_to_end(&mut bytes);
    bytes
}

#[test]
fn a_fine_link_passes_answers_as_they_are_and_counts_them() {
    let link = link();
    let stream = connect(&link);
    for _ in 0..3 {
        assert_eq!(ask(&stream), answer());
    }
    let meters = link.meters();
    assert_eq!(meters.answers.load(Ordering::SeqCst), 3);
    assert_eq!(meters.damaged.load(Ordering::SeqCst), 0);
    assert_eq!(meters.most_waiting.load(Ordering::SeqCst), 1);
    wait_until("nothing waits", || meters.waiting.load(Ordering::SeqCst) == 0);
}

#[test]
fn a_corrupting_link_flips_one_bit_of_each_body() {
    let link = link();
    link.set(Toxic::Corrupt(100));
    let stream = connect(&link);
    for _ in 0..20 {
        let got = ask(&stream);
        let flipped: u32 = got.iter().zip(answer()).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((got.len(), flipped), (answer().len(), 1));
        assert!(got.starts_with(HEAD.as_bytes()));
    }
    assert_eq!(link.meters().damaged.load(Ordering::SeqCst), 20);
    link.set(Toxic::Fine);
    assert_eq!(ask(&stream), answer());
}

#[test]
fn a_cutting_link_ends_each_answer_in_its_middle() {
    let link = link();
    link.set(Toxic::Cut(100));
    for _ in 0..5 {
        let got = ask(&connect(&link));
        assert!(answer().starts_with(&got) && got.len() < answer().len(), "{got:?}");
    }
    assert_eq!(link.meters().damaged.load(Ordering::SeqCst), 5);
}

#[test]
fn a_resetting_link_ends_old_connections_and_new_ones() {
    let link = link();
    let old = connect(&link);
    assert_eq!(ask(&old), answer());
    link.set(Toxic::Reset);
    let reset = (&old).read(&mut [0; 1]).unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    // It may come before the first byte is sent, or when one is waited for.
    let new = connect(&link);
    let reset = (&new).write_all(b"get\n").and_then(|()| (&new).read_exact(&mut [0; 1]));
    assert!(reset.is_err());
    link.set(Toxic::Fine);
    assert_eq!(ask(&connect(&link)), answer());
}

#[test]
fn what_a_black_hole_swallowed_comes_out_when_it_is_over() {
    let link = link();
    for toxic in [Toxic::BlackHole, Toxic::OneWay] {
        link.set(toxic);
        let stream = connect(&link);
        (&stream).write_all(b"get\n").unwrap();
        wait_until("it waits", || link.meters().waiting.load(Ordering::SeqCst) >= 1);
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert!((&stream).read(&mut [0; 1]).is_err(), "nothing passes");
        link.set(Toxic::Fine);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = vec![0; answer().len()];
        (&stream).read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, answer());
    }
}

#[test]
fn a_seed_always_means_the_same_faults_and_never_two_of_a_kind_at_once() {
    let minute = Duration::from_secs(60);
    assert_ne!(schedule::schedule(1, minute), schedule::schedule(2, minute));
    for seed in 0..100 {
        let events = schedule::schedule(seed, minute);
        assert_eq!(events, schedule::schedule(seed, minute));
        assert!(events.len() > 5, "seed {seed}: {events:?}");
        let of_processes =
            |fault: &Fault| matches!(fault, Fault::Kill(_) | Fault::Stop(_) | Fault::Leave(_));
        let processes: Vec<_> = events.iter().filter(|event| of_processes(&event.fault)).collect();
        assert!(processes.windows(2).all(|pair| pair[0].end <= pair[1].begin));
    }
}
