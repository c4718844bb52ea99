//! The directories and names on which the content of a path depends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::read::is_part;

/// The maximum length of a chain of links, as in Linux.
const MAX_LINKS: usize = 40;

/// The maximum number of watched directories. The operator reads changes in other directories at
/// the next resync.
const MAX_DIRECTORIES: usize = 1000;

/// The relevant names in one directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    exact: BTreeSet<OsString>,
    /// Whether every YAML file in the directory is relevant, because the directory is the source.
    parts: bool,
}

/// The directories to watch, each with its relevant names. The paths contain no links.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WatchedPaths(BTreeMap<PathBuf, Names>);

impl WatchedPaths {
    /// Finds the paths on which the content of `source` (a file or a directory of files) and of the
    /// files `others` depends. All paths are absolute.
    pub(super) fn of(source: &Path, others: &[PathBuf]) -> Self {
        let mut paths = Self::default();
        if let Some(found) = paths.follow(source)
            && found.is_dir()
        {
            for entry in found.read_dir().into_iter().flatten().flatten() {
                if is_part(&entry.path()) {
                    paths.follow(&entry.path());
                }
            }
            paths.names(found).parts = true;
        }
        for other in others {
            paths.follow(other);
        }
        paths
    }

    /// Returns the directories to watch, at most [`MAX_DIRECTORIES`].
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path).take(MAX_DIRECTORIES)
    }

    /// Returns whether `path` is one of the directories.
    pub(super) fn has_directory(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// Returns whether a change of `path` can change the content of the watched files.
    pub(super) fn concern(&self, path: &Path) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        self.0.get(parent).is_some_and(|names| {
            names.exact.contains(name) || (names.parts && is_part(Path::new(name)))
        })
    }

    fn names(&mut self, directory: PathBuf) -> &mut Names {
        self.0.entry(directory).or_default()
    }

    /// Resolves `path` name by name, as the kernel does, and records each name, because every name
    /// can become a link or another directory later. Returns the resolved path. `None` if a name is
    /// missing or if the path has more than [`MAX_LINKS`] links. The directory of a missing name
    /// stays watched, so that its creation is noticed.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let mut links = 0;
        let mut here = PathBuf::from("/");
        // The names are in reverse order, so that `pop` returns the next name.
        let mut names = reversed(path);
        while let Some(name) = names.pop() {
            if name == OsStr::new("..") {
                // `here` has no links, so its parent is the target of `..`.
                here.pop();
                continue;
            }
            self.names(here.clone()).exact.insert(name.clone());
            let next = here.join(&name);
            if next.symlink_metadata().ok()?.is_symlink() {
                links += 1;
                let target = next.read_link().ok()?;
                if links > MAX_LINKS {
                    return None;
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                names.extend(reversed(&target));
            } else {
                here = next;
            }
        }
        Some(here)
    }
}

fn reversed(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect()
}
