//! The errors of the ports. The messages truncate and escape text from other programs, as the
//! messages of [`crate::ejabberd::ControlError`] do.

use crate::ejabberd::{Class, shown};

/// The error of an operation of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The program that runs the server, such as Docker, does not respond.
    #[error("reach {}: {}", shown(what), shown(cause))]
    Engine {
        /// The name of that program.
        what: String,
        /// The cause.
        cause: String,
    },
    /// A container, file or program does not exist.
    #[error("find {}", shown(.0))]
    Missing(String),
    /// The program `erl` does not exist where the server runs.
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
    /// The deadline of an operation passed.
    #[error("{} in time", shown(.0))]
    Timeout(String),
}

impl RuntimeError {
    /// Returns the class of the error: `Transient` if a retry may help, else `Terminal`.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Engine { .. } | Self::Timeout(_) => Class::Transient,
            Self::Missing(_) | Self::NoErlang(_) | Self::Refused { .. } => Class::Terminal,
        }
    }

    /// Returns the label value of the error in the metrics.
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

/// The error of an operation on the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another operator holds the lock of the directory.
    #[error("lock `{0}`: another operator uses the state directory")]
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

/// The error of an operation on a secret or a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {what}: {cause}")]
pub struct SecretError {
    /// The name of the secret or file.
    pub what: String,
    /// The cause, and what to do.
    pub cause: String,
}

/// The error of reading the desired state.
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
    fn text_from_other_programs_is_truncated_and_escaped_in_every_message() {
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
