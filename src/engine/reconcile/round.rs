//! One reconciliation: observe, diff and plan, then apply in two phases.

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

/// The reconciler of one server.
pub struct Reconciler {
    /// The client for the commands of the server.
    pub(in crate::engine) server: EjabberdClient,
    /// The runtime of the server, which controls the process and the files.
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    /// The store, which is the state directory.
    pub(in crate::engine) store: Arc<dyn Store>,
    /// The access to passwords and files outside the server and the state directory.
    pub(in crate::engine) secrets: Arc<dyn Secrets>,
    /// The receiver of the engine's events.
    pub(in crate::engine) events: Arc<dyn EventSink>,
    /// The meter of the server's resource usage.
    pub(in crate::engine) meter: Arc<Meter>,
    /// The budget of passwords and vCards that the reconciler compares again.
    pub(in crate::engine) recheck_budget: RecheckBudget,
    /// The supervisor, which keeps the server running.
    pub(in crate::engine) supervisor: Arc<Supervisor>,
    /// Whether the reconciler has removed the leftovers of killed operators.
    pub(in crate::engine) tidied: AtomicBool,
    /// Whether a supervisor runs at the same time. Without a running supervisor, the reconciler
    /// itself waits for the start of the server.
    pub(in crate::engine) supervised: bool,
    /// The reader of declared and generated passwords.
    pub(in crate::engine) passwords: Arc<Passwords>,
    /// The identification of the database that the operator manages.
    pub(in crate::engine) databases: Arc<Databases>,
    /// The checker, which compares the declared configuration with the configuration on the server.
    pub(in crate::engine) configs: Arc<ConfigChecker>,
    /// The executor, which puts configurations in force and replaces the container.
    pub(in crate::engine) rollouts: Arc<RolloutExecutor>,
}

/// The limits on the steps of a reconciliation, in addition to the limits in the desired state.
pub struct Permission<'a> {
    /// The digest of refused steps that the command line approves; `None` if the command line
    /// approves no steps.
    pub approved: Option<&'a Digest>,
    /// The check that the reconciler makes right before deletions and before interruptions of
    /// clients.
    pub confirm: &'a dyn StalenessCheck,
    /// Returns why a step must wait: the object failed a moment ago, or another program repeatedly
    /// reverts the step. Returns `None` if the step may run.
    pub backing_off: &'a (dyn Fn(&StepInfo) -> Option<Deferral> + Sync),
}

/// A check that the desired state is still current, right before the operator deletes objects or
/// interrupts clients.
#[async_trait]
pub trait StalenessCheck: Send + Sync {
    /// Returns why the steps must wait: the revision is too young, or the file has changed or
    /// cannot be used. Returns `None` if the steps may run.
    async fn blocked_reason(&self) -> Option<Deferral>;
}

impl Reconciler {
    /// Observes the server, and returns the plan. Carries out no step.
    pub async fn plan(
        &self,
        desired: &DesiredState,
        approved: Option<&Digest>,
    ) -> Result<Plan, StoreError> {
        let mut inventory = self.store.inventory()?;
        let Observation { state, .. } = Box::pin(self.observe(desired, &inventory)).await;
        let mut set = self.compare(desired, &state, &mut inventory, Settle::ReadOnly).await?;
        self.explain_deletions(&mut set).await;
        Ok(plan::plan(&set, desired, &inventory, approved))
    }

    /// Reconciles once, in two phases: first the server, then the objects on the server. Returns
    /// the report.
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
        let settle = if held.is_none() { Settle::Adopt } else { Settle::ReadOnly };
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

    /// Continues a replacement or a rollout that an earlier, killed operator began.
    async fn resume(&self, desired: &DesiredState) -> Result<(), StoreError> {
        if let Err(error) = Box::pin(self.rollouts.resume_replacement(desired)).await {
            tracing::warn!("failed to {error}");
        }
        if let Some(Err(error)) = self.rollouts.resume_rollout(desired).await? {
            tracing::warn!("failed to {error}");
        }
        Ok(())
    }

    /// Observes the server, compares the server with the desired state, and makes the plan.
    pub(super) async fn observe_and_plan(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        settle: Settle,
    ) -> Result<Planned, StoreError> {
        let mut view = self.observe_and_compare(desired, settle).await?;
        self.explain_deletions(&mut view.set).await;
        let plan = plan::plan(&view.set, desired, &view.inventory, permission.approved);
        Ok(Planned { view, plan })
    }

    /// Records the configuration if the configuration proved good, and writes the new generation of
    /// the ownership.
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

    /// Removes the leftovers of killed operators. Does nothing after a call that could remove all
    /// leftovers.
    async fn tidy(&self) {
        if self.tidied.load(Ordering::Relaxed) {
            return;
        }
        match self.runtime.remove_leftovers().await {
            Ok(all) => self.tidied.store(all, Ordering::Relaxed),
            Err(error) => tracing::debug!("failed to {error}"),
        }
    }

    /// Compares an observation with the desired state, and keeps only the steps that the identity of
    /// the database permits.
    async fn compare(
        &self,
        desired: &DesiredState,
        state: &ObservedState,
        inventory: &mut Inventory,
        settle: Settle,
    ) -> Result<ChangeSet, StoreError> {
        let decision =
            Box::pin(self.databases.check_database(desired, state, inventory, settle)).await?;
        let mut set = diff::diff(desired, state, inventory);
        decision.restrict(&mut set);
        set.approvals_used = self.approvals_used()?;
        Ok(set)
    }

    /// Observes the server, and compares the server with the desired state. With [`Settle::Adopt`],
    /// also updates the inventory and writes password files.
    pub(super) async fn observe_and_compare(
        &self,
        desired: &DesiredState,
        settle: Settle,
    ) -> Result<View, StoreError> {
        let adopts = settle == Settle::Adopt;
        let mut inventory = self.store.inventory()?;
        // Box the large future; a reconciliation creates this future only a few times, so the
        // allocation costs little.
        let observation = Box::pin(self.observe(desired, &inventory)).await;
        if let Reading::Known(Some(found)) = &observation.state.drift {
            self.supervisor.set_others(match found {
                RuntimeDrift { restarted_by: Some(_), .. } => Others::RestartPolicy,
                RuntimeDrift { runtime: RuntimeKind::Docker, ours: false, .. } => Others::Owner,
                _ => Others::None,
            });
        }
        let mut set = self.compare(desired, &observation.state, &mut inventory, settle).await?;
        let remembered = if set.withheld().is_some() {
            Ok(())
        } else if adopts {
            self.settle_inventory(desired, &mut inventory, &set, &observation)
        } else {
            // A recorded `retain` can only protect an object, so recording `retain` is safe even if
            // nothing may be adopted.
            let mut policies = ownership::changed_policies(desired, &inventory);
            policies.retain(|(_, owned)| owned.deletion_policy == DeletionPolicy::Retain);
            if policies.is_empty() { Ok(()) } else { self.store.record(&policies, &[]) }
        };
        if let Err(error) = remembered {
            set.unknown.push(format!("the state directory: failed to {error}"));
            // The store may lack a new `retain`, so delete nothing.
            set.objects.retain(|step| step.op() != Op::Delete);
        } else if adopts && set.withheld().is_none() {
            set.unknown.extend(self.publish(desired, &observation.state, &inventory).await);
        }
        let Observation { state, server_stats, .. } = observation;
        Ok(View { inventory, state, server_stats, set })
    }
}

/// The effect of an observation on the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Settle {
    /// The operator adopts existing declared objects, and forgets owned objects that no longer
    /// exist.
    Adopt,
    /// The operator adopts and forgets no object.
    ReadOnly,
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
