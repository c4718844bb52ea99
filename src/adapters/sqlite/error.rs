//! Errors of the database, and how they become a [`StoreError`].
//!
//! The lowest module of this folder: all other modules use it, and it uses none of them.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::engine::StoreError;

/// Why a query or a change failed.
#[derive(Debug)]
pub(super) enum QueryError {
    /// `SQLite` reported an error.
    Sqlite(rusqlite::Error),
    /// A row holds a value that this program does not write.
    Row(String),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The result of a query or a change.
pub(super) type QueryResult<T> = Result<T, QueryError>;

/// An error of `operation` with its cause.
pub(super) fn io(operation: &'static str, cause: impl Into<String>) -> StoreError {
    StoreError::Io { operation, cause: cause.into() }
}

/// A cause that names the file.
pub(super) fn at(path: &Path, cause: &impl std::fmt::Display) -> String {
    format!("{}: {cause}", path.display())
}

/// The error of `operation` on an open connection.
pub(super) fn failure(
    operation: &'static str,
    connection: &Connection,
    error: &QueryError,
) -> StoreError {
    explain(operation, Path::new(connection.path().unwrap_or("state.sqlite")), error)
}

/// The error of `operation` on the database at `path`, with what to do about the error.
pub(super) fn explain(operation: &'static str, path: &Path, error: &QueryError) -> StoreError {
    let damaged = |cause: &dyn std::fmt::Display| {
        format!(
            "{} is damaged ({cause}): restore a copy of it, or move it away and start again; \
             the operator then adopts the declared objects on the server again, and generated passwords \
             that were not published are lost",
            path.display()
        )
    };
    let cause = match error {
        QueryError::Row(cause) => damaged(cause),
        QueryError::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(error),
            Some(ErrorCode::DiskFull) => at(path, &format!("{error}: make room on its disk")),
            _ => at(path, error),
        },
    };
    io(operation, cause)
}
