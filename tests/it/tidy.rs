//! Habits that the compiler cannot check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module's floor: it imports only from floors below its own.
const FLOORS: &[(&str, u32)] = &[
    ("byte_view", 0),
    ("clock", 0),
    ("error", 0),
    ("mutant", 0),
    ("sync", 0),
    ("auth", 1),
    ("flight", 1),
    ("loaders", 1),
    ("lru", 1),
    ("ring", 1),
    ("stats", 1),
    ("getter", 1),
    ("snapshot", 1),
    ("tls", 1),
    ("fresh", 2),
    ("peer", 2),
    ("store", 2),
    ("group", 3),
    ("origin", 4),
    ("wire", 4),
    ("serve", 5),
    ("client", 6),
    ("pool", 7),
    ("testing", 8),
    ("config", 8),
    ("node", 9),
    // Look into every floor, and no one looks into them: models and fuzzing are tests, the
    // binary uses the public face only.
    ("models", 10),
    ("fuzzing", 10),
    ("cli", 10),
    ("main", 10),
    ("lib", 10),
];

/// The modules that may name a dependency. `std` is everywhere; what is missing here may not
/// be used at all.
const DOORS: &[(&str, &[&str])] = &[
    ("arc_swap", &["pool", "tls"]),
    ("base16ct", &["auth"]),
    ("bytes", &["byte_view", "wire"]),
    ("bytesize", &["config", "cli"]),
    ("clap", &["cli", "main"]),
    ("crc32fast", &["ring"]),
    ("crossbeam", &["sync"]),
    ("fastrand", &["auth", "pool", "sync", "serve", "snapshot"]),
    ("foldhash", &["sync"]),
    ("form_urlencoded", &["pool"]),
    ("hmac", &["auth"]),
    ("httparse", &["serve"]),
    ("humantime", &["config", "cli"]),
    ("itoa", &["serve"]),
    ("libc", &["client"]),
    ("listenfd", &["cli"]),
    ("md5", &["ring"]),
    ("once_cell", &["sync"]),
    ("parking_lot", &["sync"]),
    ("percent_encoding", &["wire", "cli"]),
    ("prometheus_client", &["pool"]),
    ("prost", &["wire"]),
    ("proptest", &["auth", "client", "lru", "ring", "serve", "snapshot", "store", "wire"]),
    ("rcgen", &["tls"]),
    ("rusqlite", &["origin", "cli"]),
    ("rustix", &["origin"]),
    ("rustls", &["tls"]),
    ("serde", &["config"]),
    ("serde_json", &["fuzzing", "pool", "ring", "wire"]),
    ("sha2", &["auth"]),
    ("shuttle", &["sync", "models"]),
    ("signal_hook", &["cli"]),
    ("socket2", &["client", "serve", "pool"]),
    ("subtle", &["auth"]),
    (
        "tempfile",
        &["auth", "cli", "fuzzing", "group", "node", "origin", "serve", "snapshot", "tls"],
    ),
    ("tiny_http", &["serve", "pool"]),
    ("toml", &["config"]),
    ("triomphe", &["byte_view"]),
    ("ureq", &["client", "cli"]),
    ("xxhash_rust", &["byte_view", "ring", "snapshot", "wire"]),
];

const FILE_LINES: usize = 450;
const FUNCTION_LINES: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the crate's own Rust code below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("pb.rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "nothing found below {folder}");
    found
}

/// `src/serve/gate.rs` is part of `serve`, `src/lru.rs` of `lru`.
fn module(path: &Path) -> String {
    let part = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    part.trim_end_matches(".rs").to_owned()
}

/// The words that follow `before` in `text`, as far as they are identifiers.
fn words_after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(before).map(move |(at, _)| {
        let rest = &text[at + before.len()..];
        &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
    })
}

#[test]
fn modules_import_only_from_floors_below_their_own() {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    for (path, text) in sources("src") {
        let own = module(&path);
        let floor = floors.get(&*own).unwrap_or_else(|| panic!("{own} has no floor"));
        for used in words_after(&text, "crate::").filter(|used| floors.contains_key(used)) {
            assert!(
                used == own || floors[used] < *floor,
                "{}: {own} (floor {floor}) imports {used} (floor {})",
                path.display(),
                floors[used]
            );
        }
    }
}

#[test]
fn the_binary_uses_the_public_face_only() {
    for (path, text) in sources("src/cli") {
        for used in words_after(&text, "crate::") {
            assert_eq!(used, "cli", "{} reaches past the public face", path.display());
        }
    }
}

#[test]
fn each_dependency_has_its_doors() {
    let doors: BTreeMap<&str, &[&str]> = DOORS.iter().copied().collect();
    let manifest = read("Cargo.toml");
    let sections =
        manifest.split("\n[").filter(|s| s.lines().next().unwrap().ends_with("dependencies]"));
    let dependencies: BTreeSet<String> = sections
        .flat_map(str::lines)
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .collect();
    assert!(dependencies.contains("tiny_http"), "{dependencies:?}");
    for (path, text) in sources("src") {
        let own = module(&path);
        let code: Vec<&str> =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for dependency in &dependencies {
            let used = code.iter().any(|line| {
                line.match_indices(&format!("{dependency}::")).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
                })
            });
            if used {
                let doors = doors.get(dependency.as_str()).copied().unwrap_or_default();
                assert!(
                    doors.contains(&&*own),
                    "{} uses {dependency}, whose doors are {doors:?}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn files_and_functions_are_short() {
    for (path, text) in ["src", "tests", "examples"].into_iter().flat_map(sources) {
        let path = path.display();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= FILE_LINES, "{path} has {} lines", lines.len());
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            let is_function = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn "]
                .iter()
                .any(|start| code.starts_with(start));
            // In a macro the braces tell nothing, and what only declares has none.
            if !is_function || code.contains('$') || code.ends_with(';') {
                continue;
            }
            // rustfmt puts a function's last brace under its first letter.
            let end = lines[start..].iter().position(|l| *l == format!("{}}}", " ".repeat(indent)));
            let length = end.map_or(1, |end| end + 1);
            assert!(length <= FUNCTION_LINES, "{path}:{}: {length} lines", start + 1);
        }
    }
}

#[test]
fn the_readmes_example_is_the_one_that_the_docs_test() {
    let docs: String = read("src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let example = |text: &str, start: &str| {
        let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start}"));
        let (example, _) = rest.split_once("```").unwrap();
        let shown = example.lines().filter(|line| !line.starts_with("# "));
        shown.map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    assert_eq!(example(&read("README.md"), "```rust\n"), example(&docs, "```no_run\n"));
}

#[test]
fn the_changelog_tells_of_this_version() {
    let heading = format!("## {}", env!("CARGO_PKG_VERSION"));
    assert!(read("CHANGELOG.md").lines().any(|line| line.starts_with(&heading)), "no {heading}");
}

#[test]
fn every_make_target_that_the_readme_names_exists() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let named = words_after(&readme, "\nmake ").chain(words_after(&readme, "`make "));
    let targets: BTreeSet<&str> = named.collect();
    assert!(targets.contains("test") && targets.contains("run"));
    for target in targets {
        let rule = format!("{target}:");
        assert!(makefile.lines().any(|line| line.starts_with(&rule)), "no target {target}");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for (path, text) in ["src", "tests", "examples", "benches"].into_iter().flat_map(sources) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for word in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "allow(dead_code)", "FIXME"]
        {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}
