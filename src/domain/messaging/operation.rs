//! The protocol between the MCP server and the operator: one request, one response.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tool::{Tool, View};
use crate::domain::model::Secret;

/// The maximum length of the body of a message in bytes.
pub const MAX_BODY_BYTES: usize = 65_536;

/// The maximum length of a subject, a thread or an id in bytes.
pub const MAX_SHORT_BYTES: usize = 1_024;

/// The maximum number of messages of one page.
pub const MAX_PAGE: u16 = 100;

/// The number of messages of a page without `limit`.
pub const DEFAULT_PAGE: u16 = 20;

/// The maximum number of accounts in one request for presence.
pub const MAX_ACCOUNTS: usize = 100;

/// A request of the MCP server to the operator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The token of the client.
    #[serde(with = "exposed")]
    pub token: Secret,
    /// The operation.
    pub operation: Operation,
}

/// An operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name", content = "arguments")]
pub enum Operation {
    /// Returns the name and the tools of the client. The operator counts no use of a tool.
    Identify,
    /// Calls `xmpp_send_message`.
    SendMessage(SendMessage),
    /// Calls `xmpp_get_messages`.
    GetMessages(GetMessages),
    /// Calls `get_presence`.
    GetPresence(GetPresence),
    /// Calls `register_messaging_user`.
    RegisterUser(RegisterUser),
    /// Calls a tool without arguments that reads the operator.
    Read(View),
    /// Reads a resource.
    ReadResource(Resource),
}

impl Operation {
    /// The tool whose right the operation needs; `None` if the operation needs no tool.
    #[must_use]
    pub const fn tool(&self) -> Option<Tool> {
        match self {
            Self::Identify => None,
            Self::SendMessage(_) => Some(Tool::SendMessage),
            Self::GetMessages(_) => Some(Tool::GetMessages),
            Self::GetPresence(_) => Some(Tool::GetPresence),
            Self::RegisterUser(_) => Some(Tool::RegisterUser),
            Self::Read(view) => Some(view.tool()),
            Self::ReadResource(_) => Some(Tool::ServerStatus),
        }
    }
}

/// A resource that a client can read. A client that has the tool `server_status` can read both
/// resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// The desired state in force, with masked secrets.
    DesiredState,
    /// The status.
    Status,
}

/// The arguments of `xmpp_send_message`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The sender: an account that this client may act as, as `name` or `name@host`.
    pub from: String,
    /// The recipient: an account or a room, as `name@host`, or `name` for an account of the default
    /// host.
    pub to: String,
    /// The text of the message. At most 65536 bytes.
    pub body: String,
    /// The subject of the message. A room does not change its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The id of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The id of the message. A repeated call with the same id within ten minutes sends no second
    /// message, and returns the first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// With `true`, a missing recipient is registered if the registration rule of this client
    /// permits the name.
    #[serde(default)]
    pub ensure_recipient: bool,
}

/// The result of `xmpp_send_message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The id of the message, which the recipient sees.
    pub stanza_id: String,
    /// The id of the message in the archive of the recipient or of the room; absent without an
    /// archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_id: Option<String>,
    /// What the operator verified.
    pub result: Delivery,
    /// Whether the operator returned the result of an earlier call with the same id.
    pub repeated: bool,
}

/// What the operator verified about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The message is in the archive or in the history of the room, or in the archive of an account
    /// that is online.
    Delivered,
    /// The recipient is offline, and the server keeps the message for the recipient.
    StoredOffline,
    /// The server accepted the message. The operator could not verify more.
    Accepted,
}

/// The arguments of `xmpp_get_messages`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetMessages {
    /// The account whose messages to read, or, with `room`, the account that reads the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The room to read, as `name@service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Only messages with this account or room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// Only messages at or after this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Only messages at or before this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// The number of messages: 1 to 100; 20 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The cursor of an earlier result: `older` or `newer`. Without a cursor, the newest messages
    /// are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The result of `xmpp_get_messages`. The messages are in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Messages {
    /// Where the messages come from.
    pub source: MessageSource,
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// The cursor of the page with older messages; absent if there are no older messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<String>,
    /// The cursor of the page with newer messages; absent if there are no newer messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<String>,
    /// The number of offline messages that wait for the account; absent for a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<u32>,
}

/// Where messages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageSource {
    /// The archive (XEP-0313).
    Archive,
    /// The history that the room keeps in memory.
    RoomHistory,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The id of the message in the archive.
    pub archive_id: String,
    /// The id that the sender gave to the message; absent if the sender gave no id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When the server archived the message (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The bare JID of the sender; absent if the room hides the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The nickname of the sender in the room; absent for messages between accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The bare JID of the recipient.
    pub to: String,
    /// The text; absent for a message without a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The subject; absent for a message without a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The id of the conversation; absent for a message without a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

/// The arguments of `get_presence`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetPresence {
    /// The accounts, as `name` or `name@host`; at most 100. If absent, the result contains the
    /// accounts that are online and that this client may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub accounts: Option<Vec<String>>,
}

/// The result of `get_presence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presences {
    /// The accounts, in the order of their names.
    pub accounts: Vec<Presence>,
    /// Whether more accounts are online than the result contains.
    pub truncated: bool,
}

/// The presence of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// The bare JID.
    pub account: String,
    /// Whether the account has a session.
    pub online: bool,
    /// The sessions.
    pub resources: Vec<Session>,
}

/// A session of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The resource.
    pub resource: String,
    /// The availability: `available`, `away`, `chat`, `dnd`, `xa` or `unavailable`.
    pub show: String,
    /// The text of the status; empty without a text.
    pub status: String,
    /// When the session began (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// The arguments of `register_messaging_user`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterUser {
    /// The name of the account on the default host, without the host.
    pub name: String,
    /// The name that people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// The result of `register_messaging_user`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The bare JID of the account.
    pub account: String,
    /// The generated password, only in the response that created the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub password: Option<String>,
    /// The rooms of the account.
    pub rooms: Vec<String>,
    /// Whether this call created the account.
    pub created: bool,
}

/// The result of [`Operation::Identify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the client.
    pub client: String,
    /// The tools of the client.
    pub tools: Vec<Tool>,
}

/// The response of the operator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Response {
    /// The result, as JSON of the type that belongs to the operation.
    Done(serde_json::Value),
    /// The operation failed.
    Failed(Failure),
}

/// Why an operation failed. Contains no Erlang term, no stack trace and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}; {next_step}")]
pub struct Failure {
    /// The code, for programs.
    pub code: FailureCode,
    /// What happened and why, for people.
    pub message: String,
    /// What the client can do.
    pub next_step: String,
}

/// The code of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The token belongs to no client.
    Unauthorized,
    /// The client does not have the right.
    Forbidden,
    /// An argument is invalid.
    InvalidArgument,
    /// The account, the room or the cursor does not exist.
    NotFound,
    /// The rules of the room do not permit the message or the reader.
    RefusedByRoom,
    /// The server did not keep the message for the recipient.
    NotDelivered,
    /// The client sent too many requests.
    RateLimited,
    /// The registration rule does not permit more accounts.
    LimitReached,
    /// The server is not available at the moment.
    Unavailable,
    /// The operator failed.
    Internal,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::InvalidArgument,
        Self::NotFound,
        Self::RefusedByRoom,
        Self::NotDelivered,
        Self::RateLimited,
        Self::LimitReached,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Whether the failure proves that no message was sent.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Unavailable | Self::Internal | Self::NotDelivered)
    }

    /// The published string, also the label `result` of `ejabberd_operator_messages_total`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::RefusedByRoom => "refused_by_room",
            Self::NotDelivered => "not_delivered",
            Self::RateLimited => "rate_limited",
            Self::LimitReached => "limit_reached",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl Failure {
    /// A failure with a code, what happened and what to do.
    pub fn new(
        code: FailureCode,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self { code, message: message.into(), next_step: next_step.into() }
    }
}

/// Serializes a secret as text. Only the messaging socket carries a secret: its permissions protect
/// the token.
mod exposed {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::domain::model::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}
