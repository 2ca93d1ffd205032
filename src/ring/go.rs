//! The rings of the Go libraries, bit for bit: a larder node among them must agree with them on
//! every owner.
//!
//! Both put the point's number, in decimal, before the peer's name, and both give a place that
//! two peers claim to the one that was added last.

use super::{Recipe, Ties};

/// As `DefaultReplicas` has it in all of these libraries.
const POINTS_PER_PEER: u32 = 50;

/// The ring of golang/groupcache and of geecache: CRC-32 (IEEE) of points and keys.
pub(crate) const GROUPCACHE: Recipe = Recipe {
    points_per_peer: POINTS_PER_PEER,
    point_hash: |peer, point| crc32(&numbered(peer, point)),
    key_hash: crc32,
    ties: Ties::LastAdded,
};

/// The ring of mailgun/groupcache and of groupcache-go: FNV-1, of the points' MD5 in hexadecimal
/// digits and of the keys as they are.
///
/// The libraries sort the places as signed numbers, which turns the circle by half and gives
/// every key the same owner.
pub(crate) const MAILGUN: Recipe = Recipe {
    points_per_peer: POINTS_PER_PEER,
    point_hash: md5_point,
    key_hash: fnv1,
    ties: Ties::LastAdded,
};

fn numbered(peer: &str, point: u32) -> Vec<u8> {
    format!("{point}{peer}").into_bytes()
}

fn crc32(bytes: &[u8]) -> u64 {
    crc32fast::hash(bytes).into()
}

fn md5_point(peer: &str, point: u32) -> u64 {
    fnv1(format!("{:x}", md5::compute(numbered(peer, point))).as_bytes())
}

/// FNV-1 of 64 bits: multiply, then XOR (G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, "The FNV
/// Non-Cryptographic Hash Algorithm", IETF draft-eastlake-fnv). The better known FNV-1a has the
/// two steps the other way round.
fn fnv1(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| hash.wrapping_mul(PRIME) ^ u64::from(byte))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ring::Ring;

    /// What the unmodified Go libraries answered.
    fn recorded() -> Value {
        serde_json::from_str(include_str!("../../tests/data/rings.json")).unwrap()
    }

    fn texts(list: &Value) -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    fn numbers(list: &Value) -> Vec<u64> {
        list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
    }

    fn from_hex(hex: &str) -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    fn recipe(library: &str) -> Recipe {
        match library {
            "groupcache" => GROUPCACHE,
            "mailgun" | "groupcache-go" => MAILGUN,
            other => panic!("{other}"),
        }
    }

    /// Every recorded ring, with ours of the same peers.
    fn rings(recorded: &Value) -> Vec<(&Value, Ring)> {
        let ours = |ring: &Value| {
            let recipe = recipe(ring["library"].as_str().unwrap());
            assert_eq!(ring["points_per_peer"], recipe.points_per_peer);
            Ring::new(recipe, texts(&ring["peers"]))
        };
        let rings: Vec<_> =
            recorded["rings"].as_array().unwrap().iter().map(|ring| (ring, ours(ring))).collect();
        assert_eq!(rings.len(), 12);
        rings
    }

    fn owners<K: AsRef<[u8]>>(ring: &Ring, keys: &[K]) -> Vec<u64> {
        keys.iter().map(|key| ring.owner(key.as_ref()).unwrap() as u64).collect()
    }

    #[test]
    fn every_key_has_the_owner_that_the_go_library_gives_it() {
        let recorded = recorded();
        let keys = texts(&recorded["keys"]);
        let binary: Vec<_> =
            texts(&recorded["binary_keys_hex"]).iter().map(|hex| from_hex(hex)).collect();
        assert_eq!((keys.len(), binary.len()), (208, 6));
        for (theirs, ours) in rings(&recorded) {
            assert_eq!(ours.peers(), texts(&theirs["peers"]), "the list's order is kept");
            assert_eq!(owners(&ours, &keys), numbers(&theirs["owners"]), "{}", theirs["peers"]);
            assert_eq!(owners(&ours, &binary), numbers(&theirs["binary_owners"]));
        }
    }

    #[test]
    fn every_point_stands_where_the_go_library_puts_it() {
        for (theirs, ours) in rings(&recorded()) {
            let points = theirs["points"].as_array().unwrap();
            let mut points: Vec<_> = points.iter().map(numbers).collect();
            points.sort();
            let ours = ours.places.iter().zip(&ours.holders);
            let ours: Vec<_> = ours.map(|(&place, &peer)| vec![place, peer.into()]).collect();
            assert_eq!(ours, points);
        }
    }

    #[test]
    fn a_place_that_two_peers_claim_goes_to_the_one_added_last() {
        let recorded = recorded();
        let collisions = recorded["collisions"].as_array().unwrap();
        assert_eq!(collisions.len(), 8);
        for collision in collisions {
            let (peers, key) = (texts(&collision["peers"]), collision["key"].as_str().unwrap());
            let owner = |peers: Vec<String>| {
                let ring = Ring::new(GROUPCACHE, peers);
                let place = collision["place"].as_u64().unwrap();
                assert!(ring.places.binary_search(&place).is_ok(), "the collision is real");
                ring.peers()[ring.owner(key.as_bytes()).unwrap()].clone()
            };
            assert_eq!(owner(peers.clone()), collision["owner"].as_str().unwrap());
            assert_eq!(owner(peers.clone()), peers[1]);
            // Named again at the end, the first is the one that was added last.
            assert_eq!(owner([peers.clone(), vec![peers[0].clone()]].concat()), peers[0]);
        }
    }

    #[test]
    fn fnv_1_is_that_of_its_authors() {
        // From the test vectors of the draft's reference code.
        assert_eq!(fnv1(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1(b"a"), 0xaf63_bd4c_8601_b7be);
        assert_eq!(fnv1(b"foobar"), 0x340d_8765_a4dd_a9c2);
    }
}
