//! The origin `dir:`: the files below a folder, and nothing outside of it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Source, check_len};
use crate::error::{BoxError, NotFound, Result};
use crate::getter::Loaded;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Without `NONBLOCK` the open of a fifo would wait for a writer.
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(super) struct Dir {
    /// Free of symbolic links.
    root: PathBuf,
    folder: OwnedFd,
}

impl Dir {
    pub(super) fn open(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Err("names no folder: write dir:PATH".to_owned());
        }
        let cannot = |error: std::io::Error| {
            format!("cannot open the folder {path:?}: {error}; it must be there at the start")
        };
        let root = std::fs::canonicalize(path).map_err(cannot)?;
        let folder = rustix::fs::open(&root, FOLDER, Mode::empty()).map_err(Errno::into);
        Ok(Self { root, folder: folder.map_err(cannot)? })
    }

    fn open_file(&self, key: &str) -> Result<OwnedFd, Errno> {
        #[cfg(target_os = "linux")]
        match self.open_beneath(key) {
            // XDEV: a link leads outside, or is absolute and leads back inside. NOSYS: a kernel
            // before 5.6. PERM: a sandbox that does not know the call. AGAIN: something above
            // the file was renamed meanwhile.
            Err(Errno::XDEV | Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
            result => return result,
        }
        self.open_step_by_step(key)
    }

    #[cfg(target_os = "linux")]
    fn open_beneath(&self, key: &str) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.folder, key, FILE, Mode::empty(), resolve)
    }

    /// Resolves all links first, then follows none: whatever is swapped for a link between the
    /// two makes this fail, and cannot make it leave the folder.
    fn open_step_by_step(&self, key: &str) -> Result<OwnedFd, Errno> {
        let target = std::fs::canonicalize(self.root.join(key))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let inside = target.strip_prefix(&self.root).map_err(|_| Errno::XDEV)?;
        let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
            return Err(Errno::ISDIR);
        };
        let mut folder = self.folder.try_clone().map_err(|_| Errno::MFILE)?;
        for step in parent {
            folder = openat(&folder, step, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        openat(&folder, name, FILE | OFlags::NOFOLLOW, Mode::empty())
    }
}

impl Source for Dir {
    fn load(&self, key: &str, value_bytes: usize) -> Result<Loaded, BoxError> {
        if !is_plain(key) {
            return Err(NotFound.into());
        }
        let fail =
            |error: std::io::Error| format!("cannot read {:?}: {error}", self.root.join(key));
        let file = match self.open_file(key) {
            Ok(file) => File::from(file),
            Err(errno) if leads_nowhere(errno) => return Err(NotFound.into()),
            Err(errno) => return Err(fail(errno.into()).into()),
        };
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(NotFound.into());
        }
        let len = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        check_len(len, value_bytes)?;
        let mut value = Vec::with_capacity(len);
        // One byte more shows a file that has grown over the limit since it was measured.
        let at_most = (value_bytes as u64).saturating_add(1);
        file.take(at_most).read_to_end(&mut value).map_err(fail)?;
        check_len(value.len(), value_bytes)?;
        Ok(Loaded::new(value))
    }
}

/// Whether a key is names joined by single slashes, none of which leads up or nowhere.
fn is_plain(key: &str) -> bool {
    !key.contains('\0') && key.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

/// Whether this is how the system says that there is no such file, or none that may be read
/// here, rather than that it failed.
fn leads_nowhere(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::XDEV
            // What a socket, or a device with nothing behind it, gives.
            | Errno::NXIO
            | Errno::NODEV
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, RenameFlags, mkfifoat, renameat_with};
    use tempfile::TempDir;

    use super::super::tests::outcome;
    use super::*;

    const LIMIT: usize = 1_000;

    /// A folder `in` that is served, and beside it a folder `out` that is not.
    fn folders() -> (TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("in/sub/deep")).unwrap();
        fs::create_dir(temp.path().join("out")).unwrap();
        for (path, text) in [
            ("in/top", "top"),
            ("in/sub/deep/file", "deep"),
            ("in/back\\slash", "back"),
            ("in/..dots", "dots"),
            ("in/äö ü", "umlauts"),
            ("in/empty", ""),
            ("out/secret", "secret"),
        ] {
            fs::write(temp.path().join(path), text).unwrap();
        }
        let dir = Dir::open(temp.path().join("in").to_str().unwrap()).unwrap();
        (temp, dir)
    }

    fn load(dir: &Dir, key: &str) -> Option<String> {
        outcome(dir.load(key, LIMIT)).unwrap()
    }

    /// What the slower way reads, which serves where `openat2` is missing.
    fn load_step_by_step(dir: &Dir, key: &str) -> Option<String> {
        let mut text = String::new();
        File::from(dir.open_step_by_step(key).ok()?).read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[test]
    fn a_file_below_the_folder_is_its_bytes() {
        let (_temp, dir) = folders();
        for (key, expected) in [
            ("top", "top"),
            ("sub/deep/file", "deep"),
            ("back\\slash", "back"),
            ("..dots", "dots"),
            ("äö ü", "umlauts"),
            ("empty", ""),
        ] {
            assert_eq!(load(&dir, key).as_deref(), Some(expected), "{key}");
            assert_eq!(load_step_by_step(&dir, key).as_deref(), Some(expected), "{key}");
        }
    }

    #[test]
    fn a_key_that_names_no_file_is_not_found() {
        let (_temp, dir) = folders();
        let long_name = "x".repeat(300);
        let long_path = "x/".repeat(5_000) + "x";
        for key in ["none", "sub", "sub/none", "top/below", "back/slash", &long_name, &long_path] {
            assert_eq!(load(&dir, key), None, "{key}");
            assert_eq!(load_step_by_step(&dir, key), None, "{key}");
        }
    }

    #[test]
    fn a_key_that_is_not_plain_names_is_not_found_even_if_it_stays_inside() {
        let (temp, dir) = folders();
        let absolute = temp.path().join("in/top").to_str().unwrap().to_owned();
        let (doubled, outside) = (format!("/{absolute}"), "/etc/passwd");
        for key in [&absolute, &doubled, outside, "//etc/passwd", "", ".", "..", "/", "//"] {
            assert_eq!(load(&dir, key), None, "{key:?}");
        }
        for key in ["./top", "sub/../top", "sub//deep/file", "sub/./deep/file", "top/", "top/."] {
            assert_eq!(load(&dir, key), None, "{key:?}");
        }
        for key in ["top\0", "to\0p", "\0", "../in/top", "../out/secret", "sub/../../out/secret"] {
            assert_eq!(load(&dir, key), None, "{key:?}");
        }
        for key in ["..\\out\\secret", "sub\\..\\top", "C:\\top", "%2e%2e/out/secret", "~/top"] {
            assert_eq!(load(&dir, key), None, "{key:?}");
        }
    }

    #[test]
    fn below_the_check_of_the_key_the_system_keeps_it_inside_too() {
        let (temp, dir) = folders();
        let absolute = temp.path().join("out/secret").to_str().unwrap().to_owned();
        for key in ["../out/secret", "sub/../../out/secret", "/etc/passwd", &absolute] {
            assert_eq!(dir.open_file(key).unwrap_err(), Errno::XDEV, "{key}");
            assert_eq!(dir.open_step_by_step(key).unwrap_err(), Errno::XDEV, "{key}");
        }
    }

    #[test]
    fn a_link_is_followed_inside_and_not_outside() {
        let (temp, dir) = folders();
        let link = |target: &Path, name: &str| symlink(target, dir.root.join(name)).unwrap();
        link(Path::new("sub/deep/file"), "inside");
        link(Path::new("../top"), "sub/up");
        link(Path::new("sub/deep"), "folder");
        link(&dir.root.join("top"), "absolute");
        link(Path::new("../out/secret"), "outside");
        link(&temp.path().join("out/secret"), "absolute-outside");
        link(Path::new("../out"), "outside-folder");
        link(Path::new("outside"), "chain");
        link(Path::new("../in/top"), "out-and-in");
        link(Path::new("/proc/self/cwd"), "magic");
        link(Path::new("loop"), "loop");
        link(Path::new("none"), "dangling");
        link(Path::new("/dev/null"), "device");
        for (key, expected) in [
            ("inside", Some("deep")),
            ("sub/up", Some("top")),
            ("folder/file", Some("deep")),
            ("absolute", Some("top")),
            // It ends inside, wherever it went on the way.
            ("out-and-in", Some("top")),
            ("outside", None),
            ("absolute-outside", None),
            ("outside-folder/secret", None),
            ("chain", None),
            ("magic/Cargo.toml", None),
            ("loop", None),
            ("dangling", None),
            ("device", None),
        ] {
            assert_eq!(load(&dir, key).as_deref(), expected, "{key}");
            assert_eq!(load_step_by_step(&dir, key).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn a_folder_swapped_for_a_link_never_leads_outside() {
        let (temp, dir) = folders();
        let (folder, link) = (dir.root.join("swapped"), temp.path().join("link"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("secret"), "public").unwrap();
        symlink(temp.path().join("out"), &link).unwrap();
        let done = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let loads = (0..3_000).flat_map(|_| {
                let key = "swapped/secret";
                [outcome(dir.load(key, LIMIT)).unwrap_or_default(), load_step_by_step(&dir, key)]
            });
            let seen: Vec<_> = loads.flatten().collect();
            done.store(true, Ordering::Relaxed);
            seen
        });
        assert!(seen.iter().all(|text| text == "public"), "the secret got out");
        assert!(!seen.is_empty(), "the folder was never found in its place");
    }

    #[test]
    fn fifos_and_sockets_are_not_found_at_once() {
        let (_temp, dir) = folders();
        mkfifoat(CWD, dir.root.join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        let _socket = UnixListener::bind(dir.root.join("socket")).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for key in ["fifo", "socket"] {
                sender.send((key, load(&dir, key))).unwrap();
            }
        });
        for _ in 0..2 {
            let (key, found) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(found, None, "{key}");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused_before_it_is_read() {
        let (_temp, dir) = folders();
        let file = File::create(dir.root.join("big")).unwrap();
        // A hole of a tebibyte: reading it whole would not end well.
        file.set_len(1 << 40).unwrap();
        let error = outcome(dir.load("big", LIMIT)).unwrap_err();
        assert!(error.contains("1099511627776") && error.contains("1000"), "{error}");
        file.set_len(LIMIT as u64).unwrap();
        assert_eq!(load(&dir, "big").map(|text| text.len()), Some(LIMIT));
    }

    #[test]
    fn a_file_replaced_is_seen_at_the_next_load() {
        let (temp, dir) = folders();
        fs::write(temp.path().join("new"), "new").unwrap();
        assert_eq!(load(&dir, "top").as_deref(), Some("top"));
        fs::rename(temp.path().join("new"), dir.root.join("top")).unwrap();
        assert_eq!(load(&dir, "top").as_deref(), Some("new"));
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_named() {
        let (temp, _dir) = folders();
        for name in ["none", "in/top"] {
            let path = temp.path().join(name);
            let error = Dir::open(path.to_str().unwrap()).unwrap_err();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        assert!(Dir::open("").unwrap_err().contains("dir:PATH"));
    }
}
