//! The strict reading of a request's head: what is not plainly right is refused.
//!
//! Two readers of the same bytes that disagree about where a request ends are how requests are
//! smuggled. So nothing is guessed here, and what goes on to a lane is written anew.

use std::mem::MaybeUninit;
use std::time::Duration;

use super::conditional::Conditions;
use super::guard::Credentials;
use super::limits::Limits;
use crate::wire::{LEFT_MS, SIGNATURE, WITHIN_MS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// Whether doing it twice is as good as once, whatever became of the first time.
    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Get, Self::Head, Self::Put, Self::Post, Self::Delete]
            .into_iter()
            .find(|method| method.name() == name)
    }
}

/// A head that has been read whole, where it lies in the connection's buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) method: Method,
    /// As sent: starts with `/`, printable ASCII, not decoded.
    pub(crate) target: &'a str,
    pub(crate) keep_alive: bool,
    /// The client waits for a `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) body_len: usize,
    pub(crate) within: Option<Duration>,
    pub(crate) left: Option<Duration>,
    pub(crate) conditions: Conditions<'a>,
    pub(crate) credentials: Credentials<'a>,
    /// Length of the head in the buffer.
    pub(crate) len: usize,
}

/// Why a request is refused; its connection is closed afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

const fn refuse(status: u16, reason: &'static str) -> Refusal {
    Refusal { status, reason }
}

pub(crate) const HEAD_TOO_SLOW: Refusal = refuse(408, "the head was not complete in time");
pub(crate) const BODY_TOO_SLOW: Refusal = refuse(408, "the body was not complete in time");

/// httparse has to be told how many headers at most; the limit on lines comes first.
const MAX_HEADERS: usize = 256;

/// Reads the head at the start of `buffer`; none when it is not complete yet.
pub(crate) fn parse<'a>(buffer: &'a [u8], limits: &Limits) -> Result<Option<Head<'a>>, Refusal> {
    let Some(len) = head_len(buffer, limits)? else { return Ok(None) };
    // Filling it in would cost more than parsing.
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(&buffer[..len], &mut headers) {
        Ok(httparse::Status::Complete(parsed)) if parsed == len => {}
        Err(httparse::Error::Version) => {
            return Err(refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        Err(httparse::Error::TooManyHeaders) => return Err(refuse(431, "too many header lines")),
        Ok(_) | Err(_) => return Err(refuse(400, "the head is malformed")),
    }
    let target = request.path.unwrap_or_default();
    if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse(400, "the target does not start with a slash or is not plain ASCII"));
    }
    let fields = Fields::read(request.headers, limits)?;
    let is_1_1 = request.version == Some(1);
    if is_1_1 && fields.hosts != 1 || fields.hosts > 1 {
        return Err(refuse(400, "exactly one Host header is required"));
    }
    let Some(method) = Method::from_name(request.method.unwrap_or_default()) else {
        return Err(refuse(501, "this method is not implemented"));
    };
    Ok(Some(Head {
        method,
        target,
        keep_alive: fields.keep_alive.unwrap_or(is_1_1),
        expects_continue: fields.expects_continue && is_1_1 && fields.body_len.is_some(),
        body_len: fields.body_len.unwrap_or(0),
        within: fields.within,
        left: fields.left,
        conditions: fields.conditions,
        credentials: fields.credentials,
        len,
    }))
}

/// Length of the head with its empty line, when that has come. Lines end with CR LF, both.
fn head_len(buffer: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
    let mut line_start = 0;
    let mut lines = 0;
    for (at, &byte) in buffer.iter().enumerate() {
        match byte {
            b'\n' if at == 0 || buffer[at - 1] != b'\r' => {
                return Err(refuse(400, "a line ends with a bare LF"));
            }
            b'\r' if buffer.get(at + 1).is_some_and(|&next| next != b'\n') => {
                return Err(refuse(400, "a CR stands alone"));
            }
            b'\n' if at + 1 > limits.head_bytes => break,
            b'\n' if at - 1 == line_start && lines == 0 => {
                return Err(refuse(400, "an empty line stands before the request"));
            }
            b'\n' if at - 1 == line_start => return Ok(Some(at + 1)),
            b'\n' => {
                (line_start, lines) = (at + 1, lines + 1);
                if lines > limits.head_lines {
                    return Err(refuse(431, "the head has too many lines"));
                }
            }
            _ => {}
        }
    }
    if buffer.len() > limits.head_bytes {
        return Err(refuse(431, "the head is too long"));
    }
    Ok(None)
}

/// The header fields that matter here.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    keep_alive: Option<bool>,
    expects_continue: bool,
    body_len: Option<usize>,
    within: Option<Duration>,
    left: Option<Duration>,
    conditions: Conditions<'a>,
    credentials: Credentials<'a>,
}

impl<'a> Fields<'a> {
    fn read(headers: &[httparse::Header<'a>], limits: &Limits) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        let mut chunked = false;
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                if fields.body_len.is_some() {
                    return Err(refuse(400, "more than one Content-Length"));
                }
                fields.body_len = Some(body_len(header.value, limits)?);
            } else if is("transfer-encoding") {
                chunked = true;
            } else if is("expect") {
                if !header.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(refuse(417, "only Expect: 100-continue can be met"));
                }
                fields.expects_continue = true;
            } else if is("connection") {
                fields.read_connection(header.value);
            } else if is("host") {
                fields.hosts += 1;
            } else if is(WITHIN_MS) {
                fields.within = Some(millis(header.value)?);
            } else if is(LEFT_MS) {
                fields.left = Some(millis(header.value)?);
            } else if is("authorization") {
                fields.credentials.authorization =
                    once(fields.credentials.authorization, header.value)?;
            } else if is(SIGNATURE) {
                fields.credentials.signature = once(fields.credentials.signature, header.value)?;
            } else {
                fields.conditions.read(header.name, header.value);
            }
        }
        match (chunked, fields.body_len) {
            (false, _) => Ok(fields),
            (true, None) => Err(refuse(501, "Transfer-Encoding is not taken: send a length")),
            (true, Some(_)) => Err(refuse(400, "both Content-Length and Transfer-Encoding")),
        }
    }

    fn read_connection(&mut self, value: &[u8]) {
        for token in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                self.keep_alive = Some(false);
            } else if token.eq_ignore_ascii_case(b"keep-alive") && self.keep_alive.is_none() {
                self.keep_alive = Some(true);
            }
        }
    }
}

/// The value of a field that tells who asks. What is no text is nobody's name.
fn once<'a>(before: Option<&'a str>, value: &'a [u8]) -> Result<Option<&'a str>, Refusal> {
    match before {
        Some(_) => Err(refuse(400, "more than one Authorization or Larder-Auth")),
        None => Ok(Some(std::str::from_utf8(value).unwrap_or_default())),
    }
}

fn body_len(value: &[u8], limits: &Limits) -> Result<usize, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(refuse(400, "Content-Length is not a number"));
    }
    digits(value)
        .filter(|&len| len <= limits.body_bytes)
        .ok_or(refuse(413, "the body is over the limit"))
}

fn millis(value: &[u8]) -> Result<Duration, Refusal> {
    let millis = digits(value).filter(|_| value.iter().all(u8::is_ascii_digit));
    let millis = millis.ok_or(refuse(400, "a time in milliseconds is not a number"))?;
    Ok(Duration::from_millis(millis as u64))
}

fn digits(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<Head<'_>>, Refusal> {
        parse(text.as_bytes(), &Limits::default())
    }

    fn refused(text: &str) -> u16 {
        read(text).expect_err(text).status
    }

    fn with(lines: &str) -> String {
        format!("GET /a HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
    }

    #[test]
    fn who_asks_is_told_once_and_in_plain_text() {
        let head = with("authorization: Bearer a b\r\nlarder-auth:v1 x\r\n");
        let credentials = read(&head).unwrap().unwrap().credentials;
        let expected = Credentials { authorization: Some("Bearer a b"), signature: Some("v1 x") };
        assert_eq!(credentials, expected);
        assert_eq!(read(&with("")).unwrap().unwrap().credentials, Credentials::default());
        for name in ["Authorization", "Larder-Auth"] {
            assert_eq!(refused(&with(&format!("{name}: a\r\n{name}: a\r\n"))), 400);
        }
        let bytes = with("Authorization: ?\r\n").replace('?', "\u{1}").into_bytes();
        assert!(parse(&bytes, &Limits::default()).is_err());
        let bytes: Vec<u8> = with("Authorization: ?\r\n")
            .bytes()
            .map(|b| if b == b'?' { 0xff } else { b })
            .collect();
        let head = parse(&bytes, &Limits::default()).unwrap().unwrap();
        assert_eq!(head.credentials.authorization, Some(""));
    }

    #[test]
    fn a_plain_get_is_read() {
        let text = "GET /_larder/g/k%2F1 HTTP/1.1\r\nHost: h\r\nLarder-Within-Ms: 250\r\n\
                    Larder-Left-Ms: 900\r\n\r\nGET";
        let head = read(text).unwrap().unwrap();
        assert_eq!((head.method, head.target), (Method::Get, "/_larder/g/k%2F1"));
        assert_eq!((head.keep_alive, head.body_len, head.len), (true, 0, text.len() - 3));
        let times = [250, 900].map(|millis| Some(Duration::from_millis(millis)));
        assert_eq!([head.within, head.left], times);
    }

    #[test]
    fn every_beginning_of_a_good_head_is_incomplete_and_not_refused() {
        let text = with("Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n");
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]), Ok(None), "{:?}", &text[..end]);
        }
        let head = read(&text).unwrap().unwrap();
        assert!(head.expects_continue && !head.keep_alive && head.body_len == 5);
    }

    #[test]
    fn http_1_0_closes_unless_it_asks_to_stay() {
        assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().keep_alive);
        let stay = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
        assert!(read(stay).unwrap().unwrap().keep_alive);
    }

    #[test]
    fn close_wins_over_keep_alive() {
        let text = with("Connection: keep-alive, close\r\nConnection: keep-alive\r\n");
        assert!(!read(&text).unwrap().unwrap().keep_alive);
    }

    #[test]
    fn what_is_not_plainly_right_is_refused() {
        for (text, status) in [
            ("PRI * HTTP/2.0\r\n\r\n".to_owned(), 505),
            ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 505),
            ("GET / HTTP/1.2\r\nHost: x\r\n\r\n".to_owned(), 505),
            ("GET /\r\n\r\n".to_owned(), 400),
            ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("GET * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("GET /ä HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n".to_owned(), 400),
            ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 501),
            (with("Host: y\r\n"), 400),
            (with("X: a\r\n Transfer-Encoding: chunked\r\n"), 400),
            (with(" X: folded\r\n"), 400),
            (with("X : y\r\n"), 400),
            (with(": y\r\n"), 400),
            (with("no colon\r\n"), 400),
            (with("X: a\0b\r\n"), 400),
            (with("Transfer-Encoding: chunked\r\n"), 501),
            (with("Transfer-Encoding: identity\r\n"), 501),
            (with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400),
            (with("Content-Length: 3\r\nContent-Length: 3\r\n"), 400),
            (with("Content-Length: 3, 3\r\n"), 400),
            (with("Content-Length: +3\r\n"), 400),
            (with("Content-Length: -3\r\n"), 400),
            (with("Content-Length: 0x3\r\n"), 400),
            (with("Content-Length:\r\n"), 400),
            (with("Content-Length: 99999999999999\r\n"), 413),
            (with("Content-Length: 18446744073709551615\r\n"), 413),
            (with("Content-Length: 99999999999999999999999999\r\n"), 413),
            (with("Expect: the-unexpected\r\n"), 417),
            (with("Larder-Within-Ms: soon\r\n"), 400),
            (with("Larder-Within-Ms: +5\r\n"), 400),
            (with("Larder-Left-Ms: later\r\n"), 400),
            (with(&"X: y\r\n".repeat(65)), 431),
            (with(&format!("X: {}\r\n", "y".repeat(16 << 10))), 431),
        ] {
            assert_eq!(refused(&text), status, "{text:?}");
        }
    }

    #[test]
    fn an_endless_head_is_refused_before_it_ends() {
        assert_eq!(refused(&"a".repeat((16 << 10) + 1)), 431);
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}", "a:\r\n".repeat(65))), 431);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_refused_or_incomplete(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some(head)) = parse(&bytes, &Limits::default()) {
                prop_assert!(head.len <= bytes.len());
            }
        }

        #[test]
        fn a_changed_byte_never_moves_the_end_of_the_body(at in 0usize..200, byte: u8) {
            let (before, field) = ("GET /a HTTP/1.1\r\nHost: x\r\n", "Content-Length: 3");
            let mut text = format!("{before}{field}\r\nX-Y: z\r\n\r\n").into_bytes();
            let len = text.len();
            text[at % len] = byte;
            if let Ok(Some(head)) = parse(&text, &Limits::default()) {
                // What the field says now, or no body when its name is what changed.
                let value = &text[before.len() + "Content-Length:".len()..before.len() + field.len()];
                let said = std::str::from_utf8(value).ok().and_then(|said| said.trim().parse().ok());
                prop_assert!(head.body_len == 0 || Some(head.body_len) == said, "{head:?}");
                prop_assert_eq!(head.len, len);
            }
        }
    }
}
