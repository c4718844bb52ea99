//! Floor 2: the differences between desired and observed state.
//!
//! Pure. What is not known for certain yields no change, only a note.

mod rooms;
mod users;

use std::collections::BTreeMap;

use crate::inventory::Inventory;
use crate::model::{Digest, Jid, Kind, ObjectKey, Op, RoomJid};
use crate::observed::{ConfigReading, ObservedState, ProcessState, Reading};
use crate::spec::{
    Config, ConfigApply, DeletionPolicy, DesiredState, OptionValue, Recreate, Runtime, ServerState,
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
    if desired.server.state == ServerState::Running
        && matches!(observed.process, Reading::Known(ProcessState::Running { .. }))
    {
        surroundings(desired, observed, &mut set);
    }
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
    if let Reading::Known(reading) = reading {
        set.notes.extend(reading.notes.iter().cloned());
    }
    match reading {
        Reading::Unknown(why) => set.unknown.push(format!("the configuration: {why}")),
        Reading::Known(_) if desired.server.state == ServerState::Stopped => {
            // It is put in force, and judged, when the server runs again.
        }
        Reading::Known(ConfigReading { latched: None, declared, in_force, .. })
            if declared == in_force =>
        {
            set.unchanged += 1;
        }
        Reading::Known(reading) => {
            let mut change = config_change(config, reading);
            let first = matches!(observed.process, Reading::Known(ProcessState::Absent));
            if first && reading.latched.is_none() {
                "put in place before the first start".clone_into(&mut change.reason);
                change.fields.clear();
            }
            set.changes.push(change);
        }
    }
}

fn config_change(config: &Config, reading: &ConfigReading) -> Change {
    let ConfigReading { declared, latched, standing, changes, restarts, .. } = reading;
    let always = config.apply == ConfigApply::Restart;
    let restart = always || !restarts.is_empty();
    let how = match (always, restarts.as_slice()) {
        (_, []) if !restart => "a reload is enough".to_owned(),
        (true, _) => "by a restart, as spec.config.apply says".to_owned(),
        (false, restarts) => format!("a restart is needed: {}", restarts.join("; ")),
    };
    let (digest, variant, reason, standing, latched) = match (latched, standing) {
        // Somebody changed what stands in for a declared one that failed.
        (Some(_), Some(good)) if !good.in_force => {
            let reason = format!("changed on the server; the last good one is put back: {how}");
            (good.digest.clone(), good.variant.clone(), reason, true, None)
        }
        (Some(latched), _) => {
            let reason = format!(
                "not tried again until it changes, or `ejabberd-operator retry`: {}",
                latched.message
            );
            let why = Some(latched.message.clone());
            (declared.clone(), config.variant.clone(), reason, false, why)
        }
        (None, _) => {
            let reason = format!("differs from what is on the server; {how}");
            (declared.clone(), config.variant.clone(), reason, false, None)
        }
    };
    Change {
        key: ObjectKey::new(Kind::Config, &variant),
        op: Op::Update,
        fields: changes.clone(),
        reason,
        action: Action::ApplyConfig { digest, restart, standing, latched },
    }
}

/// How the server is set up beside how it is declared.
fn surroundings(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let Runtime::Docker(docker) = &desired.server.runtime else { return };
    let Reading::Known(Some(found)) = &observed.surroundings else { return };
    let mut change = |fields: Vec<String>, reason: String, action| {
        let key = ObjectKey::new(Kind::Server, &docker.container);
        set.changes.push(Change { key, op: Op::Update, fields, reason, action });
    };
    match &found.restarted_by {
        Some(who) if found.ours => {
            let reason = format!("{who} restarts it as well, and gets in the way");
            change(vec!["restartPolicy".to_owned()], reason, Action::OwnRestarts);
        }
        Some(who) => set.notes.push(format!(
            "{who} restarts it as well: it is given ten seconds before the operator does; \
             `docker update --restart=no {}` leaves it to the operator alone",
            docker.container
        )),
        None => {}
    }
    let Some(first) = found.differences.first() else { return };
    let all = found.differences.join("; ");
    match (docker.recreate, &found.irreplaceable) {
        (Recreate::Never, _) => {
            set.notes.push(format!("the container differs ({all}); recreate is never"));
        }
        (Recreate::WhenChanged, Some(why)) => {
            set.unknown.push(format!("the container differs ({first}) and is not replaced: {why}"));
        }
        (Recreate::WhenChanged, None) => {
            let field = |text: &String| text.split(':').next().unwrap_or_default().to_owned();
            let fields = found.differences.iter().map(field).collect();
            change(fields, format!("replaced on the same volumes: {all}"), Action::ReplaceServer);
        }
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
