//! A folder that goes with its thread, for what is read from files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What lies in the folder that an origin is given.
pub(super) const INSIDE: &[(&str, &str)] = &[("file", "inside"), ("sub/deep file", "deep inside")];

thread_local! {
    static LAB: Lab = Lab::new();
}

pub(super) struct Lab {
    folder: TempDir,
}

impl Lab {
    pub(super) fn with<T>(work: impl FnOnce(&Self) -> T) -> T {
        LAB.with(work)
    }

    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        let (inside, outside) = (lab.inside(), lab.path("outside"));
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        for (name, value) in INSIDE {
            fs::write(inside.join(name), value).unwrap();
        }
        // Ways out, none of which is to be taken.
        symlink("../outside", inside.join("out")).unwrap();
        symlink(outside.join("secret"), inside.join("absolute")).unwrap();
        symlink("sub/../../outside/secret", inside.join("winding")).unwrap();
        symlink("endless", inside.join("endless")).unwrap();
        // Nothing at all is an empty database.
        fs::write(lab.database(), "").unwrap();
        lab
    }

    pub(super) fn inside(&self) -> PathBuf {
        self.path("inside")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path("database")
    }

    pub(super) fn snapshot(&self) -> PathBuf {
        self.path("snapshot")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}
