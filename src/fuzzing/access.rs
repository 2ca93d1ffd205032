//! What tells who asks: signatures of nodes, tokens of clients.

use super::{choice, part, text};
use crate::auth::{Question, Right, Secrets, Sender, Tokens, Verifier, is_of};

const SECRET: &str = "9f86d081884c7d659a2feaa0c55ad015";
const NOW: u64 = 1_700_000_000_000;

/// Signatures of strangers, signatures that were changed on their way, files of tokens.
pub fn access(data: &[u8]) -> bool {
    let (choice, rest) = choice(data);
    match choice % 3 {
        0 => strangers_signature(&text(rest)),
        1 => changed_signature(rest),
        _ => tokens(&text(rest)),
    }
}

fn secrets() -> Secrets {
    Secrets::parse(SECRET).unwrap()
}

fn question(target: &str) -> Question<'_> {
    Question { method: "GET", target, receiver: "http://127.0.0.1:1" }
}

/// As it is, and with the name of the secret, which is none.
fn strangers_signature(text: &str) -> bool {
    let (secrets, verifier) = (secrets(), Verifier::new(NOW));
    let signed = Sender::new().sign(&secrets, question("/"), b"", NOW);
    let key = signed.split(' ').nth(1).unwrap();
    for signature in [text, &format!("v1 {key} {text}")] {
        let verified = verifier.verify(&secrets, question("/"), signature, NOW);
        assert!(verified.is_err(), "{signature:?} passes for a signature");
    }
    false
}

/// How many bytes of target, target, where the change is, what it is, body.
fn changed_signature(data: &[u8]) -> bool {
    let (target, rest) = part(data);
    let Some((&[at, bits], body)) = rest.split_first_chunk() else { return false };
    let target = text(target);
    let (secrets, verifier) = (secrets(), Verifier::new(NOW));
    let signed = Sender::new().sign(&secrets, question(&target), body, NOW);
    let verify = |question, signature: &str| verifier.verify(&secrets, question, signature, NOW);
    let mut changed = signed.clone().into_bytes();
    let at = usize::from(at) % changed.len();
    changed[at] ^= bits;
    if let Ok(changed) = std::str::from_utf8(&changed)
        && changed != signed
    {
        assert!(verify(question(&target), changed).is_err(), "{changed:?} for {signed:?}");
    }
    assert!(verify(question(&target), &signed[..at]).is_err(), "a signature's start is enough");
    let asked = question(&target);
    let target = format!("{target}x");
    for other in [
        Question { method: "PUT", ..asked },
        Question { receiver: "http://127.0.0.1:2", ..asked },
        question(&target),
    ] {
        assert!(verify(other, &signed).is_err(), "{asked:?} was signed, not {other:?}");
    }
    let hash = verify(asked, &signed).expect("it was signed");
    assert!(is_of(hash, body) && !is_of(hash, &[body, b"x"].concat()), "of another body");
    assert!(verify(asked, &signed).is_err(), "signed once and taken twice");
    true
}

/// Each line's token has the right that the line gives it, and no other token has any.
fn tokens(file: &str) -> bool {
    // Any text is a secret that is long enough, or refused.
    let _ = Secrets::parse(file);
    let Ok(tokens) = Tokens::parse(file) else { return false };
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (right, token) = line.split_once(char::is_whitespace).unwrap();
        let right = if right == "write" { Right::Write } else { Right::Read };
        let token = token.trim_start();
        assert_eq!(tokens.right_of(&format!("Bearer {token}")), Some(right));
        assert_eq!(tokens.right_of(&format!("bearer {token}\0")), None);
        assert_eq!(tokens.right_of(&format!("Basic {token}")), None);
        assert_eq!(tokens.right_of(token), None);
    }
    assert_eq!(tokens.right_of(file), None);
    true
}
