//! Errors of the database, and their conversion to a [`StoreError`].
//!
//! This module uses no other module of this folder. The other modules use this module.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::engine::StoreError;

/// The reason why a query or a change failed.
#[derive(Debug)]
pub(super) enum QueryError {
    /// `SQLite` reported an error.
    Sqlite(rusqlite::Error),
    /// A row holds a value that this program never writes.
    Row(String),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The result of a query or a change.
pub(super) type QueryResult<T> = Result<T, QueryError>;

/// Creates the error of `operation` with its cause.
pub(super) fn io(operation: &'static str, cause: impl Into<String>) -> StoreError {
    StoreError::Io { operation, cause: cause.into() }
}

/// Returns the text of a cause with the path of the file in front.
pub(super) fn at(path: &Path, cause: &impl std::fmt::Display) -> String {
    format!("{}: {cause}", path.display())
}

/// Converts the error of `operation` on an open connection.
pub(super) fn failure(
    operation: &'static str,
    connection: &Connection,
    error: &QueryError,
) -> StoreError {
    explain(operation, Path::new(connection.path().unwrap_or("state.sqlite")), error)
}

/// Converts the error of `operation` on the database at `path`. The message of the new error
/// contains the action for the administrator.
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
