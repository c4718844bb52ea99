//! The values of labels, and the series that exist from the start.
//!
//! Without an earlier value of a counter, `rate()` does not count the first event.

use super::families::Families;
use crate::domain::messaging::{FailureCode, Tool};
use crate::domain::model::{Kind, Op};
use crate::domain::rollout::Method;
use crate::domain::status::{ConditionStatus, ConditionType, ServerPhase};
use crate::domain::supervision::{Cause, EndReason};
use crate::engine::{Deferral, StepResult};

/// Docker's names for the health of a container.
pub(super) const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// Every status of a condition.
pub(super) const STATUSES: [ConditionStatus; 3] =
    [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown];

/// The results of rounds.
const ROUND_RESULTS: [&str; 4] = ["converged", "drift", "failed", "refused"];

/// The states in which objects are counted.
const OBJECT_STATES: [&str; 3] = ["desired", "managed", "unmanaged"];

/// The kinds of object that are counted. The server and the configuration are not counted, because
/// there is only one server and one configuration.
const COUNTED: [Kind; 4] = [Kind::User, Kind::Group, Kind::Room, Kind::Affiliation];

/// The reasons for a start of the server, except the causes that an administrator must fix first
/// ([`Cause::reasons_to_fix`]).
const RESTART_REASONS: [&str; 15] = [
    // Starts after a change by the operator.
    "Config",
    "Created",
    "Replaced",
    "BroughtBack",
    // Starts of a server that did not run, or that another program stopped.
    "Stopped",
    EndReason::Ended.as_str(),
    EndReason::Terminated.as_str(),
    EndReason::Killed.as_str(),
    EndReason::Halted.as_str(),
    // Starts after a failure of the server.
    EndReason::Crashed.as_str(),
    EndReason::OutOfMemory.as_str(),
    EndReason::Unresponsive.as_str(),
    EndReason::Frozen.as_str(),
    EndReason::StuckStart.as_str(),
    EndReason::StartFailed.as_str(),
];

/// The methods of rollouts, and the results of rollouts.
const METHODS: [Method; 2] = [Method::Reload, Method::Restart];
const ROLLOUT_RESULTS: [&str; 5] = ["good", "refused", "not_now", "rolled_back", "stuck"];

impl Families {
    /// Creates the series whose label values are known at the start.
    pub(super) fn prepare(&self) {
        // Only the result is a label, so write `failed` without an error.
        let results =
            [StepResult::Done.as_str(), "failed", StepResult::Deferred(Deferral::Backoff).as_str()];
        for result in ROUND_RESULTS {
            self.reconcile.with_label_values(&[result]);
        }
        for kind in Kind::ALL.map(Kind::as_str) {
            for op in Op::ALL.map(Op::as_str) {
                self.drift.with_label_values(&[kind, op]);
                for result in results {
                    self.steps.with_label_values(&[kind, op, result]);
                }
            }
            self.failing.with_label_values(&[kind]);
        }
        for kind in COUNTED.map(Kind::as_str) {
            for state in OBJECT_STATES {
                self.objects.with_label_values(&[kind, state]);
            }
        }
        for method in METHODS.map(Method::as_str) {
            for result in ROLLOUT_RESULTS {
                self.config_rollouts.with_label_values(&[method, result]);
            }
        }
        for phase in ServerPhase::ALL {
            self.server_state.with_label_values(&[phase.as_str()]);
        }
        for kind in ConditionType::ALL.map(|kind| kind.to_string()) {
            for status in STATUSES {
                let gauge = self.condition.with_label_values(&[kind.as_str(), status.as_str()]);
                gauge.set((status == ConditionStatus::Unknown).into());
            }
        }
        for reason in
            RESTART_REASONS.into_iter().chain(Cause::reasons_to_fix().map(EndReason::as_str))
        {
            self.restarts.with_label_values(&[reason]);
        }
        for tool in Tool::ALL {
            for result in FailureCode::ALL.map(FailureCode::as_str).into_iter().chain(["ok"]) {
                self.messages.with_label_values(&[tool.as_str(), result]);
            }
        }
        for health in HEALTHS {
            self.health.with_label_values(&[health]);
        }
    }
}
