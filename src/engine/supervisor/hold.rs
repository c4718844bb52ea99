//! Exclusive use of the server, for a caller that starts and stops the server on purpose.

use tokio::sync::MutexGuard;

use super::Supervisor;
use crate::domain::status::{ConditionType, Reason};
use crate::domain::supervision::{Event, Supervision};
use crate::engine::ports::EngineEvent;
use crate::engine::reconcile::report::ApplyError;

/// A guard that gives exclusive use of the server: the supervisor does nothing until the caller
/// drops the guard.
pub(in crate::engine) struct SupervisorGuard<'a> {
    pub(super) machine: MutexGuard<'a, Supervision>,
    pub(super) supervisor: &'a Supervisor,
}

impl SupervisorGuard<'_> {
    /// Starts the process, and reports the start with `reason` as an event for the metrics.
    pub(in crate::engine) async fn start(&mut self, reason: &str) -> Result<(), ApplyError> {
        self.supervisor.runtime.start().await?;
        self.supervisor.events.take(EngineEvent::ServerStarted { reason });
        Ok(())
    }

    /// Publishes that the rollout of a configuration is in progress.
    pub(in crate::engine) fn rolls_out(&self, variant: &str) {
        let message = format!("`{variant}` is being put in force");
        self.supervisor.show(|status, now| {
            // Until the health gate passes, it is unknown whether the server is as declared.
            status.set(ConditionType::Ready, false, Reason::RollingOut, message.as_str(), now);
            status.set(ConditionType::ConfigApplied, false, Reason::RollingOut, message, now);
        });
    }

    /// Stops ejabberd in the node, then the process, and publishes that the server is down.
    pub(in crate::engine) async fn stop(&mut self) -> Result<(), ApplyError> {
        // Publish the stop now. Otherwise a reader of the status sees the old state until the round
        // ends.
        self.supervisor.show(|status, now| {
            let why = "the operator stopped the server for the round that is under way";
            status.server.up = false;
            status.set(ConditionType::Healthy, false, Reason::Interrupted, why, now);
            status.set(ConditionType::Ready, false, Reason::ServerDown, why, now);
        });
        Ok(self.supervisor.stop_in_order().await?)
    }

    /// Records that the server is healthy.
    pub(in crate::engine) async fn well(&mut self) {
        let Self { machine, supervisor } = self;
        supervisor.advance(machine, Event::Runs).await;
        supervisor.advance(machine, Event::Answered).await;
    }
}

impl Drop for SupervisorGuard<'_> {
    fn drop(&mut self) {
        // Wake the supervisor. Otherwise the supervisor misses the changes of the process during
        // the exclusive use.
        self.supervisor.process.notify_one();
    }
}
