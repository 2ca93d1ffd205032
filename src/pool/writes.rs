//! What peers of some dialects may do to this node's cache: set a key, remove keys.
//!
//! It is done here and nowhere else: the peer that asks tells every node itself.

use super::Shared;
use super::failure::failure;
use crate::byte_view::ByteView;
use crate::error::Error;
use crate::fresh::Ack;
use crate::group::Group;
use crate::serve::{Answer, Method, Request};
use crate::wire::{self, ERROR_CODE, Spec, Write, code};

/// The last part of the path of a POST that removes keys.
const REMOVE_KEYS: &str = "_remove-keys/";

/// What a request of this method may do to the cache.
fn writes(method: Method) -> &'static [Write] {
    match method {
        Method::Get | Method::Head => &[],
        Method::Put => &[Write::Put],
        Method::Delete => &[Write::Delete],
        Method::Post => &[Write::RemoveKeys, Write::Told],
    }
}

/// Refuses a method that the dialect does not have.
pub(super) fn check_method(spec: &Spec, method: Method) -> Result<(), Answer> {
    let is_taken = |method| {
        let writes = writes(method);
        writes.is_empty() || writes.iter().any(|write| spec.writes.contains(write))
    };
    if is_taken(method) {
        return Ok(());
    }
    let methods = [Method::Get, Method::Head, Method::Put, Method::Delete, Method::Post];
    let taken = methods.into_iter().filter(|&method| is_taken(method));
    let taken = taken.map(Method::name).collect::<Vec<_>>().join(", ");
    let line = format!("peers only {taken} here");
    Err(Answer::text(405, line).with(ERROR_CODE, code::BAD_REQUEST).with("Allow", taken))
}

/// Carries out what `request`, which is no GET, asks of this key.
pub(super) fn answer(shared: &Shared, request: &Request<'_>, group: &Group, key: &str) -> Answer {
    match request.method {
        Method::Put => put(shared, request, group, key),
        Method::Delete => match group.remove_local(key) {
            Ok(()) => done(),
            Err(error) => failure(shared, &error),
        },
        Method::Post if shared.dialect.spec().writes.contains(&Write::Told) => {
            told(shared, request, group, key)
        }
        Method::Post if key == REMOVE_KEYS => remove_keys(shared, request, group),
        Method::Post | Method::Get | Method::Head => {
            refuse(format!("POST is for {REMOVE_KEYS} only"))
        }
    }
}

/// Carries out a step of a write that another larder node coordinates.
fn told(shared: &Shared, request: &Request<'_>, group: &Group, key: &str) -> Answer {
    if !key.is_empty() {
        return refuse("POST goes to the path of a group, with a slash behind it".to_owned());
    }
    let (told, ring) = match wire::decode_told(group.name(), request.body.clone()) {
        Ok(read) => read,
        Err(reason) => return refuse(reason),
    };
    match group.hear(&told) {
        Ok(known) => {
            let ack = Ack { known, nodes: shared.writes.unlike(ring) };
            let body = wire::encode_ack(group.name(), &ack).into();
            Answer::with_lines(200, shared.dialect.spec().value_lines, body)
        }
        Err(error @ Error::ValueTooLarge { .. }) => refuse(error.to_string()),
        Err(error) => failure(shared, &error),
    }
}

fn put(shared: &Shared, request: &Request<'_>, group: &Group, key: &str) -> Answer {
    let loaded = match wire::read_set(group.name(), key, request.body.clone()) {
        Ok(loaded) => loaded,
        Err(reason) => return refuse(reason),
    };
    match group.set_local(key, loaded) {
        Ok(()) => done(),
        Err(error @ Error::ValueTooLarge { .. }) => {
            Answer::text(413, error.to_string()).with(ERROR_CODE, code::BAD_REQUEST)
        }
        Err(error) => failure(shared, &error),
    }
}

fn remove_keys(shared: &Shared, request: &Request<'_>, group: &Group) -> Answer {
    let keys = match wire::read_remove_keys(group.name(), &request.body) {
        Ok(keys) => keys,
        Err(reason) => return refuse(reason),
    };
    // All of them, whatever becomes of one.
    let removed = keys.iter().map(|key| group.remove_local(key));
    match removed.fold(Ok(()), Result::and) {
        Ok(()) => done(),
        Err(error) => failure(shared, &error),
    }
}

fn done() -> Answer {
    Answer::new(200, "text/plain; charset=utf-8", ByteView::new())
}

fn refuse(reason: String) -> Answer {
    Answer::text(400, reason).with(ERROR_CODE, code::BAD_REQUEST)
}
