//! The phase of the server in the status.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The phase of the server. The strings are published: in `/status` and as the label `state` of
/// `ejabberd_operator_server_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerPhase {
    /// There is no server.
    Absent,
    /// The server starts.
    Starting,
    /// The server responds.
    Running,
    /// The server runs and does not respond.
    Unresponsive,
    /// The node runs, but ejabberd in the node is stopped.
    Halted,
    /// The operator cannot observe the server.
    Unseen,
    /// A client port does not respond, although the node responds.
    PortSilent,
    /// The process is paused.
    Paused,
    /// The server ended, and the operator waits before the next start.
    BackingOff,
    /// The server cannot start; the operator waits before the next try.
    Failed,
    /// The server is stopping, as declared.
    Stopping,
    /// The server is stopped, as declared.
    Stopped,
}

impl ServerPhase {
    /// Every phase.
    pub const ALL: [Self; 12] = [
        Self::Absent,
        Self::Starting,
        Self::Running,
        Self::Unresponsive,
        Self::Halted,
        Self::Unseen,
        Self::PortSilent,
        Self::Paused,
        Self::BackingOff,
        Self::Failed,
        Self::Stopping,
        Self::Stopped,
    ];

    /// The published string.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unresponsive => "unresponsive",
            Self::Halted => "halted",
            Self::Unseen => "unseen",
            Self::PortSilent => "port-silent",
            Self::Paused => "paused",
            Self::BackingOff => "backing-off",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for ServerPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_serialized_as_its_published_string() {
        for phase in ServerPhase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }
}
