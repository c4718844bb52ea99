//! Telling what happens: a bar on a terminal, lines in a log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::output;
use super::terminal::can_redraw;
use crate::domain::checks::audit::Finding;
use crate::domain::plan::{Plan, Summary};
use crate::domain::spec::printable;
use crate::domain::status::{Progress, Status};
use crate::engine::{
    EngineEvent, EventDeduplicator, EventSink, RoundReport, STARTING, StepOutcome, StepResult,
    step_span,
};

/// Passes each event on to several.
pub(super) struct Fanout(pub(super) Vec<Arc<dyn EventSink>>);

impl EventSink for Fanout {
    fn take(&self, event: EngineEvent<'_>) {
        self.0.iter().for_each(|sink| sink.take(event));
    }
}

/// Writes what happens to the log; what goes on is said once, and not in every
/// round.
#[derive(Default)]
pub(super) struct Log(Mutex<Said>);

/// What the log has said already.
#[derive(Default)]
struct Said {
    begun: Option<Summary>,
    told: EventDeduplicator,
    lines: Vec<String>,
}

impl Log {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock()
    }
}

impl EventSink for Log {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(plan) => self.begin(plan),
            EngineEvent::StepTried(outcome) => self.step(outcome),
            EngineEvent::Reconciled(report) => self.round(report),
            EngineEvent::ServerStarted { reason } => {
                tracing::info!(reason, "the server was started");
            }
            EngineEvent::Audited(findings) => audited(findings),
            EngineEvent::RolloutEnded { method, result: "good" } => {
                tracing::info!(method, "the configuration is in force");
            }
            EngineEvent::RolloutEnded { method, result } => {
                tracing::warn!(method, result, "the configuration was not put in force");
            }
            EngineEvent::StatusChanged(_) | EngineEvent::BackoffChanged(_) => {}
        }
    }
}

impl Log {
    fn begin(&self, plan: &Plan) {
        let summary = plan.summary;
        // The same again is another try.
        if self.said().begun.replace(summary) != Some(summary) {
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
        let news = self.said().told.is_news(outcome);
        match &outcome.result {
            StepResult::Done => tracing::info!("{} {}: done", step.op, step.key()),
            StepResult::Failed(error) if news => {
                tracing::error!("{} {}: failed to {error}", step.op, step.key())
            }
            StepResult::Failed(error) => {
                tracing::debug!("{} {}: failed again to {error}", step.op, step.key())
            }
            StepResult::Deferred(why) => tracing::debug!("{} {}: {why}", step.op, step.key()),
        }
    }

    fn round(&self, report: &RoundReport) {
        let took = format!("{:.0?}", report.took);
        let refused = report.plan.blocked.as_ref();
        let lines: Vec<String> = refused
            .map(|blocked| format!("deletions were refused: {}", blocked.reason))
            .into_iter()
            .chain(report.plan.unknown.iter().map(|why| format!("not known: {why}")))
            .chain(report.plan.notes.iter().cloned())
            .collect();
        let mut said = self.said();
        for line in lines.iter().filter(|line| !said.lines.contains(line)) {
            // Every start goes through that.
            if line.ends_with(STARTING) {
                tracing::info!("{line}");
            } else {
                tracing::warn!("{line}");
            }
        }
        said.lines = lines;
        said.told.tidy(report);
        if report.converged() {
            said.begun = None;
        }
        drop(said);
        if report.changed_anything() {
            tracing::info!(result = report.result(), took, "the round is over");
        } else {
            tracing::debug!(result = report.result(), took, "the round is over");
        }
    }
}

fn audited(findings: &[Finding]) {
    let failing = findings.iter().filter(|finding| finding.verdict.holds() == Some(false));
    let failing: Vec<&str> = failing.map(|finding| finding.check).collect();
    tracing::debug!(failing = failing.join(" "), "the security checklist");
}

/// Shows a bar while steps are carried out; where there is no terminal, only
/// what goes wrong.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let target =
            if can_redraw() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The template is a constant; were it wrong, the default would do.
        if let Ok(style) = ProgressStyle::with_template("  {bar:30} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl EventSink for Bar {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(plan) => self.0.set_length(plan.steps.len() as u64),
            EngineEvent::StepTried(outcome) => self.step(outcome),
            _ => {}
        }
    }
}

impl Bar {
    fn step(&self, outcome: &StepOutcome) {
        let what = format!("{} {}", outcome.step.op, outcome.step.key());
        self.0.set_message(printable(&what).into_owned());
        self.0.inc(1);
        if let Some(line) = output::outcome(outcome) {
            self.0.suspend(|| output::say(&line));
        }
    }
}

/// How often the status says how far a round is.
const SAY_EVERY: Duration = Duration::from_millis(250);

/// Lets the status say how far a round is. Not remembered: the round's end is.
pub(super) struct Following {
    status: watch::Sender<Status>,
    far: Mutex<(Progress, Instant)>,
}

impl Following {
    pub(super) fn new(status: watch::Sender<Status>) -> Self {
        let far = (Progress { steps: 0, done: 0, failed: 0 }, Instant::now());
        Self { status, far: Mutex::new(far) }
    }

    fn say(&self, progress: Progress) {
        self.status.send_modify(|status| status.progress = Some(progress));
    }
}

impl EventSink for Following {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(plan) => self.begin(plan),
            EngineEvent::StepTried(outcome) => self.step(outcome),
            _ => {}
        }
    }
}

impl Following {
    fn begin(&self, plan: &Plan) {
        let progress = Progress { steps: plan.steps.len(), done: 0, failed: 0 };
        *self.far.lock() = (progress, Instant::now());
        self.say(progress);
    }

    fn step(&self, outcome: &StepOutcome) {
        let mut far = self.far.lock();
        let (progress, said) = &mut *far;
        match outcome.result {
            StepResult::Done => progress.done += 1,
            StepResult::Failed(_) => progress.failed += 1,
            StepResult::Deferred(_) => return,
        }
        if said.elapsed() >= SAY_EVERY {
            *said = Instant::now();
            self.say(*progress);
        }
    }
}
