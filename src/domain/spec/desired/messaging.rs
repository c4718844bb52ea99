//! `spec.messaging`: the programs that send and read messages through the operator.

use std::collections::BTreeSet;
use std::fmt;

use super::SecretSource;
use crate::domain::messaging::{JidPattern, Tool};
use crate::domain::model::{Localpart, NameError, RoomJid, Vhost};

/// `spec.messaging`.
#[derive(Debug, Clone, PartialEq)]
pub struct Messaging {
    /// The clients, in the order of their names. At most 100.
    pub clients: Vec<MessagingClient>,
}

/// A program that sends and reads messages through the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagingClient {
    /// The name, unique among the clients.
    pub name: ClientName,
    /// The source of the token: a file, an environment variable or a program. The source is unique
    /// among the clients.
    pub token_from: SecretSource,
    /// The accounts that the client may act as. The hosts are managed vhosts. At most 100.
    pub act_as: Vec<JidPattern>,
    /// The tools that the client can call.
    pub tools: BTreeSet<Tool>,
    /// The accounts and rooms that the client may send to. At most 100.
    pub to: Vec<JidPattern>,
    /// The limits on the number of requests.
    pub rate: Rate,
    /// The accounts that the client may create; `None` if the client may create no accounts.
    pub registration: Option<Registration>,
}

/// The name of a client: 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(String);

impl ClientName {
    /// The maximum number of characters.
    const MAX_LENGTH: usize = 64;

    /// `None` if the text is empty or too long, or has another character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let valid = (1..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed);
        valid.then(|| Self(text.to_owned()))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The limits on the number of requests of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The average number of requests in a minute: 1 to 60000.
    pub per_minute: u32,
    /// The number of requests that the client may send at once: 1 to 10000.
    pub burst: u32,
}

/// The accounts that a client may create.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The names. The host is the default vhost.
    pub names: JidPattern,
    /// The personal rooms of a new account. At most 10.
    pub rooms: Vec<RoomTemplate>,
    /// The number of accounts that the client may create: 1 to 100000.
    pub max: u32,
}

/// The name of the personal room of an account, with [`RoomTemplate::NAME`] in the local part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTemplate {
    /// The local part, e.g. `personal-{name}`.
    pub local: String,
    /// The MUC service.
    pub service: Vhost,
}

impl RoomTemplate {
    /// The text that the name of the account replaces.
    pub const NAME: &str = "{name}";

    /// The room of the account `name`. Fails if the name of the room is too long, or mixes text
    /// directions.
    pub fn room(&self, name: &Localpart) -> Result<RoomJid, NameError> {
        let room = Localpart::new(&self.local.replace(Self::NAME, name.as_str()))?;
        Ok(RoomJid { room, service: self.service.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_name_has_1_to_64_allowed_characters() {
        for name in ["a", "nexus", "mcp-2.test_x", "-", &"x".repeat(64)] {
            assert_eq!(ClientName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "Nexus", "a b", "é", "a/b", "a@b", &"x".repeat(65)] {
            assert_eq!(ClientName::new(name), None, "{name}");
        }
    }

    #[test]
    fn a_template_gives_each_account_its_room() {
        let service = Vhost::new("conference.example.org").unwrap();
        let template = RoomTemplate { local: "Personal-{name}-{name}".into(), service };
        let room = |name: &str| template.room(&Localpart::new(name).unwrap());
        assert_eq!(room("ann").unwrap().to_string(), "personal-ann-ann@conference.example.org");
        assert!(room(&"x".repeat(1000)).is_err());
    }
}
