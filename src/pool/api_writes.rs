//! What clients may change: keys are set and removed on every node.

use std::time::Duration;

use super::api::{failure, find, named_in_path};
use super::gets;
use super::groups::View;
use crate::error::{Error, Result, Unconfirmed};
use crate::group::{Group, Written};
use crate::serve::{Answer, Method, Request};
use crate::wire::{self, ERROR_CODE, code};

/// The last part of the path of a POST that removes keys.
const REMOVE: &str = "_remove";

/// Carries out `request`, which is no GET and whose path starts with the API's base, and answers
/// when all nodes have confirmed, or cannot.
pub(super) fn carry_out(groups: &View, request: &Request<'_>) -> Answer {
    match change(groups, request) {
        Ok(Ok(_)) => Answer::with_lines(204, "", "".into()),
        Ok(Err(error)) => refused(&error),
        Err(answer) => answer,
    }
}

fn change(groups: &View, request: &Request<'_>) -> Result<Result<Written>, Answer> {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    if request.method == Method::Delete && path.matches('/').count() == 2 {
        // `/api/GROUP`: as a path with an empty key it names the group.
        let named = format!("{path}/");
        let (group, _) = named_in_path(&named)?;
        let (group, _) = find(groups, &group, "".into())?;
        return Ok(group.purge_within(timeout(request, group)));
    }
    let (group, key) = named_in_path(path)?;
    let (group, key) = find(groups, &group, key)?;
    let timeout = timeout(request, group);
    match request.method {
        Method::Put => {
            let ttl = ttl(query)?;
            Ok(group.set_within(&key, request.body.clone(), ttl, timeout))
        }
        Method::Delete => Ok(group.remove_within(&key, timeout)),
        Method::Post if key == REMOVE => {
            let keys = wire::read_keys(&request.body).map_err(|reason| bad(&reason))?;
            Ok(group.remove_many_within(keys, timeout))
        }
        Method::Post | Method::Get | Method::Head => {
            Err(bad("POST is for /api/GROUP/_remove, with a JSON list of keys"))
        }
    }
}

fn timeout(request: &Request<'_>, group: &Group) -> Duration {
    gets::deadline(request, group).saturating_duration_since(std::time::Instant::now())
}

/// `ttl=10s`: a number and `ms`, `s`, `m`, `h` or `d`.
fn ttl(query: &str) -> Result<Option<Duration>, Answer> {
    let ttl = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ttl");
    let Some((_, ttl)) = ttl else { return Ok(None) };
    read_ttl(&ttl).map(Some).ok_or_else(|| bad("write the time to live as in ?ttl=10s"))
}

fn read_ttl(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(millis)?))
}

fn bad(reason: &str) -> Answer {
    Answer::text(400, reason).with(ERROR_CODE, code::BAD_REQUEST)
}

fn refused(error: &Error) -> Answer {
    match error {
        Error::NotConfirmed { confirmed, unconfirmed, .. } => {
            let pair = |at: &Unconfirmed| (at.node.clone(), at.reason.clone());
            let unconfirmed: Vec<_> = unconfirmed.iter().map(pair).collect();
            let body = wire::unconfirmed_json(&error.to_string(), confirmed, &unconfirmed);
            Answer::new(502, "application/json", body.into()).with(ERROR_CODE, code::NOT_CONFIRMED)
        }
        Error::ValueTooLarge { .. } => {
            Answer::text(413, error.to_string()).with(ERROR_CODE, code::BAD_REQUEST)
        }
        error => failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_has_a_unit() {
        let seconds = |text| read_ttl(text).map(|ttl| ttl.as_secs_f64());
        for (text, expected) in
            [("10s", 10.0), ("250ms", 0.25), ("2m", 120.0), ("1h", 3_600.0), ("0s", 0.0)]
        {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in
            ["", "10", "s", "-1s", "1.5s", "1 s", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
