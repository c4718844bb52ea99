//! Reads the files of the desired state.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::adapters::host::files;
use crate::domain::spec::SourceFile;
use crate::engine::SourceError;

/// The maximum total size of all files, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// The maximum number of files in a directory.
const MAX_FILES: usize = 1000;

/// Returns whether a file with this name belongs to the desired state of a directory.
pub(super) fn is_part(name: &Path) -> bool {
    let hidden = name.file_name().is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
    !hidden && name.extension().is_some_and(|end| end == "yaml")
}

/// Reads the file at `path`, or the files of a directory at `path` in the order of their names.
pub(super) fn load(path: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let kind = path.metadata().map_err(|e| failed(path, explain(&e)))?;
    let paths = if kind.is_dir() { list(path)? } else { vec![path.to_owned()] };
    let mut room = MAX_BYTES;
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let text = text(&path, room)?;
        room = room.saturating_sub(text.len());
        files.push(SourceFile { path, text });
    }
    Ok(files)
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |e: std::io::Error| failed(directory, explain(&e));
    let mut paths = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Skip directories, which can have a name such as `old.yaml`. Keep broken links, so that
        // reading them fails.
        if is_part(&path) && !path.is_dir() {
            paths.push(path);
        }
        if paths.len() > MAX_FILES {
            return Err(failed(directory, format!("it has more than {MAX_FILES} YAML files")));
        }
    }
    if paths.is_empty() {
        return Err(failed(
            directory,
            "the directory has no *.yaml file; put one there, or name another directory with --desired-state"
                .to_owned(),
        ));
    }
    paths.sort();
    Ok(paths)
}

fn text(path: &Path, room: usize) -> Result<String, SourceError> {
    let bytes = files::read(path, room).map_err(|e| match e.kind() {
        ErrorKind::InvalidInput => failed(
            path,
            "it is neither a file nor a directory; name a file or a directory with --desired-state"
                .to_owned(),
        ),
        ErrorKind::FileTooLarge => {
            let cause =
                format!("with this file the desired state is longer than {} MiB", MAX_BYTES >> 20);
            failed(path, cause)
        }
        _ => failed(path, explain(&e)),
    })?;
    String::from_utf8(bytes.to_vec()).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        failed(path, format!("line {line} is not UTF-8 text; save the file as UTF-8"))
    })
}

fn failed(path: &Path, cause: String) -> SourceError {
    SourceError { path: path.display().to_string(), cause }
}

fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file; name the desired state with --desired-state, or put it there"
                .to_owned()
        }
        // Only an error of the system has an error number. The other errors come from `files` and
        // contain a reason.
        ErrorKind::PermissionDenied if error.raw_os_error().is_some() => {
            "permission denied; make the file readable by the user of the operator".to_owned()
        }
        _ => error.to_string(),
    }
}
