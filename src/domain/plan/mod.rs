//! From differences to ordered steps, past the guard.

mod guard;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

pub use guard::{Approved, Blocked, GuardContext, Guarded, digest, guard};

use super::diff::{Action, Change, ChangeSet};
use super::inventory::Inventory;
use super::model::{Digest, Kind, ObjectKey, Op, Revision};
use super::spec::DesiredState;

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    /// The kind of the object.
    pub kind: Kind,
    /// What is done.
    pub op: Op,
    /// The object's name.
    pub name: String,
    /// The fields that differ.
    pub fields: Vec<String>,
    /// Why.
    pub reason: String,
    /// How.
    #[serde(skip)]
    pub action: Action,
}

impl Step {
    /// Whether it concerns the server as a whole, and has to be through before
    /// anything on it is looked at. How accounts are stored is a matter of the
    /// server that runs.
    #[must_use]
    pub fn is_of_server(&self) -> bool {
        matches!(self.kind, Kind::Server | Kind::Config)
            && !matches!(self.action, Action::StoreAccounts(_))
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey { kind: self.kind, name: self.name.clone() }
    }
}

/// The numbers of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Objects to create.
    pub create: usize,
    /// Objects to update.
    pub update: usize,
    /// Objects to delete, those not counted that the guard refused.
    pub delete: usize,
    /// Objects as declared.
    pub unchanged: usize,
    /// Objects of others.
    pub unmanaged: usize,
}

/// The ordered steps of one round.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Plan {
    /// The revision that it serves.
    pub revision: Revision,
    /// The hash of the deletions that were refused; approving it lets them through.
    pub digest: Digest,
    /// What the guard refused.
    pub blocked: Option<Blocked>,
    /// The refused steps that an approval permits.
    #[serde(skip)]
    pub approved: Option<Approved>,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
    /// The numbers.
    pub summary: Summary,
    /// Why the operator does not manage the server's database, if so: the plan then
    /// has no steps.
    #[serde(rename = "databaseMissing", skip_serializing_if = "Option::is_none")]
    pub database_missing: Option<String>,
    /// Why the state directory is older than the server's database, if it is: the
    /// plan then has no steps.
    #[serde(rename = "stateOutdated", skip_serializing_if = "Option::is_none")]
    pub state_outdated: Option<String>,
    /// What could not be compared, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What an administrator should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is declared and not in force, and no step can change.
    #[serde(rename = "notInForce", skip_serializing_if = "Vec::is_empty")]
    pub not_in_force: Vec<NotInForce>,
}

/// Something that is declared and not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotInForce {
    /// The kind of the object.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Which field, and which module or option stops it.
    pub why: String,
}

impl std::fmt::Display for NotInForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, why } = self;
        write!(f, "the {kind} {name}: {why}")
    }
}

/// What of the differences no step can change.
#[must_use]
pub fn not_in_force(set: &ChangeSet) -> Vec<NotInForce> {
    let found = set.not_in_force.iter().map(|(key, why)| NotInForce {
        kind: key.kind,
        name: key.name.clone(),
        why: why.clone(),
    });
    found.collect()
}

impl Plan {
    /// Whether nothing at all is left to do, refused or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_none() && self.withheld().is_none()
    }

    /// Why nothing at all is done to the server, if so.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.database_missing.as_deref().or(self.state_outdated.as_deref())
    }
}

/// Orders the changes and lets the guard look at them. `approved` is a digest
/// given by hand, beside the one in the file.
#[must_use]
pub fn plan(
    set: &ChangeSet,
    desired: &DesiredState,
    inventory: &Inventory,
    approved: Option<&Digest>,
) -> Plan {
    let mut steps: Vec<Step> = set.changes.iter().map(step).collect();
    steps.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
    let mut created = BTreeMap::new();
    for step in steps.iter().filter(|step| step.op == Op::Create) {
        *created.entry(step.kind).or_default() += 1;
    }
    let context = GuardContext { set, desired, inventory, approved };
    let Guarded { steps, blocked, digest, approved } = guard(steps, context, &created);
    // Refused, and let through by the approval.
    let refused = digest != guard::digest([]);
    let others =
        Summary { unchanged: set.unchanged, unmanaged: set.unmanaged.len(), ..Summary::default() };
    let summary = count(&steps, others);
    let mut notes = set.notes.clone();
    notes.extend(approval(desired, blocked.as_ref(), &digest, refused));
    Plan {
        revision: desired.revision.clone(),
        digest,
        blocked,
        steps,
        summary,
        approved,
        database_missing: set.database_missing.clone(),
        state_outdated: set.state_outdated.clone(),
        unknown: set.unknown.clone(),
        notes,
        not_in_force: not_in_force(set),
    }
}

/// What is to be said of the approval in the file. One that nothing waits for
/// would let the same deletions through again, some day.
fn approval(
    desired: &DesiredState,
    blocked: Option<&Blocked>,
    digest: &Digest,
    refused: bool,
) -> Option<String> {
    let approved = desired.policy.guard.approve.as_ref()?;
    if let Some(blocked) = blocked {
        if *approved == guard::digest(blocked.steps()) {
            return Some(format!(
                "policy.guard.approve names {approved}, which was used before: an approval counts \
                 once; {digest} approves the same deletions again"
            ));
        }
        return Some(format!(
            "policy.guard.approve names {approved}, and what is refused now is {digest}: the \
             deletions are not those that were approved"
        ));
    }
    (!refused).then(|| {
        format!("policy.guard.approve names {approved}, which nothing waits for: take it out")
    })
}

/// The numbers of `steps`; those of objects without a step are taken over.
#[must_use]
pub fn count(steps: &[Step], others: Summary) -> Summary {
    let count = |op: Op| steps.iter().filter(|step| step.op == op).count();
    Summary {
        create: count(Op::Create),
        update: count(Op::Update),
        delete: count(Op::Delete),
        ..others
    }
}

fn step(change: &Change) -> Step {
    Step {
        kind: change.key.kind,
        op: change.op,
        name: change.key.name.clone(),
        fields: change.fields.clone(),
        reason: change.reason.clone(),
        action: change.action.clone(),
    }
}

/// Everything that builds goes first, from the server to the affiliations;
/// then what takes away, in reverse, so that nothing is left that refers to
/// what is gone.
fn order(step: &Step) -> (bool, i8) {
    let rank = match step.kind {
        Kind::Server => 0,
        Kind::Config => 1,
        Kind::User => 2,
        Kind::Group => 3,
        Kind::Room => 4,
        Kind::Affiliation => 5,
    };
    let deletes = step.op == Op::Delete;
    (deletes, if deletes { -rank } else { rank })
}
