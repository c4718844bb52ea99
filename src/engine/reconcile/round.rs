//! One reconciliation: observe, diff and plan, then the two phases that apply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;

use super::database::Databases;
use super::deferral::{Deferral, held};
use super::observe::Observation;
use super::ownership;
use super::passwords::Passwords;
use super::recheck::RecheckBudget;
use super::report::{RoundReport, StepOutcome, StepResult};
use super::summary::{Took, report};
use crate::domain::diff::ChangeSet;
use crate::domain::diff::StepInfo;
use crate::domain::inventory::Inventory;
use crate::domain::model::{Digest, Op};
use crate::domain::observed::{ObservedState, Reading, RuntimeDrift, RuntimeKind};
use crate::domain::plan::Plan;
use crate::domain::spec::{DeletionPolicy, DesiredState};
use crate::domain::supervision::Others;
use crate::domain::{diff, plan};
use crate::ejabberd::EjabberdClient;
use crate::engine::error::StoreError;
use crate::engine::ports::{EngineEvent, EventSink, Runtime, Secrets, Store};
use crate::engine::rollout::check::ConfigChecker;
use crate::engine::rollout::execute::RolloutExecutor;
use crate::engine::supervisor::Supervisor;
use crate::engine::supervisor::meter::Meter;

/// Reconciles one server.
pub struct Reconciler {
    /// The server's commands.
    pub(in crate::engine) server: EjabberdClient,
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
    /// Limits how many passwords are compared again in one reconciliation.
    pub(in crate::engine) recheck_budget: RecheckBudget,
    /// Keeps the server running.
    pub(in crate::engine) supervisor: Arc<Supervisor>,
    /// Whether what killed operators left behind has been removed.
    pub(in crate::engine) tidied: AtomicBool,
    /// Whether the supervisor watches over the server all the time; else a start is
    /// waited for here.
    pub(in crate::engine) supervised: bool,
    /// The declared passwords, and the generated ones.
    pub(in crate::engine) passwords: Arc<Passwords>,
    /// Which database the operator manages.
    pub(in crate::engine) databases: Arc<Databases>,
    /// The declared configuration beside the one on the server.
    pub(in crate::engine) configs: Arc<ConfigChecker>,
    /// Puts configurations in force, and replaces the container.
    pub(in crate::engine) rollouts: Arc<RolloutExecutor>,
}

/// What a round may do, beside what the desired state says.
pub struct Permission<'a> {
    /// A digest of deletions approved by hand.
    pub approved: Option<&'a Digest>,
    /// Asked right before anything is deleted.
    pub confirm: &'a dyn StalenessCheck,
    /// Why a step is to wait, if it is: its object failed a moment ago, or is
    /// contested.
    pub backing_off: &'a (dyn Fn(&StepInfo) -> Option<Deferral> + Sync),
}

/// Says whether what is about to be deleted may be.
#[async_trait]
pub trait StalenessCheck: Send + Sync {
    /// Why deletions have to wait, if they do: the revision is too young, or
    /// the file has changed since it was read.
    async fn blocked_reason(&self) -> Option<Deferral>;
}

impl Reconciler {
    /// Looks, and says what would be done.
    pub async fn plan(
        &self,
        desired: &DesiredState,
        approved: Option<&Digest>,
    ) -> Result<Plan, StoreError> {
        let mut inventory = self.store.inventory()?;
        let Observation { state, .. } = Box::pin(self.observe(desired, &inventory)).await;
        let decision =
            Box::pin(self.databases.check_database(desired, &state, &mut inventory, Settle::Look))
                .await?;
        let mut set = diff::diff(desired, &state, &inventory);
        decision.restrict(&mut set);
        set.approvals_used = self.approvals_used()?;
        self.say_what_goes(&mut set).await;
        Ok(plan::plan(&set, desired, &inventory, approved))
    }

    /// Reconciles once, in two phases: the server, then the objects on it.
    pub async fn round(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
    ) -> Result<RoundReport, StoreError> {
        let (started, clock) = (Timestamp::now(), Instant::now());
        let held = held(desired);
        self.tidy().await;
        if held.is_none() {
            self.resume(desired).await?;
        }
        let settle = if held.is_none() { Settle::Adopt } else { Settle::Look };
        let planned = self.observe_and_plan(desired, permission, settle).await?;
        let vanished = match planned.view.set.withheld() {
            None => {
                ownership::vanished(desired, &planned.view.state, &planned.view.inventory, started)
            }
            Some(_) => 0,
        };
        let done = if held.is_some() {
            Reconciled::unchanged(planned)
        } else {
            let owner = self.databases.creation_waits(&planned.view.state, started)?;
            if planned.plan.has_steps() {
                let settled =
                    Box::pin(self.server_phase(desired, permission, planned, owner)).await?;
                Box::pin(self.object_phase(desired, permission, settled)).await?
            } else {
                Reconciled::unchanged(planned)
            }
        };
        if held.is_none() {
            self.remember(desired, &done).await;
        }
        let Reconciled { view, plan, outcomes } = done;
        let time = Took { started, took: clock.elapsed() };
        let report = report(desired, view, plan, outcomes, held, time);
        let report = RoundReport { vanished, ..report };
        self.events.take(EngineEvent::Reconciled(&report));
        Ok(report)
    }

    /// Goes on with a replacement or a rollout that an operator before has begun.
    async fn resume(&self, desired: &DesiredState) -> Result<(), StoreError> {
        if let Err(error) = Box::pin(self.rollouts.resume_replacement(desired)).await {
            tracing::warn!("failed to {error}");
        }
        if let Some(Err(error)) = self.rollouts.resume_rollout(desired).await? {
            tracing::warn!("failed to {error}");
        }
        Ok(())
    }

    /// Observes, compares and plans.
    pub(super) async fn observe_and_plan(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        settle: Settle,
    ) -> Result<Planned, StoreError> {
        let mut view = self.look(desired, settle).await?;
        self.say_what_goes(&mut view.set).await;
        let plan = plan::plan(&view.set, desired, &view.inventory, permission.approved);
        Ok(Planned { view, plan })
    }

    /// Remembers a configuration that proved good, and what the operator owns now.
    async fn remember(&self, desired: &DesiredState, done: &Reconciled) {
        let Reconciled { view, outcomes, .. } = done;
        if outcomes.iter().all(|o| !matches!(o.result, StepResult::Failed(_))) {
            self.rollouts.remember_good(desired, &view.state).await;
        }
        if view.set.withheld().is_none()
            && let Reading::Known(found) = &view.state.database
        {
            self.databases.publish_generation(found).await;
        }
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

    /// Observes and compares.
    pub(super) async fn look(
        &self,
        desired: &DesiredState,
        settle: Settle,
    ) -> Result<View, StoreError> {
        let adopts = settle == Settle::Adopt;
        let mut inventory = self.store.inventory()?;
        // Large, and made once a round.
        let observation = Box::pin(self.observe(desired, &inventory)).await;
        if let Reading::Known(Some(found)) = &observation.state.drift {
            self.supervisor.set_others(match found {
                RuntimeDrift { restarted_by: Some(_), .. } => Others::RestartPolicy,
                RuntimeDrift { runtime: RuntimeKind::Docker, ours: false, .. } => Others::Owner,
                _ => Others::None,
            });
        }
        let decision = Box::pin(self.databases.check_database(
            desired,
            &observation.state,
            &mut inventory,
            settle,
        ))
        .await?;
        let mut set = diff::diff(desired, &observation.state, &inventory);
        decision.restrict(&mut set);
        set.approvals_used = self.approvals_used()?;
        let remembered = if set.withheld().is_some() {
            Ok(())
        } else if adopts {
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
            set.objects.retain(|step| step.op() != Op::Delete);
        } else if adopts && set.withheld().is_none() {
            set.unknown.extend(self.publish(desired, &observation.state, &inventory).await);
        }
        let Observation { state, server_stats, .. } = observation;
        Ok(View { inventory, state, server_stats, set })
    }
}

/// Whether an observation changes what the operator owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Settle {
    /// Objects that are there and declared are adopted; those that are gone are forgotten.
    Adopt,
    /// Nothing is adopted or forgotten.
    Look,
}

/// An observation, and the plan that follows from it.
pub(super) struct Planned {
    pub(super) view: View,
    pub(super) plan: Plan,
}

/// The outcomes of a reconciliation, and the observation afterwards.
pub(super) struct Reconciled {
    pub(super) view: View,
    pub(super) plan: Plan,
    pub(super) outcomes: Vec<StepOutcome>,
}

impl Reconciled {
    fn unchanged(planned: Planned) -> Self {
        let Planned { view, plan } = planned;
        Self { view, plan, outcomes: Vec::new() }
    }
}

/// An observation, compared with the desired state.
pub(in crate::engine) struct View {
    pub(in crate::engine) inventory: Inventory,
    pub(in crate::engine) state: ObservedState,
    pub(in crate::engine) server_stats: super::report::ServerStats,
    pub(in crate::engine) set: ChangeSet,
}
