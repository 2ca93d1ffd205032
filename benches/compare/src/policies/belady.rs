//! L. Belady's optimum (IBM Systems Journal 5, 1966): evicts what is asked for last.

use std::collections::BTreeSet;

/// The hits of a cache of so many entries that knows the future.
pub fn hits(requests: &[u32], size: usize) -> usize {
    let next = next_uses(requests);
    // The time of an entry's next use names the entry, since one moment has one request.
    let mut resident = BTreeSet::new();
    let mut hits = 0;
    for (now, &next) in next.iter().enumerate() {
        if resident.remove(&now) {
            hits += 1;
        } else if resident.len() == size {
            resident.pop_last();
        }
        resident.insert(next);
    }
    hits
}

/// For each request the time of the next one for its key; times past the end when there is none.
fn next_uses(requests: &[u32]) -> Vec<usize> {
    let mut seen = vec![None; requests.iter().max().map_or(0, |&key| key as usize + 1)];
    let mut next = vec![0; requests.len()];
    for (now, &key) in requests.iter().enumerate().rev() {
        next[now] = seen[key as usize].replace(now).unwrap_or(requests.len() + now);
    }
    next
}
