//! What the engine reports of itself while it works.

use std::time::Duration;

use crate::domain::checks::audit::Finding;
use crate::domain::plan::Plan;
use crate::domain::rollout::{Method, RolloutResult};
use crate::domain::status::Status;
use crate::engine::reconcile::report::{RoundReport, StepOutcome};

/// Something that happened in the engine.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum EngineEvent<'a> {
    /// The steps of a plan are about to be carried out.
    StepsBegin(&'a Plan),
    /// A step was tried, or deferred by what happened before it.
    StepTried(&'a StepOutcome),
    /// A reconciliation ended.
    Reconciled(&'a RoundReport),
    /// The status changed.
    StatusChanged(&'a Status),
    /// The server was started, for a reason of one word.
    ServerStarted {
        /// The reason, as the label of `ejabberd_operator_restarts_total`.
        reason: &'a str,
    },
    /// The security checklist was gone through.
    Audited(&'a [Finding]),
    /// The supervisor waits this long before the next start; zero if it does not wait.
    BackoffChanged(Duration),
    /// A rollout of a configuration ended.
    RolloutEnded {
        /// How the configuration was put in force.
        method: Method,
        /// How the rollout ended.
        result: RolloutResult,
    },
}

/// Takes the events of the engine, one at a time and in their order.
///
/// The engine calls it where the event happens, and not over a channel: a scrape that
/// follows an event shows it, and no event is lost or kept waiting. An implementation
/// must not block.
pub trait EventSink: Send + Sync {
    /// Takes an event. Ignores what does not concern it.
    fn take(&self, event: EngineEvent<'_>);
}
