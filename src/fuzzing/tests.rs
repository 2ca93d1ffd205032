use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A target, and what it does with an input.
type Target = (&'static str, fn(&[u8]) -> bool);

const TARGETS: &[Target] = &[
    #[cfg(feature = "auth")]
    ("access", super::access),
    ("answer", super::answer),
    #[cfg(feature = "cli")]
    ("config", super::config),
    ("head", super::head),
    ("journal", super::journal),
    ("origin", super::origin),
    ("snapshot", super::snapshot),
    ("target", super::target),
    ("writes", super::writes),
];

fn fuzz(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder)
}

#[test]
fn every_input_that_is_kept_keeps_the_promises() {
    for (target, run) in TARGETS {
        let mut outcomes = BTreeSet::new();
        for entry in fs::read_dir(fuzz("corpus").join(target)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| run(&input));
            outcomes.insert(outcome.unwrap_or_else(|_| panic!("{} breaks one", path.display())));
        }
        assert_eq!(outcomes.len(), 2, "{target}: inputs that are taken, and that are refused");
    }
}

#[test]
#[cfg(feature = "cli")]
fn every_target_has_a_program_and_inputs() {
    // Without what follows a dot.
    let names = |folder: &str| {
        let paths = fs::read_dir(fuzz(folder)).unwrap().map(|entry| entry.unwrap().path());
        let names = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
        names.collect::<BTreeSet<String>>()
    };
    let targets = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}
