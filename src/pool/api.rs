//! What clients are served: values, health, counters.

use std::sync::Arc;

use super::{Shared, gets, report};
use crate::error::{Error, Result};
use crate::group::{Asker, Fetched, Group};
use crate::serve::{Answer, AtOnce, Method, Request, Service};
use crate::wire::{self, ERROR_CODE, Plus, code};

/// The path below which groups and keys are named.
const BASE: &str = "/api/";
/// The header that tells where a value came from.
const SOURCE: &str = "X-Larder";
const OCTETS: &str = "application/octet-stream";

/// The service of the listener for clients.
pub(super) struct Api {
    shared: Arc<Shared>,
}

/// What a request is for.
enum Route {
    Key(Group, String),
    Answered(Answer),
}

impl Api {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn route(&self, request: &Request) -> Route {
        if !matches!(request.method, Method::Get | Method::Head) {
            let line = "only GET and HEAD are served here";
            return Route::Answered(Answer::text(405, line).with("Allow", "GET, HEAD"));
        }
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (request.target.as_str(), ""),
        };
        let named = match path {
            "/healthz" => return Route::Answered(Answer::text(200, "ok")),
            "/readyz" => return Route::Answered(self.readiness()),
            "/stats" => return Route::Answered(report::stats(&self.shared)),
            "/metrics" => return Route::Answered(report::metrics(&self.shared)),
            "/api" => self.named_in_query(query),
            _ if path.starts_with(BASE) => named_in_path(path),
            _ => Err(Answer::text(404, "no such path: try /api/GROUP/KEY, /stats or /metrics")),
        };
        match named.and_then(|(group, key)| self.find(&group, key)) {
            Ok((group, key)) => Route::Key(group, key),
            Err(answer) => Route::Answered(answer),
        }
    }

    fn readiness(&self) -> Answer {
        if self.shared.is_draining() {
            return Answer::text(503, "draining: about to stop");
        }
        Answer::text(200, "ready")
    }

    /// `key=K[&group=G]`: the group may be left out when there is one.
    fn named_in_query(&self, query: &str) -> Result<(String, String), Answer> {
        let (mut group, mut key) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "group" => group = Some(value.into_owned()),
                "key" => key = Some(value.into_owned()),
                _ => {}
            }
        }
        let key = key.ok_or_else(|| Answer::text(400, "no key: ask for /api?key=KEY"))?;
        if let Some(group) = group {
            return Ok((group, key));
        }
        match &self.shared.groups()[..] {
            [only] => Ok((only.name().to_owned(), key)),
            groups => {
                let names: Vec<&str> = groups.iter().map(Group::name).collect();
                let names = names.join(", ");
                Err(Answer::text(400, format!("no group: add &group=, one of: {names}")))
            }
        }
    }

    fn find(&self, group: &str, key: String) -> Result<(Group, String), Answer> {
        let group = self.shared.find_group(group).map_err(|error| failure(&error))?;
        group.check_key(&key).map_err(|error| failure(&error))?;
        Ok((group, key))
    }
}

impl Service for Api {
    fn at_once(&self, request: &Request) -> AtOnce {
        let (group, key) = match self.route(request) {
            Route::Key(group, key) => (group, key),
            Route::Answered(answer) => return AtOnce::Answer(answer),
        };
        gets::at_once(request, &group, &key, Asker::Client, outcome)
    }

    fn work(&self, request: &Request) -> Answer {
        match self.route(request) {
            Route::Key(group, key) => {
                // The gate has looked into the cache already.
                outcome(group.fetch_missing(&key, gets::deadline(request, &group), Asker::Client))
            }
            Route::Answered(answer) => answer,
        }
    }

    fn shared(&self, request: &Request, answer: &Answer) {
        if let Route::Key(group, _) = self.route(request) {
            group.count_shared(Asker::Client, answer.status);
        }
    }
}

fn named_in_path(path: &str) -> Result<(String, String), Answer> {
    wire::split(BASE, Plus::Plus, path).map_err(|bad| match bad {
        wire::BadPath::NoKey => Answer::text(400, "no key: ask for /api/GROUP/KEY"),
        bad => bad.answer(),
    })
}

fn outcome(result: Result<Fetched>) -> Answer {
    match result {
        Ok(fetched) => value(&fetched),
        Err(error) => failure(&error),
    }
}

fn value(fetched: &Fetched) -> Answer {
    Answer::new(200, OCTETS, fetched.value.clone()).with(SOURCE, fetched.source.name())
}

fn failure(error: &Error) -> Answer {
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
