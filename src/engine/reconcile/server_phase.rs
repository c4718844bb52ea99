//! The first phase of a reconciliation: the steps on the server, the container and the
//! configuration. A start or a change of the server invalidates the observation, so the phase
//! observes and plans again.

use super::deferral::{DeferralContext, Sorted, sort_object_steps, sort_server_steps};
use super::report::StepOutcome;
use super::round::{Permission, Planned, Settle, View};
use super::summary::with_steps_before;
use crate::domain::diff::ObjectStep;
use crate::domain::plan::Plan;
use crate::domain::spec::DesiredState;
use crate::engine::error::StoreError;
use crate::engine::ports::EngineEvent;
use crate::engine::reconcile::round::Reconciler;

/// The observation and the plan after the steps of the server. Only this module can create a value
/// of this type, so that the object phase cannot carry out a step from an older plan.
pub(super) struct ServerSettled {
    pub(super) view: View,
    pub(super) plan: Plan,
    /// The steps of objects that can be carried out now.
    pub(super) objects: Vec<ObjectStep>,
    /// The outcomes of the steps of the server, and the outcomes of deferred steps of objects.
    pub(super) outcomes: Vec<StepOutcome>,
    _made_here: MadeHere,
}

struct MadeHere;

impl Reconciler {
    /// Carries out the steps of the server.
    ///
    /// If the operator did not create the container, the container has an owner outside the
    /// operator, such as `docker-compose`. While the operator waits for this owner to create or
    /// start the container, `owner` is the message with the reason for the wait. Otherwise `owner`
    /// is `None`.
    pub(super) async fn server_phase(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        planned: Planned,
        owner: Option<String>,
    ) -> Result<ServerSettled, StoreError> {
        let Planned { view, plan } = planned;
        let context = DeferralContext::of(&view, &plan, owner);
        let server = sort_server_steps(desired, &context, plan.server.clone(), permission);
        let objects = sort_object_steps(plan.objects.clone(), permission);
        if !(server.ready.is_empty() && objects.ready.is_empty()) {
            self.events.take(EngineEvent::StepsBegin(&plan));
        }
        let mut outcomes = server.waiting;
        if server.ready.is_empty() {
            outcomes.extend(objects.waiting);
            let objects = objects.ready;
            return Ok(ServerSettled { view, plan, objects, outcomes, _made_here: MadeHere });
        }
        let refused = Self::refused_config(&view.state);
        outcomes
            .extend(self.settle_server(desired, server.ready, refused, permission.confirm).await);
        self.plan_again(desired, permission, outcomes).await
    }

    /// Observes and plans again after the steps of the server. `outcomes` are the outcomes of these
    /// steps.
    async fn plan_again(
        &self,
        desired: &DesiredState,
        permission: &Permission<'_>,
        mut outcomes: Vec<StepOutcome>,
    ) -> Result<ServerSettled, StoreError> {
        let planned = self.observe_and_plan(desired, permission, Settle::Adopt).await?;
        let Planned { view, plan } = planned;
        let Sorted { ready: objects, waiting } =
            sort_object_steps(plan.objects.clone(), permission);
        let plan = with_steps_before(plan, &outcomes);
        outcomes.extend(waiting);
        if !objects.is_empty() {
            self.events.take(EngineEvent::StepsBegin(&plan));
        }
        Ok(ServerSettled { view, plan, objects, outcomes, _made_here: MadeHere })
    }
}
