//! The snapshots of a node's groups: read at the start, written now and then and at the end.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::group::{Group, RestoreStats, SnapshotStats};
use crate::sync;
use crate::wire;

/// What became of the snapshot of one group: see [`Node::start_with`](crate::Node::start_with).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotEvent {
    /// It was read at the start; with an error the group has started cold.
    Restored {
        /// The group's name.
        group: String,
        /// Its file.
        path: PathBuf,
        /// As [`Group::restore`] says.
        result: Result<RestoreStats>,
    },
    /// It was written.
    Written {
        /// The group's name.
        group: String,
        /// Its file.
        path: PathBuf,
        /// As [`Group::snapshot`] says.
        result: Result<SnapshotStats>,
    },
}

/// A group and the file of its snapshot.
type GroupFile = (Group, PathBuf);

/// Reads the snapshots of these groups in `folder`, which is made if it is missing.
pub(super) fn restore(
    folder: &Path,
    groups: &[Group],
    listener: &impl Fn(&SnapshotEvent),
) -> Result<Vec<GroupFile>> {
    // Entries may be secrets.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io(format!("cannot make {}", folder.display()), &error))?;
    let restore = |group: &Group| {
        let path = folder.join(format!("{}.larder", wire::escape(group.name())));
        let result = group.restore(&path);
        // Of another process: that one would lose its snapshots, and this one has none.
        if let Err(error @ Error::BadSetting { .. }) = result {
            return Err(error);
        }
        let name = group.name().to_owned();
        listener(&SnapshotEvent::Restored { group: name, path: path.clone(), result });
        Ok((group.clone(), path))
    };
    groups.iter().map(restore).collect()
}

/// The thread that writes snapshots. Dropped, it ends without writing another one.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// Present until it is dropped.
    thread: Option<(Sender<Finish>, JoinHandle<()>)>,
}

/// Write once more, and end.
#[derive(Debug, PartialEq, Eq)]
struct Finish;

impl Snapshots {
    pub(super) fn start(
        files: Vec<GroupFile>,
        every: Duration,
        listener: impl Fn(&SnapshotEvent) + Send + 'static,
    ) -> Result<Self> {
        if every.is_zero() {
            let reason = "is 0, and would never stop writing: set a time such as 10m";
            return Err(Error::bad_setting("snapshot_every", reason));
        }
        let (tell, told) = mpsc::channel();
        let work = move || {
            loop {
                let wish = told.recv_timeout(every);
                if wish == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
                files.iter().for_each(|file| write(file, &listener));
                if wish.is_ok() {
                    return;
                }
            }
        };
        let thread = sync::start("larder snapshot".to_owned(), work)
            .map_err(|error| Error::io("cannot start the thread for snapshots", &error))?;
        Ok(Self { thread: Some((tell, thread)) })
    }

    /// Writes once more, and ends.
    pub(super) fn finish(mut self) {
        if let Some((tell, thread)) = self.thread.take() {
            // Both fail only when the thread has panicked, in the listener.
            let _ = tell.send(Finish);
            let _ = thread.join();
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        if let Some((tell, thread)) = self.thread.take() {
            drop(tell);
            let _ = thread.join();
        }
    }
}

fn write((group, path): &GroupFile, listener: &impl Fn(&SnapshotEvent)) {
    let result = group.snapshot(path);
    let (group, path) = (group.name().to_owned(), path.clone());
    listener(&SnapshotEvent::Written { group, path, result });
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{GroupConfig, NodeConfig};
    use crate::node::Node;

    fn config(folder: &Path) -> NodeConfig {
        let mut config = NodeConfig { listen: "127.0.0.1:0".to_owned(), ..NodeConfig::default() };
        (config.api, config.snapshot) = (None, Some(folder.to_owned()));
        for name in ["a b", "ä"].map(str::to_owned) {
            config.groups.insert(name, GroupConfig::new("static:k=v"));
        }
        config
    }

    /// A node, and what it tells of.
    fn start(config: NodeConfig) -> Result<(Node, Arc<Mutex<Vec<SnapshotEvent>>>)> {
        let events: Arc<Mutex<Vec<SnapshotEvent>>> = Arc::default();
        let told = Arc::clone(&events);
        let node = Node::start_with(config, move |event| {
            told.lock().unwrap().push(event.clone());
        })?;
        Ok((node, events))
    }

    #[test]
    fn each_group_has_its_file_and_is_told_of() {
        let temp = tempfile::tempdir().unwrap();
        let (node, events) = start(config(temp.path())).unwrap();
        node.groups().iter().for_each(|group| drop(group.get("k").unwrap()));
        assert!(node.shutdown(Duration::from_secs(10)));
        let mut told = Vec::new();
        for event in events.lock().unwrap().iter() {
            told.push(match event {
                SnapshotEvent::Restored { group, result, .. } => {
                    (group.clone(), "read", result.as_ref().unwrap().entries)
                }
                SnapshotEvent::Written { group, path, result } => {
                    assert!(path.is_file(), "{}", path.display());
                    (group.clone(), "written", result.as_ref().unwrap().entries)
                }
            });
        }
        let expected =
            [("a b", "read", 0), ("ä", "read", 0), ("a b", "written", 1), ("ä", "written", 1)];
        assert_eq!(told, expected.map(|(group, what, n)| (group.to_owned(), what, n)));
        assert!(temp.path().join("a%20b.larder").is_file());
    }

    #[test]
    fn a_dropped_node_writes_nothing_and_frees_its_files() {
        let temp = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let (node, events) = start(config(temp.path())).unwrap();
            assert!(start(config(temp.path())).is_err(), "its files are in use");
            drop(node);
            assert_eq!(events.lock().unwrap().len(), 2);
        }
    }

    #[test]
    fn an_interval_of_zero_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let mut config = config(temp.path());
        config.snapshot_every = Duration::ZERO;
        let error = start(config).unwrap_err();
        assert!(error.to_string().contains("snapshot_every"), "{error}");
    }
}
