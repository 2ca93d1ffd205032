//! Groups and keys in the paths of requests.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Plus;

/// Everything but RFC 3986's unreserved characters is escaped.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One segment of a path, escaped so that any text comes back from [`split`] unchanged.
///
/// Dots alone are escaped too: a proxy or a router would fold `.` and `..` away. No two readers
/// of the family disagree about what this gives: a space is `%20`, a plus `%2B`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    push_escaped(&mut escaped, text);
    escaped
}

/// The path below which `group` has `key`.
pub(crate) fn join(base: &str, group: &str, key: &str) -> String {
    // Enough when nothing is to be escaped.
    let mut path = String::with_capacity(base.len() + group.len() + 1 + key.len());
    path.push_str(base);
    push_escaped(&mut path, group);
    path.push('/');
    push_escaped(&mut path, key);
    path
}

fn push_escaped(path: &mut String, text: &str) {
    match text {
        "." => path.push_str("%2E"),
        ".." => path.push_str("%2E%2E"),
        _ => path.extend(utf8_percent_encode(text, &ESCAPED)),
    }
}

/// Why a target does not name a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadPath {
    /// It does not start with the base path.
    OutsideBase,
    /// There is no slash after the group.
    NoKey,
    /// A key or group that is not UTF-8 when decoded.
    NotUtf8,
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
}

/// The group and the key that a target names.
pub(crate) type Named<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The group and the key that `target` names below `base`, decoded; a query is left out.
///
/// Everything after the group's slash is the key, slashes included.
pub(crate) fn split<'a>(base: &str, plus: Plus, target: &'a str) -> Result<Named<'a>, BadPath> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let below = path.strip_prefix(base).ok_or(BadPath::OutsideBase)?;
    let (group, key) = below.split_once('/').ok_or(BadPath::NoKey)?;
    Ok((decode(plus, group)?, decode(plus, key)?))
}

fn decode(plus: Plus, text: &str) -> Result<Cow<'_, str>, BadPath> {
    match plus {
        Plus::Space if text.contains('+') => {
            Ok(Cow::Owned(unescape(&text.replace('+', "%20"))?.into_owned()))
        }
        Plus::Space | Plus::Plus => unescape(text),
    }
}

fn unescape(text: &str) -> Result<Cow<'_, str>, BadPath> {
    let mut escapes = text.split('%');
    escapes.next();
    let is_escape = |rest: &str| {
        rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(is_escape) {
        return Err(BadPath::BadEscape);
    }
    percent_decode_str(text).decode_utf8().map_err(|_| BadPath::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "/_larder/";

    fn path(group: &str, key: &str) -> String {
        let path = join(BASE, group, key);
        assert_eq!(path, format!("{BASE}{}/{}", escape(group), escape(key)));
        path
    }

    #[test]
    fn odd_keys_come_back_unchanged() {
        for key in
            ["", "/", "//", "a/b", "../x", ".", "..", "a b", "a+b", "%2F", "?", "#", "日本", "\0"]
        {
            assert_eq!(
                split(BASE, Plus::Plus, &path("g", key)),
                Ok(("g".into(), key.into())),
                "{key:?}"
            );
        }
    }

    #[test]
    fn plus_is_a_plus_and_slashes_belong_to_the_key() {
        assert_eq!(split(BASE, Plus::Plus, "/_larder/g/a+b/c"), Ok(("g".into(), "a+b/c".into())));
        assert_eq!(split(BASE, Plus::Plus, "/_larder/g/k?x=1"), Ok(("g".into(), "k".into())));
    }

    #[test]
    fn plus_is_a_space_where_peers_escape_as_forms_do() {
        let split = |target| split(BASE, Plus::Space, target);
        assert_eq!(split("/_larder/my+g/a+b%2Bc"), Ok(("my g".into(), "a b+c".into())));
        assert_eq!(split("/_larder/g/%2+"), Err(BadPath::BadEscape));
    }

    #[test]
    fn what_names_no_key_is_told_apart() {
        assert_eq!(split(BASE, Plus::Plus, "/other/g/k"), Err(BadPath::OutsideBase));
        assert_eq!(split(BASE, Plus::Plus, "/_larder/g"), Err(BadPath::NoKey));
        assert_eq!(split(BASE, Plus::Plus, "/_larder/g/%ff"), Err(BadPath::NotUtf8));
        assert_eq!(split(BASE, Plus::Plus, "/_larder/g/%2"), Err(BadPath::BadEscape));
        assert_eq!(split(BASE, Plus::Plus, "/_larder/g/%zz"), Err(BadPath::BadEscape));
    }

    proptest! {
        #[test]
        fn every_utf_8_key_comes_back_unchanged(group in "[^/]{1,9}", key in any::<String>()) {
            let path = path(&group, &key);
            prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()));
            for plus in [Plus::Plus, Plus::Space] {
                let named = Ok(((&*group).into(), (&*key).into()));
                prop_assert_eq!(split(BASE, plus, &path), named);
            }
        }

        #[test]
        fn any_target_is_split_or_refused(target in any::<String>()) {
            let _ = split(BASE, Plus::Plus, &format!("{BASE}{target}"));
        }
    }
}
