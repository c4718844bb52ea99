//! One round: observe, diff, plan, guard, apply, and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::error::StoreError;
use super::observe::Observation;
use super::ports::{Runtime, Secrets, Store, Telemetry};
use super::report::{ApplyError, RoundReport, StepOutcome, StepResult};
use super::server::Server;
use crate::diff::{self, ChangeSet};
use crate::inventory::{Inventory, Origin};
use crate::model::{Digest, Kind, ObjectKey, Op};
use crate::observed::{ObservedState, Reading};
use crate::plan::{self, Plan, Step};
use crate::spec::{DesiredState, Mode};
use crate::status::Counts;

/// A deleted room is gone a little after the server has said so.
const READ_BACK_TRIES: u32 = 5;
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

/// Everything that a round needs of the world.
pub struct Engine {
    /// The server's commands.
    pub server: Server,
    /// The server's process.
    pub runtime: Arc<dyn Runtime>,
    /// The operator's memory.
    pub store: Arc<dyn Store>,
    /// Passwords and files.
    pub secrets: Arc<dyn Secrets>,
    /// Who is told.
    pub telemetry: Arc<dyn Telemetry>,
}

/// What a round may do, beside what the desired state says.
pub struct Permission<'a> {
    /// A digest of deletions approved by hand.
    pub approved: Option<&'a Digest>,
    /// Why deletions wait, if they do.
    pub deletions_wait: Option<&'static str>,
    /// Whether a step is to wait, because its object failed a moment ago.
    pub backing_off: &'a (dyn Fn(&ObjectKey) -> bool + Sync),
}

impl Engine {
    /// Looks, and says what would be done.
    pub async fn plan(
        &self,
        desired: &DesiredState,
        approved: Option<&Digest>,
    ) -> Result<Plan, StoreError> {
        let inventory = self.store.inventory()?;
        let Observation { state, .. } = self.observe(desired, &inventory).await;
        let set = diff::diff(desired, &state, &inventory);
        Ok(plan::plan(&set, desired, &inventory, approved))
    }

    /// Carries out one round.
    pub async fn round(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
    ) -> Result<RoundReport, StoreError> {
        let (started, clock) = (Timestamp::now(), Instant::now());
        let held = held(desired);
        let mut view = self.look(desired, held.is_none()).await?;
        let mut plan = plan::plan(&view.set, desired, &view.inventory, permission.approved);
        let mut outcomes = Vec::new();
        if held.is_none() && !plan.steps.is_empty() {
            self.telemetry.begin(&plan);
            let (ready, deferred) = sort_out(plan.steps.clone(), permission);
            let (server, mut objects): (Vec<Step>, Vec<Step>) = ready
                .into_iter()
                .partition(|step| matches!(step.kind, Kind::Server | Kind::Config));
            outcomes.extend(deferred);
            if !server.is_empty() {
                let settled = self.settle_server(desired, server).await;
                // What was observed before it was started is worth nothing now.
                view = self.look(desired, true).await?;
                let later = plan::plan(&view.set, desired, &view.inventory, permission.approved);
                let (ready, deferred) = sort_out(later.steps.clone(), permission);
                objects = ready
                    .into_iter()
                    .filter(|step| !matches!(step.kind, Kind::Server | Kind::Config))
                    .collect();
                outcomes.retain(|outcome| matches!(outcome.step.kind, Kind::Server | Kind::Config));
                outcomes.extend(settled);
                outcomes.extend(
                    deferred.into_iter().filter(|outcome| {
                        !matches!(outcome.step.kind, Kind::Server | Kind::Config)
                    }),
                );
                plan = with_steps_before(later, &outcomes);
                if !objects.is_empty() {
                    self.telemetry.begin(&plan);
                }
            }
            if !objects.is_empty() {
                let applied = self.apply(desired, objects).await;
                outcomes.extend(applied);
            }
            if outcomes.iter().any(|outcome| matches!(outcome.result, StepResult::Done)) {
                view = self.read_back(desired, view, &mut outcomes).await?;
            }
        }
        let report = report(desired, view, plan, outcomes, held, (started, clock.elapsed()));
        self.telemetry.round(&report);
        Ok(report)
    }

    /// Observes and compares; unless that is only a look, adopts what is there
    /// and declared, and forgets what is gone.
    async fn look(&self, desired: &DesiredState, settle: bool) -> Result<View, StoreError> {
        let mut inventory = self.store.inventory()?;
        let observation = self.observe(desired, &inventory).await;
        let mut set = diff::diff(desired, &observation.state, &inventory);
        if settle {
            self.settle_inventory(desired, &mut inventory, &set, &observation)?;
            set.unknown.extend(self.publish(desired, &observation.state, &inventory).await);
        }
        let Observation { state, vitals, .. } = observation;
        Ok(View { inventory, state, vitals, set })
    }

    fn settle_inventory(
        &self,
        desired: &DesiredState,
        inventory: &mut Inventory,
        set: &ChangeSet,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let mut owned = BTreeMap::new();
        for key in &set.adopt {
            owned.insert(key.clone(), super::apply::owned(desired, key, Origin::Adopted));
        }
        for (key, fingerprint) in &observation.seen {
            let entry = owned.get(key).or_else(|| inventory.get(key)).cloned();
            let mut entry =
                entry.unwrap_or_else(|| super::apply::owned(desired, key, Origin::Adopted));
            entry.password = Some(fingerprint.clone());
            owned.insert(key.clone(), entry);
        }
        // A policy that changed in the file must be remembered before its
        // entry is gone: the entry cannot be asked then.
        for kind in [Kind::User, Kind::Room] {
            for (name, before) in inventory.of_kind(kind) {
                let key = ObjectKey::new(kind, name);
                let declared = is_declared(desired, &key);
                let policy = super::apply::declared_policy(desired, &key);
                if declared && policy != before.deletion_policy {
                    owned.entry(key).or_insert_with(|| before.clone()).deletion_policy = policy;
                }
            }
        }
        if owned.is_empty() && set.forget.is_empty() {
            return Ok(());
        }
        let owned: Vec<_> = owned.into_iter().collect();
        self.store.record(&owned, &set.forget)?;
        owned.into_iter().for_each(|(key, entry)| inventory.insert(key, entry));
        set.forget.iter().for_each(|key| inventory.remove(key));
        Ok(())
    }

    /// Success is believed only after reading it back: a step that was
    /// answered as done and still differs has failed.
    async fn read_back(
        &self,
        desired: &DesiredState,
        before: View,
        outcomes: &mut [StepOutcome],
    ) -> Result<View, StoreError> {
        let mut view = before;
        for _ in 0..READ_BACK_TRIES {
            view = self.look(desired, true).await?;
            let differing = differing(&view.set);
            if !outcomes.iter().any(|outcome| still_differs(outcome, &differing)) {
                break;
            }
            sleep(READ_BACK_PAUSE).await;
        }
        let differing = differing(&view.set);
        for outcome in outcomes {
            if still_differs(outcome, &differing) {
                outcome.result = StepResult::Failed(ApplyError::NotReadBack);
            }
        }
        Ok(view)
    }
}

/// Everything that the round saw and did, as it is told.
fn report(
    desired: &DesiredState,
    view: View,
    plan: Plan,
    outcomes: Vec<StepOutcome>,
    held: Option<&'static str>,
    (started, took): (Timestamp, Duration),
) -> RoundReport {
    let View { inventory, state, vitals, set } = view;
    let mut drift = BTreeMap::new();
    for change in &set.changes {
        *drift.entry((change.key.kind, change.op)).or_default() += 1;
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
    ]);
    let config = match &state.config {
        Some(Reading::Known(reading)) => Some(reading.in_force.clone()),
        _ => None,
    };
    let plan = Plan { unknown: set.unknown.clone(), notes: set.notes, ..plan };
    RoundReport {
        started,
        took,
        plan,
        outcomes,
        observed: state,
        vitals,
        drift,
        objects,
        config,
        held,
    }
}

/// What was seen, and what it means.
struct View {
    inventory: Inventory,
    state: ObservedState,
    vitals: super::report::Vitals,
    set: ChangeSet,
}

/// Why nothing is changed at all, if so.
fn held(desired: &DesiredState) -> Option<&'static str> {
    match desired.policy.mode {
        _ if desired.suspend => Some("spec.suspend is true"),
        Mode::Report => Some("policy.mode is report"),
        Mode::Enforce => None,
    }
}

fn is_declared(desired: &DesiredState, key: &ObjectKey) -> bool {
    match key.kind {
        Kind::User => key
            .name
            .parse()
            .is_ok_and(|jid| desired.users.as_ref().is_some_and(|users| users.contains_key(&jid))),
        Kind::Room => key
            .name
            .parse()
            .is_ok_and(|jid| desired.rooms.as_ref().is_some_and(|rooms| rooms.contains_key(&jid))),
        _ => false,
    }
}

/// Splits off the steps that have to wait.
fn sort_out(steps: Vec<Step>, permission: &Permission<'_>) -> (Vec<Step>, Vec<StepOutcome>) {
    let (mut ready, mut deferred) = (Vec::new(), Vec::new());
    for step in steps {
        let wait = match permission.deletions_wait {
            Some(why) if step.op == Op::Delete => Some(why),
            _ if (permission.backing_off)(&step.key()) => Some("it failed a moment ago"),
            _ => None,
        };
        match wait {
            Some(why) => deferred.push(StepOutcome { step, result: StepResult::Deferred(why) }),
            None => ready.push(step),
        }
    }
    (ready, deferred)
}

/// The later plan, with the steps that were carried out before it.
fn with_steps_before(later: Plan, outcomes: &[StepOutcome]) -> Plan {
    let mut steps: Vec<Step> = outcomes
        .iter()
        .map(|outcome| outcome.step.clone())
        .filter(|step| matches!(step.kind, Kind::Server | Kind::Config))
        .collect();
    let mut summary = later.summary;
    for step in &steps {
        match step.op {
            Op::Create => summary.create += 1,
            Op::Update => summary.update += 1,
            Op::Delete => summary.delete += 1,
        }
    }
    steps.extend(
        later.steps.into_iter().filter(|step| !matches!(step.kind, Kind::Server | Kind::Config)),
    );
    Plan { steps, summary, ..later }
}

/// The objects that still differ, with what would be done to them. A room that
/// was created may differ in an option afterwards; that is a step of its own.
fn differing(set: &ChangeSet) -> BTreeSet<(&ObjectKey, Op)> {
    set.changes.iter().map(|change| (&change.key, change.op)).collect()
}

fn still_differs(outcome: &StepOutcome, differing: &BTreeSet<(&ObjectKey, Op)>) -> bool {
    matches!(outcome.result, StepResult::Done)
        && differing.contains(&(&outcome.step.key(), outcome.step.op))
}
