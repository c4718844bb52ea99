//! The differences between desired and observed state.
//!
//! Pure. What is not known for certain yields no change, only a note.

mod advice;
mod affiliations;
mod groups;
mod limits;
mod reach;
mod rooms;
mod server;
mod users;

use std::collections::BTreeMap;

use super::inventory::Inventory;
use super::model::{AffiliationId, Digest, Jid, Kind, Localpart, ObjectKey, Op, RoomJid, Vhost};
use super::observed::{ObservedState, ProcessState, Reading};
use super::spec::{
    AffiliationKind, DeletionPolicy, DesiredState, OptionValue, ServerState, TableStorage,
};

/// What carries out a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the server and start it.
    CreateServer,
    /// Start the server.
    StartServer,
    /// Stop the server.
    StopServer,
    /// Make a new server as declared, on the same database.
    ReplaceServer,
    /// Have nobody else restart the server.
    OwnRestarts,
    /// Put a configuration in force.
    ApplyConfig {
        /// The digest of its files.
        digest: Digest,
        /// Whether that takes a restart.
        restart: bool,
        /// Whether it is the last good one, in the place of the declared one.
        standing: bool,
        /// Why it is not tried again, if so.
        latched: Option<String>,
    },
    /// Have the account table stored in another way.
    StoreAccounts(TableStorage),
    /// Make an account.
    CreateUser(Jid),
    /// Set an account's password to the declared one.
    SetPassword(Jid),
    /// Set fields of an account's vCard to the declared ones.
    SetVcard(Jid),
    /// Keep an account from logging in, and end its sessions.
    Ban {
        /// The account.
        account: Jid,
        /// Why.
        reason: String,
    },
    /// Lift a ban that the operator has put on an account.
    Unban(Jid),
    /// Delete an account.
    DeleteUser(Jid),
    /// Make a shared roster group with its declared members.
    CreateGroup(Localpart),
    /// Make a shared roster group what it is declared to be.
    UpdateGroup {
        /// The group.
        name: Localpart,
        /// Whether what it is called and who sees it differs.
        info: bool,
        /// Who is missing in it.
        add: Vec<Jid>,
        /// Who is in it and shall not be.
        remove: Vec<Jid>,
    },
    /// Delete a shared roster group.
    DeleteGroup(Localpart),
    /// Make a room with its declared options.
    CreateRoom(RoomJid),
    /// Change options of a room, and its subject.
    UpdateRoom {
        /// The room.
        room: RoomJid,
        /// The options that differ.
        options: Vec<(String, OptionValue)>,
        /// The subject, where it differs.
        subject: Option<String>,
    },
    /// Delete a room.
    DeleteRoom(RoomJid),
    /// Give an account an affiliation with a room; `None` takes it away.
    Affiliate(AffiliationId, Option<AffiliationKind>),
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The object.
    pub key: ObjectKey,
    /// What would be done to it.
    pub op: Op,
    /// The fields that differ. Never a value.
    pub fields: Vec<String>,
    /// Why, for people.
    pub reason: String,
    /// How.
    pub action: Action,
}

/// All differences of one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeSet {
    /// What differs.
    pub changes: Vec<Change>,
    /// Declared objects that are as declared.
    pub unchanged: usize,
    /// Objects on the server that are neither declared nor owned, by kind.
    pub unmanaged: Vec<Kind>,
    /// Declared objects that are there and not owned yet.
    pub adopt: Vec<ObjectKey>,
    /// Owned objects that are no longer: gone, or retained.
    pub forget: Vec<ObjectKey>,
    /// Objects on the server that could be deleted: those of our hosts.
    pub present: BTreeMap<Kind, usize>,
    /// What could not be compared, and why.
    pub unknown: Vec<String>,
    /// What an administrator should know, though nothing is done about it.
    pub notes: Vec<String>,
    /// Hosts whose accounts are kept elsewhere than before, and what that means:
    /// they are not filled without approval.
    pub left_behind: BTreeMap<Vhost, String>,
    /// The same of hosts whose accounts would be kept elsewhere with the declared
    /// configuration: it is not put in force without approval.
    pub would_leave: BTreeMap<Vhost, String>,
    /// Why the operator does not manage the server's database, if so. The plan then
    /// has no steps.
    pub database_missing: Option<String>,
    /// Why the state directory is older than the server's database, if it is. The
    /// plan then has no steps.
    pub state_outdated: Option<String>,
    /// How often each digest was used to let refused steps through.
    pub approvals_used: BTreeMap<Digest, u32>,
    /// What is declared and not in force, though it is written to the server: the
    /// object, and which field, which module or option stops it.
    pub not_in_force: Vec<(ObjectKey, String)>,
}

impl ChangeSet {
    /// Why nothing at all is done to the server, if so.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.database_missing.as_deref().or(self.state_outdated.as_deref())
    }

    /// Removes every change of accounts, groups, rooms and affiliations.
    pub fn leave_objects(&mut self) {
        self.changes.retain(|change| matches!(change.key.kind, Kind::Server | Kind::Config));
        self.adopt.clear();
        self.forget.clear();
    }

    /// Whether the server itself changes first: what it has for rooms may be
    /// otherwise then.
    fn server_changes(&self) -> bool {
        let held_back =
            |action: &Action| matches!(action, Action::ApplyConfig { latched: Some(_), .. });
        let of_server = |kind: Kind| matches!(kind, Kind::Server | Kind::Config);
        let mut changes = self.changes.iter();
        changes.any(|change| of_server(change.key.kind) && !held_back(&change.action))
    }

    fn push(
        &mut self,
        kind: Kind,
        name: &(impl ToString + ?Sized),
        op: Op,
        reason: &str,
        action: Action,
    ) {
        self.push_fields(kind, name, op, Vec::new(), reason, action);
    }

    fn push_fields(
        &mut self,
        kind: Kind,
        name: &(impl ToString + ?Sized),
        op: Op,
        fields: Vec<String>,
        reason: &str,
        action: Action,
    ) {
        let key = ObjectKey::new(kind, name);
        self.changes.push(Change { key, op, fields, reason: reason.to_owned(), action });
    }
}

/// Compares. `inventory` decides on what is not declared.
#[must_use]
pub fn diff(desired: &DesiredState, observed: &ObservedState, inventory: &Inventory) -> ChangeSet {
    let mut set = ChangeSet::default();
    if let Reading::Unknown(why) = &observed.process {
        // Nothing else could be read either, for the same reason.
        set.unknown.push(format!("the server: {why}"));
        return set;
    }
    server::diff(desired, observed, &mut set);
    advice::orphans(desired, inventory, &mut set);
    reach::notes(desired, observed, &mut set);
    match &observed.version {
        Reading::Known(version) => {
            server::accounts_table(desired, observed, &mut set);
            users::diff(desired, observed, inventory, &mut set);
            groups::diff(desired, observed, inventory, &mut set);
            rooms::diff(desired, observed, inventory, *version, &mut set);
            limits::groups(desired, observed, &mut set);
        }
        // Stopped is what it shall be: nothing is missing from the picture.
        Reading::Unknown(_) if desired.server.state == ServerState::Stopped => {}
        Reading::Unknown(_)
            if !matches!(observed.process, Reading::Known(ProcessState::Running { .. })) =>
        {
            set.unknown.push(
                "accounts, groups and rooms: they can be compared once the server runs".to_owned(),
            );
        }
        Reading::Unknown(why) => set.unknown.push(format!("accounts, groups and rooms: {why}")),
    }
    set
}

/// What becomes of an object on the server that is not declared.
enum Fate {
    Leave,
    Forget,
    Delete(&'static str),
}

fn fate(desired: &DesiredState, owned: Option<DeletionPolicy>) -> Fate {
    use crate::domain::spec::Prune;
    match (owned, desired.policy.prune) {
        (Some(DeletionPolicy::Retain), Prune::Managed) => Fate::Forget,
        (Some(DeletionPolicy::Delete), Prune::Managed | Prune::All) => {
            Fate::Delete("owned, and no longer declared")
        }
        (None, Prune::All) => Fate::Delete("not declared, and policy.prune is all"),
        // A retained one that was forgotten would be one of those not declared.
        (Some(DeletionPolicy::Retain), Prune::All) | (None, Prune::Managed) | (_, Prune::None) => {
            Fate::Leave
        }
    }
}
