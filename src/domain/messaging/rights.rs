//! The rights of a client.

use super::operation::{Failure, FailureCode};
use super::tool::Tool;
use crate::domain::model::{Jid, NameError, Vhost};
use crate::domain::spec::MessagingClient;

/// Parses an address of an account or a room: `name` on the default host, or `name@host`.
pub fn address(field: &str, text: &str, default_host: &Vhost) -> Result<Jid, Failure> {
    let invalid = |message: String| {
        Failure::new(
            FailureCode::InvalidArgument,
            message,
            format!("give `{field}` as `name` or `name@host`, without a resource"),
        )
    };
    if text.contains('*') {
        return Err(invalid(format!("`{field}` contains a `*`, and must be one name")));
    }
    if text.contains('/') {
        return Err(invalid(format!("`{field}` contains a resource")));
    }
    Jid::parse(text, default_host).map_err(|error| invalid(refused(field, &error)))
}

fn refused(field: &str, error: &NameError) -> String {
    format!("`{field}` is not a name that XMPP permits: {error}")
}

impl MessagingClient {
    /// Fails if the client does not have the tool.
    pub fn check_tool(&self, tool: Tool) -> Result<(), Failure> {
        if self.tools.contains(&tool) {
            return Ok(());
        }
        Err(Failure::new(
            FailureCode::Forbidden,
            format!("the client `{}` does not have the tool `{tool}`", self.name),
            "ask the administrator to add the tool to `tools` of this client",
        ))
    }

    /// Whether the client may send as an account and read its messages.
    #[must_use]
    pub fn acts_as(&self, account: &Jid) -> bool {
        self.act_as.iter().any(|pattern| pattern.matches(account))
    }

    /// Whether the client may send to an account or a room.
    #[must_use]
    pub fn addresses(&self, recipient: &Jid) -> bool {
        self.to.iter().any(|pattern| pattern.matches(recipient))
    }

    /// Whether the client may see the presence of an account.
    #[must_use]
    pub fn sees(&self, account: &Jid) -> bool {
        self.acts_as(account) || self.addresses(account)
    }

    /// Fails if the client may not act as `account`.
    pub fn check_acts_as(&self, account: &Jid) -> Result<(), Failure> {
        if self.acts_as(account) {
            return Ok(());
        }
        Err(Failure::new(
            FailureCode::Forbidden,
            format!("the client `{}` may not act as {account}", self.name),
            "use an account that `actAs` of this client permits",
        ))
    }

    /// Fails if the client may not send to `recipient`.
    pub fn check_addresses(&self, recipient: &Jid) -> Result<(), Failure> {
        if self.addresses(recipient) {
            return Ok(());
        }
        Err(Failure::new(
            FailureCode::Forbidden,
            format!("the client `{}` may not use {recipient}", self.name),
            "use a recipient that `to` of this client permits",
        ))
    }

    /// Fails if the client may not see `account`.
    pub fn check_sees(&self, account: &Jid) -> Result<(), Failure> {
        if self.sees(account) {
            return Ok(());
        }
        Err(Failure::new(
            FailureCode::Forbidden,
            format!("the client `{}` may not see {account}", self.name),
            "ask for accounts that `actAs` or `to` of this client permits",
        ))
    }
}
