//! What gets that come over HTTP have in common, whether a peer or a client asks.

use std::time::Instant;

use super::Shared;
use crate::clock::deadline_after;
use crate::error::Result;
use crate::group::{Asker, Fetched, Group};
use crate::serve::{Answer, AtOnce, Request};

/// Answers from the cache, or with what a load that is under way brings; else it is for a
/// worker.
pub(super) fn at_once(
    shared: &Shared,
    request: &Request<'_>,
    group: &Group,
    key: &str,
    asker: Asker,
    answer: impl Fn(Result<Fetched>) -> Answer,
) -> AtOnce {
    if let Some(hit) = group.hit(key, asker) {
        return AtOnce::Answer(answer(Ok(hit)));
    }
    let deadline = deadline(request, group);
    match group.park(key, deadline, asker) {
        Some(result) => AtOnce::Answer(answer(result)),
        None => AtOnce::Work { flight: flight(group, key), deadline, share: shared.share(group) },
    }
}

/// Until when to answer: as the caller asks, but no later than a get of the group would end.
pub(super) fn deadline(request: &Request<'_>, group: &Group) -> Instant {
    let timeout = group.get_timeout();
    deadline_after(request.within.map_or(timeout, |within| within.min(timeout)))
}

/// What tells the flights of a listener apart. A request that comes after a key was removed or
/// set does not join one from before.
fn flight(group: &Group, key: &str) -> Vec<u8> {
    // A group's name holds no slash.
    format!("{}/{}/{key}", group.writes(), group.name()).into_bytes()
}
