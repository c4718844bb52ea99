//! The guard: refuses a plan that deletes too much, or that fills another store of
//! accounts without approval.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::diff::{ChangeSet, ObjectAction, ObjectStep, Step};
use crate::domain::inventory::Inventory;
use crate::domain::model::{Digest, Jid, Kind, ObjectKey, Op};
use crate::domain::spec::{DesiredState, UserState};

/// The kinds whose deletions are counted.
const GUARDED: [Kind; 3] = [Kind::User, Kind::Group, Kind::Room];

/// The refused steps, and why.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Blocked {
    /// Why, and how to let it through.
    pub reason: String,
    /// The deletions that wait.
    pub deletions: Vec<ObjectStep>,
    /// The accounts that are not created, because those of the same names are
    /// left behind in another store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creations: Vec<ObjectStep>,
}

impl Blocked {
    /// Everything that waits.
    pub fn steps(&self) -> impl Iterator<Item = &ObjectStep> {
        self.deletions.iter().chain(&self.creations)
    }
}

/// The hash of a set of refused steps, whatever their order: kind, operation and
/// name of each. A commit that only approves it does not change it.
#[must_use]
pub fn digest<'s>(refused: impl IntoIterator<Item = &'s ObjectStep>) -> Digest {
    digest_after(refused, 0)
}

/// The same of a set that was let through `used` times before: each approval counts
/// once, so the next one has another digest.
fn digest_after<'s>(refused: impl IntoIterator<Item = &'s ObjectStep>, used: u32) -> Digest {
    let mut lines: Vec<String> = refused
        .into_iter()
        .map(|step| format!("{}\t{}\t{}\n", step.kind(), step.op(), step.key().name()))
        .collect();
    lines.sort();
    if used > 0 {
        lines.push(format!("used\t{used}\n"));
    }
    let mut hash = Sha256::new();
    for line in &lines {
        hash.update(line.as_bytes());
    }
    let digits = hex::encode(hash.finalize());
    Digest::new(digits.get(..32).unwrap_or(&digits))
}

/// What the guard decides by.
#[derive(Clone, Copy)]
pub struct GuardContext<'a> {
    /// What differs.
    pub set: &'a ChangeSet,
    /// What is declared.
    pub desired: &'a DesiredState,
    /// What is owned.
    pub inventory: &'a Inventory,
    /// A digest given by hand, beside the one in the file.
    pub approved: Option<&'a Digest>,
}

/// What the guard makes of steps.
pub struct Guarded {
    /// Those that may be carried out.
    pub steps: Vec<ObjectStep>,
    /// Those that may not.
    pub blocked: Option<Blocked>,
    /// The digest of the refused steps, approved or not.
    pub digest: Digest,
    /// The refused steps that an approval permits.
    pub approved: Option<Approved>,
}

/// Refused steps that an approval lets through.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// Their digest, had no approval been used before.
    pub digest: Digest,
    /// The steps.
    pub steps: Vec<ObjectStep>,
}

/// Takes what is refused out of `steps`, unless its digest is approved: the
/// deletions of every kind that is over its limit, and the accounts of hosts
/// whose accounts are left behind elsewhere. `created` says how many objects of
/// each kind there are more after the plan.
#[must_use]
pub fn guard(
    steps: Vec<ObjectStep>,
    context: GuardContext<'_>,
    created: &BTreeMap<Kind, usize>,
) -> Guarded {
    let mut why: Vec<String> = Vec::new();
    let mut over = Vec::new();
    for kind in GUARDED {
        let created = created.get(&kind).copied().unwrap_or(0);
        if let Some(reason) = refusal(kind, &steps, context, created) {
            over.push(kind);
            why.push(reason);
        }
    }
    let (deletions, rest): (Vec<ObjectStep>, Vec<ObjectStep>) =
        steps.into_iter().partition(|step| step.op() == Op::Delete && over.contains(&step.kind()));
    let left_behind = &context.set.left_behind;
    let is_left_behind = |step: &ObjectStep| matches!(step.action(), ObjectAction::CreateUser(jid) if left_behind.contains_key(&jid.host));
    let (creations, passing): (Vec<ObjectStep>, Vec<ObjectStep>) =
        rest.into_iter().partition(is_left_behind);
    if !creations.is_empty() {
        why.extend(left_behind.values().cloned());
    }
    // The new store cannot be read before the configuration is in force, so every
    // declared account of the host counts as a creation.
    let would_leave = &context.set.would_leave;
    let declared = context.desired.users.iter().flatten();
    let predicted = declared.filter(|(jid, user)| {
        user.state == UserState::Present && would_leave.contains_key(&jid.host)
    });
    let predicted: Vec<ObjectStep> = predicted.map(|(jid, _)| predicted_creation(jid)).collect();
    if !predicted.is_empty() {
        why.extend(would_leave.values().cloned());
    }
    let refused = || deletions.iter().chain(&creations).chain(&predicted);
    let first = digest(refused());
    let used = context.set.approvals_used.get(&first).copied().unwrap_or(0);
    let digest = digest_after(refused(), used);
    let in_file = context.desired.policy.guard.approve.as_ref();
    let nothing = deletions.is_empty() && creations.is_empty() && predicted.is_empty();
    if nothing || in_file == Some(&digest) || context.approved == Some(&digest) {
        let approved = (!nothing).then(|| Approved {
            digest: first.clone(),
            steps: deletions.iter().chain(&creations).cloned().collect(),
        });
        let mut steps = passing;
        steps.extend(deletions.into_iter().chain(creations));
        super::sort(&mut steps);
        return Guarded { steps, blocked: None, digest, approved };
    }
    let reason = format!("{}; approve the digest {digest} to let them through", why.join("; "));
    let creations = creations.into_iter().chain(predicted).collect();
    let blocked = Some(Blocked { reason, deletions, creations });
    Guarded { steps: passing, blocked, digest, approved: None }
}

fn predicted_creation(jid: &Jid) -> ObjectStep {
    Step::new(
        ObjectAction::CreateUser(jid.clone()),
        Vec::new(),
        "left behind by the declared configuration",
    )
}

/// Why the deletions of `kind` are too many, if they are: counted against what
/// is there after the plan. Only objects of declared hosts count: objects of a host
/// that is no longer declared are left alone, and must not make the rest look
/// small.
fn refusal(
    kind: Kind,
    steps: &[ObjectStep],
    context: GuardContext<'_>,
    created: usize,
) -> Option<String> {
    let GuardContext { set, desired, inventory, approved: _ } = context;
    let deleted = || steps.iter().filter(|step| step.kind() == kind && step.op() == Op::Delete);
    let deletions = deleted().count();
    if deletions == 0 {
        return None;
    }
    let owned = inventory.of_kind(kind).filter(|(key, _)| is_ours(desired, key)).count();
    let owned_deletions = deleted().filter(|step| inventory.holds(step.key())).count();
    let present = set.present.get(&kind).copied().unwrap_or(0);
    // What is declared and deleted was ordered by name (`state: absent`), not concluded.
    let concluded = deleted().any(|step| !desired.declares(step.key()));
    let emptied = concluded && deletions >= present + created;
    if emptied || (created == 0 && owned > 0 && owned_deletions >= owned) {
        let what = match (emptied, if emptied { deletions } else { owned }) {
            (true, 1) => format!("the only {kind} on the server"),
            (true, all) => format!("all {all} {kind}s on the server"),
            (false, 1) => format!("the only {kind} that is owned"),
            (false, all) => format!("all {all} {kind}s that are owned"),
        };
        return Some(format!("{what} would be deleted, which is never done without approval"));
    }
    let limits = &desired.policy.guard;
    let free = usize::try_from(limits.free_deletes).unwrap_or(usize::MAX);
    let percent = usize::from(limits.max_delete_percent);
    if deletions <= free || deletions.saturating_mul(100) <= owned.saturating_mul(percent) {
        return None;
    }
    Some(format!(
        "{deletions} {kind}s would be deleted, and {owned} are owned; more than {free} at once are \
         only deleted when that is at most {percent} % of those owned"
    ))
}

fn is_ours(desired: &DesiredState, key: &ObjectKey) -> bool {
    match key {
        ObjectKey::User(jid) => desired.serves(&jid.host),
        ObjectKey::Room(jid) => desired.serves_rooms_of(&jid.service),
        ObjectKey::Group(id) => id.host == desired.host,
        ObjectKey::Server(_) | ObjectKey::Config(_) | ObjectKey::Affiliation(_) => true,
    }
}
