//! The data of the page, collected from the events of the engine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::domain::diff::{Step, StepInfo};
use crate::domain::model::{Digest, Kind, ObjectKey, Op, Revision};
use crate::domain::observed::Usage;
use crate::domain::plan::Summary;
use crate::domain::status::overview::{ObjectState, Overview};
use crate::engine::{EngineEvent, EventSink, RoundReport, StepResult};

/// The maximum number of steps of a plan, and of refused deletions, on the page. If a list is
/// longer, the page also shows the number of omitted entries.
const MAX_STEPS: usize = 200;

/// All objects, and the number of objects in each state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Listing {
    /// The version of the list. Every change of the list changes the version.
    pub(super) version: u64,
    pub(super) overview: Arc<Overview>,
    pub(super) counts: BTreeMap<Kind, BTreeMap<ObjectState, usize>>,
}

/// Stores the latest plan, the latest result of the security checklist, and the latest list of
/// objects.
pub struct PageData {
    pub(super) plan: watch::Sender<Arc<str>>,
    pub(super) audit: watch::Sender<Arc<str>>,
    pub(super) listing: watch::Sender<Listing>,
    /// The time of the previous round, and the resource usage of the server in that round.
    used: Mutex<Option<(Timestamp, Usage)>>,
}

impl Default for PageData {
    fn default() -> Self {
        Self {
            plan: watch::Sender::new("null".into()),
            audit: watch::Sender::new("null".into()),
            listing: watch::Sender::default(),
            used: Mutex::default(),
        }
    }
}

/// The last round, as JSON for the page.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Round<'a> {
    started: Timestamp,
    took_ms: u128,
    result: &'static str,
    held: Option<&'static str>,
    revision: &'a Revision,
    digest: &'a Digest,
    summary: Summary,
    blocked: Option<Refused<'a>>,
    steps: Vec<Shown<'a>>,
    steps_left_out: usize,
    unknown: &'a [String],
    notes: &'a [String],
    memory_bytes: Option<u64>,
    cpu_percent: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused<'a> {
    reason: &'a str,
    deletions: Vec<Shown<'a>>,
    left_out: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    kind: Kind,
    op: Op,
    name: String,
    fields: &'a [String],
    reason: &'a str,
    /// The result of the step: `done`, `failed` or `deferred`; `None` if the step was not tried.
    result: Option<&'static str>,
    error: Option<Cow<'a, str>>,
}

impl Shown<'_> {
    fn new<'a>(step: &'a StepInfo, result: Option<&'a StepResult>) -> Shown<'a> {
        let StepInfo { phase: _, key, op, fields, reason } = step;
        let error = match result {
            Some(StepResult::Failed(error)) => Some(format!("failed to {error}").into()),
            Some(StepResult::Deferred(why)) => Some(why.to_string().into()),
            Some(StepResult::Done) | None => None,
        };
        let result = result.map(StepResult::as_str);
        Shown { kind: key.kind(), op: *op, name: key.name(), fields, reason, result, error }
    }
}

impl PageData {
    /// Replaces the list of objects.
    pub(super) fn list(&self, overview: &Arc<Overview>) {
        self.listing.send_if_modified(|listing| {
            if listing.version > 0 && *listing.overview == **overview {
                return false;
            }
            let mut counts: BTreeMap<Kind, BTreeMap<ObjectState, usize>> = BTreeMap::new();
            for object in &overview.objects {
                *counts.entry(object.kind).or_default().entry(object.state).or_default() += 1;
            }
            let version = listing.version + 1;
            *listing = Listing { version, overview: Arc::clone(overview), counts };
            true
        });
    }

    /// Returns the CPU usage of the server since the last measurement, in percent of one core.
    /// `None` without an earlier measurement, if less than a second has passed, or if the server
    /// was restarted.
    fn cpu_percent(&self, now: Timestamp, usage: Option<Usage>) -> Option<f64> {
        let mut used = self.used.lock();
        let before = std::mem::replace(&mut *used, usage.map(|usage| (now, usage)));
        let ((then, before), after) = before.zip(usage)?;
        let seconds = now.duration_since(then).as_secs_f64();
        let spent = after.cpu_seconds - before.cpu_seconds;
        // A negative difference means a restart of the server, because the counter of a new process
        // begins at zero.
        (seconds >= 1.0 && spent >= 0.0).then(|| (spent / seconds * 1000.0).round() / 10.0)
    }

    fn show(&self, report: &RoundReport) {
        let RoundReport { plan, outcomes, .. } = report;
        let results: BTreeMap<(&ObjectKey, Op), &StepResult> = outcomes
            .iter()
            .map(|outcome| ((&outcome.step.key, outcome.step.op), &outcome.result))
            .collect();
        let result = |step: &StepInfo| results.get(&(&step.key, step.op)).copied();
        // Put the failed and pending steps first, because these steps matter more than finished
        // steps.
        let mut steps: Vec<_> = plan.steps().into_iter().map(|step| (step, result(step))).collect();
        steps.sort_by_key(|(_, result)| match result {
            Some(StepResult::Failed(_)) => 0,
            Some(StepResult::Deferred(_)) => 1,
            None => 2,
            Some(StepResult::Done) => 3,
        });
        let usage = report.server_stats.usage;
        let round = Round {
            started: report.started,
            took_ms: report.took.as_millis(),
            result: report.result(),
            held: report.held,
            revision: &plan.revision,
            digest: &plan.digest,
            summary: plan.summary,
            blocked: plan.blocked.as_ref().map(|blocked| Refused {
                reason: &blocked.reason,
                deletions: few(blocked.steps().map(Step::info).map(|step| Shown::new(step, None))),
                left_out: blocked.steps().count().saturating_sub(MAX_STEPS),
            }),
            steps_left_out: steps.len().saturating_sub(MAX_STEPS),
            steps: few(steps.into_iter().map(|(step, result)| Shown::new(step, result))),
            unknown: &plan.unknown,
            notes: &plan.notes,
            memory_bytes: usage.map(|usage| usage.memory_bytes),
            cpu_percent: self.cpu_percent(report.started, usage),
        };
        publish(&self.plan, &round);
    }
}

fn few<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.take(MAX_STEPS).collect()
}

fn publish(to: &watch::Sender<Arc<str>>, what: &impl Serialize) {
    match serde_json::to_string(what) {
        Ok(json) => {
            to.send_replace(json.into());
        }
        Err(error) => {
            tracing::error!(%error, "failed to write the data of the page, so the page shows old data")
        }
    }
}

impl EventSink for PageData {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::Reconciled(report) => {
                self.show(report);
                self.list(&report.overview);
            }
            EngineEvent::Audited(findings) => publish(&self.audit, &findings),
            _ => {}
        }
    }
}
