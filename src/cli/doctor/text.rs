//! Formats the findings as text.

use super::super::output::paint;
use super::super::table::{Cell, Page, Table};
use super::super::terminal::{BOLD, FAINT, GREEN, RED, YELLOW};
use super::super::verdict_marks::mark;
use crate::domain::checks::doctor::{Evidence, Finding, LOGIN_CHECKS, Symptom, Verdict};

/// Returns the whole output.
pub(super) fn all(
    evidence: &Evidence,
    findings: &[Finding],
    likely: Option<&Finding>,
    page: Page,
) -> String {
    let name = evidence.desired.as_ref().map_or("ejabberd", |desired| desired.name.as_str());
    let version = evidence.server.as_ref().and_then(|server| server.response.known());
    let version = version.map_or_else(String::new, |alive| format!(", ejabberd {}", alive.version));
    let mut table = Table::new(2, 2);
    for symptom in Symptom::ALL {
        let group: Vec<&Finding> = findings.iter().filter(|f| f.topic.symptom == symptom).collect();
        if !group.is_empty() {
            table.line(format!("\n{}", paint(symptom.title(), BOLD)));
            self::group(&mut table, &group);
        }
    }
    let title = paint(name, BOLD);
    format!("{title}{version}\n{}\n{}\n", table.render(page), summary(findings, likely))
}

/// Adds the rows of one symptom. If more than two checks have the same reason and the same verdict,
/// and the verdict is neither passed nor failed, the checks share a row.
fn group(table: &mut Table, findings: &[&Finding]) {
    let mut shared: Vec<&str> = Vec::new();
    for finding in findings {
        let undecided = finding.verdict.passed().is_none();
        let same: Vec<&str> = findings
            .iter()
            .filter(|other| other.verdict == finding.verdict && other.seen == finding.seen)
            .map(|other| other.check)
            .collect();
        if undecided && same.len() > 2 {
            if !shared.contains(&finding.seen.as_str()) {
                shared.push(&finding.seen);
                let seen = format!("{} ({})", finding.seen, same.join(", "));
                table.row([mark(finding.verdict), "several".into(), seen.into()]);
            }
            continue;
        }
        table.row([mark(finding.verdict), finding.check.into(), Cell::from(&finding.seen)]);
        for line in &finding.evidence {
            table.row(["".into(), "".into(), Cell::painted(line, FAINT)]);
        }
        if let Some(cure) = &finding.cure {
            table.row(["".into(), "".into(), format!("→ {cure}").into()]);
        }
    }
}

/// Returns whether the checks included all checks of logins.
fn includes_logins(findings: &[Finding]) -> bool {
    let of_login = findings.iter().filter(|f| LOGIN_CHECKS.contains(&f.check));
    of_login.count() == LOGIN_CHECKS.len()
}

/// Returns the last line: the likely cause, or a message that `doctor` found no problem.
fn summary(findings: &[Finding], likely: Option<&Finding>) -> String {
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (problems, open) = (count(Verdict::Fails), count(Verdict::Unknown));
    let unknown = match open {
        0 => String::new(),
        1 => "; 1 check could not be made".to_owned(),
        n => format!("; {n} checks could not be made"),
    };
    let Some(Finding { check, seen, .. }) = likely else {
        return match (open, includes_logins(findings)) {
            (0, true) => format!("{}.", paint("Nothing wrong was found", GREEN)),
            // Without the checks of logins, the server may still have a problem.
            (0, false) => format!(
                "{}: only a part was checked, and not whether users can log in.",
                paint("No problem was seen", GREEN)
            ),
            (_, _) => {
                let checks = findings.iter().filter(|f| f.verdict == Verdict::Unknown);
                let checks: Vec<&str> = checks.map(|f| f.check).collect();
                format!(
                    "{}, but that is not all{unknown}: {}.",
                    paint("No problem was seen", YELLOW),
                    checks.join(", ")
                )
            }
        };
    };
    let others = match problems.saturating_sub(1) {
        0 => String::new(),
        1 => "; 1 more problem".to_owned(),
        n => format!("; {n} more problems"),
    };
    format!("{} {seen} ({check}){others}{unknown}.", paint("Most likely:", RED))
}
