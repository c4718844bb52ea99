//! The values of labels, and the series that exist from the start.
//!
//! A counter that appears with its first event hides that event: `rate()` needs an earlier value.

use super::families::Families;
use crate::domain::model::{Kind, Op};
use crate::domain::rollout::Method;
use crate::domain::status::{ConditionStatus, ConditionType, ServerPhase};
use crate::domain::supervision::Cause;
use crate::engine::{Deferral, StepResult};

/// Docker's names for the health of a container.
pub(super) const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// Every status of a condition.
pub(super) const STATUSES: [ConditionStatus; 3] =
    [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown];

/// The results of rounds, as in reports.
const ROUND_RESULTS: [&str; 4] = ["converged", "drift", "failed", "refused"];

/// The states of objects.
const OBJECT_STATES: [&str; 3] = ["desired", "managed", "unmanaged"];

/// The kinds of object that are counted. There is only one server and one configuration.
const COUNTED: [Kind; 4] = [Kind::User, Kind::Group, Kind::Room, Kind::Affiliation];

/// The reasons for a start of the server, except the causes that an administrator must fix first
/// ([`Cause::reasons_to_fix`]).
const RESTART_REASONS: [&str; 14] = [
    // Changes by the operator.
    "Config",
    "Created",
    "Replaced",
    "BroughtBack",
    // The server was not running, or was stopped by hand.
    "Stopped",
    "Ended",
    "Terminated",
    "Killed",
    "Halted",
    // Failures of the server.
    "Crashed",
    "OutOfMemory",
    "Unresponsive",
    "StuckStart",
    "StartFailed",
];

/// The methods and results of rollouts.
const METHODS: [Method; 2] = [Method::Reload, Method::Restart];
const ROLLOUT_RESULTS: [&str; 5] = ["good", "refused", "not_now", "rolled_back", "stuck"];

impl Families {
    /// Creates the series whose labels are known.
    pub(super) fn prepare(&self) {
        // Only the result of a step is a label, so the error text does not matter.
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
        for reason in RESTART_REASONS.into_iter().chain(Cause::reasons_to_fix()) {
            self.restarts.with_label_values(&[reason]);
        }
        for health in HEALTHS {
            self.health.with_label_values(&[health]);
        }
    }
}
