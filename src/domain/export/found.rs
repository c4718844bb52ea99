//! What was found.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::model::{Jid, Localpart, RoomJid, ServerVersion, Vhost};
use crate::domain::spec::{AffiliationKind, Docker, OptionValue};

/// A server in a container, and all that is on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// Its version.
    pub version: ServerVersion,
    /// What it runs in.
    pub container: Container,
    /// The file with its configuration, as it is called beside the desired state.
    pub config: String,
    /// The files that it includes, as it names them.
    pub included: Vec<String>,
    /// What is on it.
    pub found: Found,
}

/// A container as it would be declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Its declaration.
    pub docker: Docker,
    /// What cannot be declared of it, for people.
    pub remarks: Vec<String>,
}

/// What is on a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The default vhost.
    pub home: Vhost,
    /// The others, and what is to be said of hosts.
    pub hosts: Part<BTreeSet<Vhost>>,
    /// The accounts.
    pub accounts: Part<BTreeMap<Jid, Account>>,
    /// The shared roster groups of the default vhost.
    pub groups: Part<BTreeMap<Localpart, FoundGroup>>,
    /// The rooms that persist.
    pub rooms: Part<BTreeMap<RoomJid, FoundRoom>>,
}

/// All of a kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<T> {
    /// What can be declared; `None`: the kind as a whole cannot.
    pub declared: Option<T>,
    /// What is left out, for people.
    pub remarks: Vec<String>,
}

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Why it is banned, if it is.
    pub ban: Option<String>,
}

/// One group whose members see each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundGroup {
    /// What people see.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Who is in it; `None`: that cannot be declared.
    pub members: Option<BTreeSet<Jid>>,
    /// What is left out, for people.
    pub remarks: Vec<String>,
}

/// One room that persists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundRoom {
    /// The options that are not as in a new room.
    pub options: BTreeMap<String, OptionValue>,
    /// Its subject; an empty one is none.
    pub subject: String,
    /// Who is what in it.
    pub affiliations: BTreeMap<Jid, AffiliationKind>,
    /// What is left out, for people.
    pub remarks: Vec<String>,
}

impl Export {
    /// How many things stand in comments, because they cannot be declared.
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
    /// `2 hosts, 1 account, …`: how much of it is declared.
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

    /// The accounts that belong to a declared group or room, as somebody who is
    /// declared banned cannot.
    pub(super) fn belonging(&self) -> BTreeSet<&Jid> {
        let rooms = self.rooms.declared.iter().flatten().flat_map(|(_, room)| &room.affiliations);
        let inside = rooms.filter(|(_, kind)| **kind != AffiliationKind::Outcast);
        let groups = self.groups.declared.iter().flatten();
        let members = groups.flat_map(|(_, group)| group.members.iter().flatten());
        inside.map(|(account, _)| account).chain(members).collect()
    }
}
