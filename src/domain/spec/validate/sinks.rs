//! Checks `passwordTo`: a password must not replace an input of the operator.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::Scope;
use crate::domain::spec::source::SourceFile;
use crate::domain::spec::tree::Span;

/// The files that the desired state names, each as an absolute path without `.` and `..`.
///
/// A link can give a file a second path. So the operator checks the file again before each write,
/// and replaces only files that the operator wrote.
#[derive(Default)]
pub(super) struct Files {
    read: BTreeSet<PathBuf>,
    written: Vec<(PathBuf, Span)>,
}

impl Files {
    /// Records a file that the operator reads.
    pub(super) fn read(&mut self, path: &Path) {
        self.read.insert(absolute(path));
    }

    /// Records a file that the operator writes a password to.
    pub(super) fn written(&mut self, path: &Path, span: Span) {
        self.written.push((absolute(path), span));
    }
}

/// Reports each `passwordTo` that would replace an input or another password.
pub(super) fn check(sources: &[SourceFile], scope: &mut Scope<'_, '_>) {
    let Files { read, written } = std::mem::take(&mut scope.files);
    let sources: BTreeSet<PathBuf> = sources.iter().map(|file| absolute(&file.path)).collect();
    let directories: BTreeSet<&Path> = sources.iter().filter_map(|file| file.parent()).collect();
    let mut first: BTreeMap<&Path, Span> = BTreeMap::new();
    for (path, span) in &written {
        let joins = path.extension().is_some_and(|end| end == "yaml")
            && path.parent().is_some_and(|parent| directories.contains(parent));
        let why = if sources.contains(path) {
            "this is a file of the desired state, and a password would replace it"
        } else if joins {
            "a `*.yaml` file beside the desired state may be read as a part of it"
        } else if read.contains(path) {
            "the operator reads this file, and a password would replace it"
        } else if let Some(first) = first.insert(path, *span) {
            let position = scope.report.position(first);
            let message = format!(
                "the operator writes another password to this file too: {}:{}",
                position.file.display(),
                position.line
            );
            scope.report.error(*span, message).help = Some(help());
            continue;
        } else {
            continue;
        };
        scope.report.error(*span, why).help = Some(help());
    }
}

fn help() -> String {
    "write each password to a separate file".to_owned()
}

/// The absolute path without `.` and `..`. Does not resolve links.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::CurDir => {}
            other => whole.push(other),
        }
        whole
    })
}
