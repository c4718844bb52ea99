//! Why a call to the server failed.
//!
//! Much of a message comes from a far end (a server, an engine), which may lie: each
//! text of a far end is cut, and its control characters are escaped, where the text is
//! shown, so that no adapter can forget it.

use crate::domain::spec::printable;

/// The most of a text of a far end that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 1000;

/// A text of a far end as it may be shown.
pub(crate) fn shown(text: &str) -> String {
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
    /// The error of a session that cannot be opened, because the image has no `erl`.
    pub const NO_ERLANG: Self =
        Self::Unsupported { command: "session", why: "no `erl` program was found" };

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
