//! Computes the differences between the desired state and the observed state.
//!
//! The functions do no I/O. An unknown reading adds no step, only a report in `unknown` or `notes`.

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
    Action, ConfigChange, ConfigSource, GroupChange, ObjectAction, ObjectStep, Phase, ServerAction,
    ServerStep, Step, StepInfo,
};

/// All differences that one reconciliation found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeSet {
    /// The steps for the server as a whole.
    pub server: Vec<ServerStep>,
    /// The steps for the objects on the server.
    pub objects: Vec<ObjectStep>,
    /// The number of declared objects without a difference.
    pub unchanged: usize,
    /// The kind of each object on the server that the operator does not manage; one entry for each
    /// object.
    pub unmanaged: Vec<Kind>,
    /// The declared objects that exist and are not owned yet.
    pub adopt: Vec<ObjectKey>,
    /// The owned objects whose ownership ends, for example because the object no longer exists or
    /// is retained.
    pub forget: Vec<ObjectKey>,
    /// The registered objects whose registration ends: the file declares the object absent, and the
    /// object does not exist.
    pub forget_registered: Vec<ObjectKey>,
    /// The number of objects on the declared hosts, by kind.
    pub present: BTreeMap<Kind, usize>,
    /// The objects that could not be compared, each with the reason.
    pub unknown: Vec<String>,
    /// The facts that an administrator must know and that need no step.
    pub notes: Vec<String>,
    /// The hosts whose accounts ejabberd now stores in another store, each with a description. The
    /// operator creates the accounts in the new store only after an approval.
    pub left_behind: BTreeMap<Vhost, String>,
    /// The hosts whose accounts ejabberd would store in another store with the declared
    /// configuration, each with a description. The operator puts the configuration in force only
    /// after an approval.
    pub would_leave: BTreeMap<Vhost, String>,
    /// The reason why the operator does not manage the server's database; `None` if the operator
    /// manages the database. If there is a reason, the plan has no steps.
    pub database_missing: Option<String>,
    /// The reason why the operator treats the state directory as older than the server's database;
    /// `None` if the state directory is current. If there is a reason, the plan has no steps.
    pub state_outdated: Option<String>,
    /// The number of times that each digest was used to approve refused steps.
    pub approvals_used: BTreeMap<Digest, u32>,
    /// The declared settings that have no effect, each with the object and a message. The message
    /// names the field and the module or option that prevents the effect.
    pub not_in_force: Vec<(ObjectKey, String)>,
}

impl ChangeSet {
    /// Returns the reason why the plan has no steps; `None` if the plan may have steps.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.database_missing.as_deref().or(self.state_outdated.as_deref())
    }

    /// Returns the information about every step, for reports.
    pub fn infos(&self) -> impl Iterator<Item = &StepInfo> {
        self.server.iter().map(Step::info).chain(self.objects.iter().map(Step::info))
    }

    /// Removes every step about accounts, groups, rooms and affiliations.
    pub fn leave_objects(&mut self) {
        self.objects.retain(|step| matches!(step.key(), ObjectKey::Server(_)));
        self.adopt.clear();
        self.forget.clear();
        self.forget_registered.clear();
    }

    /// Removes everything that a plan would do or report as unknown.
    pub fn withhold(&mut self) {
        self.leave_objects();
        self.server.clear();
        self.objects.clear();
        self.unknown.clear();
    }

    /// Whether a step changes the server before the objects. After such a step, the server may have
    /// other services for rooms.
    fn server_changes(&self) -> bool {
        self.server.iter().any(|step| !step.action().is_latched())
            || self.objects.iter().any(|step| matches!(step.key(), ObjectKey::Server(_)))
    }

    /// Ends the ownership and the registration of an object that is declared absent and does not
    /// exist.
    fn forget_absent(&mut self, key: ObjectKey, inventory: &Inventory) {
        if inventory.registered_by(&key).is_some() {
            self.forget_registered.push(key.clone());
        }
        if inventory.holds(&key) {
            self.forget.push(key);
        }
    }

    /// Adds a step for an object. The step lists no fields.
    fn push(&mut self, action: ObjectAction, reason: &str) {
        self.push_fields(action, Vec::new(), reason);
    }

    /// Adds a step for an object, with the fields that differ.
    fn push_fields(&mut self, action: ObjectAction, fields: Vec<String>, reason: &str) {
        self.objects.push(Step::new(action, fields, reason));
    }

    /// Adds a step for the server. The step lists no fields.
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
        // Report only this reason: for the same reason, every other reading is unknown too.
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
        // The server is declared stopped, so the plan is complete without the objects.
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

/// The treatment of an object on the server that is not declared.
enum Fate {
    Leave,
    /// The object stays, and its ownership ends, for a reason that completes "the object is …".
    Forget(String),
    Delete(&'static str),
}

fn fate(desired: &DesiredState, inventory: &Inventory, key: &ObjectKey) -> Fate {
    use crate::domain::spec::Prune;
    let owned = inventory.get(key).map(|owned| owned.deletion_policy);
    let registered = inventory.registered_by(key);
    match (owned, desired.policy.prune) {
        (Some(DeletionPolicy::Retain), Prune::Managed) => Fate::Forget("retained".to_owned()),
        // The client that registered the object uses the object, so no policy deletes the object.
        // End the ownership: otherwise the operator would delete the object as soon as the
        // registration ends.
        (Some(DeletionPolicy::Delete), Prune::Managed | Prune::All)
            if let Some(client) = registered =>
        {
            Fate::Forget(format!("registered by `{client}`"))
        }
        (None, Prune::All) if registered.is_some() => Fate::Leave,
        (Some(DeletionPolicy::Delete), Prune::Managed | Prune::All) => {
            Fate::Delete("owned, and no longer declared")
        }
        (None, Prune::All) => Fate::Delete("not declared, and policy.prune is all"),
        // A retained object must stay owned. If the ownership ended, the next reconciliation would
        // delete the object as an undeclared object.
        (Some(DeletionPolicy::Retain), Prune::All) | (None, Prune::Managed) | (_, Prune::None) => {
            Fate::Leave
        }
    }
}

/// Adds notes about owned accounts on hosts that the file no longer lists. The operator does not
/// touch these accounts: if an administrator renames a host in the file, the operator must not
/// delete the accounts of the host.
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::inventory::{Origin, Owned, Registration};
    use crate::domain::model::Revision;
    use crate::domain::spec::{SourceFile, validate};

    /// Returns the fate of an undeclared account in words. `registered` by the client `agents`.
    fn fate_of(prune: &str, owned: Option<DeletionPolicy>, registered: bool) -> String {
        let text = format!(
            "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\n\
             spec:\n  host: a.example\n  server: {{ docker: {{ container: xmpp }} }}\n  \
             policy: {{ prune: {prune} }}\n"
        );
        let desired =
            validate(&[SourceFile { path: "desired-state.yaml".into(), text }]).unwrap().desired;
        let key = ObjectKey::parse(Kind::User, "bot@a.example").unwrap();
        let since = Timestamp::UNIX_EPOCH;
        let owned = owned.map(|deletion_policy| Owned {
            origin: Origin::Created,
            since,
            revision: Revision::new("r"),
            deletion_policy,
            password: None,
            vcard: None,
            banned: None,
        });
        let mut inventory: Inventory =
            owned.into_iter().map(|owned| (key.clone(), owned)).collect();
        if registered {
            let client = "agents".to_owned();
            inventory.register(key.clone(), Registration { client, since });
        }
        match fate(&desired, &inventory, &key) {
            Fate::Leave => "leave".to_owned(),
            Fate::Forget(why) => format!("forget: {why}"),
            Fate::Delete(why) => format!("delete: {why}"),
        }
    }

    #[test]
    fn no_prune_policy_deletes_a_registered_object() {
        const OWNED: &str = "delete: owned, and no longer declared";
        const OTHERS: &str = "delete: not declared, and policy.prune is all";
        const REGISTERED: &str = "forget: registered by `agents`";
        let (delete, retain) = (Some(DeletionPolicy::Delete), Some(DeletionPolicy::Retain));
        for (prune, owned, unregistered, registered) in [
            ("managed", None, "leave", "leave"),
            ("managed", delete, OWNED, REGISTERED),
            ("managed", retain, "forget: retained", "forget: retained"),
            ("none", None, "leave", "leave"),
            ("none", delete, "leave", "leave"),
            ("none", retain, "leave", "leave"),
            ("all", None, OTHERS, "leave"),
            ("all", delete, OWNED, REGISTERED),
            ("all", retain, "leave", "leave"),
        ] {
            assert_eq!(fate_of(prune, owned, false), unregistered, "{prune} {owned:?}");
            assert_eq!(fate_of(prune, owned, true), registered, "{prune} {owned:?}, registered");
        }
    }
}
