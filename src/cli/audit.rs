//! `audit`: the security checklist, item by item.

use std::sync::Arc;

use serde_json::json;

use super::args::Format;
use super::connect::Connectors;
use super::empty::EmptyStore;
use super::output::{self, paint};
use super::session::{Place, engine};
use super::{Exit, Outcome};
use crate::audit::{self, Evidence, Finding, Verdict};
use crate::engine::Store;
use crate::metrics::Metrics;
use crate::spec::DesiredState;

/// What `audit` ends with when an item does not hold, or is not known to.
const NOT_ALL_HOLD: u8 = 2;

/// Looks at the server and goes through the list. Changes nothing, and needs
/// nothing of the state directory.
pub(super) async fn audit(place: &Place, format: Format) -> Outcome {
    let desired = place.desired().await?;
    let store: Arc<dyn Store> = Arc::new(EmptyStore);
    let metrics = Arc::new(Metrics::new()?);
    let engine = engine(&desired, store, Arc::clone(&metrics) as _, &Connectors { metrics });
    let evidence = engine.evidence(&desired).await;
    engine.server.close().await;
    let findings = audit::check(&evidence);
    let all = count(&findings, Verdict::Holds) == findings.len();
    output::print(&match format {
        Format::Text => text(&desired, &evidence, &findings),
        Format::Json => format!(
            "{}\n",
            json!({
                "name": desired.name,
                "revision": desired.revision,
                "holds": all,
                "checks": findings,
            })
        ),
    })?;
    if all { Ok(()) } else { Err(Exit::Code(NOT_ALL_HOLD)) }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

/// The mark of a verdict, and its colour.
const fn mark(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Holds => ("✓", "32"),
        Verdict::Fails => ("✗", "31"),
        Verdict::Unknown => ("?", "33"),
    }
}

/// A line for each item, then what to do about those that do not hold.
fn text(desired: &DesiredState, evidence: &Evidence, findings: &[Finding]) -> String {
    let version = evidence
        .version
        .known()
        .map_or_else(String::new, |version| format!(", ejabberd {version}"));
    let mut text = format!("{}{version}\n\n", paint(&desired.name, "1"));
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for Finding { check, title, verdict, .. } in findings {
        let (sign, colour) = mark(*verdict);
        text += &format!("  {} {check:<width$}  {title}\n", paint(sign, colour));
    }
    for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Holds) {
        let (sign, colour) = mark(finding.verdict);
        text += &format!("\n{} {}\n", paint(sign, colour), paint(finding.check, "1"));
        match finding.verdict {
            // Nothing is known to be wrong, so there is nothing to mend yet.
            Verdict::Unknown => text += &paragraph("not known", &finding.seen),
            Verdict::Fails | Verdict::Holds => {
                text += &paragraph("seen", &finding.seen);
                text += &paragraph("why", finding.why);
                text += &paragraph("mend", finding.mend);
            }
        }
    }
    text + &format!("\n{}\n", summary(findings))
}

fn summary(findings: &[Finding]) -> String {
    let (bad, open) = (count(findings, Verdict::Fails), count(findings, Verdict::Unknown));
    let all = findings.len();
    if bad + open == 0 {
        return format!("{} of the {all} items hold.", paint("All", "32"));
    }
    let mut said = format!("{} of {all} items hold", count(findings, Verdict::Holds));
    if bad > 0 {
        said += &format!(", {}", paint(&format!("{bad} do not"), "31"));
    }
    if open > 0 {
        said += &format!(", {}", paint(&format!("{open} could not be looked at"), "33"));
    }
    said + "."
}

/// A labelled text, its lines broken between words and indented.
fn paragraph(label: &str, content: &str) -> String {
    output::wrapped(&format!("    {label:<9} "), content)
}
