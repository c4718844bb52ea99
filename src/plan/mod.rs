//! Floor 2: from differences to ordered steps, past the guard.

mod guard;

use serde::Serialize;

pub use guard::{Blocked, digest};

use crate::diff::{Action, Change, ChangeSet};
use crate::inventory::Inventory;
use crate::model::{Digest, Kind, ObjectKey, Op, Revision};
use crate::spec::DesiredState;

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The revision that it serves.
    pub revision: Revision,
    /// The hash of the deletions that were refused; approving it lets them through.
    pub digest: Digest,
    /// What the guard refused.
    pub blocked: Option<Blocked>,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
    /// The numbers.
    pub summary: Summary,
    /// What could not be compared, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What an administrator should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether nothing at all is left to do, refused or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_none()
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
    let (steps, blocked, digest) = guard::guard(steps, set, desired, inventory, approved);
    // Refused, and let through by the approval.
    let refused = digest != guard::digest(&[]);
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
        unknown: set.unknown.clone(),
        notes,
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
    if blocked.is_some() {
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
