//! The keys of the tests, and those that Go nodes get wrong among themselves.

use super::go::Mount;

const COUNT: usize = 1_000;

/// Keys that stand there once.
const ODD: &[&str] = &[
    "",
    " ",
    "+",
    "/",
    "//",
    "%",
    "%%",
    ".",
    "..",
    "...",
    "./",
    "../",
    "/.",
    "/..",
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "a%2Fb",
    "a/b",
    "a//b",
    "/lead",
    "trail/",
    "../x",
    "x/..",
    "a/../b",
    "a/./b",
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "?",
    "#",
    "&",
    "=",
    ";",
    ":",
    "a:b@c",
    "~'()*!$,",
    "http://x.com/p?q=1",
    "日本/東京",
    "ä",
    "\u{feff}",
    "🦀 🐹",
    "_remove-keys/",
];

/// Each gives many keys: `#` is replaced by a number.
const PATTERNS: &[&str] = &[
    "user:#",
    "plain#",
    "two words #",
    "#+#",
    "a b+c #",
    " # ",
    "dir/#/file",
    "100%#",
    "%2F#",
    "%zz#",
    "日本語/#",
    "ключ #",
    "\u{1}#\n\u{1f}",
    "q?#&x=y#",
    "http://x.com/#?q=1",
    "a//b#",
    "/lead#",
    "trail#/",
    "../x#",
    "a/./b#",
    "🐹#",
    "[#]{}|\\^`\"<>",
    ":#:",
    "-_.~#",
    "\u{85}#",
];

/// 1,000 keys, the same in every run.
pub(super) fn all() -> Vec<String> {
    let odd = ODD.iter().map(|&key| key.to_owned());
    // 3 KB; escaped it is three times that.
    let long = ["k", "é", "+ /"].map(|part| part.repeat(3_000 / part.len()));
    let patterned = (0..).flat_map(|n: u32| {
        PATTERNS.iter().map(move |pattern| pattern.replace('#', &n.to_string()))
    });
    odd.chain(long).chain(patterned).take(COUNT).collect()
}

/// What a Go node that asks a Go owner gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// The client writes a space as `+` (`url.QueryEscape`), and the server reads the path as
    /// a path, in which a plus is a plus: the value of another key is served, and cached.
    SpaceIsPlus,
    /// The owner's ServeMux answers 301 to a path that it would write otherwise: the owner is
    /// passed by, and the key loaded by whoever asks. Go 1.22 and later look at the escaped
    /// path, so that only dots alone are left; this is for all versions.
    Redirected,
}

pub(super) fn defect(key: &str, mount: Mount) -> Option<Defect> {
    if mount == Mount::ServeMux && is_cleaned(key) {
        Some(Defect::Redirected)
    } else if key.contains(' ') {
        Some(Defect::SpaceIsPlus)
    } else {
        None
    }
}

/// Whether Go's `path.Clean` changes the key when it ends a path; a slash at the end is kept.
fn is_cleaned(key: &str) -> bool {
    let mut segments = key.split('/').rev();
    let last = segments.next().unwrap_or_default();
    matches!(last, "." | "..") || segments.any(|segment| matches!(segment, "" | "." | ".."))
}

/// The key that a Go owner is asked for when a Go node means `key`.
pub(super) fn mangled(key: &str) -> String {
    key.replace(' ', "+")
}

#[test]
fn the_keys_are_a_thousand_different_ones() {
    let keys = all();
    let different: std::collections::HashSet<&String> = keys.iter().collect();
    assert_eq!((keys.len(), different.len()), (COUNT, COUNT));
}

#[test]
fn a_cleaned_path_is_recognised() {
    for key in ["/", "//", "a//b", "/lead", ".", "..", "../x", "a/./b", "x/..", "http://x"] {
        assert!(is_cleaned(key), "{key}");
    }
    for key in ["", "a/b", "trail/", "...", "a b", "-_.~", "a+b"] {
        assert!(!is_cleaned(key), "{key}");
    }
}
