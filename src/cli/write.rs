//! `larder set`, `larder remove`, `larder purge`: writes by way of a node's API.

use std::io::{self, Read};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::{Request, Response, StatusCode, header};
use ureq::{Agent, Body};

use super::access;
use super::args::{NodeArgs, PurgeArgs, RemoveArgs, SetArgs};
use super::end::{Ending, Exit};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What is read of a refusal's text.
const MESSAGE_BYTES: u64 = 64 << 10;
/// The header that a node puts on refusals.
const ERROR_CODE: &str = "Larder-Error";

pub(crate) fn set(args: &SetArgs) -> Result<(), Ending> {
    let value = match &args.value {
        Some(value) => value.clone().into_bytes(),
        None => {
            let mut value = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut value);
            read.map_err(|error| Ending::failed("cannot read the value from stdin", &error))?;
            value
        }
    };
    let ttl = args.ttl.map_or(String::new(), |ttl| format!("?ttl={}ms", ttl.as_millis()));
    let path = format!("{}/{}{ttl}", escape(&args.at.group), escape(&args.key));
    write(&args.at, "PUT", &path, value)
}

pub(crate) fn remove(args: &RemoveArgs) -> Result<(), Ending> {
    let group = escape(&args.at.group);
    if let [key] = &args.keys[..] {
        return write(&args.at, "DELETE", &format!("{group}/{}", escape(key)), Vec::new());
    }
    let keys = json_list(&args.keys);
    write(&args.at, "POST", &format!("{group}/_remove"), keys.into_bytes())
}

pub(crate) fn purge(args: &PurgeArgs) -> Result<(), Ending> {
    write(&args.at, "DELETE", &escape(&args.at.group), Vec::new())
}

/// Every sign is escaped, dots too: a key such as `..` must reach the node.
fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn json_list(keys: &[String]) -> String {
    let quote = |key: &String| {
        let escaped = key.chars().map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        });
        format!("\"{}\"", escaped.collect::<String>())
    };
    format!("[{}]", keys.iter().map(quote).collect::<Vec<_>>().join(","))
}

fn write(at: &NodeArgs, method: &str, path: &str, body: Vec<u8>) -> Result<(), Ending> {
    let failed = |error: ureq::Error| {
        let advice = "is a node's API (--api) there?";
        Ending::new(Exit::Failed, format!("cannot write by way of {}: {error}; {advice}", at.node))
    };
    let token = access::token(at.token_file.as_deref())?;
    let mut response = send(at, token.as_deref(), method, path, body).map_err(failed)?;
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(());
    }
    Err(refusal(at, &mut response))
}

fn send(
    at: &NodeArgs,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<Response<Body>, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        // A node is near: settings of the environment are for the outside world.
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(at.timeout))
        .build()
        .into();
    let request = Request::builder().method(method).uri(format!("{}/api/{path}", at.node));
    let within = (at.timeout * 3 / 4).as_millis().to_string();
    let mut request = request.header("Larder-Within-Ms", within);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if method == "DELETE" { agent.run(request.body(())?) } else { agent.run(request.body(body)?) }
}

fn refusal(at: &NodeArgs, response: &mut Response<Body>) -> Ending {
    let code = response.headers().get(ERROR_CODE).and_then(|code| code.to_str().ok());
    let (status, code) = (response.status(), code.map(str::to_owned));
    let text = response.body_mut().with_config().limit(MESSAGE_BYTES).read_to_string();
    let text = text.unwrap_or_default();
    let text = text.lines().next().unwrap_or_default();
    match (status, code.as_deref()) {
        (StatusCode::NOT_FOUND, Some(_)) => Ending::new(Exit::NotFound, text),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            let advice = "give a token that may write with --token-file or in LARDER_TOKEN";
            Ending::new(Exit::Failed, format!("{text}; {advice}"))
        }
        // What listens for peers takes no such method.
        (StatusCode::METHOD_NOT_ALLOWED, _) | (_, None) => {
            let answered = format!("{} answered {}: {text}", at.node, status.as_u16());
            Ending::new(Exit::Failed, format!("{answered}; give the address of a node's --api"))
        }
        (_, Some(_)) => Ending::new(Exit::Failed, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_as_json_has_it() {
        let keys = ["a", "b\"\\", "\n", "日"].map(str::to_owned);
        assert_eq!(json_list(&keys), r#"["a","b\"\\","\u000a","日"]"#);
    }
}
