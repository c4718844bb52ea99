//! What can go wrong at a port. A text of a far end is shown as in
//! [`crate::ejabberd::ControlError`].

use crate::ejabberd::{Class, shown};

/// Why the runtime could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The engine that runs the server does not answer.
    #[error("reach {}: {}", shown(what), shown(cause))]
    Engine {
        /// Which engine.
        what: String,
        /// What was seen.
        cause: String,
    },
    /// There is no such container, file, program.
    #[error("find {}", shown(.0))]
    Missing(String),
    /// There is no `erl` program where the server runs.
    #[error("find an `erl` program in {}", shown(.0))]
    NoErlang(String),
    /// Something that only somebody can mend.
    #[error("{}: {}", shown(operation), shown(cause))]
    Refused {
        /// What was tried.
        operation: String,
        /// What was said, and what to do.
        cause: String,
    },
    /// It took too long.
    #[error("{} in time", shown(.0))]
    Timeout(String),
}

impl RuntimeError {
    /// Whether trying again may help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Engine { .. } | Self::Timeout(_) => Class::Transient,
            Self::Missing(_) | Self::NoErlang(_) | Self::Refused { .. } => Class::Terminal,
        }
    }

    /// The word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Engine { .. } => "engine",
            Self::Missing(_) => "missing",
            Self::NoErlang(_) => "no_erlang",
            Self::Refused { .. } => "refused",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// What went wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another operator has the directory.
    #[error("lock {0}: another operator uses it")]
    Locked(String),
    /// The disk, or the file on it.
    #[error("{operation} in the state directory: {cause}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What was seen.
        cause: String,
    },
}

/// Why a secret or file could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {what}: {cause}")]
pub struct SecretError {
    /// Which one.
    pub what: String,
    /// What was seen, and what to do.
    pub cause: String,
}

/// Why the desired state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {path}: {cause}")]
pub struct SourceError {
    /// Which file.
    pub path: String,
    /// What was seen, and what to do.
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ejabberd::ControlError;

    #[test]
    fn a_text_of_a_far_end_is_cut_and_escaped_in_every_message() {
        let lie = || format!("\u{1b}[2J\r\n{}", "é".repeat(3 << 20));
        let messages = [
            ControlError::Unreachable(lie()).to_string(),
            ControlError::CannotOpen(lie()).to_string(),
            ControlError::Refused { command: "x", message: lie() }.to_string(),
            ControlError::Crashed { command: "x", tag: lie(), place: lie() }.to_string(),
            RuntimeError::Engine { what: lie(), cause: lie() }.to_string(),
            RuntimeError::Missing(lie()).to_string(),
            RuntimeError::NoErlang(lie()).to_string(),
            RuntimeError::Refused { operation: lie(), cause: lie() }.to_string(),
            RuntimeError::Timeout(lie()).to_string(),
        ];
        for message in messages {
            assert!(message.len() < 5000, "{} bytes", message.len());
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
}
