//! The guard: refuses a plan that deletes too much.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Step;
use crate::diff::ChangeSet;
use crate::inventory::Inventory;
use crate::model::{Digest, Jid, Kind, Op, RoomJid};
use crate::spec::DesiredState;

/// The kinds whose deletions are counted.
const GUARDED: [Kind; 3] = [Kind::User, Kind::Group, Kind::Room];

/// What was refused, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Blocked {
    /// Why, and how to let it through.
    pub reason: String,
    /// The deletions that wait.
    pub deletions: Vec<Step>,
}

/// The hash of a set of deletions, whatever their order: kind, operation and
/// name of each. A commit that only approves it does not change it.
#[must_use]
pub fn digest(deletions: &[Step]) -> Digest {
    let mut lines: Vec<String> = deletions
        .iter()
        .map(|step| format!("{}\t{}\t{}\n", step.kind, step.op, step.name))
        .collect();
    lines.sort();
    let mut hash = Sha256::new();
    for line in &lines {
        hash.update(line.as_bytes());
    }
    let hex = hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    Digest::new(hex.get(..32).unwrap_or(&hex))
}

/// Takes the deletions of every kind that is over its limit out of `steps`,
/// unless their digest is approved.
pub(super) fn guard(
    steps: Vec<Step>,
    set: &ChangeSet,
    desired: &DesiredState,
    inventory: &Inventory,
    approved: Option<&Digest>,
) -> (Vec<Step>, Option<Blocked>, Digest) {
    let refused: Vec<(Kind, String)> = GUARDED
        .into_iter()
        .filter_map(|kind| Some((kind, refusal(kind, &steps, set, desired, inventory)?)))
        .collect();
    let (refused_steps, passing): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| {
        step.op == Op::Delete && refused.iter().any(|(kind, _)| *kind == step.kind)
    });
    let digest = digest(&refused_steps);
    let in_file = desired.policy.guard.approve.as_ref();
    if refused_steps.is_empty() || in_file == Some(&digest) || approved == Some(&digest) {
        let mut steps = passing;
        // Deletions were last in the order, and still are.
        steps.extend(refused_steps);
        steps.sort_by_key(super::order);
        return (steps, None, digest);
    }
    let why: Vec<&str> = refused.iter().map(|(_, why)| why.as_str()).collect();
    let reason = format!("{}; approve the digest {digest} to let them through", why.join("; "));
    (passing, Some(Blocked { reason, deletions: refused_steps }), digest)
}

/// Why the deletions of `kind` are too many, if they are. Only what is on our
/// hosts counts: objects of a host that is no longer declared are left alone,
/// and must not make the rest look small.
fn refusal(
    kind: Kind,
    steps: &[Step],
    set: &ChangeSet,
    desired: &DesiredState,
    inventory: &Inventory,
) -> Option<String> {
    let of_kind = |op: Op| steps.iter().filter(move |step| step.kind == kind && step.op == op);
    let deletions = of_kind(Op::Delete).count();
    if deletions == 0 {
        return None;
    }
    let owned = inventory.of_kind(kind).filter(|(name, _)| is_ours(desired, kind, name)).count();
    let owned_deletions = of_kind(Op::Delete).filter(|step| inventory.holds(&step.key())).count();
    let present = set.present.get(&kind).copied().unwrap_or(0);
    let nothing_new = of_kind(Op::Create).next().is_none();
    // What is declared and deleted was ordered by name (`state: absent`), not concluded.
    let emptied =
        deletions >= present && of_kind(Op::Delete).any(|step| !desired.declares(&step.key()));
    if nothing_new && (emptied || (owned > 0 && owned_deletions >= owned)) {
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
        "{deletions} {kind}s would be deleted, and {owned} are owned; more than {free} at once are only deleted when that is at most {percent} % of those owned"
    ))
}

fn is_ours(desired: &DesiredState, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::User => name.parse::<Jid>().is_ok_and(|jid| desired.serves(&jid.host)),
        Kind::Room => {
            name.parse::<RoomJid>().is_ok_and(|jid| desired.serves_rooms_of(&jid.service))
        }
        Kind::Group => name.parse::<Jid>().is_ok_and(|id| id.host == desired.host),
        Kind::Server | Kind::Config | Kind::Affiliation => true,
    }
}
