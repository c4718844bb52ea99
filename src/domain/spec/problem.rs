//! What is wrong, and where.

use std::path::PathBuf;

/// Whether a problem keeps the file from taking effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but somebody should look at it.
    Warning,
}

/// One thing that is wrong with the file, or doubtful.
///
/// `Display` shows it the way compilers do: position and message, the source line
/// with the mistake underlined, and help where there is some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where it is; `None` for what concerns the whole.
    pub position: Option<Position>,
}

impl Problem {
    /// An error that has no position in a file.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), help: None, position: None }
    }

    /// The same with help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file, as it was given.
    pub file: PathBuf,
    /// The line, counted from one.
    pub line: usize,
    /// The column in characters, counted from one.
    pub column: usize,
    /// The line itself. Secrets in it are replaced by `***`, and of a very long
    /// line only the part around the mistake is kept.
    pub source_line: String,
    /// How many characters of `source_line` are underlined.
    pub length: usize,
    /// Where in `source_line` they begin, in characters.
    pub(super) underline_from: usize,
}
