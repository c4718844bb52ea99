//! What a round did.

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

/// Why a step failed. The message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server did not do it.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The runtime did not do it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A secret or file could not be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It could not be remembered, so it was not done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration was refused before anybody was interrupted: by
    /// ejabberd itself, or because it is not what is declared.
    #[error("put the configuration in force: {0}")]
    ConfigRefused(String),
    /// ejabberd could not be asked about the configuration.
    #[error("check the configuration: {0}")]
    ConfigUnchecked(String),
    /// The files of a configuration cannot be written. The server was left alone.
    #[error("{0}; the server was left as it is, and this is tried again")]
    ConfigNotWritten(String),
    /// The server did not come up.
    #[error("start the server: {0}")]
    NotStarted(String),
    /// The new configuration did not work, and was taken back.
    #[error("put the configuration in force: {0}; the one before was put back")]
    RolledBack(String),
    /// The same, for a reason that is not the configuration's fault.
    #[error(
        "put the configuration in force: {0}; the one before was put back, and it is tried again"
    )]
    TakenBack(String),
    /// The new configuration did not work, nor does the one before any more.
    #[error(
        "put the configuration in force: {first}; the one before was put back, and is not well either: {then}"
    )]
    Stuck {
        /// What was wrong with the new one.
        first: String,
        /// What is wrong with the one before.
        then: String,
    },
    /// The new container did not work; the old one was brought back.
    #[error("replace the container: {0}; the one before was brought back")]
    NotReplaced(String),
    /// A new server would not have the database of the old one.
    #[error("create the server: {0}")]
    DatabaseMissing(String),
    /// It was answered as done, and is not.
    #[error("find it done: the server answered that it was, and reading it back shows otherwise")]
    NotReadBack,
}

impl ApplyError {
    /// Whether trying again may help.
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

    /// The word for metrics.
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

    /// Whether the server as a whole is away.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Control(e) if e.is_outage())
    }
}

/// What became of a step.
#[derive(Debug)]
pub enum StepResult {
    /// It was done.
    Done,
    /// It failed.
    Failed(ApplyError),
    /// It was not tried, and why.
    Deferred(Deferral),
}

impl StepResult {
    /// The word for metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// A step and what became of it.
#[derive(Debug)]
pub struct StepOutcome {
    /// The step.
    pub step: StepInfo,
    /// What became of it.
    pub result: StepResult,
}

/// Numbers that the server gives about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerStats {
    /// For how long it has been up, in seconds.
    pub uptime_seconds: Option<u64>,
    /// Sessions by vhost.
    pub connected: BTreeMap<Vhost, u64>,
    /// What its process has used.
    pub usage: Option<Usage>,
}

/// Everything that one round saw and did.
#[derive(Debug)]
pub struct RoundReport {
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What was planned, in the order of doing. A round that had to start the
    /// server first plans again afterwards; this is then the later plan, with
    /// the steps before.
    pub plan: Plan,
    /// What became of each step that was tried or put off.
    pub outcomes: Vec<StepOutcome>,
    /// What was observed last.
    pub observed: ObservedState,
    /// The server's own numbers.
    pub server_stats: ServerStats,
    /// What still differs, by kind and operation.
    pub drift: BTreeMap<(Kind, Op), usize>,
    /// Objects by kind.
    pub objects: BTreeMap<Kind, Counts>,
    /// The configuration on the server.
    pub config: Option<Digest>,
    /// Why the plan was not carried out at all, if so.
    pub held: Option<&'static str>,
    /// How many declared accounts were missing that had been there for long.
    pub vanished: usize,
    /// How every object stands.
    pub overview: Arc<Overview>,
}

/// The span of a step: what is logged within belongs to it.
#[must_use]
pub fn step_span(step: &StepInfo) -> tracing::Span {
    tracing::info_span!("step", kind = step.kind().as_str(), op = %step.op, object = step.name())
}

impl RoundReport {
    /// The steps that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&StepInfo, &ApplyError)> {
        self.outcomes.iter().filter_map(|outcome| match &outcome.result {
            StepResult::Failed(error) => Some((&outcome.step, error)),
            StepResult::Done | StepResult::Deferred(_) => None,
        })
    }

    /// The objects that fail: those of failed steps, and those that failed
    /// before and wait for their next try. Each once.
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

    /// Whether anything was changed.
    #[must_use]
    pub fn changed_anything(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome.result, StepResult::Done))
    }

    /// Whether the server is as declared, as far as could be read.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.drift.is_empty()
            && self.plan.unknown.is_empty()
            && self.plan.blocked.is_none()
            && self.plan.withheld().is_none()
            && self.failures().next().is_none()
    }

    /// The word for metrics.
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
