//! The part of the revision in force that messaging needs.

use std::collections::BTreeSet;

use crate::domain::model::{Jid, Revision, Vhost};
use crate::domain::spec::{DesiredState, Messaging, MessagingClient, UserState};
use crate::ejabberd::EjabberdClient;

/// The part of the revision in force that messaging needs.
pub struct InForce {
    /// The revision.
    pub revision: Revision,
    /// The default vhost.
    pub host: Vhost,
    /// The declared clients; `None` if the file declares no messaging.
    pub messaging: Option<Messaging>,
    /// The accounts that the file declares banned or absent. Before 24.06 the server does not know
    /// these bans.
    pub barred: BTreeSet<Jid>,
    /// Whether the operator changes nothing.
    pub suspend: bool,
    /// The files of the desired state as JSON, with masked secrets.
    pub masked: serde_json::Value,
    /// The client for the commands of the server.
    pub server: EjabberdClient,
}

impl InForce {
    /// The declared clients; empty if the file declares no messaging.
    #[must_use]
    pub fn clients(&self) -> &[MessagingClient] {
        self.messaging.as_ref().map_or(&[], |messaging| &messaging.clients)
    }

    /// The part of `desired` that messaging needs.
    #[must_use]
    pub fn new(desired: &DesiredState, server: EjabberdClient, masked: serde_json::Value) -> Self {
        let users = desired.users.iter().flatten();
        let barred = users
            .filter(|(_, user)| !matches!(user.state, UserState::Present))
            .map(|(jid, _)| jid.clone())
            .collect();
        Self {
            revision: desired.revision.clone(),
            host: desired.host.clone(),
            messaging: desired.messaging.clone(),
            barred,
            suspend: desired.suspend,
            masked,
            server,
        }
    }
}
