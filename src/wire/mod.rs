//! What nodes say to each other, as bytes.

mod dialect;
mod path;
mod message;
mod failure;
mod told;
mod writes;
#[expect(unreachable_pub, reason = "prost writes `pub`; this module keeps it in the crate")]
mod pb;

pub use dialect::Dialect;
pub(crate) use dialect::{Answers, Nodes, Plus, Spec, Write};
pub(crate) use failure::{ERROR_CODE, Refused, code, error_from_wire, error_to_wire};
pub(crate) use message::{BeforeValue, decode, encode_before_value, epoch_in, epoch_query};
pub(crate) use path::{BadPath, Named, escape, join, split};
pub(crate) use told::{decode_ack, decode_told, encode_ack, encode_told, nodes_hash};
pub(crate) use writes::{
    read_keys, read_remove_keys, read_set, unconfirmed_json, write_remove_keys, write_set,
};

/// The header in which a caller says how many milliseconds it waits for an answer.
pub(crate) const WITHIN_MS: &str = "Larder-Within-Ms";

/// The header in which it says how many milliseconds it has in all: when they are more, it comes
/// again if the answer is that its key is being loaded.
pub(crate) const LEFT_MS: &str = "Larder-Left-Ms";

/// The header in which a node signs what it asks.
pub(crate) const SIGNATURE: &str = "Larder-Auth";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use prost::Message;
    use serde_json::Value;

    use super::pb::GetResponse;
    use super::{BadPath, Dialect, escape, split};

    /// What was recorded from the Go libraries.
    pub(super) fn recorded() -> Value {
        serde_json::from_str(include_str!("../../tests/data/wire.json")).unwrap()
    }

    /// What the Go libraries were given when the bytes were recorded, by the record's label.
    fn recorded_answers() -> BTreeMap<&'static str, GetResponse> {
        let none = GetResponse::default();
        let empty = GetResponse { value: Some(Bytes::new()), ..none.clone() };
        let v = GetResponse { value: Some(Bytes::from_static(b"630")), ..none.clone() };
        let expire = |at| GetResponse { expire: Some(at), ..v.clone() };
        let qps = GetResponse { minute_qps: Some(2.5), ..v.clone() };
        BTreeMap::from([
            ("gee Response{value:'630'}", v.clone()),
            // proto3 does not send an empty value.
            ("gee Response{value:empty}", none.clone()),
            ("golang GetResponse{value:'630',minute_qps:2.5}", qps),
            ("golang GetResponse{value:'630'}", v.clone()),
            ("golang GetResponse{value:empty non-nil}", empty),
            ("golang GetResponse{} (nil value)", none),
            ("mailgun GetResponse{value:'630',expire:-1}", expire(-1)),
            // proto2 sends a zero that was set.
            ("mailgun GetResponse{value:'630',expire:0}", expire(0)),
            (
                "mailgun GetResponse{value:'630',expire:1735689600123456789}",
                expire(1_735_689_600_123_456_789),
            ),
        ])
    }

    fn recorded_bytes() -> BTreeMap<String, Vec<u8>> {
        let records = recorded();
        let records = records["protobuf_hex"].as_object().unwrap().iter();
        records.map(|(label, hex)| (label.clone(), from_hex(hex.as_str().unwrap()))).collect()
    }

    pub(super) fn from_hex(hex: &str) -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn answers_of_the_go_libraries_decode_to_what_was_recorded() {
        let decode = |bytes: Vec<u8>| GetResponse::decode(Bytes::from(bytes)).unwrap();
        let decoded: BTreeMap<_, _> =
            recorded_bytes().into_iter().map(|(label, bytes)| (label, decode(bytes))).collect();
        let expected: BTreeMap<_, _> =
            recorded_answers().into_iter().map(|(label, a)| (label.to_owned(), a)).collect();
        // Whole maps, so that a record without an expectation fails as well.
        assert_eq!(decoded, expected);
    }

    #[test]
    fn answers_encode_to_the_bytes_of_the_go_libraries() {
        let encoded: BTreeMap<_, _> = recorded_answers()
            .into_iter()
            .map(|(label, answer)| (label.to_owned(), answer.encode_to_vec()))
            .collect();
        assert_eq!(encoded, recorded_bytes());
    }

    #[test]
    fn fields_of_larder_stand_behind_those_of_groupcache() {
        let answer = GetResponse {
            value: Some(Bytes::from_static(b"630")),
            minute_qps: None,
            expire: Some(0),
            ttl_ms: Some(300),
            checksum: Some(0x0102_0304_0506_0708),
            stale_age_secs: Some(7),
            ..GetResponse::default()
        };
        // Tags 16 and 18 as varints, tag 17 as eight bytes, low byte first.
        let bytes = from_hex("0a0336333018008001ac0289010807060504030201900107");
        assert_eq!(answer.encode_to_vec(), bytes);
        assert_eq!(GetResponse::decode(Bytes::from(bytes)).unwrap(), answer);
    }

    #[test]
    fn a_decoded_value_shares_the_memory_of_the_body() {
        let body = Bytes::from(from_hex("0a03363330"));
        let value = GetResponse::decode(body.clone()).unwrap().value.unwrap();
        assert_eq!(value.as_ptr(), body[2..].as_ptr());
    }

    /// As Go's servers read a path.
    fn go_unescape(path: &str) -> Vec<u8> {
        percent_encoding::percent_decode_str(path).collect()
    }

    #[test]
    fn go_nodes_read_every_key_as_larder_writes_it_and_the_other_way_round() {
        let records = recorded();
        let records = records["escapes"].as_array().unwrap();
        assert!(records.len() > 256, "every byte, and more");
        for record in records {
            let key = from_hex(record[0].as_str().unwrap());
            let [as_in_forms, as_in_paths] = [1, 2].map(|i| record[i].as_str().unwrap());
            let text = std::str::from_utf8(&key);
            if let Ok(text) = text {
                assert_eq!(go_unescape(&escape(text)), key);
            }
            for (dialect, escaped) in [
                (Dialect::Groupcache, as_in_forms),
                (Dialect::Geecache, as_in_forms),
                (Dialect::Mailgun, as_in_paths),
                (Dialect::GroupcacheGo, as_in_paths),
            ] {
                let spec = dialect.spec();
                let path = format!("{}g/{escaped}", spec.base);
                let read = split(spec.base, spec.plus, &path);
                let named = text.map(|key| ("g".into(), key.into()));
                assert_eq!(read, named.map_err(|_| BadPath::NotUtf8), "{dialect} {escaped}");
            }
        }
    }

    #[test]
    fn lone_dots_are_not_sent_as_they_are() {
        assert_eq!([escape("."), escape(".."), escape("...")], ["%2E", "%2E%2E", "..."]);
    }
}
