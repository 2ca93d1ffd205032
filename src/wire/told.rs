//! What larder nodes tell each other for a write: the bodies of a POST and of its answer.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost::encoding::fixed64;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::message::in_millis;
use super::pb::{WriteRequest, WriteResponse};
use crate::byte_view::ByteView;
use crate::fresh::{Ack, Step, Told, Version, What};
use crate::getter::Loaded;

const DROP: u32 = 1;
const PUT: u32 = 2;
const LIFT: u32 = 3;
const MISSED: u32 = 4;

/// Tells one set of nodes from another, in whatever order they are.
pub(crate) fn nodes_hash(nodes: &[String]) -> u64 {
    let mut nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    nodes.sort_unstable();
    xxh3_64(nodes.join("\n").as_bytes())
}

/// Writes a step; `ring` is the hash of the nodes that are told of the write.
pub(crate) fn encode_told(group: &str, told: &Told, ring: u64) -> Vec<u8> {
    let Version { time, node } = told.version;
    let mut message = WriteRequest {
        time: Some(time),
        node: Some(node),
        ring: Some(ring),
        ..WriteRequest::default()
    };
    let (step, what) = match &told.step {
        Step::Drop(what) => (DROP, Some(what)),
        Step::Lift(what) => (LIFT, Some(what)),
        Step::Missed(what) => (MISSED, Some(what)),
        Step::Put { key, loaded } => {
            message.keys = vec![key.clone()];
            message.value = Some(Bytes::copy_from_slice(&loaded.value));
            message.ttl_ms = loaded.ttl.map(in_millis);
            (PUT, None)
        }
    };
    message.step = Some(step);
    match what {
        Some(What::Keys(keys)) => message.keys.clone_from(keys),
        Some(What::All) => message.all = Some(true),
        None => {}
    }
    sealed(group, message.encode_to_vec(), REQUEST_SEAL)
}

/// Reads a step for this group, and the hash of the nodes that are told.
pub(crate) fn decode_told(group: &str, body: Vec<u8>) -> Result<(Told, u64), String> {
    unsealed(group, &body, REQUEST_SEAL)?;
    let held = body.capacity();
    let mut message = WriteRequest::decode(Bytes::from(body)).map_err(|error| error.to_string())?;
    let version =
        Version { time: message.time.unwrap_or_default(), node: message.node.unwrap_or_default() };
    let what = if message.all == Some(true) {
        What::All
    } else {
        What::Keys(std::mem::take(&mut message.keys))
    };
    let step = match (message.step, what) {
        (Some(DROP), what) => Step::Drop(what),
        (Some(LIFT), what) => Step::Lift(what),
        (Some(MISSED), what) => Step::Missed(what),
        (Some(PUT), What::Keys(mut keys)) if keys.len() == 1 => {
            let value = ByteView::part_of_body(message.value.unwrap_or_default(), held);
            let ttl = message.ttl_ms.map(Duration::from_millis);
            Step::Put { key: keys.swap_remove(0), loaded: Loaded { ttl, ..Loaded::new(value) } }
        }
        (step, _) => return Err(format!("no such step of a write: {step:?}")),
    };
    Ok((Told { version, step }, message.ring.unwrap_or_default()))
}

pub(crate) fn encode_ack(group: &str, ack: &Ack) -> Vec<u8> {
    let message =
        WriteResponse { known: Some(ack.known), nodes: ack.nodes.clone(), checksum: None };
    sealed(group, message.encode_to_vec(), ACK_SEAL)
}

pub(crate) fn decode_ack(group: &str, body: &[u8]) -> Result<Ack, String> {
    unsealed(group, body, ACK_SEAL)?;
    let message = WriteResponse::decode(body).map_err(|error| error.to_string())?;
    Ok(Ack { known: message.known.unwrap_or_default(), nodes: message.nodes })
}

/// The numbers of the fields `checksum` in `proto/larder.proto`.
const REQUEST_SEAL: u32 = 9;
const ACK_SEAL: u32 = 3;

/// The message with its checksum as its last field. It is over the bytes, so that one of a later
/// version, with more fields, is read all the same.
fn sealed(group: &str, mut message: Vec<u8>, field: u32) -> Vec<u8> {
    let seal = seal(group, &message);
    fixed64::encode(field, &seal, &mut message);
    message
}

fn unsealed(group: &str, body: &[u8], field: u32) -> Result<(), String> {
    let len = body.len().saturating_sub(fixed64::encoded_len(field, &0));
    let (message, end) = body.split_at(len);
    let mut expected = Vec::with_capacity(end.len());
    fixed64::encode(field, &seal(group, message), &mut expected);
    if end != expected {
        return Err("the checksum is wrong: damaged, or meant for another group".to_owned());
    }
    Ok(())
}

fn seal(group: &str, message: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&(group.len() as u64).to_le_bytes());
    hasher.update(group.as_bytes());
    hasher.update(message);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Told> {
        let keys = || What::Keys(vec!["a".to_owned(), String::new(), "日".to_owned()]);
        let put = |loaded| Step::Put { key: "k".to_owned(), loaded };
        let short = Loaded::new("v").with_ttl(Duration::from_millis(7));
        [
            Step::Drop(keys()),
            Step::Drop(What::All),
            Step::Drop(What::Keys(Vec::new())),
            put(short),
            put(Loaded::new("")),
            Step::Lift(keys()),
            Step::Missed(What::All),
        ]
        .into_iter()
        .map(|step| Told { version: Version { time: 7, node: u64::MAX }, step })
        .collect()
    }

    #[test]
    fn every_step_comes_back_as_it_was() {
        for told in steps() {
            let body = encode_told("g", &told, 9);
            assert_eq!(decode_told("g", body), Ok((told, 9)));
        }
        let ack = Ack { known: 5, nodes: vec!["http://a:1".to_owned()] };
        assert_eq!(decode_ack("g", &encode_ack("g", &ack)), Ok(ack));
    }

    #[test]
    fn a_step_that_was_damaged_or_is_for_another_group_is_refused() {
        for told in steps() {
            let body = encode_told("g", &told, 9);
            assert!(decode_told("h", body.clone()).is_err());
            for bit in 0..body.len() * 8 {
                let mut damaged = body.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(decode_told("g", damaged), Ok((told.clone(), 9)), "bit {bit}");
            }
        }
        let ack = encode_ack("g", &Ack { known: 5, nodes: Vec::new() });
        assert!(decode_ack("h", &ack).is_err() && decode_ack("g", &ack[1..]).is_err());
    }

    #[test]
    fn the_order_of_nodes_does_not_matter() {
        let nodes =
            |names: &[&str]| nodes_hash(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert_eq!(nodes(&["a", "b"]), nodes(&["b", "a"]));
        assert_ne!(nodes(&["a", "b"]), nodes(&["a"]));
    }
}
