//! What clients are served: values, health, counters.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::groups::View;
use super::{Shared, api_writes, gets, report};
use crate::clock::deadline_after;
use crate::error::{Error, Result};
use crate::group::{Asker, Fetched, Group, Source};
use crate::serve::{self, Answer, AtOnce, Guard, Method, Request, Service};
use crate::wire::{self, ERROR_CODE, Named, Plus, code};

/// The path below which groups and keys are named.
const BASE: &str = "/api/";

/// The service of the listener for clients.
pub(super) struct Api {
    shared: Arc<Shared>,
    writes: AtomicU64,
}

/// What a request is for.
enum Route<'a> {
    Key(&'a Group, Cow<'a, str>),
    Write,
    Answered(Answer),
}

impl Api {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, writes: AtomicU64::new(0) }
    }

    fn route<'a>(&self, groups: &'a View, request: &Request<'a>) -> Route<'a> {
        if !matches!(request.method, Method::Get | Method::Head) {
            if request.target.starts_with(BASE) {
                return Route::Write;
            }
            let line = "only GET and HEAD are served here";
            return Route::Answered(Answer::text(405, line).with("Allow", "GET, HEAD"));
        }
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (request.target, ""),
        };
        let named = match path {
            "/healthz" => return Route::Answered(Answer::text(200, "ok")),
            "/readyz" => return Route::Answered(self.readiness()),
            "/stats" => return Route::Answered(report::stats(&self.shared)),
            "/metrics" => return Route::Answered(report::metrics(&self.shared)),
            "/api" => named_in_query(groups, query),
            _ if path.starts_with(BASE) => named_in_path(path),
            _ => Err(Answer::text(404, "no such path: try /api/GROUP/KEY, /stats or /metrics")),
        };
        match named.and_then(|(group, key)| find(groups, &group, key)) {
            Ok((group, key)) => Route::Key(group, key),
            Err(answer) => Route::Answered(answer),
        }
    }

    /// A write waits for other nodes, so a worker does it, of which writes have their share. It is
    /// carried out however many like it there are: nothing else joins its flight.
    fn write(&self) -> AtOnce {
        // No group's name is empty or holds a slash.
        let flight = format!("//{}", self.writes.fetch_add(1, Ordering::Relaxed)).into_bytes();
        AtOnce::Work { flight, deadline: longest(), share: Some("/".to_owned()) }
    }

    fn readiness(&self) -> Answer {
        if self.shared.is_draining() {
            return Answer::text(503, "draining: about to stop");
        }
        Answer::text(200, "ready")
    }
}

impl Service for Api {
    fn guard(&self) -> Option<&dyn Guard> {
        self.shared.auth.api_guard()
    }

    fn at_once(&self, request: &Request<'_>) -> AtOnce {
        let groups = self.shared.groups.view();
        let (group, key) = match self.route(&groups, request) {
            Route::Key(group, key) => (group, key),
            Route::Answered(answer) => return AtOnce::Answer(answer),
            Route::Write => return self.write(),
        };
        gets::at_once(&self.shared, request, group, &key, Asker::Client, outcome)
    }

    fn work(&self, request: &Request<'_>) -> Answer {
        let groups = self.shared.groups.view();
        match self.route(&groups, request) {
            Route::Key(group, key) => {
                // The gate has looked into the cache already.
                outcome(group.fetch_missing(&key, gets::deadline(request, group), Asker::Client))
            }
            Route::Answered(answer) => answer,
            Route::Write => api_writes::carry_out(&groups, request),
        }
    }

    fn shared(&self, request: &Request<'_>, answer: &Answer) {
        let groups = self.shared.groups.view();
        if let Route::Key(group, _) = self.route(&groups, request) {
            group.count_shared(Asker::Client, answer.status);
        }
    }

    fn finish(&self, request: &Request<'_>, answer: Answer) -> Answer {
        // All that is found there is a value.
        let is_value = answer.status == 200 && request.target.starts_with("/api");
        if is_value { serve::apply_conditions(request, answer) } else { answer }
    }
}

/// A write has a deadline of its own, which is sooner.
fn longest() -> Instant {
    deadline_after(Duration::from_secs(60))
}

/// `key=K[&group=G]`: the group may be left out when there is one.
fn named_in_query<'a>(groups: &'a View, query: &'a str) -> Result<Named<'a>, Answer> {
    let (mut group, mut key) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "group" => group = Some(value),
            "key" => key = Some(value),
            _ => {}
        }
    }
    let key = key.ok_or_else(|| Answer::text(400, "no key: ask for /api?key=KEY"))?;
    if let Some(group) = group {
        return Ok((group, key));
    }
    let mut names = groups.iter().map(Group::name);
    match (names.next(), names.len()) {
        (Some(only), 0) => Ok((only.into(), key)),
        _ => {
            let names: Vec<&str> = groups.iter().map(Group::name).collect();
            let names = names.join(", ");
            Err(Answer::text(400, format!("no group: add &group=, one of: {names}")))
        }
    }
}

pub(super) fn find<'a>(
    groups: &'a View,
    group: &str,
    key: Cow<'a, str>,
) -> Result<(&'a Group, Cow<'a, str>), Answer> {
    let group = groups.find(group).map_err(|error| failure(&error))?;
    group.check_key(&key).map_err(|error| failure(&error))?;
    Ok((group, key))
}

pub(super) fn named_in_path(path: &str) -> Result<Named<'_>, Answer> {
    wire::split(BASE, Plus::Plus, path).map_err(|bad| match bad {
        wire::BadPath::NoKey => Answer::text(400, "no key: ask for /api/GROUP/KEY"),
        bad => bad.answer(),
    })
}

fn outcome(result: Result<Fetched>) -> Answer {
    match result {
        Ok(fetched) => value(fetched),
        Err(error) => failure(&error),
    }
}

fn value(fetched: Fetched) -> Answer {
    let answer = Answer::with_lines(200, value_lines(fetched.source), fetched.value);
    match fetched.source.stale_age_secs() {
        Some(age_secs) => answer.with("Age", age_secs.to_string()),
        None => answer,
    }
}

/// The header lines of a value, which tell where it came from.
fn value_lines(source: Source) -> &'static str {
    macro_rules! lines {
        ($source:literal) => {
            concat!("Content-Type: application/octet-stream\r\nX-Larder: ", $source, "\r\n")
        };
    }
    match source {
        Source::Main => lines!("main"),
        Source::Hot => lines!("hot"),
        Source::Peer => lines!("peer"),
        Source::Origin => lines!("origin"),
        Source::Stale { .. } => lines!("stale"),
    }
}

pub(super) fn failure(error: &Error) -> Answer {
    let (status, code) = match error {
        Error::NotFound { .. } => (404, code::NOT_FOUND),
        Error::NoSuchGroup { .. } => (404, code::NO_SUCH_GROUP),
        Error::KeyTooLong { .. } => (400, code::BAD_REQUEST),
        Error::DeadlineExceeded { .. } => (504, code::LOADING),
        Error::Overloaded { .. } | Error::ShuttingDown => (503, code::OVERLOADED),
        Error::GetterPanicked { .. } => (502, code::PANICKED),
        _ => (502, code::GETTER),
    };
    let answer = Answer::text(status, error.to_string()).with(ERROR_CODE, code);
    if status == 503 { answer.with("Retry-After", "1") } else { answer }
}
