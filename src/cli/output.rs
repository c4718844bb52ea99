//! Printing: results to standard output, everything else to standard error,
//! colour only on a terminal.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::Exit;
use crate::engine::{StepOutcome, StepResult};
use crate::model::Op;
use crate::plan::{Plan, Step};
use crate::spec::Problem;

/// Starts the log on standard error. `run` tells what it does; the other
/// commands have results of their own and only warn.
pub(super) fn start_log(verbose: bool) {
    let default = if verbose { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("EJABBERD_OPERATOR_LOG")
        .unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Prints a result. A reader that went away early is no failure.
pub(super) fn print(text: &str) -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Shows a problem of the file.
pub(super) fn problem(problem: &Problem) {
    eprintln!("{problem}\n");
}

/// The width of a text for people, beside what leads its lines.
const WIDTH: usize = 92;

/// A text, its lines broken between words; `lead` is before the first, and as
/// many blanks before the others.
pub(super) fn wrapped(lead: &str, content: &str) -> String {
    let mut lines = vec![String::new()];
    for word in content.split_whitespace() {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let mut lead = lead.to_owned();
    lines
        .iter()
        .map(|line| {
            let text = format!("{lead}{line}\n");
            lead = " ".repeat(lead.chars().count());
            text
        })
        .collect()
}

/// Colours a text, if results go to a terminal.
pub(super) fn paint(text: &str, colour: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const BOLD: &str = "1";

/// The mark of a step, as Terraform has it.
pub(super) const fn mark(op: Op) -> (&'static str, &'static str) {
    match op {
        Op::Create => ("+", GREEN),
        Op::Update => ("~", YELLOW),
        Op::Delete => ("-", RED),
    }
}

fn step_line(step: &Step, width: usize) -> String {
    let (sign, colour) = mark(step.op);
    let what = format!("{:<6} {:<width$}", step.kind.as_str(), step.name);
    let why = if step.fields.is_empty() {
        step.reason.clone()
    } else {
        format!("{} ({})", step.reason, step.fields.join(", "))
    };
    format!("  {} {what}  {why}\n", paint(sign, colour))
}

/// A plan for people.
pub(super) fn plan(plan: &Plan) -> String {
    let refused = plan.blocked.iter().flat_map(|blocked| &blocked.deletions);
    let width = plan
        .steps
        .iter()
        .chain(refused)
        .map(|step| step.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    let mut text = String::new();
    for step in &plan.steps {
        text += &step_line(step, width);
    }
    if let Some(blocked) = &plan.blocked {
        text += &format!("\n{}\n", paint("Refused by the guard:", RED));
        for step in &blocked.deletions {
            text += &step_line(step, width);
        }
        text += &format!(
            "  {}\n  approve in the file:         policy.guard.approve: {digest}\n  or on the command line:      ejabberd-operator apply --approve {digest}\n",
            blocked.reason,
            digest = plan.digest
        );
    }
    for why in &plan.unknown {
        text += &format!("  {} not known: {why}\n", paint("?", YELLOW));
    }
    for note in &plan.notes {
        text += &format!("  note: {note}\n");
    }
    let summary = plan.summary;
    let counts = format!(
        "{} to create, {} to update, {} to delete; {} unchanged, {} of others.",
        summary.create, summary.update, summary.delete, summary.unchanged, summary.unmanaged
    );
    let headline =
        if plan.is_empty() && plan.unknown.is_empty() { "Nothing to do:" } else { "Plan:" };
    if !text.is_empty() {
        text += "\n";
    }
    text + &format!("{} {counts}\n", paint(headline, BOLD))
}

/// What became of a step that did not go well.
pub(super) fn outcome(outcome: &StepOutcome) -> Option<String> {
    let what = format!("{} {}", outcome.step.op, outcome.step.key());
    match &outcome.result {
        StepResult::Done => None,
        StepResult::Failed(error) => Some(format!("{} {what}: failed to {error}", paint("✗", RED))),
        StepResult::Deferred(why) => {
            Some(format!("{} {what}: not done: {why}", paint("…", YELLOW)))
        }
    }
}
