//! The report of a reconciliation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::deferral::Deferral;
use crate::domain::diff::StepInfo;
use crate::domain::model::{Digest, Kind, ObjectKey, Op, Vhost};
use crate::domain::observed::{ObservedState, Usage};
use crate::domain::plan::Plan;
use crate::domain::status::Counts;
use crate::domain::status::overview::Overview;
use crate::ejabberd::{Class, ControlError};
use crate::engine::error::{RuntimeError, SecretError, StoreError};

/// The error of a step. The message completes the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A command of the server failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// An operation of the runtime failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The read or write of a secret or a file failed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An operation on the state directory failed. If the operator could not record a step, the
    /// step was not carried out.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration was refused before the operator interrupted any client: ejabberd refuses
    /// the configuration, or the configuration does not match the desired state.
    #[error("put the configuration in force: {0}")]
    ConfigRefused(String),
    /// ejabberd could not check the configuration.
    #[error("check the configuration: {0}")]
    ConfigUnchecked(String),
    /// The files of a configuration cannot be written. The server is unchanged.
    #[error("{0}; the server is unchanged, and the operator tries again")]
    ConfigNotWritten(String),
    /// The server did not start.
    #[error("start the server: {0}")]
    NotStarted(String),
    /// The new configuration failed, and the previous configuration is in force again.
    #[error("put the configuration in force: {0}; the previous configuration was put back")]
    RolledBack(String),
    /// The rollout failed for another reason than the configuration, and the previous
    /// configuration is in force again.
    #[error(
        "put the configuration in force: {0}; the previous configuration was put back, and the \
         operator tries again"
    )]
    TakenBack(String),
    /// The new configuration failed, and the previous configuration failed too.
    #[error(
        "put the configuration in force: {first}; the previous configuration was put back, and \
         fails too: {then}"
    )]
    Stuck {
        /// The failure of the new configuration.
        first: String,
        /// The failure of the previous configuration.
        then: String,
    },
    /// The new container failed, and the operator restored the old container.
    #[error("replace the container: {0}; the old container was brought back")]
    NotReplaced(String),
    /// A new server would not have the database of the old server.
    #[error("create the server: {0}")]
    DatabaseMissing(String),
    /// The server reported success, but the object still differs.
    #[error(
        "verify the change: the server reported success, but the object still differs on read-back"
    )]
    NotReadBack,
}

impl ApplyError {
    /// Returns the class of the error: `Transient` if a retry may help, else `Terminal`.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Control(e) => e.class(),
            Self::Runtime(e) => e.class(),
            Self::Secret(_) | Self::ConfigRefused(_) | Self::RolledBack(_) => Class::Terminal,
            Self::Store(_)
            | Self::ConfigUnchecked(_)
            | Self::ConfigNotWritten(_)
            | Self::NotStarted(_)
            | Self::TakenBack(_)
            | Self::Stuck { .. }
            | Self::NotReplaced(_)
            | Self::DatabaseMissing(_)
            | Self::NotReadBack => Class::Transient,
        }
    }

    /// Returns the label value of the error in the metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Control(e) => e.category(),
            Self::Runtime(e) => e.category(),
            Self::Secret(_) => "secret",
            Self::Store(_) => "store",
            Self::ConfigRefused(_) => "config_refused",
            Self::ConfigUnchecked(_) => "config_unchecked",
            Self::ConfigNotWritten(_) => "config_not_written",
            Self::NotStarted(_) => "not_started",
            Self::RolledBack(_) => "rolled_back",
            Self::TakenBack(_) => "taken_back",
            Self::Stuck { .. } => "stuck",
            Self::NotReplaced(_) => "not_replaced",
            Self::DatabaseMissing(_) => "database_missing",
            Self::NotReadBack => "not_read_back",
        }
    }

    /// Whether the error means that the server does not respond at all.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Control(e) if e.is_outage())
    }
}

/// The result of a step.
#[derive(Debug)]
pub enum StepResult {
    /// The step was carried out.
    Done,
    /// The step failed.
    Failed(ApplyError),
    /// The step was not tried. Contains the reason.
    Deferred(Deferral),
}

impl StepResult {
    /// Returns the label value of the result in the metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// A step and its result.
#[derive(Debug)]
pub struct StepOutcome {
    /// The step.
    pub step: StepInfo,
    /// The result of the step.
    pub result: StepResult,
}

/// The statistics of the server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerStats {
    /// The uptime of the server in seconds; `None` if the operator could not read the uptime.
    pub uptime_seconds: Option<u64>,
    /// The number of connected sessions by vhost. Lacks the vhosts whose number the operator could
    /// not read.
    pub connected: BTreeMap<Vhost, u64>,
    /// The resource usage of the process; `None` if no measurement exists.
    pub usage: Option<Usage>,
}

/// The report of a reconciliation.
#[derive(Debug)]
pub struct RoundReport {
    /// The time when the reconciliation began.
    pub started: Timestamp,
    /// The duration of the reconciliation.
    pub took: Duration,
    /// The plan. If the reconciliation changed the server, the operator planned again. Then this
    /// field holds the later plan, with the earlier steps of the server.
    pub plan: Plan,
    /// The results of the steps that the operator tried or deferred.
    pub outcomes: Vec<StepOutcome>,
    /// The last observation.
    pub observed: ObservedState,
    /// The statistics of the server.
    pub server_stats: ServerStats,
    /// The number of remaining differences, by kind and operation.
    pub drift: BTreeMap<(Kind, Op), usize>,
    /// The counts of objects by kind.
    pub objects: BTreeMap<Kind, Counts>,
    /// The digest of the configuration on the server; `None` if no configuration is declared, or if
    /// the configuration is unknown.
    pub config: Option<Digest>,
    /// Why the operator must not carry out any step of the plan; `None` if steps may run.
    pub held: Option<&'static str>,
    /// The number of missing declared accounts that the operator had owned for long; 0 if only one
    /// such account is missing.
    pub vanished: usize,
    /// The state of every object.
    pub overview: Arc<Overview>,
}

/// Returns the span for log messages of a step.
#[must_use]
pub fn step_span(step: &StepInfo) -> tracing::Span {
    tracing::info_span!("step", kind = step.kind().as_str(), op = %step.op, object = step.name())
}

impl RoundReport {
    /// Returns the steps that failed, each with the error.
    pub fn failures(&self) -> impl Iterator<Item = (&StepInfo, &ApplyError)> {
        self.outcomes.iter().filter_map(|outcome| match &outcome.result {
            StepResult::Failed(error) => Some((&outcome.step, error)),
            StepResult::Done | StepResult::Deferred(_) => None,
        })
    }

    /// Returns the objects of failed steps, and the objects that failed before and wait for the
    /// next try. Each object appears once.
    pub fn failing(&self) -> impl Iterator<Item = ObjectKey> {
        let fails = |outcome: &&StepOutcome| match &outcome.result {
            StepResult::Failed(_) => true,
            StepResult::Deferred(why) => *why == Deferral::Backoff,
            StepResult::Done => false,
        };
        let keys: BTreeSet<ObjectKey> =
            self.outcomes.iter().filter(fails).map(|outcome| outcome.step.key.clone()).collect();
        keys.into_iter()
    }

    /// Whether any step was carried out.
    #[must_use]
    pub fn changed_anything(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome.result, StepResult::Done))
    }

    /// Whether the server matches the desired state: no difference remains, no step failed, and the
    /// operator could read every part of the server.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.drift.is_empty()
            && self.plan.unknown.is_empty()
            && self.plan.blocked.is_none()
            && self.plan.withheld().is_none()
            && self.failures().next().is_none()
    }

    /// Returns the label value of the report in the metrics.
    #[must_use]
    pub fn result(&self) -> &'static str {
        if self.converged() {
            "converged"
        } else if self.failures().next().is_some() {
            "failed"
        } else if self.plan.blocked.is_some() || self.plan.withheld().is_some() {
            "refused"
        } else {
            "drift"
        }
    }
}
