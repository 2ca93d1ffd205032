use std::time::Instant;

use proptest::prelude::*;

use super::*;

const OLD: &str = "the old secret, long enough";
const NEW: &str = "the new secret, long enough";
const QUESTION: Question<'_> =
    Question { method: "GET", target: "/_larder/g/k", receiver: "http://10.0.0.1:8001" };
const NOW: u64 = 1_700_000_000_000;
const TOLERANCE_MS: u64 = TOLERANCE.as_millis() as u64;

fn secrets(lines: &[&str]) -> Secrets {
    Secrets::parse(&lines.join("\n")).unwrap()
}

fn sender_of(id: u128) -> Sender {
    let id = base16ct::lower::encode_string(&id.to_be_bytes());
    Sender { id, next: AtomicU64::new(7) }
}

fn signed(secret: &str, body: &[u8]) -> String {
    Sender::new().sign(&secrets(&[secret]), QUESTION, body, NOW)
}

fn verified(signature: &str) -> Result<BodyHash, Denied> {
    verified_at(signature, NOW)
}

fn verified_at(signature: &str, now: u64) -> Result<BodyHash, Denied> {
    Verifier::new(0).verify(&secrets(&[OLD]), QUESTION, signature, now)
}

/// The MACs are those of Python's hmac: `hmac.new(OLD, LINES, "sha256")`.
#[test]
fn signatures_are_those_of_another_implementation() {
    for (body, expected) in [
        (
            &b""[..],
            "v1 0c2ef952 1700000000000 000102030405060708090a0b0c0d0e0f-7 - b917506238c01e4a1bb2278b8c4e08395d872339ff1a982a53fde75df7a8782a",
        ),
        (
            b"a body",
            "v1 0c2ef952 1700000000000 000102030405060708090a0b0c0d0e0f-7 771824de42287642fa0fbe0b568b80cc3290e29b7d3cd6efbc7b1b8eb1037b04 db70bc787da35f59d36e9c865d5cb0346158bc3d3a3982186c4e662e2d04f6d0",
        ),
    ] {
        let sender = sender_of(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
        assert_eq!(sender.sign(&secrets(&[OLD]), QUESTION, body, NOW), expected);
        assert!(is_of(verified(expected).unwrap(), body));
    }
}

#[test]
fn a_signature_is_good_for_its_body_alone() {
    for body in [&b"a"[..], b"a body", &[0; 1_000]] {
        let hash = verified(&signed(OLD, body)).unwrap();
        assert!(is_of(hash, body));
        for other in [&b""[..], b"b", b"a body ", &[0; 999]] {
            assert!(!is_of(hash, other), "{other:?}");
        }
    }
    assert!(!is_of(verified(&signed(OLD, b"")).unwrap(), b"a"));
}

#[test]
fn the_first_secret_signs_and_all_of_them_verify() {
    let rounds = [secrets(&[OLD]), secrets(&[OLD, NEW]), secrets(&[NEW, OLD]), secrets(&[NEW])];
    let understands = |from: &Secrets, to: &Secrets| {
        let signature = Sender::new().sign(from, QUESTION, b"", NOW);
        Verifier::new(0).verify(to, QUESTION, &signature, NOW).is_ok()
    };
    for (before, after) in rounds.iter().zip(&rounds[1..]) {
        for (from, to) in [(before, before), (before, after), (after, before), (after, after)] {
            assert!(understands(from, to), "{from:?} to {to:?}");
        }
    }
    assert!(!understands(&rounds[0], &rounds[3]) && !understands(&rounds[3], &rounds[0]));
}

#[test]
fn a_signature_is_taken_once() {
    let (secrets, sender, verifier) = (secrets(&[OLD]), Sender::new(), Verifier::new(0));
    let verify = |signature: &str, now| verifier.verify(&secrets, QUESTION, signature, now);
    let [first, second] = [0, 1].map(|_| sender.sign(&secrets, QUESTION, b"", NOW));
    for signature in [&second, &first] {
        assert!(verify(signature, NOW).is_ok());
        for later in [0, 1, TOLERANCE_MS] {
            assert_eq!(verify(signature, NOW + later), Err(Denied::Replayed));
        }
        let too_late = verify(signature, NOW + TOLERANCE_MS + 1);
        assert!(matches!(too_late, Err(Denied::Clock(_))), "{too_late:?}");
    }
}

#[test]
fn clocks_may_be_a_minute_apart_and_only_a_holder_of_the_secret_hears_of_it() {
    let signature = signed(OLD, b"");
    for now in [NOW - TOLERANCE_MS, NOW + TOLERANCE_MS] {
        assert!(verified_at(&signature, now).is_ok());
    }
    let ahead = verified_at(&signature, NOW - TOLERANCE_MS - 1).unwrap_err();
    assert!(ahead.to_string().contains("60.001s ahead of"), "{ahead}");
    let behind = verified_at(&signature, NOW + 90_000).unwrap_err();
    assert!(behind.to_string().contains("90s behind"), "{behind}");
    assert_eq!(verified_at(&signed(NEW, b""), NOW + 90_000), Err(Denied::Invalid));
    for now in [0, u64::MAX] {
        assert!(matches!(verified_at(&signature, now), Err(Denied::Clock(_))));
    }
}

#[test]
fn what_was_signed_before_the_memory_began_is_refused() {
    let (secrets, sender) = (secrets(&[OLD]), Sender::new());
    let verifier = Verifier::new(NOW);
    let verify = |signature: &str| verifier.verify(&secrets, QUESTION, signature, NOW);
    assert_eq!(verify(&sender.sign(&secrets, QUESTION, b"", NOW - 1)), Err(Denied::BeforeStart));
    assert!(verify(&sender.sign(&secrets, QUESTION, b"", NOW)).is_ok());
}

#[test]
fn what_is_no_signature_is_refused_for_no_stated_reason() {
    let good = signed(OLD, b"");
    let parts: Vec<&str> = good.split(' ').collect();
    let without = |at: usize| [&parts[..at], &parts[at + 1..]].concat().join(" ");
    let mut wrong: Vec<String> = (0..parts.len()).map(without).collect();
    wrong.extend(["", " ", "v1", "Bearer x"].map(str::to_owned));
    wrong.extend([format!("{good} "), format!(" {good}"), format!("{good}00")]);
    wrong.extend([good.to_uppercase(), good.replace(' ', "  "), good.replace("v1", "v2")]);
    for signature in wrong {
        assert_eq!(verified(&signature), Err(Denied::Invalid), "{signature:?}");
    }
    assert!(verified(&good).is_ok());
}

#[test]
fn none_of_ten_thousand_wrong_macs_is_taken() {
    let good = signed(OLD, b"");
    let (claims, mac) = good.rsplit_once(' ').unwrap();
    let mac: [u8; 32] = bytes(mac).unwrap();
    let (verifier, secrets) = (Verifier::new(0), secrets(&[OLD]));
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..10_000 {
        let mut wrong = mac;
        if n % 2 == 0 {
            wrong[n / 2 % mac.len()] ^= 1 << random.u32(..8);
        } else {
            random.fill(&mut wrong);
        }
        let signature = format!("{claims} {}", base16ct::lower::encode_string(&wrong));
        let verdict = verifier.verify(&secrets, QUESTION, &signature, NOW);
        assert_eq!(verdict, Err(Denied::Invalid), "{signature}");
    }
    assert!(verifier.verify(&secrets, QUESTION, &good, NOW).is_ok(), "none of them was noted");
}

proptest! {
    #[test]
    fn a_change_of_any_byte_is_refused(
        part in 0..5usize,
        at in any::<prop::sample::Index>(),
        byte in b' '..=b'~',
    ) {
        let body = b"a body".to_vec();
        let text = |text: &str| text.as_bytes().to_vec();
        let Question { method, target, receiver } = QUESTION;
        let mut parts =
            [text(method), text(target), text(receiver), text(&signed(OLD, &body)), body];
        let at = at.index(parts[part].len());
        prop_assume!(parts[part][at] != byte);
        parts[part][at] = byte;
        let [method, target, receiver, signature, body] = parts;
        let read = |bytes| std::str::from_utf8(bytes).unwrap();
        let question =
            Question { method: read(&method), target: read(&target), receiver: read(&receiver) };
        let verdict =
            Verifier::new(0).verify(&secrets(&[OLD]), question, read(&signature), NOW);
        prop_assert!(!verdict.is_ok_and(|hash| is_of(hash, &body)));
    }

    #[test]
    fn bytes_do_not_move_from_one_part_to_its_neighbour(split in 0..30usize) {
        let parts = "GET/_larder/g/khttp://10.0.0.1:8001";
        let (method, rest) = parts.split_at(split % 10);
        let (target, receiver) = rest.split_at(split / 3);
        let question = Question { method, target, receiver };
        prop_assume!((method, target) != (QUESTION.method, QUESTION.target));
        let verdict =
            Verifier::new(0).verify(&secrets(&[OLD]), question, &signed(OLD, b""), NOW);
        prop_assert_eq!(verdict, Err(Denied::Invalid));
    }
}

/// Shown by `cargo test --release --lib costs -- --nocapture`.
#[test]
#[expect(clippy::print_stderr, reason = "it tells what it has measured")]
fn each_of_many_requests_is_taken_and_costs_microseconds() {
    const REQUESTS: u32 = 20_000;
    let (secrets, sender, verifier) = (secrets(&[OLD]), Sender::new(), Verifier::new(0));
    let started = Instant::now();
    for _ in 0..REQUESTS {
        let signature = sender.sign(&secrets, QUESTION, b"", now());
        let hash = verifier.verify(&secrets, QUESTION, &signature, now()).unwrap();
        assert!(is_of(hash, b""));
    }
    eprintln!("signing and verifying a request: {:?}", started.elapsed() / REQUESTS);
}
