//! What peers send to change this node's cache: the bodies of PUT and of `_remove-keys`.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

use super::message::{NEVER, ttl_until, unix_nanos_after};
use super::pb::SetRequest;
use crate::byte_view::ByteView;
use crate::getter::Loaded;

/// Reads a `SetRequest`, which must name the group and the key that its path names.
pub(crate) fn read_set(group: &str, key: &str, body: Vec<u8>) -> Result<Loaded, String> {
    let held = body.capacity();
    let message = SetRequest::decode(Bytes::from(body)).map_err(|error| error.to_string())?;
    for (what, sent, named) in [("group", message.group, group), ("key", message.key, key)] {
        let sent = sent.ok_or_else(|| format!("the body names no {what}"))?;
        if sent != named.as_bytes() {
            return Err(format!("the body names another {what} than the path"));
        }
    }
    let value = ByteView::part_of_body(message.value.unwrap_or_default(), held);
    // What has expired on its way takes the old value's place all the same.
    let ttl = ttl_until(message.expire).unwrap_or(Some(Duration::ZERO));
    Ok(Loaded { ttl, ..Loaded::new(value) })
}

/// Writes a `SetRequest`, which Go nodes require to name group and key.
pub(crate) fn write_set(group: &str, key: &str, loaded: &Loaded) -> Vec<u8> {
    let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    let value = Some(Bytes::copy_from_slice(&loaded.value));
    let expire = Some(loaded.ttl.map_or(NEVER, unix_nanos_after));
    SetRequest { group: bytes(group), key: bytes(key), value, expire }.encode_to_vec()
}

/// Writes the keys to remove.
pub(crate) fn write_remove_keys(group: &str, keys: &[String]) -> Vec<u8> {
    json!({"group": group, "keys": keys}).to_string().into_bytes()
}

/// Reads the keys to remove: `{"group": ..., "keys": [...]}`, the group being the path's.
pub(crate) fn read_remove_keys(group: &str, body: &[u8]) -> Result<Vec<String>, String> {
    let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if message["group"] != group {
        return Err("the body names another group than the path".to_owned());
    }
    keys_of(message["keys"].as_array())
}

/// Reads keys: a list of strings.
pub(crate) fn read_keys(body: &[u8]) -> Result<Vec<String>, String> {
    let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    keys_of(message.as_array())
}

fn keys_of(keys: Option<&Vec<Value>>) -> Result<Vec<String>, String> {
    let keys = keys.ok_or("the body has no list of keys")?;
    let keys = keys.iter().map(|key| key.as_str().map(str::to_owned));
    keys.collect::<Option<_>>().ok_or_else(|| "a key is not a string".to_owned())
}

/// What a client is told of a write that not every node has confirmed, on one line.
pub(crate) fn unconfirmed_json(
    error: &str,
    confirmed: &[String],
    unconfirmed: &[(String, String)],
) -> String {
    let nodes = unconfirmed.iter().map(|(node, reason)| json!({"node": node, "reason": reason}));
    let nodes: Vec<Value> = nodes.collect();
    format!("{}\n", json!({"error": error, "confirmed": confirmed, "unconfirmed": nodes}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{from_hex, recorded};

    /// The bytes recorded from a Go node's `SetRequest`.
    fn recorded_set(label: &str) -> Vec<u8> {
        from_hex(recorded()["set_requests_hex"][label].as_str().unwrap())
    }

    #[test]
    fn what_go_nodes_put_is_read() {
        let set = recorded_set("mailgun SetRequest{expire:0,group:'scores',key:'Tom',value:'630'}");
        assert_eq!(read_set("scores", "Tom", set), Ok(Loaded::new("630")));
        let empty = recorded_set("mailgun SetRequest{group:'scores',key:'',value:empty,expire:0}");
        assert_eq!(read_set("scores", "", empty), Ok(Loaded::new("")));
        let label =
            "v3 SetRequest{expire:1735689600123456789,group:'scores',key:'Tom',value:'630'}";
        let expired = Loaded::new("630").with_ttl(Duration::ZERO);
        assert_eq!(read_set("scores", "Tom", recorded_set(label)), Ok(expired));
        assert_eq!(recorded()["set_requests_hex"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn a_set_that_names_another_key_or_none_is_refused() {
        let set =
            || recorded_set("mailgun SetRequest{expire:0,group:'scores',key:'Tom',value:'630'}");
        let refused = |group, key, body| read_set(group, key, body).unwrap_err();
        assert!(refused("scores", "Tim", set()).contains("another key"));
        assert!(refused("score", "Tom", set()).contains("another group"));
        assert!(refused("scores", "Tom", Vec::new()).contains("no group"));
        assert!(refused("scores", "", from_hex("0a0673636f726573")).contains("no key"));
        assert!(read_set("scores", "Tom", set()[..9].to_vec()).is_err());
    }

    #[test]
    fn what_is_put_and_removed_is_written_as_go_nodes_do() {
        let set = recorded_set("mailgun SetRequest{expire:0,group:'scores',key:'Tom',value:'630'}");
        assert_eq!(write_set("scores", "Tom", &Loaded::new("630")), set);
        let empty = recorded_set("mailgun SetRequest{group:'scores',key:'',value:empty,expire:0}");
        assert_eq!(write_set("scores", "", &Loaded::new("")), empty);
        let hour = Loaded::new("v").with_ttl(Duration::from_secs(3_600));
        let read = read_set("g", "k", write_set("g", "k", &hour)).unwrap();
        assert!(read.ttl.is_some_and(|ttl| (3_000..=3_600).contains(&ttl.as_secs())), "{read:?}");
        let keys = ["Tom", "a/b", "<&>"].map(str::to_owned);
        let body = write_remove_keys("g", &keys);
        assert_eq!(read_remove_keys("g", &body), Ok(keys.to_vec()));
    }

    #[test]
    fn the_keys_that_go_nodes_remove_are_read() {
        let body = recorded()["remove_keys_json"].as_str().unwrap().to_owned();
        let keys = ["Tom", "a/b", "<&>", "é", "\u{fffd}"].map(str::to_owned);
        assert_eq!(read_remove_keys("scores", body.as_bytes()), Ok(keys.to_vec()));
        assert!(read_remove_keys("score", body.as_bytes()).is_err());
        for bad in ["", "[]", "{}", r#"{"group":"scores"}"#, r#"{"group":"scores","keys":[1]}"#] {
            assert!(read_remove_keys("scores", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
