//! The errors of the ports. A text from outside is shortened and escaped as in
//! [`crate::ejabberd::ControlError`].

use crate::ejabberd::{Class, shown};

/// Why the runtime could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The engine that runs the server does not respond.
    #[error("reach {}: {}", shown(what), shown(cause))]
    Engine {
        /// The name of the engine.
        what: String,
        /// The cause.
        cause: String,
    },
    /// A container, file or program does not exist.
    #[error("find {}", shown(.0))]
    Missing(String),
    /// There is no `erl` program where the server runs.
    #[error("find an `erl` program in {}", shown(.0))]
    NoErlang(String),
    /// An operation failed, and only an administrator can fix the cause.
    #[error("{}: {}", shown(operation), shown(cause))]
    Refused {
        /// The operation.
        operation: String,
        /// The cause, and what to do.
        cause: String,
    },
    /// An operation took too long.
    #[error("{} in time", shown(.0))]
    Timeout(String),
}

impl RuntimeError {
    /// Whether a retry may help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Engine { .. } | Self::Timeout(_) => Class::Transient,
            Self::Missing(_) | Self::NoErlang(_) | Self::Refused { .. } => Class::Terminal,
        }
    }

    /// The label value for metrics.
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

/// Why the state directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another operator holds the lock of the directory.
    #[error("lock {0}: another operator uses it")]
    Locked(String),
    /// The disk or the database file failed.
    #[error("{operation} in the state directory: {cause}")]
    Io {
        /// The operation.
        operation: &'static str,
        /// The cause.
        cause: String,
    },
}

/// Why a secret or a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {what}: {cause}")]
pub struct SecretError {
    /// The name of the secret or file.
    pub what: String,
    /// The cause, and what to do.
    pub cause: String,
}

/// Why the desired state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {path}: {cause}")]
pub struct SourceError {
    /// The path of the file.
    pub path: String,
    /// The cause, and what to do.
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ejabberd::ControlError;

    #[test]
    fn a_text_from_outside_is_shortened_and_escaped_in_every_message() {
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
