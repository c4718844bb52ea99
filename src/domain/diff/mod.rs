//! The differences between desired and observed state.
//!
//! Pure. An uncertain reading yields no change, only a note.

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
    /// The number of declared objects without a difference.
    pub unchanged: usize,
    /// Objects on the server that are neither declared nor owned, by kind.
    pub unmanaged: Vec<Kind>,
    /// Declared objects that exist and are not owned yet.
    pub adopt: Vec<ObjectKey>,
    /// Owned objects whose ownership ends: they no longer exist, or are retained.
    pub forget: Vec<ObjectKey>,
    /// The number of objects on the declared hosts that the operator could delete, by kind.
    pub present: BTreeMap<Kind, usize>,
    /// Objects that could not be compared, and why.
    pub unknown: Vec<String>,
    /// Facts for an administrator that need no step.
    pub notes: Vec<String>,
    /// Hosts whose accounts are now kept in another store, with a description. The operator
    /// creates their accounts there only after an approval.
    pub left_behind: BTreeMap<Vhost, String>,
    /// Hosts whose accounts the declared configuration would keep in another store, with a
    /// description. The configuration takes effect only after an approval.
    pub would_leave: BTreeMap<Vhost, String>,
    /// Why the operator does not manage the server's database; `None` if it does. With a
    /// reason the plan has no steps.
    pub database_missing: Option<String>,
    /// Why the state directory is older than the server's database; `None` if it is not. With
    /// a reason the plan has no steps.
    pub state_outdated: Option<String>,
    /// How often each digest was used to approve refused steps.
    pub approvals_used: BTreeMap<Digest, u32>,
    /// Declared settings that have no effect although they are written to the server: the
    /// object, the field, and the module or option that prevents the effect.
    pub not_in_force: Vec<(ObjectKey, String)>,
}

impl ChangeSet {
    /// Why the plan has no steps at all; `None` if it may have steps.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.database_missing.as_deref().or(self.state_outdated.as_deref())
    }

    /// All differences, for reports.
    pub fn infos(&self) -> impl Iterator<Item = &StepInfo> {
        self.server.iter().map(Step::info).chain(self.objects.iter().map(Step::info))
    }

    /// Removes every step about accounts, groups, rooms and affiliations.
    pub fn leave_objects(&mut self) {
        self.objects.retain(|step| matches!(step.key(), ObjectKey::Server(_)));
        self.adopt.clear();
        self.forget.clear();
    }

    /// Whether the server itself changes first. Its services for rooms may differ afterwards.
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

/// Compares the desired state with the observed state. `inventory` decides what happens to
/// objects that are not declared.
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
        // The server is declared stopped, so unread objects are no gap in the plan.
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

/// What happens to an object on the server that is not declared.
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
        // A retained object stays owned: forgotten, the next round would delete it as undeclared.
        (Some(DeletionPolicy::Retain), Prune::All) | (None, Prune::Managed) | (_, Prune::None) => {
            Fate::Leave
        }
    }
}

/// Adds notes about owned accounts on hosts that the file no longer lists. The operator does not
/// touch them: renaming a host must not delete its accounts.
fn orphans(desired: &DesiredState, inventory: &Inventory, set: &mut ChangeSet) {
    let mut orphans: BTreeMap<String, usize> = BTreeMap::new();
    for (jid, _) in inventory.users() {
        if !desired.serves(&jid.host) {
            *orphans.entry(jid.host.to_string()).or_default() += 1;
        }
    }
    for (host, count) in orphans {
        set.notes.push(format!(
            "{count} owned accounts are on {host}, which the file does not list any more: the \
             operator does not touch them; add {host} to `spec.hosts` to manage them again, or \
             run `ejabberd-operator forget --host {host}` to give up their ownership"
        ));
    }
}
