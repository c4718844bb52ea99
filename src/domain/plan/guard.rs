//! The guard: refuses steps that delete too much, or that create accounts in another account
//! store, without an approval.

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
    /// Why the steps are refused, and how to approve them.
    pub reason: String,
    /// The refused deletions.
    pub deletions: Vec<ObjectStep>,
    /// The refused creations: accounts of the same names are left behind in another store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creations: Vec<ObjectStep>,
}

impl Blocked {
    /// All refused steps.
    pub fn steps(&self) -> impl Iterator<Item = &ObjectStep> {
        self.deletions.iter().chain(&self.creations)
    }
}

/// The hash of the kind, operation and name of each refused step, independent of their order.
/// A commit that only approves the digest does not change it.
#[must_use]
pub fn digest<'s>(refused: impl IntoIterator<Item = &'s ObjectStep>) -> Digest {
    digest_after(refused, 0)
}

/// The digest of a set of steps that was approved `used` times before. Each approval counts
/// once, so the next approval needs another digest.
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

/// The data that the guard decides with.
#[derive(Clone, Copy)]
pub struct GuardContext<'a> {
    /// The differences.
    pub set: &'a ChangeSet,
    /// The desired state.
    pub desired: &'a DesiredState,
    /// The owned objects.
    pub inventory: &'a Inventory,
    /// A digest from the command line; the file may hold another digest.
    pub approved: Option<&'a Digest>,
}

/// The decision of the guard.
pub struct Guarded {
    /// The steps that may be carried out.
    pub steps: Vec<ObjectStep>,
    /// The steps that are refused.
    pub blocked: Option<Blocked>,
    /// The digest of the refused steps, approved or not.
    pub digest: Digest,
    /// The refused steps that an approval permits.
    pub approved: Option<Approved>,
}

/// Refused steps that an approval permits.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// The digest of the steps without earlier approvals.
    pub digest: Digest,
    /// The steps.
    pub steps: Vec<ObjectStep>,
}

/// Removes the refused steps from `steps`, unless their digest is approved: the deletions of
/// every kind that exceeds its limit, and the creations of accounts on hosts whose accounts are
/// left behind in another store. `created` is the number of objects of each kind that the plan
/// creates.
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
    let reason = format!("{}{}", why.join("; "), approval_hint(&digest));
    let creations = creations.into_iter().chain(predicted).collect();
    let blocked = Some(Blocked { reason, deletions, creations });
    Guarded { steps: passing, blocked, digest, approved: None }
}

/// The end of the reason of every refusal: how to permit the steps with this digest.
#[must_use]
pub fn approval_hint(digest: &Digest) -> String {
    format!("; approve the digest {digest} to permit them")
}

fn predicted_creation(jid: &Jid) -> ObjectStep {
    Step::new(
        ObjectAction::CreateUser(jid.clone()),
        Vec::new(),
        "left behind by the declared configuration",
    )
}

/// Why the deletions of `kind` are too many, compared with the objects that exist after the
/// plan; `None` if they are not. Only objects of declared hosts count: the operator does not
/// touch objects of other hosts, and they must not raise the limit.
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
    // A declared object is deleted by an explicit `state: absent`, not because its entry is
    // missing.
    let concluded = deleted().any(|step| !desired.declares(step.key()));
    let emptied = concluded && deletions >= present + created;
    if emptied || (created == 0 && owned > 0 && owned_deletions >= owned) {
        let what = match (emptied, if emptied { deletions } else { owned }) {
            (true, 1) => format!("the only {kind} on the server"),
            (true, all) => format!("all {all} {kind}s on the server"),
            (false, 1) => format!("the only owned {kind}"),
            (false, all) => format!("all {all} owned {kind}s"),
        };
        return Some(format!("{what} would be deleted, which needs an approval"));
    }
    let limits = &desired.policy.guard;
    let free = usize::try_from(limits.free_deletes).unwrap_or(usize::MAX);
    let percent = usize::from(limits.max_delete_percent);
    if deletions <= free || deletions.saturating_mul(100) <= owned.saturating_mul(percent) {
        return None;
    }
    Some(format!(
        "{deletions} {kind}s would be deleted, and {owned} are owned; more than {free} at once \
         need an approval, unless they are at most {percent} % of the owned {kind}s"
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
