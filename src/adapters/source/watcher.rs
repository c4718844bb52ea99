//! Watches directories for changes. An event only means that the files must be read again.

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

/// The maximum number of repeated walks to the files after a directory changed before its watch
/// began.
const MAX_WALKS: usize = 5;

/// The device and the inode of a directory when its watch began. The watch follows the inode, not
/// the name.
type Identity = (u64, u64);

/// The state of the thread that receives the events.
struct Noticed {
    paths: Mutex<WatchedPaths>,
    /// Watched directories that were moved, removed or created. Their watch may be gone, even if
    /// the new directory has the inode number of the old directory.
    doubtful: Mutex<BTreeSet<PathBuf>>,
    generation: watch::Sender<u64>,
}

/// Watches the directories on the paths to the source and to the files that the source names.
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
    /// Creates a watcher, which watches nothing before the first [`refresh`](Self::refresh).
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

    /// Replaces the further paths. Takes effect with the next refresh.
    pub(super) fn also(&self, others: Vec<PathBuf>) {
        *self.others.lock() = others;
    }

    /// The number of changes so far.
    pub(super) fn generation(&self) -> u64 {
        *self.noticed.generation.borrow()
    }

    /// Waits for a change beyond `generation`.
    pub(super) async fn wait_beyond(&self, generation: u64) {
        let mut changes = self.noticed.generation.subscribe();
        if changes.wait_for(|now| *now > generation).await.is_err() {
            // Impossible, because `self` owns the sender.
            std::future::pending::<()>().await;
        }
    }

    /// Walks to every file again and watches the directories on the way.
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
            // A change between the walk and the watch was not noticed, so the walk is valid only if
            // the next walk finds the same directories.
            if settled && same {
                break;
            }
        }
    }

    /// Watches exactly the directories of `paths`. Returns whether they were watched already.
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
                // An error means that the watch ended with the directory.
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
            // It is common that the operator may enter a parent directory but not list it.
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
            // The watcher does not know which events it missed.
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

/// Whether an event of this kind can change the content.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
