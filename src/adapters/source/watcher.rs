//! Watches directories for changes. After an event, the operator reads all files again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::watched_paths::WatchedPaths;

/// The maximum number of walks in one refresh. A directory can change between the walk and the
/// start of its watch, and then one more walk is necessary.
const MAX_WALKS: usize = 5;

/// The device and the inode of a directory at the start of its watch. The watch follows the inode,
/// not the name.
type Identity = (u64, u64);

/// The state that the event thread shares with the watcher.
struct Noticed {
    paths: Mutex<WatchedPaths>,
    /// The watched directories that were moved, removed or created. The watch of such a directory
    /// may have ended, even if the new directory has the inode number of the old directory.
    doubtful: Mutex<BTreeSet<PathBuf>>,
    generation: watch::Sender<u64>,
}

/// Watches the directories on the paths to the source and to the files that the source refers to.
pub(super) struct Watcher {
    source: PathBuf,
    others: Mutex<Vec<PathBuf>>,
    noticed: Arc<Noticed>,
    /// `None` if the system provides no watcher.
    watched: Mutex<Option<Watched>>,
    warned: AtomicBool,
}

struct Watched {
    backend: RecommendedWatcher,
    directories: BTreeMap<PathBuf, Identity>,
}

impl Watcher {
    /// Creates a watcher. The watch begins with the first [`refresh`](Self::refresh).
    pub(super) fn new(source: PathBuf) -> Self {
        let noticed = Arc::new(Noticed {
            paths: Mutex::default(),
            doubtful: Mutex::default(),
            generation: watch::Sender::new(0),
        });
        let watcher = Self {
            source,
            others: Mutex::default(),
            noticed: Arc::clone(&noticed),
            watched: Mutex::default(),
            warned: AtomicBool::new(false),
        };
        match notify::recommended_watcher(move |event| noticed.take(event)) {
            Ok(backend) => {
                *watcher.watched.lock() = Some(Watched { backend, directories: BTreeMap::new() });
            }
            Err(error) => watcher.warn(&error),
        }
        watcher
    }

    /// Replaces the list of paths that are watched in addition to the source. The new list takes
    /// effect at the next refresh.
    pub(super) fn also(&self, others: Vec<PathBuf>) {
        *self.others.lock() = others;
    }

    /// Returns the number of changes since the creation of the watcher.
    pub(super) fn generation(&self) -> u64 {
        *self.noticed.generation.borrow()
    }

    /// Waits until the number of changes is greater than `generation`.
    pub(super) async fn wait_beyond(&self, generation: u64) {
        let mut changes = self.noticed.generation.subscribe();
        if changes.wait_for(|now| *now > generation).await.is_err() {
            // Impossible, because `self` owns the sender.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves the path of every file again, and watches the directories on these paths.
    pub(super) fn refresh(&self) {
        let mut watched = self.watched.lock();
        let Some(watched) = watched.as_mut() else { return };
        let others = self.others.lock().clone();
        for _ in 0..MAX_WALKS {
            let paths = WatchedPaths::of(&self.source, &others);
            let settled = self.apply(watched, &paths);
            let same = {
                let mut known = self.noticed.paths.lock();
                let same = *known == paths;
                *known = paths;
                same
            };
            // The watcher misses a change between the walk and the start of the watch. So the walk
            // is valid only if the next walk finds the same directories.
            if settled && same {
                break;
            }
        }
    }

    /// Watches the directories of `paths` and no others. Returns `true` if the set of watched
    /// directories was already the same.
    fn apply(&self, watched: &mut Watched, paths: &WatchedPaths) -> bool {
        let mut settled = true;
        let mut wanted: BTreeMap<PathBuf, Identity> = BTreeMap::new();
        for directory in paths.directories() {
            if let Ok(found) = directory.metadata() {
                wanted.insert(directory.to_owned(), (found.dev(), found.ino()));
            }
        }
        let Watched { backend, directories } = watched;
        let doubtful = std::mem::take(&mut *self.noticed.doubtful.lock());
        directories.retain(|directory, identity| {
            let keep = wanted.get(directory) == Some(identity) && !doubtful.contains(directory);
            if !keep {
                settled = false;
                // Ignore the error: the watch ended when the directory was removed.
                let _ = backend.unwatch(directory);
            }
            keep
        });
        for (directory, identity) in wanted {
            if directories.contains_key(&directory) {
                continue;
            }
            match backend.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    settled = false;
                    directories.insert(directory, identity);
                }
                Err(error) => self.not_watched(&directory, &error),
            }
        }
        settled
    }

    fn not_watched(&self, directory: &Path, error: &notify::Error) {
        if matches!(error.kind, ErrorKind::MaxFilesWatch) {
            self.warn(error);
        } else {
            // This failure is common: the operator may enter a parent directory but not list its
            // files.
            tracing::debug!(directory = %directory.display(), %error, "failed to watch a directory");
        }
    }

    fn warn(&self, error: &notify::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "failed to watch the files, so changes take effect only at the next resync; \
                 raise fs.inotify.max_user_watches and fs.inotify.max_user_instances"
            );
        }
    }
}

impl Noticed {
    fn take(&self, event: notify::Result<Event>) {
        let matters = match event {
            Ok(event) if event.need_rescan() => true,
            Ok(event) => changes(event.kind) && self.concerns(&event),
            // After an error, the watcher may have missed events, so report a change.
            Err(_) => true,
        };
        if matters {
            self.generation.send_modify(|generation| *generation += 1);
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        let paths = self.paths.lock();
        let mut matters = false;
        for path in &event.paths {
            if paths.has_directory(path) {
                self.doubtful.lock().insert(path.clone());
                matters = true;
            }
            matters |= paths.concern(path);
        }
        matters
    }
}

/// Returns whether an event of this kind can change the content of a file.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
