//! Floor 2: the differences between desired and observed state.
//!
//! Pure. What is not known for certain yields no change, only a note.

mod rooms;
mod users;

use std::collections::BTreeMap;

use crate::inventory::Inventory;
use crate::model::{Digest, Jid, Kind, ObjectKey, Op, RoomJid};
use crate::observed::{ObservedState, ProcessState, Reading};
use crate::spec::{DeletionPolicy, DesiredState, OptionValue, ServerState};

/// What carries out a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the server and start it.
    CreateServer,
    /// Start the server.
    StartServer,
    /// Stop the server.
    StopServer,
    /// Put the declared configuration in force.
    ApplyConfig {
        /// The digest of the declared files.
        digest: Digest,
    },
    /// Make an account.
    CreateUser(Jid),
    /// Set an account's password to the declared one.
    SetPassword(Jid),
    /// Delete an account.
    DeleteUser(Jid),
    /// Make a room with its declared options.
    CreateRoom(RoomJid),
    /// Change options of a room.
    SetRoomOptions(RoomJid, Vec<(String, OptionValue)>),
    /// Delete a room.
    DeleteRoom(RoomJid),
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
}

impl ChangeSet {
    fn push(
        &mut self,
        kind: Kind,
        name: &(impl ToString + ?Sized),
        op: Op,
        reason: &str,
        action: Action,
    ) {
        self.changes.push(Change {
            key: ObjectKey::new(kind, name),
            op,
            fields: Vec::new(),
            reason: reason.to_owned(),
            action,
        });
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
    server(desired, observed, &mut set);
    config(desired, observed, &mut set);
    match &observed.version {
        Reading::Known(_) => {
            users::diff(desired, observed, inventory, &mut set);
            rooms::diff(desired, observed, inventory, &mut set);
        }
        // Stopped is what it shall be: nothing is missing from the picture.
        Reading::Unknown(_) if desired.server.state == ServerState::Stopped => {}
        Reading::Unknown(_)
            if !matches!(observed.process, Reading::Known(ProcessState::Running { .. })) =>
        {
            set.unknown
                .push("accounts and rooms: they can be compared once the server runs".to_owned());
        }
        Reading::Unknown(why) => set.unknown.push(format!("accounts and rooms: {why}")),
    }
    set
}

fn server(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let name = match &desired.server.runtime {
        crate::spec::Runtime::Docker(docker) => docker.container.as_str(),
        crate::spec::Runtime::Process(_) | crate::spec::Runtime::External(_) => {
            desired.name.as_str()
        }
    };
    let state = match &observed.process {
        Reading::Known(state) => state,
        Reading::Unknown(why) => return set.unknown.push(format!("the server: {why}")),
    };
    match (desired.server.state, state) {
        (ServerState::Running, ProcessState::Absent) => {
            set.push(Kind::Server, name, Op::Create, "declared, not there", Action::CreateServer);
        }
        (ServerState::Running, ProcessState::Created) => {
            set.push(Kind::Server, name, Op::Create, "made, never started", Action::CreateServer);
        }
        (ServerState::Running, ProcessState::Stopped { .. }) => {
            set.push(Kind::Server, name, Op::Update, "it does not run", Action::StartServer);
        }
        (ServerState::Stopped, ProcessState::Running { .. }) => {
            set.push(Kind::Server, name, Op::Update, "declared stopped", Action::StopServer);
        }
        (ServerState::Running, ProcessState::Running { .. })
        | (
            ServerState::Stopped,
            ProcessState::Absent | ProcessState::Created | ProcessState::Stopped { .. },
        ) => set.unchanged += 1,
    }
}

fn config(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let (Some(config), Some(reading)) = (&desired.config, &observed.config) else { return };
    match reading {
        Reading::Unknown(why) => set.unknown.push(format!("the configuration: {why}")),
        Reading::Known(reading) if reading.declared == reading.in_force => set.unchanged += 1,
        Reading::Known(reading) => set.push(
            Kind::Config,
            &config.variant,
            Op::Update,
            "differs from what is on the server",
            Action::ApplyConfig { digest: reading.declared.clone() },
        ),
    }
}

/// What becomes of an object on the server that is not declared.
enum Fate {
    Leave,
    Forget,
    Delete(&'static str),
}

fn fate(desired: &DesiredState, owned: Option<DeletionPolicy>) -> Fate {
    use crate::spec::Prune;
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
