//! The command `apply`: reconciles in up to [`MAX_ROUNDS`] rounds, and exits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Serialize;
use tracing::Instrument;

use super::args::Format;
use super::progress::Bar;
use super::runtimes::Connectors;
use super::session::{Paths, engine};
use super::table::Page;
use super::{Exit, Outcome, output};
use crate::adapters::metrics::Metrics;
use crate::domain::model::{Digest, Op, Revision};
use crate::domain::plan::Plan;
use crate::engine::{
    DELETIONS_AFTER, Deferral, EventSink, Permission, RoundReport, StalenessCheck, StepResult,
    record_round,
};

/// The exit code of `apply` if the guard refused deletions.
const REFUSED: u8 = 3;

/// The time limit of the wait for a server that is already starting.
const AWAKE_WITHIN: Duration = Duration::from_mins(1);

/// The maximum number of rounds of one `apply`. A second round sets properties that are visible
/// only after the object exists; more rounds mean that another program changes the same objects.
const MAX_ROUNDS: usize = 5;

/// A step in the output of `apply --output json`.
#[derive(Serialize)]
struct AppliedStep {
    kind: crate::domain::model::Kind,
    op: Op,
    name: String,
    result: &'static str,
    error: Option<String>,
}

#[derive(Serialize)]
struct Applied {
    converged: bool,
    plan: Plan,
    steps: Vec<AppliedStep>,
}

/// Reconciles in up to [`MAX_ROUNDS`] rounds: until no drift remains, a step fails, or a round
/// changes nothing.
pub(super) async fn apply(paths: &Paths, format: Format, approve: Option<String>) -> Outcome {
    let read = Instant::now();
    let desired = paths.desired().await?;
    let store = Arc::new(paths.memory().map_err(|error| paths.unusable(&error))?);
    let metrics = Arc::new(Metrics::new()?);
    let bar = Arc::new(Bar::new());
    let events = Arc::clone(&bar) as Arc<dyn EventSink>;
    let engine = engine(
        &desired,
        Arc::clone(&store) as _,
        events,
        &Connectors { metrics, holder: paths.holder() },
    );
    let approved = approve.map(Digest::new);
    engine.reconciler.await_awake(AWAKE_WITHIN).await;
    let plan = engine.reconciler.plan(&desired, approved.as_ref()).await?;
    if format == Format::Text {
        output::print(&output::plan(&plan, Page::out()))?;
    }
    if let (Some(given), Some(_)) = (&approved, &plan.blocked)
        && *given != plan.digest
    {
        output::say(&format!(
            "--approve {given} names other deletions than the deletions that are refused now ({}): they \
             stay refused",
            plan.digest
        ));
    }
    let confirm = StoodStill { paths, read, revision: &desired.revision };
    let permission =
        Permission { approved: approved.as_ref(), confirm: &confirm, backing_off: &|_| None };
    let mut reports: Vec<RoundReport> = Vec::new();
    for number in 1..=MAX_ROUNDS {
        let span = tracing::info_span!("round", number, revision = desired.revision.short());
        let report = engine.reconciler.round(&desired, &permission).instrument(span).await?;
        record_round(&*store, &report)?;
        let go_on = report.changed_anything()
            && !report.drift.is_empty()
            && report.failures().next().is_none();
        reports.push(report);
        if !go_on {
            break;
        }
    }
    bar.clear();
    engine.server.close().await;
    finish(reports, format, &plan.unknown)
}

/// The check before deletions. The check waits until two seconds have passed since the read of the
/// file, and permits the deletions only if the file still has the same revision.
struct StoodStill<'a> {
    paths: &'a Paths,
    read: Instant,
    revision: &'a Revision,
}

#[async_trait]
impl StalenessCheck for StoodStill<'_> {
    async fn blocked_reason(&self) -> Option<Deferral> {
        tokio::time::sleep(DELETIONS_AFTER.saturating_sub(self.read.elapsed())).await;
        match self.paths.reread().await {
            Some(desired) if desired.revision == *self.revision => None,
            _ => Some(Deferral::ChangedDuringApply),
        }
    }
}

/// Returns whether a plan waits only for an approval.
fn was_refused(plan: &Plan) -> bool {
    let withheld = plan.withheld().is_some();
    plan.blocked.as_ref().map_or(withheld, |blocked| {
        // A virtual host that is not in the running configuration is unknown until the operator
        // applies the configuration. If the guard refused creations, the configuration waits for
        // the approval, so such an unknown host is not an error.
        plan.unknown.is_empty() || !blocked.creations.is_empty()
    })
}

/// Prints the result and returns the exit status. `printed` holds the `unknown` messages that the
/// plan already printed.
fn finish(reports: Vec<RoundReport>, format: Format, printed: &[String]) -> Outcome {
    let mut steps = Vec::new();
    let mut first_plan = None;
    let mut last = None;
    for report in reports {
        for outcome in &report.outcomes {
            let error = match &outcome.result {
                StepResult::Done => None,
                StepResult::Failed(error) => Some(format!("failed to {error}")),
                StepResult::Deferred(why) => Some(why.to_string()),
            };
            steps.push(AppliedStep {
                kind: outcome.step.kind(),
                op: outcome.step.op,
                name: outcome.step.name(),
                result: outcome.result.as_str(),
                error,
            });
        }
        first_plan.get_or_insert_with(|| report.plan.clone());
        last = Some(report);
    }
    let (Some(plan), Some(last)) = (first_plan, last) else { return Ok(()) };
    let converged = last.converged();
    let done = steps.iter().filter(|step| step.error.is_none()).count();
    let code = if converged {
        None
    } else if last.failures().next().is_none() && was_refused(&last.plan) {
        Some(REFUSED)
    } else {
        Some(super::FAILURE)
    };
    match format {
        Format::Json => output::json(&Applied { converged, plan, steps })?,
        Format::Text => {
            for step in steps.iter().filter(|step| step.error.is_some()) {
                let why = step.error.as_deref().unwrap_or_default();
                output::print(&format!("  {} {} {}: {why}\n", step.op, step.kind, step.name))?;
            }
            last.plan
                .unknown
                .iter()
                .filter(|why| !printed.contains(why))
                .try_for_each(|why| output::print(&format!("  not known: {why}\n")))?;
            for found in &last.plan.not_in_force {
                output::print(&format!("  not in force: {found}\n"))?;
            }
            let word = match (converged, code, last.held) {
                (true, ..) if !last.plan.not_in_force.is_empty() => {
                    "Converged, but not all declared settings are in force".to_owned()
                }
                (true, _, _) => "Converged".to_owned(),
                (_, _, Some(why)) => format!("Nothing was changed: {why}"),
                _ if last.plan.database_missing.is_some() => {
                    "Nothing was changed: the database is missing".to_owned()
                }
                _ if last.plan.state_outdated.is_some() => {
                    "Nothing was changed: the state directory is an old copy".to_owned()
                }
                (_, Some(REFUSED), _) => "Refused by the guard".to_owned(),
                _ => "Not converged".to_owned(),
            };
            output::print(&format!("{word}: {done} steps done.\n"))?;
        }
    }
    code.map_or(Ok(()), |code| Err(Exit::Code(code)))
}
