//! The second phase of a reconciliation: the steps on accounts, groups, rooms and affiliations. The
//! operator carries out creations and updates first, then deletions, and then observes the server
//! again to verify the steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::deferral::{Deferral, deferred_all};
use super::report::{ApplyError, StepOutcome, StepResult};
use super::round::{Permission, Reconciled, Settle, View};
use super::server_phase::ServerSettled;
use crate::domain::diff::{ChangeSet, ObjectStep, Step};
use crate::domain::model::{ObjectKey, Op};
use crate::domain::observed::Reading;
use crate::domain::plan;
use crate::domain::plan::{GuardContext, Plan};
use crate::domain::spec::DesiredState;
use crate::engine::error::StoreError;
use crate::engine::reconcile::round::Reconciler;

/// The maximum number of observations that verify the steps. A deleted room disappears shortly
/// after the server reports success, so one observation may be too early.
const READ_BACK_TRIES: u32 = 5;
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

impl Reconciler {
    /// Carries out the steps of objects, and observes the server again if a step was carried out.
    pub(super) async fn object_phase(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        mut settled: ServerSettled,
    ) -> Result<Reconciled, StoreError> {
        self.change_objects(desired, permission, &mut settled).await?;
        let ServerSettled { mut view, plan, mut outcomes, .. } = settled;
        if outcomes.iter().any(|outcome| matches!(outcome.result, StepResult::Done)) {
            view = self.read_back(desired, view, &mut outcomes).await?;
        }
        Ok(Reconciled { view, plan, outcomes })
    }

    /// Carries out the steps of objects: creations and updates first, then deletions.
    async fn change_objects(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        settled: &mut ServerSettled,
    ) -> Result<(), StoreError> {
        let ServerSettled { view, plan, objects, outcomes, .. } = settled;
        let objects = std::mem::take(objects);
        let (deletes, builds): (Vec<ObjectStep>, Vec<ObjectStep>) =
            objects.into_iter().partition(|step| step.op() == Op::Delete);
        if !view.set.left_behind.is_empty()
            && plan.blocked.is_none()
            && let Reading::Known(found) = &view.state.database
        {
            // The guard refuses no step, so the creations are approved, or the plan has none.
            // Record the account store, because the operator now manages this account store.
            self.databases.keep_database(found)?;
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
                Some(why) => {
                    let deletes = deletes.into_iter().map(Step::into_info);
                    outcomes.extend(deferred_all(deletes, &why));
                }
                None => {
                    let deletes = self.leave_registered(desired, deletes, outcomes)?;
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

    /// Defers the deletions of undeclared objects that a client registered since the observation,
    /// and returns the other deletions. A client records a registration before it creates the
    /// object, so the inventory has the record of every registered object that was observed.
    fn leave_registered(
        &self,
        desired: &DesiredState,
        deletes: Vec<ObjectStep>,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Result<Vec<ObjectStep>, StoreError> {
        if deletes.iter().all(|step| desired.declares(step.key())) {
            return Ok(deletes);
        }
        let inventory = self.store.inventory()?;
        let (registered, deletes): (Vec<_>, Vec<_>) = deletes.into_iter().partition(|step| {
            !desired.declares(step.key()) && inventory.registered_by(step.key()).is_some()
        });
        let registered = registered.into_iter().map(Step::into_info);
        outcomes.extend(deferred_all(registered, &Deferral::Registered));
        Ok(deletes)
    }

    /// Lets the guard check the deletions again after the creations, and returns the permitted
    /// deletions. The first check of the guard counted creations that may have failed since. Defers
    /// the refused deletions.
    fn guard_deletions_again(
        desired: &DesiredState,
        permission: &Permission<'_>,
        view: &View,
        plan: &mut Plan,
        deletes: Vec<ObjectStep>,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Vec<ObjectStep> {
        let mut created = BTreeMap::new();
        let done = outcomes.iter().filter(|o| matches!(o.result, StepResult::Done));
        for outcome in done.filter(|outcome| outcome.step.op == Op::Create) {
            *created.entry(outcome.step.kind()).or_default() += 1;
        }
        let View { set, inventory, .. } = view;
        let context = GuardContext { set, desired, inventory, approved: permission.approved };
        let guarded = plan::guard(deletes, context, &created);
        let Some(refused) = guarded.blocked else { return guarded.steps };
        let waiting = refused.deletions.iter().map(|step| step.info().clone());
        outcomes.extend(deferred_all(waiting, &Deferral::CreationFailed));
        // A plan has only one digest, so refused steps of the first check keep the digest.
        if plan.blocked.is_none() {
            plan.objects.retain(|step| !refused.deletions.contains(step));
            plan.summary = plan::count(plan.steps(), plan.summary);
            plan.digest = guarded.digest;
            plan.blocked = Some(refused);
        }
        guarded.steps
    }

    /// Observes the server again, and marks a step as failed if the server reported success but the
    /// object still differs.
    async fn read_back(
        &self,
        desired: &DesiredState,
        before: View,
        outcomes: &mut [StepOutcome],
    ) -> Result<View, StoreError> {
        let mut view = before;
        for _ in 0..READ_BACK_TRIES {
            view = self.observe_and_compare(desired, Settle::Adopt).await?;
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

/// Returns the objects that still differ, each with the operation that would remove the difference.
/// A created room may still differ in an option. Such a difference is an update, not a failed
/// creation.
fn differing(set: &ChangeSet) -> BTreeSet<(&ObjectKey, Op)> {
    // Skip a latched configuration: the declared configuration differs from the configuration in
    // force even after a successful step.
    let server = set.server.iter().filter(|step| !step.action().is_latched()).map(Step::info);
    let open = server.chain(set.objects.iter().map(Step::info));
    open.map(|step| (&step.key, step.op)).collect()
}

fn still_differs(outcome: &StepOutcome, differing: &BTreeSet<(&ObjectKey, Op)>) -> bool {
    matches!(outcome.result, StepResult::Done)
        && differing.contains(&(&outcome.step.key, outcome.step.op))
}
