//! Orders the steps for the differences, and lets the guard refuse dangerous steps.

mod guard;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

pub use guard::{Approved, Blocked, GuardContext, Guarded, approval_hint, digest, guard};

use super::diff::{ChangeSet, ObjectStep, ServerStep, Step, StepInfo};
use super::inventory::Inventory;
use super::model::{Digest, Kind, Op, Revision};
use super::spec::DesiredState;

/// The numbers of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Objects to create.
    pub create: usize,
    /// Objects to update.
    pub update: usize,
    /// Objects to delete, without the objects whose deletion the guard refused.
    pub delete: usize,
    /// Declared objects without a difference.
    pub unchanged: usize,
    /// Objects that are neither declared nor owned.
    pub unmanaged: usize,
}

/// The ordered steps of one reconciliation.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The revision of the desired state.
    pub revision: Revision,
    /// The hash of the refused steps; approving this digest permits them.
    pub digest: Digest,
    /// The steps that the guard refused.
    pub blocked: Option<Blocked>,
    /// The refused steps that an approval permits.
    pub approved: Option<Approved>,
    /// The steps of the server that were carried out before this plan.
    pub done: Vec<StepInfo>,
    /// The steps of the server, in this order.
    pub server: Vec<ServerStep>,
    /// The steps of the objects on the server, in this order, after those of the server.
    pub objects: Vec<ObjectStep>,
    /// The numbers.
    pub summary: Summary,
    /// Why the operator does not manage the server's database; `None` if it does. With a
    /// reason the plan has no steps.
    pub database_missing: Option<String>,
    /// Why the state directory is older than the server's database; `None` if it is not. With
    /// a reason the plan has no steps.
    pub state_outdated: Option<String>,
    /// Objects that could not be compared, and why.
    pub unknown: Vec<String>,
    /// Facts for an administrator that need no step.
    pub notes: Vec<String>,
    /// Declared settings that have no effect, and that no step can change.
    pub not_in_force: Vec<NotInForce>,
}

/// The ordered steps of one reconciliation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Plan")]
struct PublishedPlan<'a> {
    /// The revision of the desired state.
    revision: &'a Revision,
    /// The hash of the refused steps; approving this digest permits them.
    digest: &'a Digest,
    /// The steps that the guard refused.
    blocked: Option<&'a Blocked>,
    /// The steps, in this order.
    steps: Vec<&'a StepInfo>,
    /// The numbers.
    summary: Summary,
    /// Why the operator does not manage the server's database. The plan then has no steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_missing: Option<&'a str>,
    /// Why the state directory is older than the server's database. The plan then has no steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_outdated: Option<&'a str>,
    /// Objects that could not be compared, and why.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unknown: &'a [String],
    /// Facts for an administrator that need no step.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    /// Declared settings that have no effect, and that no step can change.
    #[serde(skip_serializing_if = "<[NotInForce]>::is_empty")]
    not_in_force: &'a [NotInForce],
}

impl JsonSchema for Plan {
    fn schema_name() -> Cow<'static, str> {
        PublishedPlan::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PublishedPlan::json_schema(generator)
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PublishedPlan {
            revision: &self.revision,
            digest: &self.digest,
            blocked: self.blocked.as_ref(),
            steps: self.steps(),
            summary: self.summary,
            database_missing: self.database_missing.as_deref(),
            state_outdated: self.state_outdated.as_deref(),
            unknown: &self.unknown,
            notes: &self.notes,
            not_in_force: &self.not_in_force,
        }
        .serialize(serializer)
    }
}

/// A declared setting that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotInForce {
    /// The kind of the object.
    pub kind: Kind,
    /// The name of the object.
    pub name: String,
    /// The field, and the module or option that prevents its effect.
    pub why: String,
}

impl std::fmt::Display for NotInForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, why } = self;
        write!(f, "the {kind} {name}: {why}")
    }
}

/// The declared settings that have no effect, and that no step can change.
#[must_use]
pub fn not_in_force(set: &ChangeSet) -> Vec<NotInForce> {
    let found = set.not_in_force.iter().map(|(key, why)| NotInForce {
        kind: key.kind(),
        name: key.name(),
        why: why.clone(),
    });
    found.collect()
}

impl Plan {
    /// Whether the plan has a step, carried out or not.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        !(self.done.is_empty() && self.server.is_empty() && self.objects.is_empty())
    }

    /// All steps for reports, in the published order.
    #[must_use]
    pub fn steps(&self) -> Vec<&StepInfo> {
        let server = self.server.iter().map(Step::info);
        let mut open: Vec<&StepInfo> = server.chain(self.objects.iter().map(Step::info)).collect();
        open.sort_by_key(|step| order(step));
        self.done.iter().chain(open).collect()
    }

    /// Whether the plan has no steps, not even refused steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_steps() && self.blocked.is_none() && self.withheld().is_none()
    }

    /// Why the plan has no steps at all; `None` if it may have steps.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.database_missing.as_deref().or(self.state_outdated.as_deref())
    }
}

/// Orders the steps, and lets the guard refuse dangerous steps. `approved` is a digest from the
/// command line; the file may hold another digest.
#[must_use]
pub fn plan(
    set: &ChangeSet,
    desired: &DesiredState,
    inventory: &Inventory,
    approved: Option<&Digest>,
) -> Plan {
    let (mut server, mut objects) = (set.server.clone(), set.objects.clone());
    sort(&mut server);
    sort(&mut objects);
    let mut created = BTreeMap::new();
    for step in objects.iter().filter(|step| step.op() == Op::Create) {
        *created.entry(step.kind()).or_default() += 1;
    }
    let context = GuardContext { set, desired, inventory, approved };
    let Guarded { steps: objects, blocked, digest, approved } = guard(objects, context, &created);
    // Includes refused steps that an approval permits.
    let refused = digest != guard::digest([]);
    let others =
        Summary { unchanged: set.unchanged, unmanaged: set.unmanaged.len(), ..Summary::default() };
    let infos = server.iter().map(Step::info).chain(objects.iter().map(Step::info));
    let summary = count(infos, others);
    let mut notes = set.notes.clone();
    notes.extend(approval(desired, blocked.as_ref(), &digest, refused));
    Plan {
        revision: desired.revision.clone(),
        digest,
        blocked,
        approved,
        done: Vec::new(),
        server,
        objects,
        summary,
        database_missing: set.database_missing.clone(),
        state_outdated: set.state_outdated.clone(),
        unknown: set.unknown.clone(),
        notes,
        not_in_force: not_in_force(set),
    }
}

/// A note about the approval in the file. A useless approval should leave the file: it would
/// permit the same deletions again later.
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
            "policy.guard.approve names {approved}, but the digest of the refused steps is \
             {digest}: the steps are not the approved ones"
        ));
    }
    (!refused).then(|| {
        format!("policy.guard.approve names {approved}, but no step waits for it: remove the line")
    })
}

/// Counts `steps`. The numbers of objects without a step come from `others`.
#[must_use]
pub fn count<'s>(steps: impl IntoIterator<Item = &'s StepInfo>, others: Summary) -> Summary {
    let mut summary = Summary { create: 0, update: 0, delete: 0, ..others };
    for step in steps {
        match step.op {
            Op::Create => summary.create += 1,
            Op::Update => summary.update += 1,
            Op::Delete => summary.delete += 1,
        }
    }
    summary
}

/// Sorts steps into the order of a plan, and by name.
fn sort<A>(steps: &mut [Step<A>]) {
    steps.sort_by_cached_key(|step| (order(step.info()), step.key().name()));
}

/// The position of a step. Steps that create and update come first, from the server to the
/// affiliations; then steps that delete, in reverse, so that no remaining object refers to a
/// deleted object.
const fn order(step: &StepInfo) -> (bool, i8) {
    let rank = match step.kind() {
        Kind::Server => 0,
        Kind::Config => 1,
        Kind::User => 2,
        Kind::Group => 3,
        Kind::Room => 4,
        Kind::Affiliation => 5,
    };
    match step.op {
        Op::Create | Op::Update => (false, rank),
        Op::Delete => (true, -rank),
    }
}
