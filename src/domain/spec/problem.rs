//! The errors and warnings of a desired state, with their positions.

use std::path::PathBuf;

/// The severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file does not take effect.
    Error,
    /// The file takes effect, but its author must check the position.
    Warning,
}

/// An error or a warning.
///
/// `Display` prints a problem as compilers do: position and message, the source line with the mistake
/// underlined, and the help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The severity.
    pub severity: Severity,
    /// The message, in one line.
    pub message: String,
    /// How to fix the problem; `None` if no fix is known.
    pub help: Option<String>,
    /// The position; `None` for a problem of the whole desired state.
    pub position: Option<Position>,
}

impl Problem {
    /// An error without a position.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), help: None, position: None }
    }
}

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The path of the file that the caller gave.
    pub file: PathBuf,
    /// The line, counted from one.
    pub line: usize,
    /// The column in characters, counted from one.
    pub column: usize,
    /// The text of the line, with `***` instead of secrets. A very long line is cut to the part around
    /// the mistake.
    pub source_line: String,
    /// The number of underlined characters of `source_line`.
    pub length: usize,
    /// The start of the underlined part of `source_line`, in characters.
    pub(super) underline_from: usize,
}
