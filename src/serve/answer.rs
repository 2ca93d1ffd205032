//! What is sent back for a request.

use std::borrow::Cow;

use super::conditional::Tag;
use super::head::Refusal;
use crate::byte_view::ByteView;
use crate::wire::BeforeValue;

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n";

/// An answer: a status, a few headers, and a body in two parts so that a value need not be
/// copied behind the bytes that introduce it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header lines of our own making, each with its CR LF. `Content-Length` and `Connection`
    /// are written by [`Answer::write_head`].
    pub(crate) lines: Cow<'static, str>,
    /// Of a value that may be asked for on a condition or in part.
    pub(super) tag: Option<Tag>,
    /// What stands before `body` in the body.
    pub(super) prefix: BeforeValue,
    pub(crate) body: ByteView,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: ByteView) -> Self {
        Self::with_lines(status, "", body).with("Content-Type", content_type)
    }

    /// An answer whose header lines are known already: nothing is allocated for them.
    pub(crate) fn with_lines(status: u16, lines: &'static str, body: ByteView) -> Self {
        let prefix = BeforeValue::default();
        Self { status, lines: lines.into(), tag: None, prefix, body }
    }

    /// A line of text.
    pub(crate) fn text(status: u16, line: impl Into<String>) -> Self {
        let mut line = line.into();
        line.push('\n');
        Self::with_lines(status, TEXT, line.into())
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let parts = [name, ": ", value.as_ref(), "\r\n"];
        debug_assert!(parts[..3].iter().all(|part| !part.contains(['\r', '\n'])), "{parts:?}");
        self.lines.to_mut().extend(parts);
        self
    }

    #[must_use]
    pub(crate) fn behind(self, prefix: BeforeValue) -> Self {
        Self { prefix, ..self }
    }

    #[must_use]
    pub(super) fn tagged(self, tag: Tag) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Answers of some statuses end with their head, and tell no length.
    pub(crate) fn may_have_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }

    pub(crate) fn body_len(&self) -> usize {
        self.prefix.len() + self.body.len()
    }

    /// Writes the head behind what is in `out`.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, keep_alive: bool) {
        let mut write = |bytes: &[u8]| out.extend_from_slice(bytes);
        write(b"HTTP/1.1 ");
        write(itoa::Buffer::new().format(self.status).as_bytes());
        write(b" ");
        write(reason(self.status).as_bytes());
        write(b"\r\n");
        write(self.lines.as_bytes());
        if let Some(tag) = self.tag {
            write(b"Accept-Ranges: bytes\r\nETag: ");
            write(tag.text().as_bytes());
            write(b"\r\n");
        }
        if self.may_have_body() {
            write(b"Content-Length: ");
            write(itoa::Buffer::new().format(self.body_len()).as_bytes());
            write(b"\r\n");
        }
        write(if keep_alive { b"\r\n" } else { b"Connection: close\r\n\r\n" });
    }

    /// The whole answer in one buffer.
    pub(crate) fn to_bytes(&self, keep_alive: bool, with_body: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_head(&mut bytes, keep_alive);
        if with_body {
            bytes.extend_from_slice(&self.prefix);
            bytes.extend_from_slice(&self.body);
        }
        bytes
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
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
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
        let answer = Answer::new(200, "application/x-protobuf", "value".into())
            .behind(BeforeValue::from(&[0x0a, 5][..]));
        let bytes = String::from_utf8(answer.to_bytes(true, true)).unwrap();
        assert_eq!(
            bytes,
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 7\r\n\r\n\
             \n\u{5}value"
        );
    }

    #[test]
    fn a_head_alone_has_no_body_and_a_last_one_says_close() {
        let head = Answer::text(404, "no such key").to_bytes(false, false);
        assert!(head.ends_with(b"Content-Length: 12\r\nConnection: close\r\n\r\n"));
    }
}
