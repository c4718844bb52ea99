//! The command `doctor`: finds problems, and shows the evidence and the fix of each problem.

mod operator;
mod salvage;
mod text;

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Complaint, Format};
use super::empty_store::EmptyStore;
use super::runtimes::Connectors;
use super::session::{Paths, engine};
use super::table::Page;
use super::{Exit, Outcome, USAGE, output};
use crate::adapters::metrics::Metrics;
use crate::domain::checks::doctor;
use crate::domain::checks::doctor::{Evidence, File, Finding, Symptom, Verdict};
use crate::domain::model::Jid;
use crate::domain::spec;
use crate::domain::spec::{DesiredState, Problem, Severity};
use crate::engine::{Engine, Source, Store};

/// The exit code of `doctor` if a check fails or is unknown.
const NOT_FINE: u8 = 2;

/// The output of `doctor --output json`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Report<'r> {
    /// `metadata.name` of the desired state; null if the desired state cannot be read.
    name: Option<&'r str>,
    /// The problem that probably causes the others; null if there is no problem.
    likely: Option<&'r Finding>,
    /// Every check, in the order of the list.
    checks: &'r [Finding],
}

/// Diagnoses the server. Changes nothing. Needs no valid file, no running server and no container
/// engine.
pub(super) async fn doctor(
    paths: &Paths,
    user: Option<&str>,
    complaint: Option<Complaint>,
    format: Format,
) -> Outcome {
    let (file, desired) = read(paths).await;
    let account = match (user, &desired) {
        (Some(user), Some(desired)) => match Jid::parse(user, &desired.host) {
            Ok(jid) => Some(jid),
            Err(e) => {
                output::complain(&format!("`{user}` is no account: {e}"));
                return Err(Exit::Code(USAGE));
            }
        },
        _ => None,
    };
    let mut symptoms = symptoms(complaint);
    if user.is_some() {
        symptoms.push(Symptom::Account);
    }
    let operator = operator::collect(paths).await;
    let mut evidence =
        Evidence { now: Timestamp::now(), file, desired, operator, server: None, account: None };
    if let Some(desired) = &evidence.desired {
        let engine = diagnosis_engine(desired)?;
        let server = Box::pin(engine.diagnostics.collect_server(desired, &symptoms)).await;
        if let Some(jid) = account {
            let account = engine.diagnostics.collect_account(&server, &jid).await;
            evidence.account = Some((jid, account));
        }
        engine.server.close().await;
        evidence.server = Some(server);
    }
    let findings = doctor::diagnose(&evidence, &symptoms);
    let likely = doctor::likely(&findings);
    match format {
        Format::Text => output::print(&text::all(&evidence, &findings, likely, Page::out())),
        Format::Json => output::json(&Report {
            name: evidence.desired.as_ref().map(|desired| desired.name.as_str()),
            likely,
            checks: &findings,
        }),
    }?;
    let bad = |verdict| matches!(verdict, Verdict::Fails | Verdict::Unknown);
    if findings.iter().any(|finding| bad(finding.verdict)) {
        Err(Exit::Code(NOT_FINE))
    } else {
        Ok(())
    }
}

/// Creates an engine without the state directory, because a running operator may hold the lock of
/// that directory.
fn diagnosis_engine(desired: &DesiredState) -> Result<Engine, Exit> {
    let store: Arc<dyn Store> = Arc::new(EmptyStore);
    let metrics = Arc::new(Metrics::new()?);
    let events = Arc::clone(&metrics) as _;
    Ok(engine(desired, store, events, &Connectors { metrics, holder: None }))
}

/// Returns the symptoms to check: the symptom in `complaint`, or all symptoms if `complaint` is
/// `None`. The list does not contain [`Symptom::Account`].
fn symptoms(complaint: Option<Complaint>) -> Vec<Symptom> {
    let reported = complaint.map(|complaint| match complaint {
        Complaint::Start => Symptom::Start,
        Complaint::Api => Symptom::Api,
        Complaint::Delivery => Symptom::Delivery,
        Complaint::Load => Symptom::Load,
    });
    match reported {
        Some(symptom) => vec![symptom],
        None => vec![Symptom::Start, Symptom::Api, Symptom::Delivery, Symptom::Load],
    }
}

/// Reads the file and its desired state. From an invalid file, the function keeps only the part
/// that declares the server. `None` if the file declares no server.
async fn read(paths: &Paths) -> (File, Option<DesiredState>) {
    let path = paths.desired_state.display().to_string();
    let loaded = match paths.source() {
        Ok(source) => source.load().await.map_err(|e| format!("failed to {e}")),
        Err(Exit::Failure(why) | Exit::Usage(why)) => Err(why),
        Err(Exit::Code(_)) => Err(format!("{path} cannot be read")),
    };
    let files = match loaded {
        Ok(files) => files,
        Err(why) => return (File::Unreadable(why), None),
    };
    match spec::validate(&files) {
        Ok(validated) => {
            let revision = validated.desired.revision.to_string();
            let warnings = validated.warnings.iter().map(line).collect();
            (File::Valid { path, revision, warnings }, Some(validated.desired))
        }
        Err(problems) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            let problems = errors.map(line).collect();
            (File::Invalid { path, problems }, salvage::server_of(&files))
        }
    }
}

/// Formats a problem of the file as one line.
fn line(problem: &Problem) -> String {
    let position = problem.position.as_ref().map_or_else(String::new, |place| {
        format!("{}:{}:{}: ", place.file.display(), place.line, place.column)
    });
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    format!("{position}{}{help}", problem.message)
}
