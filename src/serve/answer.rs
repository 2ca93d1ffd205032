//! What is sent back for a request.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::head::Refusal;
use crate::byte_view::ByteView;

/// An answer: a status, a few headers, and a body in two parts so that a value need not be
/// copied behind the bytes that introduce it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names and values of our own making: no CR, no LF. `Content-Length` and `Connection`
    /// are written by [`Answer::head`].
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// What stands before `body` in the body.
    pub(crate) prefix: Vec<u8>,
    pub(crate) body: ByteView,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: ByteView) -> Self {
        let headers = vec![("Content-Type".into(), content_type.into())];
        Self { status, headers, prefix: Vec::new(), body }
    }

    /// A line of text.
    pub(crate) fn text(status: u16, line: impl Into<String>) -> Self {
        let mut line = line.into();
        line.push('\n');
        Self::new(status, "text/plain; charset=utf-8", line.into())
            .with("X-Content-Type-Options", "nosniff")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name))?;
        Some(&header.1)
    }

    pub(crate) fn body_len(&self) -> usize {
        self.prefix.len() + self.body.len()
    }

    /// The head, with the body's first part behind it when `with_body`.
    pub(crate) fn head(&self, keep_alive: bool, with_body: bool) -> Vec<u8> {
        let mut head = String::with_capacity(192);
        // Writing to a String cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n", self.body_len());
        head.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
        let mut head = head.into_bytes();
        if with_body {
            head.extend_from_slice(&self.prefix);
        }
        head
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::text(refusal.status, refusal.reason)
    }
}

/// The phrases of the statuses that are sent here.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_the_length_of_both_parts_of_the_body() {
        let mut answer = Answer::new(200, "application/x-protobuf", "value".into());
        answer.prefix = vec![0x0a, 5];
        let head = String::from_utf8(answer.head(true, true)).unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 7\r\n\r\n\
             \n\u{5}"
        );
    }

    #[test]
    fn a_head_alone_has_no_body_and_a_last_one_says_close() {
        let head = Answer::text(404, "no such key").head(false, false);
        assert!(head.ends_with(b"Content-Length: 12\r\nConnection: close\r\n\r\n"));
    }
}
