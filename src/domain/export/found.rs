//! The observed server and objects that an export describes.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::model::{Jid, Localpart, RoomJid, ServerVersion, Vhost};
use crate::domain::spec::{AffiliationKind, Docker, OptionValue};

/// A server in a container, with its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The version of the server.
    pub version: ServerVersion,
    /// The container of the server.
    pub container: Container,
    /// The name of the configuration file in the directory of the desired state.
    pub config: String,
    /// The files that the configuration includes, with the names in the configuration.
    pub included: Vec<String>,
    /// The objects on the server.
    pub found: Found,
}

/// The declaration of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The declaration.
    pub docker: Docker,
    /// Remarks for people on settings that cannot be declared.
    pub remarks: Vec<String>,
}

/// The objects on a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The default vhost.
    pub home: Vhost,
    /// The other vhosts, and remarks on vhosts.
    pub hosts: Part<BTreeSet<Vhost>>,
    /// The accounts.
    pub accounts: Part<BTreeMap<Jid, Account>>,
    /// The shared roster groups of the default vhost.
    pub groups: Part<BTreeMap<Localpart, FoundGroup>>,
    /// The persistent rooms.
    pub rooms: Part<BTreeMap<RoomJid, FoundRoom>>,
}

/// All objects of a kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<T> {
    /// The objects that can be declared; `None` if the kind cannot be declared.
    pub declared: Option<T>,
    /// Remarks for people on objects and values that the export leaves out.
    pub remarks: Vec<String>,
}

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The reason for the ban; `None` if the account is not banned.
    pub ban: Option<String>,
}

/// A shared roster group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundGroup {
    /// The name that people see.
    pub display_name: String,
    /// The description for people.
    pub description: String,
    /// The members; `None` if the members cannot be declared.
    pub members: Option<BTreeSet<Jid>>,
    /// Remarks for people on objects and values that the export leaves out.
    pub remarks: Vec<String>,
}

/// A persistent room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundRoom {
    /// The options whose values differ from the options of a new room.
    pub options: BTreeMap<String, OptionValue>,
    /// The subject; empty if the room has no subject.
    pub subject: String,
    /// The affiliations.
    pub affiliations: BTreeMap<Jid, AffiliationKind>,
    /// Remarks for people on objects and values that the export leaves out.
    pub remarks: Vec<String>,
}

impl Export {
    /// The number of comments about objects and values that cannot be declared.
    #[must_use]
    pub fn left_out(&self) -> usize {
        let Found { home: _, hosts, accounts, groups, rooms } = &self.found;
        let belonging = self.found.belonging();
        let banned = accounts.declared.iter().flatten();
        self.container.remarks.len()
            + hosts.remarks.len()
            + accounts.remarks.len()
            + banned.filter(|(jid, found)| found.ban.is_some() && belonging.contains(jid)).count()
            + groups.remarks.len()
            + groups.declared.iter().flatten().map(|(_, group)| group.remarks.len()).sum::<usize>()
            + rooms.remarks.len()
            + rooms.declared.iter().flatten().map(|(_, room)| room.remarks.len()).sum::<usize>()
    }
}

impl Found {
    /// The numbers of declared objects, as `2 hosts, 1 account, …`.
    #[must_use]
    pub fn counts(&self) -> String {
        let Self { home: _, hosts, accounts, groups, rooms } = self;
        let count = |number: usize, one: &str| {
            format!("{number} {one}{}", if number == 1 { "" } else { "s" })
        };
        let banned = accounts.declared.iter().flatten().filter(|(_, a)| a.ban.is_some()).count();
        let banned = if banned == 0 { String::new() } else { format!(" ({banned} banned)") };
        format!(
            "{}, {}{banned}, {} and {}",
            count(1 + hosts.declared.as_ref().map_or(0, BTreeSet::len), "host"),
            count(accounts.declared.as_ref().map_or(0, BTreeMap::len), "account"),
            count(groups.declared.as_ref().map_or(0, BTreeMap::len), "group"),
            count(rooms.declared.as_ref().map_or(0, BTreeMap::len), "room")
        )
    }

    /// The accounts in declared groups and rooms. If the file declared such an account banned, the
    /// account would lose its memberships.
    pub(super) fn belonging(&self) -> BTreeSet<&Jid> {
        let rooms = self.rooms.declared.iter().flatten().flat_map(|(_, room)| &room.affiliations);
        let inside = rooms.filter(|(_, kind)| **kind != AffiliationKind::Outcast);
        let groups = self.groups.declared.iter().flatten();
        let members = groups.flat_map(|(_, group)| group.members.iter().flatten());
        inside.map(|(account, _)| account).chain(members).collect()
    }
}
