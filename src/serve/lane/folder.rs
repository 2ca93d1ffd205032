//! The private folder that a lane's socket is in, and what killed processes left of theirs.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Once;

use crate::error::{Error, Result};

const PREFIX: &str = "larder-";
const SOCKET: &str = "socket";

/// A folder that only this user may enter, gone with the server.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self> {
        static SWEPT: Once = Once::new();
        let temp = std::env::temp_dir();
        let path = temp.join(format!("{PREFIX}{}-{:08x}", std::process::id(), fastrand::u32(..)));
        // Fails when it exists: nobody can have put it there for us.
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Error::io(format!("cannot make the private folder {}", path.display()), &error)
        })?;
        let folder = Self(path);
        SWEPT.call_once(|| {
            // Nothing depends on it: what cannot be read or removed stays.
            let _ = sweep(&temp, &folder.0);
        });
        Ok(folder)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes from `temp` the folders of processes that were killed, as far as they are of the
/// user who owns `own`.
fn sweep(temp: &Path, own: &Path) -> io::Result<()> {
    let user = fs::symlink_metadata(own)?.uid();
    for entry in fs::read_dir(temp)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(process) else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        let ours = metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0;
        if ours && is_dead(process) && is_deserted(&entry.path().join(SOCKET)) {
            let _ = fs::remove_file(entry.path().join(SOCKET));
            // Only when nothing else is in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

/// The process in the name of a folder of ours.
fn process(name: &str) -> Option<u32> {
    let (process, random) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let is_hex = random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| process.parse().ok()).flatten()
}

/// Without `/proc` nobody is known to be dead.
fn is_dead(process: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists()
}

/// Whether nobody listens. Containers may share a folder and not see each other's processes.
fn is_deserted(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        Ok(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Higher than any process's number on Linux.
    const NOBODY: u32 = u32::MAX - 1;

    fn folder(temp: &Path, process: u32, random: &str) -> PathBuf {
        let path = temp.join(format!("{PREFIX}{process}-{random}"));
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        path
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let own = folder(temp.path(), std::process::id(), "00000000");
        let left = folder(temp.path(), NOBODY, "00000001");
        drop(UnixListener::bind(left.join(SOCKET)).unwrap());
        let living = folder(temp.path(), std::process::id(), "00000002");
        drop(UnixListener::bind(living.join(SOCKET)).unwrap());
        let elsewhere = folder(temp.path(), NOBODY, "00000003");
        let _listens = UnixListener::bind(elsewhere.join(SOCKET)).unwrap();
        let begun = folder(temp.path(), NOBODY, "00000004");
        let foreign = folder(temp.path(), NOBODY, "backup");
        let full = folder(temp.path(), NOBODY, "00000005");
        drop(UnixListener::bind(full.join(SOCKET)).unwrap());
        fs::write(full.join("precious"), "kept").unwrap();
        sweep(temp.path(), &own).unwrap();
        assert!(!left.exists());
        for kept in [own, living, elsewhere, begun, foreign, full.join("precious")] {
            assert!(kept.exists(), "{}", kept.display());
        }
    }
}
