//! Values and errors as peers send them to each other.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use xxhash_rust::xxh3::Xxh3;

use super::pb::GetResponse;
use crate::byte_view::ByteView;
use crate::error::Error;
use crate::getter::Loaded;
use crate::peer::PeerError;

/// The header that tells a peer's errors apart; its values are below.
pub(crate) const ERROR_CODE: &str = "Larder-Error";
/// The content type of an answer with a value.
pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// Values of [`ERROR_CODE`].
pub(crate) mod code {
    pub(crate) const NOT_FOUND: &str = "not-found";
    pub(crate) const GETTER: &str = "getter";
    pub(crate) const PANICKED: &str = "panicked";
    pub(crate) const LOADING: &str = "loading";
    pub(crate) const OVERLOADED: &str = "overloaded";
    pub(crate) const NO_SUCH_GROUP: &str = "no-such-group";
    pub(crate) const BAD_REQUEST: &str = "bad-request";
    pub(crate) const INTERNAL: &str = "internal";
}

/// The number of `GetResponse.value` in `proto/larder.proto`.
const VALUE_FIELD: u32 = 1;

/// What stands before the value in a `GetResponse` message.
///
/// The value's field comes last, so that a value is sent from where it lies: message = this,
/// then the value's bytes.
pub(crate) fn encode_before_value(group: &str, key: &str, loaded: &Loaded) -> Vec<u8> {
    let ttl_ms = loaded.ttl.map(in_millis);
    let checksum = checksum(group, key, &loaded.value, ttl_ms);
    let fields = GetResponse { ttl_ms, checksum: Some(checksum), ..GetResponse::default() };
    let mut bytes = fields.encode_to_vec();
    encode_key(VALUE_FIELD, WireType::LengthDelimited, &mut bytes);
    encode_varint(loaded.value.len() as u64, &mut bytes);
    bytes
}

/// Reads a `GetResponse` and checks that it answers for this group and key.
///
/// The value is a part of `body`, not a copy.
pub(crate) fn decode(group: &str, key: &str, body: Vec<u8>) -> Result<Loaded, String> {
    let message = GetResponse::decode(Bytes::from(body)).map_err(|error| error.to_string())?;
    let value = ByteView::from_bytes(message.value.unwrap_or_default());
    match message.checksum {
        None => return Err("the answer carries no checksum".to_owned()),
        Some(sent) if sent != checksum(group, key, &value, message.ttl_ms) => {
            return Err("the checksum is wrong: a damaged answer, or one to another key".to_owned());
        }
        Some(_) => {}
    }
    Ok(Loaded { value, ttl: message.ttl_ms.map(Duration::from_millis) })
}

/// XXH3 over everything that matters, lengths first so that no two inputs run together.
fn checksum(group: &str, key: &str, value: &[u8], ttl_ms: Option<u64>) -> u64 {
    let mut hasher = Xxh3::new();
    for part in [group.as_bytes(), key.as_bytes(), value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&ttl_ms.map_or([0; 9], |ttl_ms| {
        let mut bytes = [1; 9];
        bytes[1..].copy_from_slice(&ttl_ms.to_le_bytes());
        bytes
    }));
    hasher.digest()
}

fn in_millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

/// The status, code and text in which a peer is told of `error`.
pub(crate) fn error_to_wire(error: &Error) -> (u16, &'static str, String) {
    match error {
        Error::NotFound { .. } => (404, code::NOT_FOUND, error.to_string()),
        Error::Getter { message, .. } => (502, code::GETTER, message.clone()),
        Error::GetterPanicked { message, .. } => (502, code::PANICKED, message.clone()),
        Error::ValueTooLarge { .. } | Error::AskedForItself { .. } => {
            (502, code::GETTER, error.to_string())
        }
        Error::DeadlineExceeded { .. } => (504, code::LOADING, error.to_string()),
        Error::Overloaded { what } => (503, code::OVERLOADED, what.clone()),
        Error::NoSuchGroup { .. } => (500, code::NO_SUCH_GROUP, error.to_string()),
        Error::KeyTooLong { .. } => (400, code::BAD_REQUEST, error.to_string()),
        _ => (500, code::INTERNAL, error.to_string()),
    }
}

/// What a peer's answer without a value means to the caller.
pub(crate) fn error_from_wire(
    peer: &str,
    group: &str,
    key: &str,
    status: u16,
    code: Option<&str>,
    text: &str,
) -> PeerError {
    let (group, key) = (group.to_owned(), key.to_owned());
    let message = text.trim_end().to_owned();
    match (status, code) {
        (404, Some(code::NOT_FOUND)) => PeerError::Answered(Error::NotFound { group, key }),
        (502, Some(code::GETTER)) => PeerError::Answered(Error::Getter { group, key, message }),
        (502, Some(code::PANICKED)) => {
            PeerError::Answered(Error::GetterPanicked { group, key, message })
        }
        (504, Some(code::LOADING)) => PeerError::StillLoading,
        (503, Some(code::OVERLOADED)) => {
            PeerError::Answered(Error::Overloaded { what: format!("{message}, at peer {peer}") })
        }
        _ => PeerError::Failed(Error::Peer {
            peer: peer.to_owned(),
            message: format!("status {status}: {message}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(group: &str, key: &str, loaded: &Loaded) -> Vec<u8> {
        let mut bytes = encode_before_value(group, key, loaded);
        bytes.extend_from_slice(&loaded.value);
        bytes
    }

    #[test]
    fn a_value_comes_back_with_its_time_to_live() {
        for loaded in [
            Loaded::new("630"),
            Loaded::new(""),
            Loaded::new(vec![7; 70_000]).with_ttl(Duration::from_millis(1_234)),
            Loaded::new("x").with_ttl(Duration::ZERO),
        ] {
            let body = encode("scores", "Tom", &loaded);
            assert_eq!(decode("scores", "Tom", body), Ok(loaded));
        }
    }

    #[test]
    fn an_answer_for_another_key_or_group_is_refused() {
        let body = encode("scores", "Tom", &Loaded::new("630"));
        assert!(decode("scores", "Tim", body.clone()).is_err());
        assert!(decode("score", "sTom", body).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let loaded = Loaded::new("630").with_ttl(Duration::from_secs(5));
        let body = encode("scores", "Tom", &loaded);
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(decode("scores", "Tom", damaged), Ok(loaded.clone()), "bit {bit}");
        }
        for len in 0..body.len() {
            assert!(decode("scores", "Tom", body[..len].to_vec()).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn each_error_arrives_as_what_it_was() {
        let (group, key) = ("g".to_owned(), "k".to_owned());
        let message = "it rained".to_owned();
        for error in [
            Error::NotFound { group: group.clone(), key: key.clone() },
            Error::Getter { group: group.clone(), key: key.clone(), message: message.clone() },
            Error::GetterPanicked { group, key, message },
        ] {
            let (status, code, text) = error_to_wire(&error);
            let back = error_from_wire("http://p", "g", "k", status, Some(code), &text);
            assert_eq!(back, PeerError::Answered(error));
        }
        let busy = Error::Overloaded { what: "9 loads wait".to_owned() };
        let (status, code, text) = error_to_wire(&busy);
        let back = error_from_wire("http://p", "g", "k", status, Some(code), &text);
        assert!(
            matches!(back, PeerError::Answered(Error::Overloaded { what }) if what.contains("http://p"))
        );
    }

    #[test]
    fn a_status_without_our_code_is_a_failed_peer() {
        for (status, code) in [(404, None), (503, None), (500, Some("no-such-group")), (302, None)]
        {
            let error = error_from_wire("http://p", "g", "k", status, code, "who knows");
            assert!(matches!(error, PeerError::Failed(_)), "{status} {code:?}");
        }
    }
}
