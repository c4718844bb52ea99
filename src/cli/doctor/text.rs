//! The findings for people.

use super::super::output::{paint, wrapped};
use crate::doctor::{Evidence, Finding, Symptom, Verdict};

const RED: &str = "31";
const YELLOW: &str = "33";
const GREEN: &str = "32";
const BOLD: &str = "1";
const FAINT: &str = "2";

/// The mark of a verdict, and its colour.
const fn mark(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Fine => ("✓", GREEN),
        Verdict::Problem => ("✗", RED),
        Verdict::Unknown => ("?", YELLOW),
        Verdict::DoesNotApply => ("–", FAINT),
    }
}

pub(super) fn all(evidence: &Evidence, findings: &[Finding], likely: Option<&Finding>) -> String {
    let name = evidence.desired.as_ref().map_or("ejabberd", |desired| desired.name.as_str());
    let version = evidence.server.as_ref().and_then(|server| server.answer.known());
    let version = version.map_or_else(String::new, |alive| format!(", ejabberd {}", alive.version));
    let mut text = format!("{}{version}\n", paint(name, BOLD));
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for symptom in Symptom::ALL {
        let group: Vec<&Finding> = findings.iter().filter(|f| f.symptom == symptom).collect();
        if !group.is_empty() {
            text += &format!("\n{}\n", paint(symptom.title(), BOLD));
            text += &self::group(&group, width);
        }
    }
    text + &format!("\n{}\n", summary(findings, likely))
}

/// The checks of one symptom. What several cannot tell for one reason is said once.
fn group(findings: &[&Finding], width: usize) -> String {
    let mut text = String::new();
    let mut told: Vec<&str> = Vec::new();
    for finding in findings {
        let silent = matches!(finding.verdict, Verdict::Unknown | Verdict::DoesNotApply);
        let same: Vec<&str> = findings
            .iter()
            .filter(|other| other.verdict == finding.verdict && other.seen == finding.seen)
            .map(|other| other.check)
            .collect();
        if silent && same.len() > 2 {
            if !told.contains(&finding.seen.as_str()) {
                told.push(&finding.seen);
                let (sign, colour) = mark(finding.verdict);
                let lead = format!("  {sign} ");
                let said = format!("{}: {}", same.join(", "), finding.seen);
                text += &coloured(&wrapped(&lead, &said), sign, colour);
            }
            continue;
        }
        text += &one(finding, width);
    }
    text
}

fn one(finding: &Finding, width: usize) -> String {
    let (sign, colour) = mark(finding.verdict);
    let lead = format!("  {sign} {:<width$}  ", finding.check);
    let mut text = coloured(&wrapped(&lead, &finding.seen), sign, colour);
    for line in &finding.evidence {
        text += &wrapped("        ", line);
    }
    if let Some(todo) = &finding.todo {
        text += &wrapped("      → ", todo);
    }
    text
}

/// A line is as wide as it looks: colours come in when it is broken already.
fn coloured(text: &str, sign: &str, colour: &str) -> String {
    text.replacen(sign, &paint(sign, colour), 1)
}

fn summary(findings: &[Finding], likely: Option<&Finding>) -> String {
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (problems, open) = (count(Verdict::Problem), count(Verdict::Unknown));
    let unknown = match open {
        0 => String::new(),
        1 => "; 1 check could not be made".to_owned(),
        n => format!("; {n} checks could not be made"),
    };
    let Some(Finding { check, seen, .. }) = likely else {
        let nothing = if open == 0 { GREEN } else { YELLOW };
        return format!("{}{unknown}.", paint("Nothing wrong was found", nothing));
    };
    let others = match problems.saturating_sub(1) {
        0 => String::new(),
        1 => "; 1 more problem".to_owned(),
        n => format!("; {n} more problems"),
    };
    format!("{} {seen} ({check}){others}{unknown}.", paint("Most likely:", RED))
}
