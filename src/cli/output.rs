//! Prints results to standard output, and everything else to standard error. Escapes text from a
//! server or a file, so that a terminal does not execute control sequences.

use std::io::Write;

use console::Style;
use serde::Serialize;

use super::Exit;
use super::table::{Cell, Page, Table};
use super::terminal::{BOLD, GREEN, RED, Stream, YELLOW, harmless, harmless_json, harmless_yaml};
use crate::domain::diff::StepInfo;
use crate::domain::model::Op;
use crate::domain::plan::Plan;
use crate::domain::spec::Problem;
use crate::engine::{StepOutcome, StepResult};

/// Prints a result for people.
pub(super) fn print(text: &str) -> Result<(), Exit> {
    verbatim(harmless(text, Stream::Out.colours()).as_bytes())
}

/// Prints a result for programs, on one line.
pub(super) fn json(result: &impl Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string(result)?;
    verbatim(format!("{}\n", harmless_json(&text)).as_bytes())
}

/// Prints a result for programs, on several lines for people.
pub(super) fn pretty_json(result: &impl Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(result)?;
    verbatim(format!("{}\n", harmless_json(&text)).as_bytes())
}

/// Prints a result as YAML.
pub(super) fn yaml(result: &impl Serialize) -> Result<(), Exit> {
    verbatim(harmless_yaml(result)?.as_bytes())
}

/// Prints text without changes. Succeeds if the reader closes the pipe early.
pub(super) fn verbatim(text: &[u8]) -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a message to standard error.
pub(super) fn say(text: &str) {
    // Ignore the error: if standard error is closed, no message can be printed.
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(text, Stream::Err.colours()));
}

/// Prints the reason for a failure to standard error.
pub(super) fn complain(message: &str) {
    say(&format!("{} {message}", Stream::Err.paint("error:", RED)));
}

/// Prints a problem of the file.
pub(super) fn problem(problem: &Problem) {
    say(&format!("{problem}\n"));
}

/// Colours a text for standard output, if standard output has colours.
pub(super) fn paint(text: &str, style: Style) -> String {
    Stream::Out.paint(text, style)
}

/// Returns the mark of a step and its colour, as in Terraform.
const fn mark(op: Op) -> (&'static str, Style) {
    match op {
        Op::Create => ("+", GREEN),
        Op::Update => ("~", YELLOW),
        Op::Delete => ("-", RED),
    }
}

fn step_row(step: &StepInfo) -> [Cell; 4] {
    let (sign, style) = mark(step.op);
    let why = if step.fields.is_empty() {
        step.reason.clone()
    } else {
        format!("{} ({})", step.reason, step.fields.join(", "))
    };
    // Pad the kind to the width of the longest common kind, so that all plans have the same
    // columns.
    let kind = format!("{:<6}", step.kind().as_str());
    [Cell::painted(sign, style), kind.into(), Cell::from(&step.name()), why.into()]
}

/// Formats a plan for people.
pub(super) fn plan(plan: &Plan, page: Page) -> String {
    let mut steps = Table::new(2, 3);
    plan.steps().into_iter().for_each(|step| steps.row(step_row(step)));
    if let Some(blocked) = &plan.blocked {
        steps.line(format!("\n{}", paint("Refused by the guard:", RED)));
        blocked.steps().for_each(|step| steps.row(step_row(step.info())));
    }
    let mut text = steps.render(page);
    if let Some(blocked) = &plan.blocked {
        let mut why = Table::new(2, 0);
        why.row([Cell::from(&blocked.reason)]);
        let digest = &plan.digest;
        why.line(format!("  approve in the file:         policy.guard.approve: {digest}"));
        why.line(format!(
            "  or on the command line:      ejabberd-operator apply --approve {digest}"
        ));
        text += &why.render(page);
    }
    let mut remarks = Table::new(2, 1);
    if let Some(why) = plan.withheld() {
        remarks.row([Cell::painted("✗", RED), why.into()]);
    }
    for why in &plan.unknown {
        remarks.row([Cell::painted("?", YELLOW), format!("not known: {why}").into()]);
    }
    for found in &plan.not_in_force {
        remarks.row([Cell::painted("!", YELLOW), format!("not in force: {found}").into()]);
    }
    text += &remarks.render(page);
    let mut notes = Table::new(2, 1);
    plan.notes.iter().for_each(|note| notes.row(["note:".into(), note.into()]));
    // Use a separate table, so that the text of a note follows its label directly.
    text += &notes.render(page);
    let summary = plan.summary;
    let counts = format!(
        "{} to create, {} to update, {} to delete; {} unchanged, {} unmanaged.",
        summary.create, summary.update, summary.delete, summary.unchanged, summary.unmanaged
    );
    let headline = match (plan.is_empty() && plan.unknown.is_empty(), plan.not_in_force.len()) {
        (false, _) => "Plan:",
        (true, 0) => "Nothing to do:",
        (true, _) => "Nothing to change, but not all declared settings are in force:",
    };
    if !text.is_empty() {
        text += "\n";
    }
    text + &format!("{} {counts}\n", paint(headline, BOLD))
}

/// Returns the line about a step that failed or was deferred. `None` for other steps.
pub(super) fn outcome(outcome: &StepOutcome) -> Option<String> {
    let what = format!("{} {}", outcome.step.op, outcome.step.key);
    match &outcome.result {
        StepResult::Done => None,
        StepResult::Failed(error) => {
            Some(format!("{} {what}: failed to {error}", Stream::Err.paint("✗", RED)))
        }
        StepResult::Deferred(why) => {
            Some(format!("{} {what}: not done: {why}", Stream::Err.paint("…", YELLOW)))
        }
    }
}
