//! `doctor`: what is wrong, what shows it, and what to do about it.

mod operator;
mod salvage;
mod text;

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Complaint, Format};
use super::connect::Connectors;
use super::empty::EmptyStore;
use super::session::{Place, engine};
use super::table::Page;
use super::{Exit, Outcome, USAGE, output};
use crate::adapters::metrics::Metrics;
use crate::domain::checks::doctor;
use crate::domain::checks::doctor::{Evidence, File, Finding, Symptom, Verdict};
use crate::domain::model::Jid;
use crate::domain::spec;
use crate::domain::spec::{DesiredState, Problem, Severity};
use crate::engine::{Source, Store};

/// What `doctor` ends with when something is wrong, or not known.
const NOT_FINE: u8 = 2;

/// What `doctor --output json` prints.
#[derive(Serialize, JsonSchema)]
pub(super) struct Report<'r> {
    /// `metadata.name` of the desired state; null if the desired state cannot be read.
    name: Option<&'r str>,
    /// The problem that probably causes the others; null if there is no problem.
    likely: Option<&'r Finding>,
    /// Every check, in the order of the list.
    checks: &'r [Finding],
}

/// Looks at everything, and says what is wrong. Changes nothing, and needs
/// neither a valid file nor a server nor an engine.
pub(super) async fn doctor(
    place: &Place,
    user: Option<&str>,
    complaint: Option<Complaint>,
    format: Format,
) -> Outcome {
    let (file, desired) = read(place).await;
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
    let symptoms = symptoms(complaint, user.is_some());
    let operator = operator::gather(place).await;
    let mut evidence =
        Evidence { now: Timestamp::now(), file, desired, operator, server: None, account: None };
    if let Some(desired) = &evidence.desired {
        let store: Arc<dyn Store> = Arc::new(EmptyStore);
        let metrics = Arc::new(Metrics::new()?);
        let engine = engine(
            desired,
            store,
            Arc::clone(&metrics) as _,
            &Connectors { metrics, holder: None },
        );
        let server = Box::pin(engine.examine(desired, &symptoms)).await;
        if let Some(jid) = account {
            let seen = engine.examine_account(&server, &jid).await;
            evidence.account = Some((jid, seen));
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
    let bad = |verdict| matches!(verdict, Verdict::Problem | Verdict::Unknown);
    if findings.iter().any(|finding| bad(finding.verdict)) {
        Err(Exit::Code(NOT_FINE))
    } else {
        Ok(())
    }
}

fn symptoms(complaint: Option<Complaint>, account: bool) -> Vec<Symptom> {
    let wanted = match complaint {
        None => None,
        Some(Complaint::Start) => Some(Symptom::Start),
        Some(Complaint::Api) => Some(Symptom::Api),
        Some(Complaint::Delivery) => Some(Symptom::Delivery),
        Some(Complaint::Load) => Some(Symptom::Load),
    };
    let all = Symptom::ALL.into_iter();
    all.filter(|symptom| match symptom {
        Symptom::Account => account,
        symptom => wanted.is_none_or(|wanted| wanted == *symptom),
    })
    .collect()
}

/// The file, and what it declares: of one that is not valid, which server it is about.
async fn read(place: &Place) -> (File, Option<DesiredState>) {
    let path = place.desired_state.display().to_string();
    let loaded = match place.source() {
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

/// A problem in one line.
fn line(problem: &Problem) -> String {
    let place = problem.place.as_ref();
    let place = place.map_or_else(String::new, |place| {
        format!("{}:{}:{}: ", place.file.display(), place.line, place.column)
    });
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    format!("{place}{}{help}", problem.message)
}
