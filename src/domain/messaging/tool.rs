//! The tools that a client can call.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A tool. The published string is the name of the MCP tool and the label `tool` of
/// `ejabberd_operator_messages_total`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Tool {
    /// Sends a message to an account or a room.
    #[serde(rename = "xmpp_send_message")]
    SendMessage,
    /// Reads messages of an account or a room.
    #[serde(rename = "xmpp_get_messages")]
    GetMessages,
    /// Reads who is online.
    #[serde(rename = "get_presence")]
    GetPresence,
    /// Creates an account with a personal room.
    #[serde(rename = "register_messaging_user")]
    RegisterUser,
    /// Reads the status of the server.
    #[serde(rename = "server_status")]
    ServerStatus,
    /// Reads the plan of the operator.
    #[serde(rename = "plan")]
    Plan,
    /// Reads the security checklist.
    #[serde(rename = "audit")]
    Audit,
    /// Reads the recent events.
    #[serde(rename = "events")]
    Events,
}

impl Tool {
    /// Every tool.
    pub const ALL: [Self; 8] = [
        Self::SendMessage,
        Self::GetMessages,
        Self::GetPresence,
        Self::RegisterUser,
        Self::ServerStatus,
        Self::Plan,
        Self::Audit,
        Self::Events,
    ];

    /// The tools of a client whose `tools` is absent. These tools only read messages and presence.
    pub const DEFAULT: [Self; 2] = [Self::GetMessages, Self::GetPresence];

    /// The published name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendMessage => "xmpp_send_message",
            Self::GetMessages => "xmpp_get_messages",
            Self::GetPresence => "get_presence",
            Self::RegisterUser => "register_messaging_user",
            Self::ServerStatus => "server_status",
            Self::Plan => "plan",
            Self::Audit => "audit",
            Self::Events => "events",
        }
    }

    /// Whether the tool acts as an account, so that its client needs accounts to act as. The other
    /// tools read the operator.
    #[must_use]
    pub const fn acts_as_account(self) -> bool {
        match self {
            Self::SendMessage | Self::GetMessages | Self::GetPresence | Self::RegisterUser => true,
            Self::ServerStatus | Self::Plan | Self::Audit | Self::Events => false,
        }
    }

    /// Whether the tool changes nothing.
    #[must_use]
    pub const fn reads_only(self) -> bool {
        !matches!(self, Self::SendMessage | Self::RegisterUser)
    }
}

/// What a tool without arguments reads of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The status of the server, for `server_status`.
    Status,
    /// The plan.
    Plan,
    /// The security checklist.
    Audit,
    /// The recent events.
    Events,
}

impl View {
    /// The tool that reads the view.
    #[must_use]
    pub const fn tool(self) -> Tool {
        match self {
            Self::Status => Tool::ServerStatus,
            Self::Plan => Tool::Plan,
            Self::Audit => Tool::Audit,
            Self::Events => Tool::Events,
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Tool;

    #[test]
    fn each_tool_has_one_published_name() {
        for tool in Tool::ALL {
            assert_eq!(serde_json::to_value(tool).unwrap(), tool.as_str());
        }
    }
}
