//! Files that tests write: their content follows from the code.

use std::path::Path;

/// The command that writes the golden files of all tests without a server.
const COMMAND: &str = "UPDATE_GOLDEN=1 cargo nextest run --test document --test behaviours --test causes \
    --test generated --test schemas";

/// Whether this run writes the golden files.
pub fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Returns whether the file at `path` has the content `now`. An update writes the file first.
pub fn is_golden(path: &Path, now: &str) -> bool {
    if is_update() {
        std::fs::write(path, now).unwrap();
    }
    std::fs::read_to_string(path).unwrap_or_default() == now
}

/// Asserts that the file at `path` has the content `now`. An update writes the file first.
pub fn assert_golden(path: &Path, now: &str) {
    assert!(
        is_golden(path, now),
        "{} differs from the code; if the change is intended, run `{COMMAND}`:\n{now}",
        path.display()
    );
}
