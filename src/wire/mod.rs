//! What nodes say to each other, as bytes.

mod dialect;
mod path;
mod message;
#[expect(unreachable_pub, reason = "prost writes `pub`; this module keeps it in the crate")]
mod pb;

pub use dialect::Dialect;
pub(crate) use message::{
    ERROR_CODE, PROTOBUF, code, decode, encode_before_value, error_from_wire, error_to_wire,
};
pub(crate) use path::{BadPath, escape, split};

/// The header in which a caller says how many milliseconds it waits for an answer.
pub(crate) const WITHIN_MS: &str = "Larder-Within-Ms";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use prost::Message;
    use serde_json::Value;

    use super::pb::GetResponse;

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
        let json = include_str!("../../tests/data/wire.json");
        let records: Value = serde_json::from_str(json).unwrap();
        let records = records["protobuf_hex"].as_object().unwrap().iter();
        records.map(|(label, hex)| (label.clone(), from_hex(hex.as_str().unwrap()))).collect()
    }

    fn from_hex(hex: &str) -> Vec<u8> {
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
        };
        // Tag 16 as a varint, tag 17 as eight bytes, low byte first.
        let bytes = from_hex("0a0336333018008001ac0289010807060504030201");
        assert_eq!(answer.encode_to_vec(), bytes);
        assert_eq!(GetResponse::decode(Bytes::from(bytes)).unwrap(), answer);
    }

    #[test]
    fn a_decoded_value_shares_the_memory_of_the_body() {
        let body = Bytes::from(from_hex("0a03363330"));
        let value = GetResponse::decode(body.clone()).unwrap().value.unwrap();
        assert_eq!(value.as_ptr(), body[2..].as_ptr());
    }
}
