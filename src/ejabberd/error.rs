//! The errors of calls to the server.
//!
//! Much of a message comes from another program (a server, an engine), which may be hostile. The
//! display of an error truncates these texts and escapes their control characters, so that no
//! adapter can forget this step.

use crate::domain::spec::printable;

/// The maximum length of a text from another program in a message, in characters.
const MAX_SHOWN_CHARS: usize = 1000;

/// A text from another program, truncated and escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let cut: String = chars.by_ref().take(MAX_SHOWN_CHARS).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{}{more}", printable(&cut))
}

/// The class of an error: whether another try may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Another try may succeed without a change.
    Transient,
    /// Another try fails until an administrator changes something.
    Terminal,
}

/// Why a call to the server failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The node does not respond, because the node is stopped, starting, or gone.
    #[error("reach the server: {}", shown(.0))]
    Unreachable(String),
    /// The channel cannot be opened, so the state of the server is unknown: the operator's Erlang
    /// program does not start, or the engine refuses to run the program.
    #[error("open the control channel: {}", shown(.0))]
    CannotOpen(String),
    /// The server did not respond within the deadline.
    #[error("get a response to `{0}` in time")]
    Timeout(&'static str),
    /// The channel broke during the call. The server may have carried out the call.
    #[error("keep the control channel open during `{0}`")]
    Broken(&'static str),
    /// ejabberd does not have the command, usually because its module is not loaded.
    #[error("run `{command}`: this server does not have it; {hint}")]
    UnknownCommand {
        /// The command.
        command: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// ejabberd refused the call.
    #[error("run `{command}`: {}", shown(message))]
    Refused {
        /// The command.
        command: &'static str,
        /// ejabberd's message.
        message: String,
    },
    /// The command crashed in the server.
    #[error("run `{command}`: it crashed in the server ({}{})", shown(tag), shown(place))]
    Crashed {
        /// The command.
        command: &'static str,
        /// The tag of the reason, without its arguments.
        tag: String,
        /// The function, as ` in m:f/a`, or empty.
        place: String,
    },
    /// The response is not of the declared type.
    #[error("understand the response to `{0}`")]
    Malformed(&'static str),
    /// This channel cannot carry the call.
    #[error("run `{command}` over this control channel: {why}")]
    Unsupported {
        /// The command.
        command: &'static str,
        /// The reason.
        why: &'static str,
    },
}

impl ControlError {
    /// The error of a session that cannot be opened, because the image has no `erl`.
    pub const NO_ERLANG: Self =
        Self::Unsupported { command: "session", why: "no `erl` program was found" };

    /// Whether another try may succeed.
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

    /// The name of the error in metrics.
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

    /// Whether the whole server is unreachable, so that other calls fail for the same reason.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::CannotOpen(_) | Self::Timeout(_) | Self::Broken(_)
        )
    }
}
