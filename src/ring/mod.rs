//! A consistent-hash ring: which peer owns a key, and who comes next.
//!
//! Every peer stands at many points of a 64-bit circle; a key belongs to the first point at or
//! after its hash (D. Karger et al., "Consistent Hashing and Random Trees", STOC 1997). A ring
//! is built once for a list of peers, never changed, and swapped whole.

mod go;

use std::cmp::Reverse;
use std::collections::HashSet;

pub(crate) use go::{GROUPCACHE, MAILGUN};
use xxhash_rust::xxh3::xxh3_64;

/// How a ring is made: the values in which the dialects of the family differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    pub(crate) points_per_peer: u32,
    /// The place of a peer's n-th point.
    pub(crate) point_hash: fn(peer: &str, point: u32) -> u64,
    pub(crate) key_hash: fn(key: &[u8]) -> u64,
    pub(crate) ties: Ties,
}

/// Who wins when the points of two peers fall on the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ties {
    /// The first by name: the order of the list makes no difference.
    FirstByName,
    /// The last on the list: nodes that are given the list in another order may disagree.
    LastAdded,
}

/// larder's own ring: XXH3, whose finaliser mixes every bit, also of sequential keys.
///
/// 2,048 points a peer: the load of a peer then has a standard deviation of about 2 % of the
/// mean, so that 10 peers stay within 1.10 of it whatever their names.
pub(crate) const NATIVE: Recipe = Recipe {
    points_per_peer: 2_048,
    point_hash: native_point,
    key_hash: xxh3_64,
    ties: Ties::FirstByName,
};

/// XXH3 of twelve bytes: the name's XXH3 and the number, both little-endian.
///
/// Not the name's XXH3 seeded with the number: for names of up to three bytes the seed is only
/// XORed in, so that point 1 of `a` is point 2 of another name.
fn native_point(peer: &str, point: u32) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&xxh3_64(peer.as_bytes()).to_le_bytes());
    bytes[8..].copy_from_slice(&point.to_le_bytes());
    xxh3_64(&bytes)
}

/// Which peer owns which key, for one list of peers.
#[derive(Debug)]
pub(crate) struct Ring {
    recipe: Recipe,
    peers: Box<[String]>,
    /// Sorted, without equals. Apart from `holders`, so that a search stays in few cache lines.
    places: Box<[u64]>,
    /// `holders[i]` is the index of the peer that stands at `places[i]`.
    holders: Box<[u32]>,
}

impl Ring {
    /// A ring of these peers; a peer named twice stands there once.
    pub(crate) fn new(recipe: Recipe, peers: impl IntoIterator<Item = String>) -> Self {
        let peers = each_once(recipe.ties, peers.into_iter().collect());
        let mut points: Vec<(u64, u32)> = (0u32..)
            .zip(&peers)
            .flat_map(|(holder, peer)| {
                (0..recipe.points_per_peer).map(move |n| ((recipe.point_hash)(peer, n), holder))
            })
            .collect();
        // Of equal places the first stays.
        match recipe.ties {
            Ties::FirstByName => points.sort_unstable(),
            Ties::LastAdded => points.sort_unstable_by_key(|&(place, n)| (place, Reverse(n))),
        }
        points.dedup_by_key(|point| point.0);
        let (places, holders): (Vec<u64>, Vec<u32>) = points.into_iter().unzip();
        Self { recipe, peers: peers.into(), places: places.into(), holders: holders.into() }
    }

    /// The peers, each once.
    pub(crate) fn peers(&self) -> &[String] {
        &self.peers
    }

    /// The index in [`peers`](Self::peers) of the key's owner; none when the ring is empty.
    pub(crate) fn owner(&self, key: &[u8]) -> Option<usize> {
        self.from(key).next()
    }

    /// The owner and its distinct successors, `n` peers at most, in the order of the ring.
    pub(crate) fn owners(&self, key: &[u8], n: usize) -> Vec<usize> {
        let wanted = n.min(self.peers.len());
        let mut owners = Vec::with_capacity(wanted);
        for holder in self.from(key) {
            if owners.len() == wanted {
                break;
            }
            if !owners.contains(&holder) {
                owners.push(holder);
            }
        }
        owners
    }

    /// The holders of all points, from the key's place around the circle.
    fn from(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let hash = (self.recipe.key_hash)(key);
        let start = self.places.partition_point(|&place| place < hash);
        let (before, after) = self.holders.split_at(start);
        after.iter().chain(before).map(|&holder| holder as usize)
    }
}

/// The peers without repeats, in the order that decides ties.
fn each_once(ties: Ties, mut peers: Vec<String>) -> Vec<String> {
    match ties {
        Ties::FirstByName => {
            peers.sort_unstable();
            peers.dedup();
        }
        Ties::LastAdded => {
            // A peer that is added again takes its places again: the last time counts.
            let mut seen = HashSet::new();
            let last: Vec<bool> =
                peers.iter().rev().map(|peer| seen.insert(peer.clone())).collect();
            let mut last = last.into_iter().rev();
            peers.retain(|_| last.next().unwrap_or(true));
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: usize = 100_000;

    /// Ten peers, named in the ways that peers are named.
    fn address_sets() -> Vec<Vec<String>> {
        vec![
            (1..=10).map(|n| format!("http://10.0.0.{n}:8080")).collect(),
            (1..=10).map(|n| format!("http://127.0.0.1:{}", 8_000 + n)).collect(),
            (0..10).map(|n| format!("http://larder-{n}.larder.default.svc:8001")).collect(),
            (0..10).map(|n| format!("http://192.168.{n}.17:80")).collect(),
        ]
    }

    fn native(peers: &[String]) -> Ring {
        Ring::new(NATIVE, peers.iter().cloned())
    }

    fn key(n: usize) -> Vec<u8> {
        format!("user:{n}").into_bytes()
    }

    fn loads(ring: &Ring) -> Vec<usize> {
        let mut loads = vec![0; ring.peers().len()];
        for n in 0..KEYS {
            loads[ring.owner(&key(n)).unwrap()] += 1;
        }
        loads
    }

    fn fullest(loads: &[usize]) -> f64 {
        let mean = loads.iter().sum::<usize>() as f64 / loads.len() as f64;
        *loads.iter().max().unwrap() as f64 / mean
    }

    #[test]
    fn the_fullest_of_ten_peers_is_within_a_tenth_of_the_mean() {
        for peers in address_sets() {
            let fullest = fullest(&loads(&native(&peers)));
            assert!(fullest <= 1.10, "{fullest} for {peers:?}");
        }
    }

    #[test]
    fn one_leave_moves_little_more_than_its_own_keys_to_evenly_spread_heirs() {
        for peers in address_sets() {
            let before = native(&peers);
            for gone in 0..peers.len() {
                let mut rest = before.peers().to_vec();
                let left = rest.remove(gone);
                let after = native(&rest);
                let mut heirs = vec![0; rest.len()];
                for n in 0..KEYS {
                    let old = &before.peers()[before.owner(&key(n)).unwrap()];
                    let new = after.owner(&key(n)).unwrap();
                    if *old == left {
                        heirs[new] += 1;
                    } else {
                        assert_eq!(*old, rest[new], "a key of a peer that stays has moved");
                    }
                }
                let moved = heirs.iter().sum::<usize>() as f64 * peers.len() as f64 / KEYS as f64;
                assert!(moved <= 1.10, "{moved} of the ideal share moved, {peers:?}");
                let worst = fullest(&heirs);
                assert!(worst <= 1.35, "worst heir {worst} of its fair share, {peers:?}");
            }
        }
    }

    #[test]
    fn the_order_and_the_repeats_of_the_list_make_no_difference() {
        let peers = &address_sets()[0];
        let shuffled: Vec<_> = peers.iter().rev().chain(peers).cloned().collect();
        let (ring, other) = (native(peers), native(&shuffled));
        assert_eq!(ring.peers(), other.peers());
        for n in 0..1_000 {
            assert_eq!(ring.owners(&key(n), 10), other.owners(&key(n), 10));
        }
    }

    #[test]
    fn equal_places_go_to_the_first_by_name() {
        let colliding =
            Recipe { points_per_peer: 4, point_hash: |_, n| u64::from(n) << 62, ..NATIVE };
        let ring = Ring::new(colliding, ["b".to_owned(), "a".to_owned()]);
        assert!((0..100).all(|n| ring.peers()[ring.owner(&key(n)).unwrap()] == "a"));
    }

    #[test]
    fn an_empty_ring_has_no_owner_and_a_ring_of_one_has_one() {
        assert_eq!(native(&[]).owner(b"k"), None);
        assert!(native(&[]).owners(b"k", 3).is_empty());
        assert_eq!(native(&["a".to_owned()]).owners(b"k", 3), [0]);
    }

    proptest! {
        #[test]
        fn the_owner_is_the_first_point_at_or_after_the_key(
            names in prop::collection::hash_set("[a-c]{1,3}", 1..6),
            points in 1..5u32,
            key in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let recipe = Recipe { points_per_peer: points, ..NATIVE };
            let ring = Ring::new(recipe, names.iter().cloned());
            // The model: every point, measured by its distance ahead of the key.
            let hash = (recipe.key_hash)(&key);
            let mut model: Vec<(u64, &String)> = names
                .iter()
                .flat_map(|name| (0..points).map(move |n| (name, (recipe.point_hash)(name, n))))
                .map(|(name, place)| (place.wrapping_sub(hash), name))
                .collect();
            model.sort();
            let mut expected: Vec<&String> = Vec::new();
            for (_, name) in model {
                if !expected.contains(&name) {
                    expected.push(name);
                }
            }
            let owners: Vec<_> = ring.owners(&key, 9).iter().map(|&i| &ring.peers()[i]).collect();
            prop_assert_eq!(&owners, &expected);
            prop_assert_eq!(ring.owner(&key).map(|i| &ring.peers()[i]), expected.first().copied());
        }
    }
}
