//! One round: observe, diff, plan, guard, apply, and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::sleep;

use super::deferral::{Deferral, DeferralContext, deferred_all, held, sort_out};
use super::generation::Generations;
use super::observe::Observation;
use super::ownership;
use super::recheck::RecheckBudget;
use super::report::{ApplyError, RoundReport, StepOutcome, StepResult};
use super::summary::{Took, report, with_steps_before};
use crate::domain::diff::{Action, ChangeSet};
use crate::domain::inventory::Inventory;
use crate::domain::model::{Digest, ObjectKey, Op};
use crate::domain::observed::{ObservedState, Reading, RuntimeDrift};
use crate::domain::plan::{GuardContext, Plan, Step};
use crate::domain::spec::{DeletionPolicy, DesiredState};
use crate::domain::supervision::Others;
use crate::domain::{diff, plan};
use crate::ejabberd::EjabberdClient;
use crate::engine::error::StoreError;
use crate::engine::ports::{EngineEvent, EventSink, Ports, Runtime, Secrets, Store};
use crate::engine::rollout::check::Verdicts;
use crate::engine::supervisor::Supervisor;
use crate::engine::supervisor::meter::Meter;

/// A deleted room is gone a little after the server has said so.
const READ_BACK_TRIES: u32 = 5;
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

/// Reconciles one server.
pub struct Engine {
    /// The server's commands.
    pub server: EjabberdClient,
    /// The server's process.
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    /// What the operator remembers.
    pub(in crate::engine) store: Arc<dyn Store>,
    /// Passwords and files.
    pub(in crate::engine) secrets: Arc<dyn Secrets>,
    /// Who hears what happens.
    pub(in crate::engine) events: Arc<dyn EventSink>,
    /// What the server uses.
    pub(in crate::engine) meter: Arc<Meter>,
    /// Whose password is asked for again.
    pub(in crate::engine) recheck_budget: RecheckBudget,
    /// Keeps the server running.
    pub(in crate::engine) supervisor: Arc<Supervisor>,
    /// Whether what killed operators left behind has been removed.
    tidied: AtomicBool,
    /// The generation that was read beside the database.
    pub(in crate::engine) generations: Generations,
    /// What ejabberd said of new configuration files a moment ago.
    pub(in crate::engine) verdicts: Verdicts,
    /// Whether the supervisor watches over the server all the time; else a start is
    /// waited for here.
    pub(in crate::engine) supervised: bool,
}

/// What a round may do, beside what the desired state says.
pub struct Permission<'a> {
    /// A digest of deletions approved by hand.
    pub approved: Option<&'a Digest>,
    /// Asked right before anything is deleted.
    pub confirm: &'a dyn StalenessCheck,
    /// Why a step is to wait, if it is: its object failed a moment ago, or is
    /// contested.
    pub backing_off: &'a (dyn Fn(&Step) -> Option<Deferral> + Sync),
}

/// Says whether what is about to be deleted may be.
#[async_trait]
pub trait StalenessCheck: Send + Sync {
    /// Why deletions have to wait, if they do: the revision is too young, or
    /// the file has changed since it was read.
    async fn blocked_reason(&self) -> Option<Deferral>;
}

impl Engine {
    /// An engine that waits for each start of the server itself.
    #[must_use]
    pub fn new(ports: Ports, supervisor: Arc<Supervisor>, recheck_budget: RecheckBudget) -> Self {
        let Ports { server, runtime, store, secrets, events } = ports;
        Self {
            server,
            meter: Meter::new(Arc::clone(&runtime)),
            runtime,
            store,
            secrets,
            events,
            recheck_budget,
            supervisor,
            tidied: AtomicBool::default(),
            generations: Generations::default(),
            verdicts: Verdicts::default(),
            supervised: false,
        }
    }

    /// The same, where [`Supervisor::supervise`] runs beside it.
    #[must_use]
    pub fn supervised(self) -> Self {
        Self { supervised: true, ..self }
    }

    /// Looks, and says what would be done.
    pub async fn plan(
        &self,
        desired: &DesiredState,
        approved: Option<&Digest>,
    ) -> Result<Plan, StoreError> {
        let mut inventory = self.store.inventory()?;
        let Observation { state, .. } = Box::pin(self.observe(desired, &inventory)).await;
        let decision =
            Box::pin(self.check_database(desired, &state, &mut inventory, false)).await?;
        let mut set = diff::diff(desired, &state, &inventory);
        decision.restrict(&mut set);
        set.approvals_used = self.approvals_used()?;
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
        self.tidy().await;
        if held.is_none()
            && let Err(error) = Box::pin(self.resume_replacement(desired)).await
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
        let vanished = match view.set.withheld() {
            None => ownership::vanished(desired, &view.state, &view.inventory, started),
            Some(_) => 0,
        };
        let mut plan = plan::plan(&view.set, desired, &view.inventory, permission.approved);
        let mut outcomes = Vec::new();
        if held.is_none() && !plan.steps.is_empty() {
            let context = DeferralContext::of(&view, &plan, owner);
            let (ready, deferred) = sort_out(desired, &context, plan.steps.clone(), permission);
            let (server, mut objects): (Vec<Step>, Vec<Step>) =
                ready.into_iter().partition(Step::is_of_server);
            outcomes.extend(deferred);
            if !server.is_empty() || !objects.is_empty() {
                self.events.take(EngineEvent::StepsBegin(&plan));
            }
            if !server.is_empty() {
                let refused = Self::refused_config(&view.state);
                let settled =
                    Box::pin(self.settle_server(desired, server, refused, permission.confirm))
                        .await;
                // What was observed before it was started is worth nothing now.
                view = self.look(desired, true).await?;
                self.say_what_goes(&mut view.set).await;
                let later = plan::plan(&view.set, desired, &view.inventory, permission.approved);
                let context = DeferralContext::of(&view, &later, None);
                let (ready, deferred) =
                    sort_out(desired, &context, later.steps.clone(), permission);
                objects = ready.into_iter().filter(|step| !step.is_of_server()).collect();
                outcomes.retain(|outcome| outcome.step.is_of_server());
                outcomes.extend(settled);
                let of_objects = |outcome: &StepOutcome| !outcome.step.is_of_server();
                outcomes.extend(deferred.into_iter().filter(of_objects));
                plan = with_steps_before(later, &outcomes);
                if !objects.is_empty() {
                    self.events.take(EngineEvent::StepsBegin(&plan));
                }
            }
            let changed =
                self.change_objects(desired, permission, &view, &mut plan, objects, &mut outcomes);
            Box::pin(changed).await?;
            if outcomes.iter().any(|outcome| matches!(outcome.result, StepResult::Done)) {
                view = self.read_back(desired, view, &mut outcomes).await?;
            }
        }
        if held.is_none() && outcomes.iter().all(|o| !matches!(o.result, StepResult::Failed(_))) {
            self.remember_good(desired, &view.state).await;
        }
        if held.is_none()
            && view.set.withheld().is_none()
            && let Reading::Known(found) = &view.state.database
        {
            self.publish_generation(found).await;
        }
        let report =
            report(desired, view, plan, outcomes, held, Took { started, took: clock.elapsed() });
        let report = RoundReport { vanished, ..report };
        self.events.take(EngineEvent::Reconciled(&report));
        Ok(report)
    }

    /// Carries out the steps that concern objects: what builds first, then what deletes.
    async fn change_objects(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        view: &View,
        plan: &mut Plan,
        objects: Vec<Step>,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Result<(), StoreError> {
        let (deletes, builds): (Vec<Step>, Vec<Step>) =
            objects.into_iter().partition(|step| step.op == Op::Delete);
        if !view.set.left_behind.is_empty()
            && plan.blocked.is_none()
            && let Reading::Known(found) = &view.state.database
        {
            // Approved, or there is nothing to create: this is the store from now on.
            self.keep_database(found)?;
        }
        let approved = plan.approved.clone();
        let mut approval_used = self.use_approval(approved.as_ref(), &builds)?;
        if !builds.is_empty() {
            outcomes.extend(self.apply(desired, builds).await);
        }
        let deletes =
            Self::guard_deletions_again(desired, permission, view, plan, deletes, outcomes);
        if !deletes.is_empty() {
            match permission.confirm.blocked_reason().await {
                Some(why) => outcomes.extend(deferred_all(deletes, &why)),
                None => {
                    if !approval_used {
                        approval_used = self.use_approval(approved.as_ref(), &deletes)?;
                    }
                    outcomes.extend(self.apply(desired, deletes).await);
                }
            }
        }
        if approval_used {
            self.return_approval(approved.as_ref(), outcomes)?;
        }
        Ok(())
    }

    /// Removes what killed operators left behind, once.
    async fn tidy(&self) {
        if self.tidied.load(Ordering::Relaxed) {
            return;
        }
        match self.runtime.remove_leftovers().await {
            Ok(all) => self.tidied.store(all, Ordering::Relaxed),
            Err(error) => tracing::debug!("failed to {error}"),
        }
    }

    /// The deletions that may be carried out now that it is known which of the
    /// creations before them have failed: the guard counted on those. Others are
    /// put off.
    fn guard_deletions_again(
        desired: &DesiredState,
        permission: &Permission<'_>,
        view: &View,
        plan: &mut Plan,
        deletes: Vec<Step>,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Vec<Step> {
        let mut created = BTreeMap::new();
        let done = outcomes.iter().filter(|o| matches!(o.result, StepResult::Done));
        for outcome in done.filter(|outcome| outcome.step.op == Op::Create) {
            *created.entry(outcome.step.kind).or_default() += 1;
        }
        let View { set, inventory, .. } = view;
        let context = GuardContext { set, desired, inventory, approved: permission.approved };
        let guarded = plan::guard(deletes, context, &created);
        let Some(refused) = guarded.blocked else { return guarded.steps };
        outcomes.extend(deferred_all(refused.deletions.clone(), &Deferral::CreationFailed));
        // One digest cannot name both: those of the plan come first.
        if plan.blocked.is_none() {
            plan.steps.retain(|step| !refused.deletions.contains(step));
            plan.summary = plan::count(&plan.steps, plan.summary);
            plan.digest = guarded.digest;
            plan.blocked = Some(refused);
        }
        guarded.steps
    }

    /// Observes and compares; unless that is only a look, adopts what is there
    /// and declared, and forgets what is gone.
    async fn look(&self, desired: &DesiredState, settle: bool) -> Result<View, StoreError> {
        let mut inventory = self.store.inventory()?;
        // Large, and made once a round.
        let observation = Box::pin(self.observe(desired, &inventory)).await;
        if let Reading::Known(Some(found)) = &observation.state.drift {
            self.supervisor.set_others(match found {
                RuntimeDrift { restarted_by: Some(_), .. } => Others::RestartPolicy,
                RuntimeDrift { runtime: "docker", ours: false, .. } => Others::Owner,
                _ => Others::None,
            });
        }
        let decision =
            Box::pin(self.check_database(desired, &observation.state, &mut inventory, settle))
                .await?;
        let mut set = diff::diff(desired, &observation.state, &inventory);
        decision.restrict(&mut set);
        set.approvals_used = self.approvals_used()?;
        let remembered = if set.withheld().is_some() {
            Ok(())
        } else if settle {
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
        } else if settle && set.withheld().is_none() {
            set.unknown.extend(self.publish(desired, &observation.state, &inventory).await);
        }
        let Observation { state, server_stats, .. } = observation;
        Ok(View { inventory, state, server_stats, set })
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

/// What was seen, and what it means.
pub(in crate::engine) struct View {
    pub(in crate::engine) inventory: Inventory,
    pub(in crate::engine) state: ObservedState,
    pub(in crate::engine) server_stats: super::report::ServerStats,
    pub(in crate::engine) set: ChangeSet,
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
