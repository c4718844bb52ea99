//! The differences between desired and observed state.
//!
//! Pure. What is not known for certain yields no change, only a note.

mod affiliations;
mod groups;
mod limits;
mod reach;
mod rooms;
mod server;
mod step;
mod users;

use std::collections::BTreeMap;

use super::inventory::Inventory;
use super::model::{Digest, Kind, ObjectKey, Vhost};
use super::observed::{ObservedState, ProcessState, Reading};
use super::spec::{DeletionPolicy, DesiredState, ServerState};

pub use step::{
    Action, ConfigChange, ConfigSource, GroupChange, ObjectAction, ObjectStep, ServerAction,
    ServerStep, Step, StepInfo,
};

/// All differences of one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeSet {
    /// What differs in the server as a whole.
    pub server: Vec<ServerStep>,
    /// What differs in the objects on the server.
    pub objects: Vec<ObjectStep>,
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

    /// What differs, for reports.
    pub fn infos(&self) -> impl Iterator<Item = &StepInfo> {
        self.server.iter().map(Step::info).chain(self.objects.iter().map(Step::info))
    }

    /// Removes every step about accounts, groups, rooms and affiliations.
    pub fn leave_objects(&mut self) {
        self.objects.retain(|step| matches!(step.key(), ObjectKey::Server(_)));
        self.adopt.clear();
        self.forget.clear();
    }

    /// Whether the server itself changes first, so that it may offer other services to rooms
    /// afterwards.
    fn server_changes(&self) -> bool {
        self.server.iter().any(|step| !step.action().is_latched())
            || self.objects.iter().any(|step| matches!(step.key(), ObjectKey::Server(_)))
    }

    /// Adds a step about an object, without fields.
    fn push(&mut self, action: ObjectAction, reason: &str) {
        self.push_fields(action, Vec::new(), reason);
    }

    /// Adds a step about an object.
    fn push_fields(&mut self, action: ObjectAction, fields: Vec<String>, reason: &str) {
        self.objects.push(Step::new(action, fields, reason));
    }

    /// Adds a step about the server, without fields.
    fn push_server(&mut self, action: ServerAction, reason: &str) {
        self.server.push(Step::new(action, Vec::new(), reason));
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
    orphans(desired, inventory, &mut set);
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

/// Owned accounts on hosts that the file does not name any more. They are left
/// alone: a host that was renamed must not look like the end of its accounts.
fn orphans(desired: &DesiredState, inventory: &Inventory, set: &mut ChangeSet) {
    let mut orphans: BTreeMap<String, usize> = BTreeMap::new();
    for (jid, _) in inventory.users() {
        if !desired.serves(&jid.host) {
            *orphans.entry(jid.host.to_string()).or_default() += 1;
        }
    }
    for (host, count) in orphans {
        set.notes.push(format!(
            "{count} owned accounts are on {host}, which the file does not name any more: they are \
             left alone; add it to `spec.hosts` to go on managing them, or let them go with \
             `ejabberd-operator forget --host {host}`"
        ));
    }
}
