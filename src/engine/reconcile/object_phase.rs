//! The second phase of a reconciliation: accounts, groups, rooms and affiliations.
//! What builds comes first, then what deletes; then everything is read back.

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

/// A deleted room is gone a little after the server has said so.
const READ_BACK_TRIES: u32 = 5;
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

impl Reconciler {
    /// Carries out the steps of objects, and reads back what they changed.
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

    /// Carries out the steps that concern objects: what builds first, then what deletes.
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
            // Approved, or there is nothing to create: this is the store from now on.
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

    /// The deletions that may be carried out now that it is known which of the
    /// creations before them have failed: the guard counted on those. Others are
    /// put off.
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
        // One digest cannot name both: those of the plan come first.
        if plan.blocked.is_none() {
            plan.objects.retain(|step| !refused.deletions.contains(step));
            plan.summary = plan::count(plan.steps(), plan.summary);
            plan.digest = guarded.digest;
            plan.blocked = Some(refused);
        }
        guarded.steps
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
            view = self.look(desired, Settle::Adopt).await?;
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

/// The objects that still differ, with what would be done to them. A room that
/// was created may differ in an option afterwards; that is a step of its own.
fn differing(set: &ChangeSet) -> BTreeSet<(&ObjectKey, Op)> {
    // A declared configuration that is held back goes on differing, whatever became of
    // the configuration in force.
    let server = set.server.iter().filter(|step| !step.action().is_latched()).map(Step::info);
    let open = server.chain(set.objects.iter().map(Step::info));
    open.map(|step| (&step.key, step.op)).collect()
}

fn still_differs(outcome: &StepOutcome, differing: &BTreeSet<(&ObjectKey, Op)>) -> bool {
    matches!(outcome.result, StepResult::Done)
        && differing.contains(&(&outcome.step.key, outcome.step.op))
}
