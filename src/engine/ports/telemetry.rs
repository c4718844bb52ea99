//! What the engine reports of itself.

use std::time::Duration;

use crate::domain::checks::audit::Finding;
use crate::domain::plan::Plan;
use crate::domain::status::Status;
use crate::engine::reconcile::report::{RoundReport, StepOutcome};

/// What the engine tells about itself; nothing of it can fail. Whoever listens
/// takes what concerns it.
pub trait Telemetry: Send + Sync {
    /// Steps are about to be carried out.
    fn begin(&self, _plan: &Plan) {}
    /// A step was tried.
    fn step(&self, _outcome: &StepOutcome) {}
    /// A round is over.
    fn round(&self, _report: &RoundReport) {}
    /// The status changed.
    fn status(&self, _status: &Status) {}
    /// The server was started again, and why, in one of a few words.
    fn restarted(&self, _reason: &str) {}
    /// The security checklist was gone through.
    fn audited(&self, _findings: &[Finding]) {}
    /// How long the server waits to be started again; zero if it does not.
    fn backoff(&self, _wait: Duration) {}
    /// A configuration was put in force by `method`, or not.
    fn rollout(&self, _method: &'static str, _result: &'static str) {}
}
