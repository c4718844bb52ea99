//! One round: observe, diff, plan, guard, apply, and read back.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::sleep;

use super::error::StoreError;
use super::keeper::Keeper;
use super::maintenance;
use super::meter::Meter;
use super::observe::Observation;
use super::ownership;
use super::ports::{Runtime, Secrets, Store, Telemetry};
use super::rechecks::Rechecks;
use super::report::{ApplyError, CONTESTED, FAILED_BEFORE, RoundReport, StepOutcome, StepResult};
use super::server::Server;
use crate::diff::{self, Action, ChangeSet};
use crate::inventory::Inventory;
use crate::model::{Digest, Jid, Kind, ObjectKey, Op};
use crate::observed::{ObservedState, Reading, Surroundings};
use crate::overview::{self, Differences, Standing};
use crate::plan::{self, Plan, Step};
use crate::spec::{DeletionPolicy, DesiredState, Mode};
use crate::status::Counts;
use crate::supervision::Others;

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
    /// What the server uses.
    pub meter: Arc<Meter>,
    /// Who is told.
    pub telemetry: Arc<dyn Telemetry>,
    /// Whose password is asked for again.
    pub rechecks: Rechecks,
    /// Keeps the server running.
    pub keeper: Arc<Keeper>,
    /// Whether the keeper watches over the server all the time; else a start
    /// is waited for here.
    pub supervised: bool,
}

/// What a round may do, beside what the desired state says.
pub struct Permission<'a> {
    /// A digest of deletions approved by hand.
    pub approved: Option<&'a Digest>,
    /// Asked right before anything is deleted.
    pub confirm: &'a dyn Confirm,
    /// Why a step is to wait, if it is: its object failed a moment ago, or is
    /// contested.
    pub backing_off: &'a (dyn Fn(&Step) -> Option<&'static str> + Sync),
}

/// Says whether what is about to be deleted may be.
#[async_trait]
pub trait Confirm: Send + Sync {
    /// Why deletions have to wait, if they do: the revision is too young, or
    /// the file has changed since it was read.
    async fn deletions_wait(&self) -> Option<&'static str>;
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
        let mut set = diff::diff(desired, &state, &inventory);
        self.keep_to_one_server(desired, &mut set, false)?;
        self.say_what_goes(&mut set).await;
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
        if held.is_none()
            && let Err(error) = self.resume_replacement(desired).await
        {
            tracing::warn!("failed to {error}");
        }
        if held.is_none()
            && let Some(Err(error)) = self.resume_rollout(desired).await?
        {
            tracing::warn!("failed to {error}");
        }
        let mut view = self.look(desired, held.is_none()).await?;
        self.say_what_goes(&mut view.set).await;
        let owner = match held {
            None => self.creation_waits(&view.state, started)?,
            Some(_) => None,
        };
        let mut emptied = came_back_empty(&view);
        let vanished = ownership::vanished(desired, &view.state, &view.inventory, started);
        let mut plan = plan::plan(&view.set, desired, &view.inventory, permission.approved);
        let mut outcomes = Vec::new();
        if held.is_none() && !plan.steps.is_empty() {
            let circumstances = Circumstances { unseen: view.state.unseen, owner };
            let (ready, deferred) =
                sort_out(desired, &circumstances, plan.steps.clone(), permission);
            let (server, mut objects): (Vec<Step>, Vec<Step>) =
                ready.into_iter().partition(Step::is_of_server);
            outcomes.extend(deferred);
            if !server.is_empty() || !objects.is_empty() {
                self.telemetry.begin(&plan);
            }
            if !server.is_empty() {
                let refused = Self::refused_config(&view.state);
                let settled =
                    self.settle_server(desired, server, refused, permission.confirm).await;
                // What was observed before it was started is worth nothing now.
                view = self.look(desired, true).await?;
                self.say_what_goes(&mut view.set).await;
                emptied = emptied.or(came_back_empty(&view));
                let later = plan::plan(&view.set, desired, &view.inventory, permission.approved);
                let circumstances = Circumstances { unseen: view.state.unseen, owner: None };
                let (ready, deferred) =
                    sort_out(desired, &circumstances, later.steps.clone(), permission);
                objects = ready.into_iter().filter(|step| !step.is_of_server()).collect();
                outcomes.retain(|outcome| outcome.step.is_of_server());
                outcomes.extend(settled);
                let of_objects = |outcome: &StepOutcome| !outcome.step.is_of_server();
                outcomes.extend(deferred.into_iter().filter(of_objects));
                plan = with_steps_before(later, &outcomes);
                if !objects.is_empty() {
                    self.telemetry.begin(&plan);
                }
            }
            let (deletes, builds): (Vec<Step>, Vec<Step>) =
                objects.into_iter().partition(|step| step.op == Op::Delete);
            if !builds.is_empty() {
                outcomes.extend(self.apply(desired, builds).await);
            }
            if !deletes.is_empty() {
                match permission.confirm.deletions_wait().await {
                    Some(why) => outcomes.extend(deferred_all(deletes, why)),
                    None => outcomes.extend(self.apply(desired, deletes).await),
                }
            }
            if outcomes.iter().any(|outcome| matches!(outcome.result, StepResult::Done)) {
                view = self.read_back(desired, view, &mut outcomes).await?;
            }
        }
        if held.is_none() && outcomes.iter().all(|o| !matches!(o.result, StepResult::Failed(_))) {
            self.remember_good(desired, &view.state).await;
        }
        let report = report(desired, view, plan, outcomes, held, (started, clock.elapsed()));
        let report = RoundReport { came_back_empty: emptied, vanished, ..report };
        self.telemetry.round(&report);
        Ok(report)
    }

    /// Observes and compares; unless that is only a look, adopts what is there
    /// and declared, and forgets what is gone.
    async fn look(&self, desired: &DesiredState, settle: bool) -> Result<View, StoreError> {
        let mut inventory = self.store.inventory()?;
        let observation = self.observe(desired, &inventory).await;
        if let Reading::Known(Some(found)) = &observation.state.surroundings {
            self.keeper.set_others(match found {
                Surroundings { restarted_by: Some(_), .. } => Others::RestartPolicy,
                Surroundings { runtime: "docker", ours: false, .. } => Others::Owner,
                _ => Others::None,
            });
        }
        let mut set = diff::diff(desired, &observation.state, &inventory);
        let answers = observation.state.version.known().is_some();
        self.keep_to_one_server(desired, &mut set, settle && answers)?;
        let remembered = if settle {
            self.settle_inventory(desired, &mut inventory, &set, &observation)
        } else {
            // To remember that an object is to be kept can only save it.
            let mut policies = ownership::changed_policies(desired, &inventory);
            policies.retain(|(_, owned)| owned.deletion_policy == DeletionPolicy::Retain);
            if policies.is_empty() { Ok(()) } else { self.store.record(&policies, &[]) }
        };
        if let Err(error) = remembered {
            set.unknown.push(format!("the state directory: failed to {error}"));
            // What is to be kept could not be remembered, so nothing is deleted.
            set.changes.retain(|change| change.op != Op::Delete);
        } else if settle {
            set.unknown.extend(self.publish(desired, &observation.state, &inventory).await);
        }
        let Observation { state, vitals, .. } = observation;
        Ok(View { inventory, state, vitals, set })
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
        (Kind::Affiliation, count(Kind::Affiliation, Some(affiliations(desired)))),
    ]);
    let config = match &state.config {
        Some(Reading::Known(reading)) => Some(reading.in_force.clone()),
        _ => None,
    };
    let plan = Plan { unknown: set.unknown.clone(), notes: set.notes.clone(), ..plan };
    let standing = standing(&set, &plan, &outcomes);
    let overview = overview::overview(desired, &state, &inventory, &standing);
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
        vanished: 0,
        came_back_empty: None,
        overview: Arc::new(overview),
    }
}

/// The objects that do not stand as they should after a round.
fn standing(set: &ChangeSet, plan: &Plan, outcomes: &[StepOutcome]) -> Differences {
    let refused = plan.blocked.iter().flat_map(|blocked| &blocked.deletions);
    let refused: BTreeSet<ObjectKey> = refused.map(Step::key).collect();
    let mut found: Differences = BTreeMap::new();
    for change in &set.changes {
        let state =
            if refused.contains(&change.key) { Standing::Refused } else { Standing::Differs };
        found.insert(change.key.clone(), (state, change.reason.clone()));
    }
    for outcome in outcomes {
        let (state, why) = match &outcome.result {
            StepResult::Done => continue,
            StepResult::Failed(error) => (Standing::Failing, format!("failed to {error}")),
            StepResult::Deferred(why) if *why == CONTESTED => {
                (Standing::Contested, format!("{why} ({})", outcome.step.reason))
            }
            StepResult::Deferred(why) if *why == FAILED_BEFORE => {
                (Standing::Failing, format!("{why}, and is tried again later"))
            }
            StepResult::Deferred(why) => {
                (Standing::Waiting, format!("{}; {why}", outcome.step.reason))
            }
        };
        if found.contains_key(&outcome.step.key()) {
            found.insert(outcome.step.key(), (state, why));
        }
    }
    found
}

/// How many affiliations are declared, groups spelled out.
fn affiliations(desired: &DesiredState) -> usize {
    let rooms = desired.rooms.iter().flat_map(|rooms| rooms.values()).filter(|room| room.present);
    rooms.filter_map(|room| desired.affiliations_of(room)).map(|wanted| wanted.len()).sum()
}

/// What was seen, and what it means.
struct View {
    inventory: Inventory,
    state: ObservedState,
    vitals: super::report::Vitals,
    set: ChangeSet,
}

/// How many owned accounts there should be, where the server answers and has
/// none of them: its volume is a new one.
fn came_back_empty(view: &View) -> Option<usize> {
    let there = |name: &str| {
        let jid: Option<Jid> = name.parse().ok();
        let known = jid
            .and_then(|jid| Some(view.state.users.get(&jid.host)?.known()?.contains(&jid.local)));
        // One that cannot be seen may be there.
        known.unwrap_or(true)
    };
    let owned: Vec<&str> = view.inventory.of_kind(Kind::User).map(|(name, _)| name).collect();
    let answers = view.state.version.known().is_some();
    (answers && owned.len() > 1 && !owned.iter().any(|name| there(name))).then_some(owned.len())
}

/// Why nothing is changed at all, if so.
fn held(desired: &DesiredState) -> Option<&'static str> {
    match desired.policy.mode {
        _ if desired.suspend => Some("spec.suspend is true"),
        Mode::Report => Some("policy.mode is report"),
        Mode::Enforce => None,
    }
}

/// What keeps the operator from touching the server itself.
struct Circumstances {
    /// Nothing can be said about a server that runs.
    unseen: bool,
    /// Why the operator leaves its container to the owner.
    owner: Option<String>,
}

/// Splits off the steps that have to wait.
fn sort_out(
    desired: &DesiredState,
    circumstances: &Circumstances,
    steps: Vec<Step>,
    permission: &Permission<'_>,
) -> (Vec<Step>, Vec<StepOutcome>) {
    let closed = maintenance::waits(&desired.server.maintenance, Timestamp::now());
    // What is down already is not interrupted by what is done on the way up.
    let comes_up =
        steps.iter().any(|step| matches!(step.action, Action::StartServer | Action::CreateServer));
    let (mut ready, mut waiting) = (Vec::new(), Vec::new());
    for step in steps {
        let why: Option<Cow<'static, str>> = match (&step.action, &closed) {
            // It may be serving, and no gate could judge it after the change.
            (Action::ApplyConfig { .. } | Action::ReplaceServer, _) if circumstances.unseen => {
                Some("the operator cannot see the server, and leaves it alone".into())
            }
            (Action::CreateServer | Action::ApplyConfig { .. }, _)
                if circumstances.owner.is_some() =>
            {
                circumstances.owner.clone().map(Cow::Owned)
            }
            (Action::ApplyConfig { latched: Some(_), .. }, _) => Some(
                "it failed, and is tried again when it changes or after `ejabberd-operator retry`"
                    .into(),
            ),
            (_, Some(window)) if !comes_up && maintenance::interrupts(&step) => {
                Some(window.clone().into())
            }
            _ => (permission.backing_off)(&step).map(Cow::Borrowed),
        };
        match why {
            Some(why) => waiting.push(StepOutcome { step, result: StepResult::Deferred(why) }),
            None => ready.push(step),
        }
    }
    (ready, waiting)
}

fn deferred_all(steps: Vec<Step>, why: &'static str) -> impl Iterator<Item = StepOutcome> {
    steps.into_iter().map(move |step| StepOutcome { step, result: StepResult::deferred(why) })
}

/// The later plan, with the steps that were carried out before it.
fn with_steps_before(later: Plan, outcomes: &[StepOutcome]) -> Plan {
    let mut steps: Vec<Step> =
        outcomes.iter().map(|outcome| outcome.step.clone()).filter(Step::is_of_server).collect();
    steps.extend(later.steps.into_iter().filter(|step| !step.is_of_server()));
    let summary = plan::count(&steps, later.summary);
    Plan { steps, summary, ..later }
}

/// The objects that still differ, with what would be done to them. A room that
/// was created may differ in an option afterwards; that is a step of its own.
fn differing(set: &ChangeSet) -> BTreeSet<(&ObjectKey, Op)> {
    // A declared configuration that is held back goes on differing, whatever
    // came of the one that stands in for it.
    let held_back =
        |action: &Action| matches!(action, Action::ApplyConfig { latched: Some(_), .. });
    let open = set.changes.iter().filter(|change| !held_back(&change.action));
    open.map(|change| (&change.key, change.op)).collect()
}

fn still_differs(outcome: &StepOutcome, differing: &BTreeSet<(&ObjectKey, Op)>) -> bool {
    matches!(outcome.result, StepResult::Done)
        && differing.contains(&(&outcome.step.key(), outcome.step.op))
}
