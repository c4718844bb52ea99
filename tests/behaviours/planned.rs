//! Writes the section `plan:` of a golden file.

use ejabberd_operator::domain::diff::{ChangeSet, ObjectAction, ObjectStep, StepInfo};
use ejabberd_operator::domain::plan::Plan;
use ejabberd_operator::domain::spec::{Problem, Severity};

/// Adds a list under `key`; adds nothing for an empty list.
fn list(text: &mut String, key: &str, indent: usize, lines: impl IntoIterator<Item = String>) {
    let pad = " ".repeat(indent);
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        text.push_str(&format!("{pad}{key}:\n"));
    }
    for line in lines {
        // YAML accepts JSON strings.
        text.push_str(&format!("{pad}  - {}\n", serde_json::Value::String(line)));
    }
}

fn step(step: &StepInfo) -> String {
    let StepInfo { phase: _, key, op, fields, reason } = step;
    let fields =
        if fields.is_empty() { String::new() } else { format!(" [{}]", fields.join(", ")) };
    format!("{op} {key}{fields}: {reason}")
}

/// Returns the accounts that enter and leave a group. The text of the step has only the number of
/// these accounts.
fn members(step: &ObjectStep) -> Vec<String> {
    let ObjectAction::UpdateGroup(change) = step.action() else { return Vec::new() };
    let group = &change.group;
    let add = change.add.iter().map(|who| format!("{group} + {who}"));
    add.chain(change.remove.iter().map(|who| format!("{group} - {who}"))).collect()
}

/// Returns the section for a valid desired state.
pub fn text(warnings: &[Problem], set: &ChangeSet, plan: &Plan) -> String {
    let mut text = "plan:\n".to_owned();
    list(&mut text, "warnings", 2, warnings.iter().map(|warning| warning.message.clone()));
    if !plan.has_steps() {
        text.push_str("  steps: []\n");
    }
    list(&mut text, "steps", 2, plan.steps().into_iter().map(step));
    list(&mut text, "members", 2, plan.objects.iter().flat_map(members));
    if let Some(blocked) = &plan.blocked {
        let reason = serde_json::Value::String(blocked.reason.clone());
        text.push_str(&format!("  blocked:\n    reason: {reason}\n"));
        list(
            &mut text,
            "deletions",
            4,
            blocked.deletions.iter().map(|deletion| step(deletion.info())),
        );
    }
    let sum = plan.summary;
    text.push_str(&format!(
        "  summary: {{ create: {}, update: {}, delete: {}, unchanged: {}, unmanaged: {} }}\n",
        sum.create, sum.update, sum.delete, sum.unchanged, sum.unmanaged
    ));
    list(&mut text, "unknown", 2, plan.unknown.clone());
    list(&mut text, "notes", 2, plan.notes.clone());
    list(&mut text, "adopt", 2, set.adopt.iter().map(ToString::to_string));
    list(&mut text, "forget", 2, set.forget.iter().map(ToString::to_string));
    let unregistered = set.forget_registered.iter().map(ToString::to_string);
    list(&mut text, "forget registered", 2, unregistered);
    text
}

/// Returns the section for an invalid desired state, with the errors.
pub fn refused(problems: &[Problem]) -> String {
    let mut text = "plan:\n".to_owned();
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    list(&mut text, "refused", 2, errors.map(|problem| problem.message.clone()));
    text
}
