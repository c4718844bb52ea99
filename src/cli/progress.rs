//! Shows the progress of a reconciliation in a bar on a terminal, in the log, and in the status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::output;
use super::terminal::can_redraw;
use crate::domain::checks::audit::Finding;
use crate::domain::plan::{Plan, Summary};
use crate::domain::rollout::RolloutResult;
use crate::domain::spec::printable;
use crate::domain::status::{Progress, Status};
use crate::engine::{
    EngineEvent, EventDeduplicator, EventSink, RoundReport, StepOutcome, StepResult, step_span,
};

/// An event sink that passes each event to several sinks.
pub(super) struct Fanout(pub(super) Vec<Arc<dyn EventSink>>);

impl EventSink for Fanout {
    fn take(&self, event: EngineEvent<'_>) {
        self.0.iter().for_each(|sink| sink.take(event));
    }
}

/// An event sink that writes events to the log. If the same remark or failure continues in later
/// rounds, the sink writes the remark or failure only once.
#[derive(Default)]
pub(super) struct Log(Mutex<Logged>);

/// The data that the log already contains.
#[derive(Default)]
struct Logged {
    begun: Option<Summary>,
    failures: EventDeduplicator,
    remarks: Vec<Remark>,
}

/// A line about the plan of a round.
#[derive(PartialEq, Eq)]
struct Remark {
    severity: Severity,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    Info,
    Warning,
}

impl Remark {
    fn log(&self) {
        match self.severity {
            Severity::Info => tracing::info!("{}", self.text),
            Severity::Warning => tracing::warn!("{}", self.text),
        }
    }
}

/// Returns the remarks on the plan of a round.
fn remarks(report: &RoundReport) -> Vec<Remark> {
    let plan = &report.plan;
    let warning = |text: String| Remark { severity: Severity::Warning, text };
    // During every start, a server does not respond for a short time, so do not warn.
    let severity = if report.observed.starting { Severity::Info } else { Severity::Warning };
    let blocked = plan.blocked.as_ref();
    let blocked = blocked.map(|blocked| format!("deletions were refused: {}", blocked.reason));
    let unknown = plan.unknown.iter().map(|why| format!("not known: {why}"));
    let unknown = unknown.map(|text| Remark { severity, text });
    let notes = plan.notes.iter().cloned();
    blocked.map(warning).into_iter().chain(unknown).chain(notes.map(warning)).collect()
}

impl EventSink for Log {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(plan) => self.begin(plan),
            EngineEvent::StepTried(outcome) => self.step(outcome),
            EngineEvent::Reconciled(report) => self.round(report),
            EngineEvent::ServerStarted { reason } => {
                tracing::info!(reason, "started the server");
            }
            EngineEvent::Audited(findings) => audited(findings),
            EngineEvent::RolloutEnded { method, result: RolloutResult::Good } => {
                tracing::info!(method = method.as_str(), "the configuration is in force");
            }
            EngineEvent::RolloutEnded { method, result } => tracing::warn!(
                method = method.as_str(),
                result = result.as_str(),
                "the configuration was not put in force"
            ),
            EngineEvent::StatusChanged(_)
            | EngineEvent::BackoffChanged(_)
            | EngineEvent::ToolUsed { .. } => {}
        }
    }
}

impl Log {
    fn begin(&self, plan: &Plan) {
        let summary = plan.summary;
        // Do not log the same summary again: the round repeats the same steps.
        if self.0.lock().begun.replace(summary) != Some(summary) {
            tracing::info!(
                create = summary.create,
                update = summary.update,
                delete = summary.delete,
                "reconciling"
            );
        }
    }

    fn step(&self, outcome: &StepOutcome) {
        let step = &outcome.step;
        let _within = step_span(step).entered();
        let first = self.0.lock().failures.is_new(outcome);
        match &outcome.result {
            StepResult::Done => tracing::info!("{} {}: done", step.op, step.key),
            StepResult::Failed(error) if first => {
                tracing::error!("{} {}: failed to {error}", step.op, step.key)
            }
            StepResult::Failed(error) => {
                tracing::debug!("{} {}: failed again to {error}", step.op, step.key)
            }
            StepResult::Deferred(why) => tracing::debug!("{} {}: {why}", step.op, step.key),
        }
    }

    fn round(&self, report: &RoundReport) {
        let took = format!("{:.0?}", report.took);
        let remarks = remarks(report);
        let mut logged = self.0.lock();
        remarks.iter().filter(|remark| !logged.remarks.contains(remark)).for_each(Remark::log);
        logged.remarks = remarks;
        logged.failures.tidy(report);
        if report.converged() {
            logged.begun = None;
        }
        drop(logged);
        if report.changed_anything() {
            tracing::info!(result = report.result(), took, "the round is over");
        } else {
            tracing::debug!(result = report.result(), took, "the round is over");
        }
    }
}

fn audited(findings: &[Finding]) {
    let failing = findings.iter().filter(|finding| finding.verdict.passed() == Some(false));
    let failing: Vec<&str> = failing.map(|finding| finding.check).collect();
    tracing::debug!(failing = failing.join(" "), "the security checklist");
}

/// An event sink that shows a bar while the engine executes steps. Without a terminal, the sink
/// prints only the steps that fail or are deferred.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let target =
            if can_redraw() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // Ignore an error, which the constant template cannot cause. The bar would then have the
        // default style.
        if let Ok(style) = ProgressStyle::with_template("  {bar:30} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Removes the bar from the terminal.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl EventSink for Bar {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(plan) => self.0.set_length(plan.steps().len() as u64),
            EngineEvent::StepTried(outcome) => self.step(outcome),
            _ => {}
        }
    }
}

impl Bar {
    fn step(&self, outcome: &StepOutcome) {
        let what = format!("{} {}", outcome.step.op, outcome.step.key);
        self.0.set_message(printable(&what).into_owned());
        self.0.inc(1);
        if let Some(line) = output::outcome(outcome) {
            self.0.suspend(|| output::say(&line));
        }
    }
}

/// The progress of the current round.
struct Latest {
    progress: Progress,
    /// The time of the last update of the status.
    published: Instant,
}

/// The minimum interval between two updates of the progress in the status.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// An event sink that publishes the progress of a round in the status. The sink does not store the
/// progress, because the engine stores the status at the end of the round.
pub(super) struct ProgressPublisher {
    status: watch::Sender<Status>,
    latest: Mutex<Latest>,
}

impl ProgressPublisher {
    pub(super) fn new(status: watch::Sender<Status>) -> Self {
        let progress = Progress { steps: 0, done: 0, failed: 0 };
        Self { status, latest: Mutex::new(Latest { progress, published: Instant::now() }) }
    }

    fn publish(&self, progress: Progress) {
        self.status.send_modify(|status| status.progress = Some(progress));
    }
}

impl EventSink for ProgressPublisher {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(plan) => self.begin(plan),
            EngineEvent::StepTried(outcome) => self.step(outcome),
            _ => {}
        }
    }
}

impl ProgressPublisher {
    fn begin(&self, plan: &Plan) {
        let progress = Progress { steps: plan.steps().len(), done: 0, failed: 0 };
        *self.latest.lock() = Latest { progress, published: Instant::now() };
        self.publish(progress);
    }

    fn step(&self, outcome: &StepOutcome) {
        let mut latest = self.latest.lock();
        match outcome.result {
            StepResult::Done => latest.progress.done += 1,
            StepResult::Failed(_) => latest.progress.failed += 1,
            StepResult::Deferred(_) => return,
        }
        if latest.published.elapsed() >= PUBLISH_EVERY {
            latest.published = Instant::now();
            self.publish(latest.progress);
        }
    }
}
