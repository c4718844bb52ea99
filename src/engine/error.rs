//! What can go wrong at a port, and what the engine makes of it.
//!
//! Much of a message comes from a far end (a server, an engine), which may lie:
//! each text of one is cut and its control characters are escaped where it is
//! shown, so that no adapter can forget it.

use crate::spec::printable;

/// The most of a text of a far end that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 1000;

/// A text of a far end as it may be shown.
fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let cut: String = chars.by_ref().take(MAX_SHOWN_CHARS).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{}{more}", printable(&cut))
}

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may, without anybody doing anything.
    Transient,
    /// It will not, until somebody changes something.
    Terminal,
}

/// Why a call to the server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The node is not there: stopped, starting, or gone.
    #[error("reach the server: {}", shown(.0))]
    Unreachable(String),
    /// The channel itself cannot be opened, so that nothing is known of the
    /// server: no Erlang was found, its program does not start, the engine
    /// refuses to run it.
    #[error("open the control channel: {}", shown(.0))]
    CannotOpen(String),
    /// No answer within the deadline.
    #[error("get an answer to `{0}` in time")]
    Timeout(&'static str),
    /// The channel broke while the call was under way: it may have been carried out.
    #[error("keep the control channel open during `{0}`")]
    Broken(&'static str),
    /// ejabberd does not have that command; mostly its module is not loaded.
    #[error("run `{command}`: this server does not have it; {hint}")]
    UnknownCommand {
        /// The command.
        command: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// ejabberd said no, and why.
    #[error("run `{command}`: {}", shown(message))]
    Refused {
        /// The command.
        command: &'static str,
        /// ejabberd's own words.
        message: String,
    },
    /// The command crashed in the server.
    #[error("run `{command}`: it crashed in the server ({}{})", shown(tag), shown(place))]
    Crashed {
        /// The command.
        command: &'static str,
        /// The tag of the reason, without its arguments.
        tag: String,
        /// The function, as ` in m:f/a`, or nothing.
        place: String,
    },
    /// The answer is not of the declared type.
    #[error("understand the answer to `{0}`")]
    Malformed(&'static str),
    /// This channel cannot carry that call.
    #[error("run `{command}` over this control channel: {why}")]
    Unsupported {
        /// The command.
        command: &'static str,
        /// Why not.
        why: &'static str,
    },
}

impl ControlError {
    /// Whether trying again may help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable(_)
            | Self::CannotOpen(_)
            | Self::Timeout(_)
            | Self::Broken(_)
            | Self::Crashed { .. } => Class::Transient,
            Self::UnknownCommand { .. }
            | Self::Refused { .. }
            | Self::Malformed(_)
            | Self::Unsupported { .. } => Class::Terminal,
        }
    }

    /// The word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::CannotOpen(_) => "cannot_open",
            Self::Timeout(_) => "timeout",
            Self::Broken(_) => "broken",
            Self::UnknownCommand { .. } => "unknown_command",
            Self::Refused { .. } => "refused",
            Self::Crashed { .. } => "crashed",
            Self::Malformed(_) => "malformed",
            Self::Unsupported { .. } => "unsupported",
        }
    }

    /// Whether the server as a whole is away, so that other calls fail as well.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::CannotOpen(_) | Self::Timeout(_) | Self::Broken(_)
        )
    }
}

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
