//! `audit`: the security checklist, item by item.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::Format;
use super::connect::Connectors;
use super::empty::EmptyStore;
use super::output::paint;
use super::session::{Place, engine};
use super::table::{Cell, Page, Table};
use super::terminal::Ink;
use super::{Exit, Outcome, output};
use crate::adapters::metrics::Metrics;
use crate::domain::checks::audit;
use crate::domain::checks::audit::{Evidence, Finding, Verdict};
use crate::domain::model::Revision;
use crate::domain::spec::DesiredState;
use crate::engine::Store;

/// What `audit` ends with when an item does not hold, or is not known to.
const NOT_ALL_HOLD: u8 = 2;

/// What `audit --output json` prints.
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

/// Looks at the server and goes through the list. Changes nothing, and needs
/// nothing of the state directory.
pub(super) async fn audit(place: &Place, format: Format) -> Outcome {
    let desired = place.desired().await?;
    let store: Arc<dyn Store> = Arc::new(EmptyStore);
    let metrics = Arc::new(Metrics::new()?);
    let engine =
        engine(&desired, store, Arc::clone(&metrics) as _, &Connectors { metrics, holder: None });
    let evidence = engine.evidence(&desired).await;
    engine.server.close().await;
    let findings = audit::check(&evidence);
    let all = count(&findings, Verdict::Holds) == findings.len();
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

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

/// The mark of a verdict.
fn mark(verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Holds => Cell::painted("✓", Ink::Green),
        Verdict::Fails => Cell::painted("✗", Ink::Red),
        Verdict::Unknown => Cell::painted("?", Ink::Yellow),
    }
}

/// A line for each item, then what to do about those that do not hold.
fn text(desired: &DesiredState, evidence: &Evidence, findings: &[Finding], page: Page) -> String {
    let version = evidence
        .version
        .known()
        .map_or_else(String::new, |version| format!(", ejabberd {version}"));
    let mut text = format!("{}{version}\n\n", paint(&desired.name, Ink::Bold));
    let mut items = Table::new(2, 2);
    for Finding { check, title, verdict, .. } in findings {
        items.row([mark(*verdict), Cell::from(check), Cell::from(title)]);
    }
    text += &items.render(page);
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Fails) {
        let mut head = Table::new(0, 2);
        head.row([mark(finding.verdict), Cell::painted(finding.check, Ink::Bold)]);
        text += &format!("\n{}", head.render(page));
        let mut more = Table::new(4, 1);
        more.row(["seen".into(), Cell::from(&finding.seen)]);
        more.row(["why".into(), finding.why.into()]);
        more.row(["mend".into(), finding.mend.into()]);
        text += &more.render(page);
    }
    for (why, checks) in not_known(findings) {
        let mut head = Table::new(0, 1);
        head.row([mark(Verdict::Unknown), Cell::painted(&checks.join(", "), Ink::Bold)]);
        // Nothing is known to be wrong, so there is nothing to mend yet.
        let mut more = Table::new(4, 1);
        more.row(["not known".into(), why.into()]);
        text += &format!("\n{}{}", head.render(page), more.render(page));
    }
    text + &format!("\n{}\n", summary(findings))
}

/// What is not known, and of which items: a server that does not answer is said once.
fn not_known(findings: &[Finding]) -> Vec<(&str, Vec<&'static str>)> {
    let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Unknown) {
        match reasons.iter_mut().find(|(why, _)| *why == finding.seen) {
            Some((_, checks)) => checks.push(finding.check),
            None => reasons.push((&finding.seen, vec![finding.check])),
        }
    }
    reasons
}

fn summary(findings: &[Finding]) -> String {
    let (bad, open) = (count(findings, Verdict::Fails), count(findings, Verdict::Unknown));
    let all = findings.len();
    if bad + open == 0 {
        return format!("{} of the {all} items hold.", paint("All", Ink::Green));
    }
    let mut said = format!("{} of {all} items hold", count(findings, Verdict::Holds));
    if bad > 0 {
        said += &format!(", {}", paint(&format!("{bad} do not"), Ink::Red));
    }
    if open > 0 {
        said += &format!(", {}", paint(&format!("{open} could not be looked at"), Ink::Yellow));
    }
    said + "."
}
