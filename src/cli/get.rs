//! `larder get`: one value, from a node's API to stdout.

use std::io::{self, Write};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::{StatusCode, header};
use ureq::{Agent, Body, http::Response};

use super::access;
use super::args::GetArgs;
use super::end::{Ending, Exit};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What is read of a refusal's text.
const MESSAGE_BYTES: u64 = 16 << 10;
/// The header that a node puts on values.
const SOURCE: &str = "X-Larder";
/// The header that a node puts on refusals.
const ERROR_CODE: &str = "Larder-Error";

pub(crate) fn run(args: &GetArgs) -> Result<(), Ending> {
    let failed = |error: ureq::Error| {
        let advice = "is a node's API (--api) there?";
        Ending::new(Exit::Failed, format!("cannot get from {}: {error}; {advice}", args.node))
    };
    let token = access::token(args.token_file.as_deref())?;
    let mut response = ask(args, token.as_deref()).map_err(failed)?;
    if response.status() != StatusCode::OK || !response.headers().contains_key(SOURCE) {
        return Err(refusal(args, &mut response));
    }
    // The node has a limit for values of its own.
    let read = response.body_mut().with_config().limit(u64::MAX).read_to_vec();
    let value = read.map_err(failed)?;
    check_length(args, &response, value.len())?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&value).and_then(|()| stdout.flush()).map_err(|error| Ending::unheard(&error))
}

fn ask(args: &GetArgs, token: Option<&str>) -> Result<Response<Body>, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        // A node is near: settings of the environment are for the outside world.
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(args.timeout))
        .build()
        .into();
    // Every sign is escaped, dots too: a key such as `..` must reach the node.
    let escape = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let url = format!("{}/api/{}/{}", args.node, escape(&args.group), escape(&args.key));
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.call()
}

/// A cut value is not handed on as a whole one.
fn check_length(args: &GetArgs, response: &Response<Body>, len: usize) -> Result<(), Ending> {
    let said = response.headers().get(header::CONTENT_LENGTH);
    let said: Option<usize> = said.and_then(|value| value.to_str().ok()?.parse().ok());
    if said == Some(len) {
        return Ok(());
    }
    let message = format!("{} cut the value after {len} bytes: try again", args.node);
    Err(Ending::new(Exit::Failed, message))
}

fn refusal(args: &GetArgs, response: &mut Response<Body>) -> Ending {
    let (status, coded) = (response.status(), response.headers().contains_key(ERROR_CODE));
    let text = response.body_mut().with_config().limit(MESSAGE_BYTES).read_to_string();
    let text = text.unwrap_or_default();
    let text = text.lines().next().unwrap_or_default();
    let answered = format!("{} answered {}: {text}", args.node, status.as_u16());
    match status {
        StatusCode::NOT_FOUND if coded => Ending::new(Exit::NotFound, text),
        // What listens for peers says so, too.
        StatusCode::OK | StatusCode::NOT_FOUND => {
            Ending::new(Exit::Failed, format!("{answered}; give the address of a node's --api"))
        }
        StatusCode::UNAUTHORIZED => {
            let advice = "give a token with --token-file or in LARDER_TOKEN";
            Ending::new(Exit::Failed, format!("{answered}; {advice}"))
        }
        _ => Ending::new(Exit::Failed, answered),
    }
}
