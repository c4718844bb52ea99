//! The commands that change things: `apply` and `run`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::Instrument;

use super::args::Format;
use super::connect::Connectors;
use super::endpoint::Web;
use super::progress::{Bar, Fanout, Following, Log};
use super::session::{Place, engine};
use super::table::Page;
use super::{Exit, Outcome, endpoint, output};
use crate::adapters::metrics::Metrics;
use crate::adapters::secrets::FileSecrets;
use crate::adapters::sqlite::OrderFile;
use crate::adapters::web;
use crate::domain::model::{Digest, Op, Revision};
use crate::domain::plan::Plan;
use crate::domain::status::{News, Status};
use crate::engine::{
    Controller, DELETIONS_AFTER, Deferral, EventSink, Permission, RoundReport, Secrets,
    StalenessCheck, StatusPublisher, StepResult, Store, record_round,
};

/// What `apply` ends with when the guard refused deletions.
const REFUSED: u8 = 3;

/// How long `apply` waits for a server that somebody else has just started.
const AWAKE_WITHIN: Duration = Duration::from_mins(1);

/// Rounds of one `apply`. A second one sets what only shows once an object
/// exists; more means that somebody works against us.
const MAX_ROUNDS: usize = 5;

/// One step of `apply --output json`.
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

/// Reconciles once.
pub(super) async fn apply(place: &Place, format: Format, approve: Option<String>) -> Outcome {
    let read = Instant::now();
    let desired = place.desired().await?;
    let store = Arc::new(place.memory().map_err(|error| place.unusable(&error))?);
    let metrics = Arc::new(Metrics::new()?);
    let bar = Arc::new(Bar::new());
    let events = Arc::clone(&bar) as Arc<dyn EventSink>;
    let engine = engine(
        &desired,
        Arc::clone(&store) as _,
        events,
        &Connectors { metrics, holder: place.holder() },
    );
    let approved = approve.map(Digest::new);
    engine.await_awake(AWAKE_WITHIN).await;
    let plan = engine.plan(&desired, approved.as_ref()).await?;
    if format == Format::Text {
        output::print(&output::plan(&plan, Page::out()))?;
    }
    if let (Some(given), Some(_)) = (&approved, &plan.blocked)
        && *given != plan.digest
    {
        output::say(&format!(
            "--approve {given} names other deletions than those that are refused now ({}): they \
             stay refused",
            plan.digest
        ));
    }
    let confirm = StoodStill { place, read, revision: &desired.revision };
    let permission =
        Permission { approved: approved.as_ref(), confirm: &confirm, backing_off: &|_| None };
    let mut reports: Vec<RoundReport> = Vec::new();
    for number in 1..=MAX_ROUNDS {
        let span = tracing::info_span!("round", number, revision = desired.revision.short());
        let report = engine.round(&desired, &permission).instrument(span).await?;
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

/// Waits before deletions until the revision has stood for two seconds, and
/// lets them pass only if it is still what the file says.
struct StoodStill<'a> {
    place: &'a Place,
    read: Instant,
    revision: &'a Revision,
}

#[async_trait]
impl StalenessCheck for StoodStill<'_> {
    async fn blocked_reason(&self) -> Option<Deferral> {
        tokio::time::sleep(DELETIONS_AFTER.saturating_sub(self.read.elapsed())).await;
        match self.place.reread().await {
            Some(desired) if desired.revision == *self.revision => None,
            _ => Some(Deferral::ChangedDuringApply),
        }
    }
}

/// Whether a plan waits for a person, and for nothing else.
fn was_refused(plan: &Plan) -> bool {
    let withheld = plan.withheld().is_some();
    plan.blocked.as_ref().map_or(withheld, |blocked| {
        // A host that waits for its configuration cannot be read meanwhile.
        plan.unknown.is_empty() || !blocked.creations.is_empty()
    })
}

/// Prints what became of it, and chooses the exit status. What is not known was
/// partly `said` with the plan.
fn finish(reports: Vec<RoundReport>, format: Format, said: &[String]) -> Outcome {
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
                kind: outcome.step.kind,
                op: outcome.step.op,
                name: outcome.step.name.clone(),
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
                .filter(|why| !said.contains(why))
                .try_for_each(|why| output::print(&format!("  not known: {why}\n")))?;
            for found in &last.plan.not_in_force {
                output::print(&format!("  not in force: {found}\n"))?;
            }
            let word = match (converged, code, last.held) {
                (true, ..) if !last.plan.not_in_force.is_empty() => {
                    "Converged, and not all that is declared is in force".to_owned()
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

/// Reconciles until told to stop.
pub(super) async fn run(place: &Place, web: &Web, resync: Duration) -> Outcome {
    let (access, local) = web.access()?;
    let source = Arc::new(place.source()?);
    let store = Arc::new(place.memory().map_err(|error| place.unusable(&error))?);
    let listener = web.bind().await?;
    let address = listener.local_addr()?;
    let instance = format!("{}-{}", std::process::id(), Timestamp::now().as_nanosecond());
    endpoint::write(&place.state_dir, address, &instance, &local)?;
    let metrics = Arc::new(Metrics::new()?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(signals(stop));
    let (status, seen) = watch::channel(Status { instance, ..Status::new(Timestamp::now()) });
    let exposition: web::Exposition = {
        let metrics = Arc::clone(&metrics);
        Arc::new(move || metrics.encode())
    };
    let board = Arc::new(web::Board::default());
    let site = web::Site {
        status: seen,
        board: Arc::clone(&board),
        store: Arc::clone(&store) as Arc<dyn Store>,
        metrics: exposition,
        access,
    };
    let served = tokio::spawn(web::serve(listener, site, stopped.clone()));
    tracing::info!(%address, desired_state = %place.desired_state.display(), "started");
    let events: Arc<dyn EventSink> = Arc::new(Fanout(vec![
        Arc::clone(&metrics) as _,
        Arc::new(Log::default()),
        Arc::new(Following::new(status.clone())),
        board,
    ]));
    let publisher =
        StatusPublisher::new(status, Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&events));
    publisher.publish(|status, now| {
        let version = env!("CARGO_PKG_VERSION");
        let message = format!("ejabberd-operator {version} began");
        status.tell(News::normal("OperatorStarted", message), now);
    });
    let controller = Controller {
        source,
        store,
        secrets: Arc::new(FileSecrets::new()) as Arc<dyn Secrets>,
        connector: Arc::new(Connectors { metrics, holder: place.holder() }),
        events,
        publisher: Arc::new(publisher),
        orders: Arc::new(OrderFile::new(&place.state_dir)),
        news: Arc::default(),
        resync,
    };
    // Large, and made once.
    Box::pin(controller.run(stopped)).await;
    // Gone with the operator; `status` then says that none answers.
    endpoint::remove(&place.state_dir);
    let _ = served.await;
    Ok(())
}

/// The first SIGTERM or SIGINT ends in good order, the second at once.
async fn signals(stop: watch::Sender<bool>) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("failed to listen for signals");
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            // Both are cancel-safe.
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        // A program that prints a secret must not outlive us, nor hold up the end.
        crate::adapters::secrets::end_programs();
        if *stop.borrow() {
            std::process::exit(130);
        }
        stop.send_replace(true);
    }
}
