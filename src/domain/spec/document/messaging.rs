//! `spec.messaging` in the document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objects::SecretFrom;
use crate::domain::messaging::Tool;

/// The programs that send and read messages through the operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "the clients are decoded separately; the field is for the schema")]
pub(crate) struct Messaging {
    /// The clients: programs that identify themselves with a token. At most 100.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) clients: Vec<MessagingClient>,
}

/// A program that sends and reads messages through the operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessagingClient {
    /// A name for people: 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub(crate) name: String,
    /// Where the token of the client comes from: a file, an environment variable or a program.
    /// `generate` is an error. Two clients must not have the same source.
    pub(crate) token_from: SecretFrom,
    /// The accounts that the client may act as: names or patterns such as `agent-*`, on the default
    /// vhost, or with a declared vhost after the `@`. Only `*` is special, and matches any text. A
    /// pattern must not match an owner of a declared room; list such a name exactly. At most 100.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) act_as: Vec<String>,
    /// The tools that the client can call.
    #[serde(default = "default_tools")]
    pub(crate) tools: Vec<Tool>,
    /// The accounts and rooms that the client may send to: names or patterns such as
    /// `*@conference.example.org`. Required with the tool `xmpp_send_message`. At most 100.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) to: Vec<String>,
    /// How many requests the client may send.
    #[serde(default)]
    pub(crate) rate: Rate,
    /// Which accounts the client may create. Required with the tool `register_messaging_user`. If
    /// absent, the client may not create accounts.
    pub(crate) registration: Option<Registration>,
}

fn default_tools() -> Vec<Tool> {
    Tool::DEFAULT.to_vec()
}

/// How many requests a client may send.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Rate {
    /// The average number of requests in a minute.
    #[schemars(range(min = 1, max = 60_000))]
    pub(crate) per_minute: u32,
    /// The number of requests that the client may send at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_minute: 60, burst: 20 }
    }
}

/// Which accounts a client may create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Registration {
    /// The pattern of the names, without a host, e.g. `agent-*`. The accounts are on the default
    /// vhost. The pattern must not match a declared account.
    pub(crate) names: String,
    /// The personal rooms of a new account, e.g. `personal-{name}`: `{name}` is replaced by the name
    /// of the account. A room without a MUC service after the `@` is on `conference.` with the
    /// default vhost. At most 10.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub(crate) rooms: Vec<String>,
    /// The number of accounts that the client may create.
    #[serde(default = "default_registrations")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max: u32,
}

fn default_registrations() -> u32 {
    1_000
}
