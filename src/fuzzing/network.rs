//! What peers and clients send.

use std::time::Duration;

use crate::getter::Loaded;
use crate::peer::PeerError;
use crate::serve::{Answer, Limits, Request, apply_conditions, parse_head};
use crate::wire::{self, Dialect, Plus, Refused, Spec};

use super::{choice, part, text};

fn specs() -> [&'static Spec; 5] {
    use Dialect::{Geecache, Groupcache, GroupcacheGo, Mailgun, Native};
    [Native, Groupcache, Geecache, Mailgun, GroupcacheGo].map(Dialect::spec)
}

/// The head of a request.
pub fn head(data: &[u8]) -> bool {
    let limits = Limits::default();
    let Ok(Some(head)) = parse_head(data, &limits) else { return false };
    assert!(head.len <= data.len().min(limits.head_bytes), "more than was sent");
    let (text, _) = data.split_at(head.len);
    assert_eq!(parse_head(text, &limits).unwrap().as_ref(), Some(&head), "what follows counts");
    for end in (0..head.len).step_by(1 + head.len / 100) {
        assert_eq!(parse_head(&text[..end], &limits), Ok(None), "it has ended before");
    }
    assert_eq!(head.body_len, body_len_as_others_read_it(text), "two lengths of one body");
    // As a lane is told of it.
    let (method, target, body_len) = (head.method.name(), head.target, head.body_len);
    let anew =
        format!("{method} {target} HTTP/1.1\r\nHost: larder\r\nContent-Length: {body_len}\r\n\r\n");
    let again = parse_head(anew.as_bytes(), &limits).unwrap().unwrap();
    assert_eq!((again.len, again.body_len), (anew.len(), body_len));
    assert_eq!((again.method, again.target), (head.method, target));
    conditions_are_met(&Request {
        method: head.method,
        target,
        within: head.within,
        left: head.left,
        conditions: head.conditions,
        body: Vec::new(),
    });
    true
}

/// Whatever is asked for, it is a part of the value, and the part that the answer says.
fn conditions_are_met(request: &Request<'_>) {
    for value in ["", "0123456789abcdef"] {
        let len = value.len();
        let answer = apply_conditions(request, Answer::with_lines(200, "", value.into()));
        match answer.status {
            200 => assert_eq!(answer.body, *value),
            206 => {
                let at = (0..len).find(|&at| value.as_bytes()[at..].starts_with(&answer.body));
                let (first, count) = (at.expect("no part of it"), answer.body.len());
                assert!(count > 0, "a part without a byte");
                let last = first + count - 1;
                let line = format!("Content-Range: bytes {first}-{last}/{len}\r\n");
                assert_eq!(answer.lines, line);
            }
            304 => assert!(answer.body.is_empty()),
            status => assert_eq!(status, 416),
        }
    }
}

/// By lines, leniently, and with one opinion only: any doubt is a panic.
fn body_len_as_others_read_it(head: &[u8]) -> usize {
    let lines = head.split(|byte| b"\r\n".contains(byte)).skip(1);
    let mut lengths = Vec::new();
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            assert!(line.is_empty(), "a line without a colon");
            continue;
        };
        let name = line[..colon].trim_ascii().to_ascii_lowercase();
        assert!(!name.is_empty() && line[0].is_ascii_graphic(), "no name, or a folded line");
        assert_ne!(name, b"transfer-encoding", "CVE-2026-66752");
        if name == b"content-length" {
            let value = std::str::from_utf8(line[colon + 1..].trim_ascii()).unwrap();
            lengths.push(value.parse().unwrap());
        }
    }
    assert!(lengths.len() <= 1, "more than one length");
    lengths.first().copied().unwrap_or(0)
}

/// Targets, with a base path before them and without; and any text as a group or a key.
pub fn target(data: &[u8]) -> bool {
    let text = text(data);
    let mut taken = false;
    for (base, plus) in [("/_larder/", Plus::Plus), ("/_groupcache/", Plus::Space)] {
        for target in [text.as_ref(), &format!("{base}{text}")] {
            if let Ok((group, key)) = wire::split(base, plus, target) {
                assert!(base.len() + group.len() + key.len() < target.len(), "more than was sent");
                comes_back(base, plus, &group, &key);
                taken = true;
            }
        }
        comes_back(base, plus, "g", &text);
        comes_back(base, plus, &text, "k");
    }
    taken
}

fn comes_back(base: &str, plus: Plus, group: &str, key: &str) {
    let path = format!("{base}{}/{}", wire::escape(group), wire::escape(key));
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path:?} breaks a request line");
    assert!(!path.split('/').any(|name| matches!(name, "." | "..")), "{path:?} is folded away");
    assert_eq!(wire::split(base, plus, &path), Ok((group.into(), key.into())));
}

/// Answers of a peer: a message, a message that was damaged on its way, or an error.
pub fn answer(data: &[u8]) -> bool {
    let (choice, rest) = choice(data);
    match choice % 3 {
        0 => any_message(rest),
        1 => damaged_message(rest),
        _ => any_error(rest),
    }
}

fn any_message(body: &[u8]) -> bool {
    let mut taken = false;
    for spec in specs() {
        let Ok(loaded) = without_epoch(wire::decode(spec, "g", "k", body.to_vec())) else {
            continue;
        };
        assert!(loaded.value.len() <= body.len(), "more than was sent");
        taken = true;
        for spec in specs() {
            let again = without_epoch(wire::decode(spec, "g", "k", message(spec, "k", &loaded)));
            assert_eq!(again, Ok(in_millis(&loaded)));
        }
    }
    taken
}

/// How many bytes of key, where the damage is, what it is, key, value.
fn damaged_message(data: &[u8]) -> bool {
    let (key, rest) = part(data);
    let Some((&[high, low, bits], value)) = rest.split_first_chunk() else { return false };
    let key = text(key);
    let (native, ttl) = (Dialect::Native.spec(), u64::from(low));
    let loaded = Loaded::new(value).with_ttl(Duration::from_millis(ttl));
    let sent = message(native, &key, &loaded);
    let read = |body: &[u8]| without_epoch(wire::decode(native, "g", &key, body.to_vec()));
    assert_eq!(read(&sent), Ok(loaded.clone()));
    let at = usize::from(u16::from_be_bytes([high, low])) % sent.len();
    let mut flipped = sent.clone();
    flipped[at] ^= bits;
    let inserted = [&sent[..at], &[bits], &sent[at..]].concat();
    for damaged in [&flipped, &inserted, &sent[..at], &[&sent[..], &[bits]].concat()] {
        // An unknown field is no damage.
        assert!(read(damaged).is_err() || read(damaged).as_ref() == Ok(&loaded), "damage passes");
    }
    let other = wire::decode(native, "g", &format!("{key}x"), sent);
    assert!(other.is_err(), "an answer to another key passes");
    true
}

/// Status, how many bytes of code, code, text.
fn any_error(data: &[u8]) -> bool {
    let Some((&[high, low], rest)) = data.split_first_chunk() else { return false };
    let (code, line) = part(rest);
    let (code, line) = (std::str::from_utf8(code).ok().filter(|code| !code.is_empty()), text(line));
    let refused = Refused { status: u16::from_be_bytes([high, low]), code, text: &line };
    let mut final_somewhere = false;
    for spec in specs() {
        let error = wire::error_from_wire(spec, "http://peer:1", "g", "k", refused);
        let is_final = matches!(error, PeerError::Answered(_));
        assert!(!is_final || code.is_some() || spec.name != "native", "{refused:?} is believed");
        final_somewhere |= is_final;
    }
    final_somewhere
}

/// What was read, without the epoch.
fn without_epoch(read: Result<(Loaded, u64), String>) -> Result<Loaded, String> {
    read.map(|(loaded, _)| loaded)
}

fn message(spec: &Spec, key: &str, loaded: &Loaded) -> Vec<u8> {
    let mut bytes = wire::encode_before_value(spec, "g", key, loaded, 0).to_vec();
    bytes.extend_from_slice(&loaded.value);
    bytes
}

/// With what is left of the time to live as it travels.
fn in_millis(loaded: &Loaded) -> Loaded {
    let millis = |ttl: Duration| Duration::from_millis(ttl.as_millis().try_into().unwrap());
    Loaded { ttl: loaded.ttl.map(millis), ..loaded.clone() }
}

/// Bodies of peers that change the cache: keys to remove, a value to set.
pub fn writes(data: &[u8]) -> bool {
    let (choice, rest) = choice(data);
    match choice % 3 {
        0 => keys_to_remove(rest),
        1 => wire::read_set("g", "k", rest.to_vec()).is_ok_and(|loaded| {
            assert!(loaded.value.len() <= rest.len(), "more than was sent");
            true
        }),
        _ => any_set(rest),
    }
}

fn keys_to_remove(body: &[u8]) -> bool {
    let Ok(keys) = wire::read_remove_keys("g", body) else { return false };
    let bytes: usize = keys.iter().map(String::len).sum();
    assert!(bytes + keys.len() <= body.len(), "more than was sent");
    let again = serde_json::json!({ "group": "g", "keys": keys }).to_string();
    assert_eq!(wire::read_remove_keys("g", again.as_bytes()), Ok(keys));
    assert!(wire::read_remove_keys("h", again.as_bytes()).is_err(), "of another group");
    true
}

/// How many bytes of key, key, value: set as Go nodes do.
fn any_set(data: &[u8]) -> bool {
    let (key, value) = part(data);
    let key = text(key);
    let mut body = Vec::new();
    for (tag, bytes) in [(0x0a, &b"g"[..]), (0x12, key.as_bytes()), (0x1a, value)] {
        body.push(tag);
        // A length of two bytes, however short: longer than it need be is right as well.
        let len = u16::try_from(bytes.len() % (1 << 14)).unwrap_or(0);
        body.extend([len as u8 | 0x80, (len >> 7) as u8]);
        body.extend_from_slice(&bytes[..len.into()]);
    }
    let set = wire::read_set("g", &key, body.clone());
    assert_eq!(set, Ok(Loaded::new(&value[..value.len() % (1 << 14)])));
    assert!(wire::read_set("g", &format!("{key}x"), body).is_err(), "of another key");
    true
}
