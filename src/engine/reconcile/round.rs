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

/// Reconciles one server.
pub struct Reconciler {
    /// The server's commands.
    pub(in crate::engine) server: EjabberdClient,
    /// The server's process.
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    /// The state directory.
    pub(in crate::engine) store: Arc<dyn Store>,
    /// Passwords and files.
    pub(in crate::engine) secrets: Arc<dyn Secrets>,
    /// The receiver of the engine's events.
    pub(in crate::engine) events: Arc<dyn EventSink>,
    /// The resource usage of the server.
    pub(in crate::engine) meter: Arc<Meter>,
    /// Limits how many passwords are compared again in one reconciliation.
    pub(in crate::engine) recheck_budget: RecheckBudget,
    /// Keeps the server running.
    pub(in crate::engine) supervisor: Arc<Supervisor>,
    /// Whether the leftovers of killed operators are removed.
    pub(in crate::engine) tidied: AtomicBool,
    /// Whether a supervisor runs at the same time. Without a supervisor the reconciler itself
    /// waits for the start of the server.
    pub(in crate::engine) supervised: bool,
    /// The declared and the generated passwords.
    pub(in crate::engine) passwords: Arc<Passwords>,
    /// Which database the operator manages.
    pub(in crate::engine) databases: Arc<Databases>,
    /// Compares the declared configuration with the configuration on the server.
    pub(in crate::engine) configs: Arc<ConfigChecker>,
    /// Puts configurations in force, and replaces the container.
    pub(in crate::engine) rollouts: Arc<RolloutExecutor>,
}

/// Limits on the steps of a reconciliation, beside the desired state.
pub struct Permission<'a> {
    /// A digest of refused steps that the command line approves.
    pub approved: Option<&'a Digest>,
    /// Checked right before deletions.
    pub confirm: &'a dyn StalenessCheck,
    /// Why a step must wait: its object failed a moment ago, or another program keeps changing
    /// it back. `None` if the step may run.
    pub backing_off: &'a (dyn Fn(&StepInfo) -> Option<Deferral> + Sync),
}

/// Checks that the desired state is still current, right before objects are deleted.
#[async_trait]
pub trait StalenessCheck: Send + Sync {
    /// Why deletions must wait: the revision is too young, or the file has changed since the
    /// operator read the file. `None` if the deletions may run.
    async fn blocked_reason(&self) -> Option<Deferral>;
}

impl Reconciler {
    /// Observes the server, and returns the plan without carrying it out.
    pub async fn plan(
        &self,
        desired: &DesiredState,
        approved: Option<&Digest>,
    ) -> Result<Plan, StoreError> {
        let mut inventory = self.store.inventory()?;
        let Observation { state, .. } = Box::pin(self.observe(desired, &inventory)).await;
        let decision = Box::pin(self.databases.check_database(
            desired,
            &state,
            &mut inventory,
            Settle::ReadOnly,
        ))
        .await?;
        let mut set = diff::diff(desired, &state, &inventory);
        decision.restrict(&mut set);
        set.approvals_used = self.approvals_used()?;
        self.explain_deletions(&mut set).await;
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

    /// Observes, compares and plans.
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

    /// Records a configuration that proved good, and the new generation of the ownership.
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

    /// Removes the leftovers of killed operators once.
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
    pub(super) async fn observe_and_compare(
        &self,
        desired: &DesiredState,
        settle: Settle,
    ) -> Result<View, StoreError> {
        let adopts = settle == Settle::Adopt;
        let mut inventory = self.store.inventory()?;
        // The future is large, and is created only once per reconciliation.
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
            // Recording `retain` can only protect an object, so recording `retain` is safe even
            // here.
            let mut policies = ownership::changed_policies(desired, &inventory);
            policies.retain(|(_, owned)| owned.deletion_policy == DeletionPolicy::Retain);
            if policies.is_empty() { Ok(()) } else { self.store.record(&policies, &[]) }
        };
        if let Err(error) = remembered {
            set.unknown.push(format!("the state directory: failed to {error}"));
            // A new `retain` may not be recorded, so nothing is deleted.
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
    /// Existing declared objects are adopted; owned objects that no longer exist are forgotten.
    Adopt,
    /// Nothing is adopted or forgotten.
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
