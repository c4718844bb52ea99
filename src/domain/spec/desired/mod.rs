//! The desired state: validated, normalised and complete. Only [`validate`](super::validate) creates
//! a desired state.

mod config;
mod membership;
mod messaging;
mod objects;
mod policy;
mod server;

use std::collections::BTreeMap;

pub use config::*;
pub(crate) use membership::Memberships;
pub use membership::OWN_NAMES;
pub use messaging::*;
pub use objects::*;
pub use policy::*;
pub use server::*;

use crate::domain::model::{GroupId, Jid, Localpart, ObjectKey, Revision, RoomJid, Vhost};

/// The desired state of one revision.
///
/// `None` for a kind means that the key is absent, so the operator does not manage the kind. An empty
/// map declares that there are no objects of the kind.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredState {
    /// `metadata.name`.
    pub name: String,
    /// The hash of the files.
    pub revision: Revision,
    /// The default vhost.
    pub host: Vhost,
    /// The other managed vhosts, without the default vhost.
    pub hosts: Vec<Vhost>,
    /// Whether the operator observes and reports, but changes nothing.
    pub suspend: bool,
    /// The settings of the server.
    pub server: Server,
    /// The configuration of ejabberd; `None` if the operator does not manage the configuration.
    pub config: Option<Config>,
    /// The accounts; `None` if accounts are not managed.
    pub users: Option<BTreeMap<Jid, User>>,
    /// The groups, by name; `None` if groups are not managed.
    pub groups: Option<BTreeMap<Localpart, Group>>,
    /// The rooms; `None` if rooms are not managed.
    pub rooms: Option<BTreeMap<RoomJid, Room>>,
    /// The programs that send and read messages through the operator; `None` if the operator accepts
    /// no such programs.
    pub messaging: Option<Messaging>,
    /// What the operator may change and delete.
    pub policy: Policy,
}

impl DesiredState {
    /// Whether the operator manages the vhost `host`.
    #[must_use]
    pub fn serves(&self, host: &Vhost) -> bool {
        self.host == *host || self.hosts.contains(host)
    }

    /// Whether the operator manages rooms on `service`: `service` belongs to a managed vhost, or the
    /// file declares a room on `service`.
    #[must_use]
    pub fn serves_rooms_of(&self, service: &Vhost) -> bool {
        self.host_of(service).is_some()
            || self.rooms.iter().flatten().any(|(room, _)| room.service == *service)
    }

    /// Whether the file has an entry for an object.
    #[must_use]
    pub fn declares(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::User(jid) => {
                self.users.as_ref().is_some_and(|users| users.contains_key(jid))
            }
            ObjectKey::Room(jid) => {
                self.rooms.as_ref().is_some_and(|rooms| rooms.contains_key(jid))
            }
            ObjectKey::Group(id) => {
                let declared = |groups: &BTreeMap<_, _>| groups.contains_key(&id.name);
                id.host == self.host && self.groups.as_ref().is_some_and(declared)
            }
            ObjectKey::Server(_) | ObjectKey::Config(_) | ObjectKey::Affiliation(_) => false,
        }
    }

    /// The full name of a group. Groups belong to the default vhost.
    #[must_use]
    pub fn group_id(&self, name: &Localpart) -> GroupId {
        GroupId { name: name.clone(), host: self.host.clone() }
    }

    /// The default host and the other declared hosts, each once.
    pub fn all_hosts(&self) -> impl Iterator<Item = &Vhost> {
        std::iter::once(&self.host).chain(&self.hosts)
    }

    /// The managed vhost that a MUC service belongs to; `None` if no managed vhost fits.
    #[must_use]
    pub fn host_of(&self, service: &Vhost) -> Option<&Vhost> {
        service.owner(self.all_hosts())
    }
}
