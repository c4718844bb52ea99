//! Builds the report of a reconciliation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::deferral::Deferral;
use super::report::{RoundReport, StepOutcome, StepResult};
use super::round::View;
use crate::domain::diff::ChangeSet;
use crate::domain::model::{Kind, ObjectKey};
use crate::domain::observed::Reading;
use crate::domain::plan;
use crate::domain::plan::{Blocked, Plan};
use crate::domain::spec::DesiredState;
use crate::domain::status::overview::{Differences, ObjectState};
use crate::domain::status::{Counts, overview};

/// The start time and the duration of a reconciliation.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Took {
    pub(in crate::engine) started: Timestamp,
    pub(in crate::engine) took: Duration,
}

/// Builds the report from the observation, the plan and the outcomes.
pub(in crate::engine) fn report(
    desired: &DesiredState,
    view: View,
    plan: Plan,
    outcomes: Vec<StepOutcome>,
    held: Option<&'static str>,
    time: Took,
) -> RoundReport {
    let Took { started, took } = time;
    let View { inventory, state, server_stats, set } = view;
    let mut drift = BTreeMap::new();
    for step in set.infos() {
        *drift.entry((step.kind(), step.op)).or_default() += 1;
    }
    let count = |kind: Kind, desired: Option<usize>| Counts {
        desired: desired.unwrap_or(0),
        managed: inventory.count(kind),
        unmanaged: set.unmanaged.iter().filter(|k| **k == kind).count(),
    };
    let objects = BTreeMap::from([
        (Kind::User, count(Kind::User, desired.users.as_ref().map(BTreeMap::len))),
        (Kind::Group, count(Kind::Group, desired.groups.as_ref().map(BTreeMap::len))),
        (Kind::Room, count(Kind::Room, desired.rooms.as_ref().map(BTreeMap::len))),
        (Kind::Affiliation, count(Kind::Affiliation, Some(affiliations(desired)))),
    ]);
    let config = match &state.config {
        Some(Reading::Known(reading)) => Some(reading.in_force.clone()),
        _ => None,
    };
    let not_in_force = plan::not_in_force(&set);
    let plan =
        Plan { unknown: set.unknown.clone(), notes: set.notes.clone(), not_in_force, ..plan };
    let states = object_states(&set, &plan, &outcomes);
    let overview = overview::overview(desired, &state, &inventory, &states);
    RoundReport {
        started,
        took,
        plan,
        outcomes,
        observed: state,
        server_stats,
        drift,
        objects,
        config,
        held,
        vanished: 0,
        overview: Arc::new(overview),
    }
}

/// Returns the states of the objects that do not match the desired state after a reconciliation.
fn object_states(set: &ChangeSet, plan: &Plan, outcomes: &[StepOutcome]) -> Differences {
    let refused = plan.blocked.iter().flat_map(Blocked::steps);
    let refused: BTreeSet<ObjectKey> = refused.map(|step| step.key().clone()).collect();
    let mut found: Differences = BTreeMap::new();
    for (key, why) in &set.not_in_force {
        let (_, all) =
            found.entry(key.clone()).or_insert_with(|| (ObjectState::NotInForce, String::new()));
        *all = if all.is_empty() { why.clone() } else { format!("{all}; {why}") };
    }
    for step in set.infos() {
        let state =
            if refused.contains(&step.key) { ObjectState::Refused } else { ObjectState::Differs };
        found.insert(step.key.clone(), (state, step.reason.clone()));
    }
    for outcome in outcomes {
        let (state, why) = match &outcome.result {
            StepResult::Done => continue,
            StepResult::Failed(error) => (ObjectState::Failing, format!("failed to {error}")),
            StepResult::Deferred(why @ Deferral::Contended) => {
                (ObjectState::Contested, format!("{why} ({})", outcome.step.reason))
            }
            StepResult::Deferred(why @ Deferral::Backoff) => {
                (ObjectState::Failing, format!("{why}; the operator tries again later"))
            }
            StepResult::Deferred(why) => {
                (ObjectState::Waiting, format!("{}; {why}", outcome.step.reason))
            }
        };
        if found.contains_key(&outcome.step.key) {
            found.insert(outcome.step.key.clone(), (state, why));
        }
    }
    found
}

/// Returns the number of declared affiliations, where each group counts as the members of the
/// group.
fn affiliations(desired: &DesiredState) -> usize {
    let rooms = desired.rooms.iter().flat_map(|rooms| rooms.values()).filter(|room| room.present);
    rooms.filter_map(|room| desired.affiliations_of(room)).map(|wanted| wanted.len()).sum()
}

/// Returns the later plan, with the earlier steps of the server as done steps.
pub(in crate::engine) fn with_steps_before(later: Plan, outcomes: &[StepOutcome]) -> Plan {
    let done = outcomes.iter().map(|outcome| outcome.step.clone()).collect();
    let plan = Plan { done, server: Vec::new(), ..later };
    let summary = plan::count(plan.steps(), plan.summary);
    Plan { summary, ..plan }
}
