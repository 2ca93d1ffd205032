//! Requests for a value on a condition, or for a part of it (RFC 9110, sections 13 and 14).
//!
//! What is not plainly right is as if it had not been sent: the whole value is always a
//! correct answer.

use std::ops::Range;

use super::answer::Answer;
use super::head::Method;
use super::request::Request;
use crate::byte_view::ByteView;

/// The fields of a head that set conditions or name parts, as they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Conditions<'a> {
    if_none_match: Option<&'a [u8]>,
    if_range: Option<&'a [u8]>,
    range: Option<&'a [u8]>,
}

/// What tells one value from another: a strong validator, made of the value's bytes alone, so
/// that every node gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u64);

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<usize>),
    /// Nothing that the value has.
    Beyond,
}

impl<'a> Conditions<'a> {
    /// Takes a field of the head, when it is one of these.
    pub(super) fn read(&mut self, name: &str, value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("if-none-match") {
            // What a further line names is sent once more, which does no harm.
            self.if_none_match.get_or_insert(value);
        } else if is("if-range") {
            self.if_range.get_or_insert(value);
        } else if is("range") {
            // Two of them ask for nothing in particular.
            self.range = Some(if self.range.is_some() { b"" } else { value });
        }
    }
}

/// What `request` gets of `answer`, which is the whole value.
pub(crate) fn apply(request: &Request<'_>, answer: Answer) -> Answer {
    let (tag, len) = (Tag::of(&answer.body), answer.body.len());
    let conditions = &request.conditions;
    if conditions.if_none_match.is_some_and(|list| tag.is_in(list)) {
        return Answer::with_lines(304, "", ByteView::new()).tagged(tag);
    }
    let answer = answer.tagged(tag);
    let Some(range) = conditions.range.filter(|_| request.method == Method::Get) else {
        return answer;
    };
    if conditions.if_range.is_some_and(|wanted| wanted != tag.text().as_bytes()) {
        return answer;
    }
    match asked(range, len) {
        Asked::Whole => answer,
        Asked::Part(part) => {
            let (first, last) = (part.start, part.end - 1);
            let answer = answer.with("Content-Range", format!("bytes {first}-{last}/{len}"));
            Answer { status: 206, body: answer.body.slice(part), ..answer }
        }
        Asked::Beyond => Answer::text(416, format!("the value has {len} bytes"))
            .with("Content-Range", format!("bytes */{len}"))
            .tagged(tag),
    }
}

impl Tag {
    fn of(value: &ByteView) -> Self {
        Self(value.fingerprint())
    }

    /// As it stands in a head, with its quotes.
    pub(super) fn text(self) -> TagText {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'"'; 18];
        for (at, byte) in text[1..17].iter_mut().enumerate() {
            *byte = DIGITS[(self.0 >> (60 - 4 * at)) as usize & 15];
        }
        TagText(text)
    }

    /// Does a list of tags name this one, strong or weak, or is it a `*`?
    fn is_in(self, list: &[u8]) -> bool {
        let own = self.text();
        if list.trim_ascii() == b"*" {
            return true;
        }
        let mut rest = list;
        loop {
            rest = rest.trim_ascii_start();
            rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
            rest = rest.strip_prefix(b"W/").unwrap_or(rest);
            // A tag may hold a comma: what ends it is its quote.
            let quoted = rest.strip_prefix(b"\"");
            let Some(end) = quoted.and_then(|tag| tag.iter().position(|&byte| byte == b'"')) else {
                return false;
            };
            let tag;
            (tag, rest) = rest.split_at(end + 2);
            if tag == own.as_bytes() {
                return true;
            }
        }
    }
}

/// A tag with its quotes; in place, so that a hit allocates nothing.
pub(super) struct TagText([u8; 18]);

impl TagText {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a `Range` field asks for of a value of `len` bytes.
fn asked(range: &[u8], len: usize) -> Asked {
    let Some((unit, range)) = split_once(range, b'=') else { return Asked::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes") || range.contains(&b',') {
        return Asked::Whole;
    }
    let Some((first, last)) = split_once(range.trim_ascii(), b'-') else { return Asked::Whole };
    match (first.is_empty(), number(first), last.is_empty(), number(last)) {
        // The last so many bytes.
        (true, _, _, Some(0)) => Asked::Beyond,
        (true, _, _, Some(_)) if len == 0 => Asked::Whole,
        (true, _, _, Some(count)) => Asked::Part(len.saturating_sub(count)..len),
        (_, Some(first), _, Some(last)) if last < first => Asked::Whole,
        (_, Some(first), true, _) | (_, Some(first), _, Some(_)) if first >= len => Asked::Beyond,
        (_, Some(first), true, _) => Asked::Part(first..len),
        (_, Some(first), _, Some(last)) => Asked::Part(first..last.saturating_add(1).min(len)),
        _ => Asked::Whole,
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == at)?;
    Some((&text[..at], &text[at + 1..]))
}

/// A number in digits alone; too large a one is the largest there is.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add =
        |sum: usize, digit: &u8| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_sixteen_digits_in_quotes() {
        assert_eq!(Tag(0x0123_4567_89ab_cdef).text().as_bytes(), b"\"0123456789abcdef\"");
        assert_eq!(Tag(0).text().as_bytes(), b"\"0000000000000000\"");
    }

    #[test]
    fn a_tag_is_found_in_a_list_strong_or_weak() {
        let tag = Tag(0xab);
        for (list, named) in [
            ("\"00000000000000ab\"", true),
            ("W/\"00000000000000ab\"", true),
            ("*", true),
            (" * ", true),
            ("\"a,b\", W/\"x\" , \"00000000000000ab\"", true),
            ("\"\",\"00000000000000ab\"", true),
            ("\"x\" \"00000000000000ab\"", true),
            ("", false),
            ("\"", false),
            ("00000000000000ab", false),
            ("\"00000000000000AB\"", false),
            ("\"x, 00000000000000ab\"", false),
            ("x, \"00000000000000ab\"", false),
            ("\"x\", *", false),
            ("w/\"00000000000000ab\"", false),
            ("\"00000000000000ab", false),
        ] {
            assert_eq!(tag.is_in(list.as_bytes()), named, "{list}");
        }
    }

    #[test]
    fn a_range_is_one_part_or_ignored() {
        for (range, part) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-4", Asked::Part(2..5)),
            ("Bytes= 2-4 ", Asked::Part(2..5)),
            ("bytes=9-", Asked::Part(9..10)),
            ("bytes=0-99999999999999999999999", Asked::Part(0..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-11", Asked::Part(0..10)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=10-11", Asked::Beyond),
            ("bytes=99999999999999999999999-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=4-2", Asked::Whole),
            ("bytes=12-11", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=1", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=1-2x", Asked::Whole),
            ("bytes=x-2", Asked::Whole),
            ("bytes=1--2", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("bytes 0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(asked(range.as_bytes(), 10), part, "{range}");
        }
        assert_eq!(asked(b"bytes=0-", 0), Asked::Beyond);
        assert_eq!(asked(b"bytes=-5", 0), Asked::Whole, "there is no part to name");
    }

    proptest! {
        #[test]
        fn any_part_lies_within_the_value(range in "bytes=[0-9,-]{0,24}", len in 0usize..40) {
            if let Asked::Part(part) = asked(range.as_bytes(), len) {
                prop_assert!(part.start < part.end && part.end <= len);
            }
        }

        #[test]
        fn any_list_is_read_to_its_end(list in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tag(0).is_in(&list);
        }
    }
}
