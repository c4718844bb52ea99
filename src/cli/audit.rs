//! `audit`: checks the server against the security checklist.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::Format;
use super::empty_store::EmptyStore;
use super::output::paint;
use super::runtimes::Connectors;
use super::session::{Paths, engine};
use super::table::{Cell, Page, Table};
use super::terminal::{BOLD, GREEN, RED, YELLOW};
use super::verdict_marks::mark;
use super::{Exit, Outcome, output};
use crate::adapters::metrics::Metrics;
use crate::domain::checks::audit;
use crate::domain::checks::audit::{Evidence, Finding, Verdict};
use crate::domain::model::Revision;
use crate::domain::spec::DesiredState;
use crate::engine::Store;

/// The exit code of `audit` if an item fails or is unknown.
const NOT_ALL_HOLD: u8 = 2;

/// The output of `audit --output json`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Report<'r> {
    /// `metadata.name` of the desired state.
    name: &'r str,
    /// The revision of the desired state.
    revision: &'r Revision,
    /// Whether every check holds.
    holds: bool,
    /// Every check, in the order of the checklist.
    checks: &'r [Finding],
}

/// Checks the server against the security checklist. Changes nothing, and does not use the state
/// directory.
pub(super) async fn audit(paths: &Paths, format: Format) -> Outcome {
    let desired = paths.desired().await?;
    let store: Arc<dyn Store> = Arc::new(EmptyStore);
    let metrics = Arc::new(Metrics::new()?);
    let engine =
        engine(&desired, store, Arc::clone(&metrics) as _, &Connectors { metrics, holder: None });
    let evidence = engine.diagnostics.collect_audit(&desired).await;
    engine.server.close().await;
    let findings = audit::check(&evidence);
    let all = count(&findings, Verdict::Passes) == findings.len();
    match format {
        Format::Text => output::print(&text(&desired, &evidence, &findings, Page::out())),
        Format::Json => output::json(&Report {
            name: &desired.name,
            revision: &desired.revision,
            holds: all,
            checks: &findings,
        }),
    }?;
    if all { Ok(()) } else { Err(Exit::Code(NOT_ALL_HOLD)) }
}

/// Returns the number of findings with `verdict`.
fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

/// Returns the output for people: a line for each item, then the details of the items that fail or
/// are unknown.
fn text(desired: &DesiredState, evidence: &Evidence, findings: &[Finding], page: Page) -> String {
    let version = evidence
        .version
        .known()
        .map_or_else(String::new, |version| format!(", ejabberd {version}"));
    let mut text = format!("{}{version}\n\n", paint(&desired.name, BOLD));
    let mut items = Table::new(2, 2);
    for Finding { check, topic, verdict, .. } in findings {
        items.row([mark(*verdict), Cell::from(check), Cell::from(topic.title)]);
    }
    text += &items.render(page);
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Fails) {
        let mut head = Table::new(0, 2);
        head.row([mark(finding.verdict), Cell::painted(finding.check, BOLD)]);
        text += &format!("\n{}", head.render(page));
        let mut more = Table::new(4, 1);
        more.row(["seen".into(), Cell::from(&finding.seen)]);
        more.row(["why".into(), finding.topic.why.into()]);
        if let Some(cure) = &finding.cure {
            more.row(["fix".into(), cure.into()]);
        }
        text += &more.render(page);
    }
    for (why, checks) in unknown_reasons(findings) {
        let mut head = Table::new(0, 1);
        head.row([mark(Verdict::Unknown), Cell::painted(&checks.join(", "), BOLD)]);
        // Do not show a fix, because an unknown item may hold.
        let mut more = Table::new(4, 1);
        more.row(["not known".into(), why.into()]);
        text += &format!("\n{}{}", head.render(page), more.render(page));
    }
    text + &format!("\n{}\n", summary(findings))
}

/// Returns the reasons of the unknown items, each reason with its items. One reason can have many
/// items, for example a server that does not respond.
fn unknown_reasons(findings: &[Finding]) -> Vec<(&str, Vec<&'static str>)> {
    let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Unknown) {
        match reasons.iter_mut().find(|(why, _)| *why == finding.seen) {
            Some((_, checks)) => checks.push(finding.check),
            None => reasons.push((&finding.seen, vec![finding.check])),
        }
    }
    reasons
}

/// Returns the last line of the output: the number of items that hold.
fn summary(findings: &[Finding]) -> String {
    let (bad, open) = (count(findings, Verdict::Fails), count(findings, Verdict::Unknown));
    let all = findings.len();
    if bad + open == 0 {
        return format!("{} of the {all} items hold.", paint("All", GREEN));
    }
    let mut text = format!("{} of {all} items hold", count(findings, Verdict::Passes));
    if bad > 0 {
        text += &format!(", {}", paint(&format!("{bad} do not"), RED));
    }
    if open > 0 {
        text += &format!(", {}", paint(&format!("{open} could not be checked"), YELLOW));
    }
    text + "."
}
