//! The events that the engine reports while it works.

use std::time::Duration;

use crate::domain::checks::audit::Finding;
use crate::domain::messaging::Tool;
use crate::domain::plan::Plan;
use crate::domain::rollout::{Method, RolloutResult};
use crate::domain::status::Status;
use crate::engine::reconcile::report::{RoundReport, StepOutcome};

/// An event of the engine.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum EngineEvent<'a> {
    /// The engine is about to carry out the steps of a plan.
    StepsBegin(&'a Plan),
    /// A step was tried, or the engine deferred the step after the engine began to carry out the
    /// plan.
    StepTried(&'a StepOutcome),
    /// A reconciliation ended.
    Reconciled(&'a RoundReport),
    /// The status changed.
    StatusChanged(&'a Status),
    /// The operator started the server.
    ServerStarted {
        /// The reason: one word, the label of `ejabberd_operator_restarts_total`.
        reason: &'a str,
    },
    /// The engine ran the security checklist.
    Audited(&'a [Finding]),
    /// The wait of the supervisor before the next start changed. Contains the new wait; zero if the
    /// supervisor does not wait.
    BackoffChanged(Duration),
    /// A client used a tool of messaging.
    ToolUsed {
        /// The tool.
        tool: Tool,
        /// `ok`, or the code of the failure.
        result: &'static str,
        /// The time that the operation took.
        took: Duration,
    },
    /// A rollout of a configuration ended.
    RolloutEnded {
        /// Whether the configuration took effect by a reload or by a restart.
        method: Method,
        /// The result of the rollout.
        result: RolloutResult,
    },
}

/// A receiver of the engine's events. The engine passes the events one at a time, in the order in
/// which the events happen.
///
/// The engine calls the sink directly where the event happens, not over a channel. So a metrics
/// scrape after an event shows the event, and no event is lost or delayed. An implementation must
/// not block, because the engine waits for the call.
pub trait EventSink: Send + Sync {
    /// Takes an event. An implementation ignores events that the implementation does not handle.
    fn take(&self, event: EngineEvent<'_>);
}
