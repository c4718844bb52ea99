//! What is worth an event. Pure.

use std::collections::BTreeMap;

use super::report::{ApplyError, StepOutcome, StepResult};
use crate::audit::{Finding, Verdict};
use crate::model::{Kind, Op};
use crate::plan::Step;
use crate::status::{Condition, ConditionStatus, ConditionType, News};

/// So many objects of a kind are told of one by one in a round; of more, only
/// how many, and the first.
const ONE_BY_ONE: usize = 10;

/// What has become of the conditions.
pub(super) fn of_conditions(before: &[Condition], after: &[Condition]) -> Vec<News> {
    let moved = |condition: &&Condition| {
        before.iter().any(|old| old.kind == condition.kind && old.status != condition.status)
    };
    after.iter().filter(moved).filter_map(of_condition).collect()
}

fn of_condition(condition: &Condition) -> Option<News> {
    let Condition { kind, status, reason, message, .. } = condition;
    let good = match (kind, status) {
        // Work is told step by step, and a new revision by itself.
        (ConditionType::Reconciling, _) => return None,
        (ConditionType::Ready, ConditionStatus::False) if reason == "NewRevision" => return None,
        (_, ConditionStatus::Unknown) => return None,
        (ConditionType::Stalled | ConditionType::Degraded, ConditionStatus::False) => true,
        (ConditionType::Stalled | ConditionType::Degraded, ConditionStatus::True) => false,
        (_, ConditionStatus::True) => true,
        (_, ConditionStatus::False) => false,
    };
    let not = if *status == ConditionStatus::False { "not " } else { "" };
    let message = format!("{not}{kind}: {message}");
    Some(if good { News::normal(reason, message) } else { News::warning(reason, message) })
}

/// What has become of the steps of a round.
pub(super) fn of_steps(outcomes: &[StepOutcome]) -> Vec<News> {
    let mut groups: BTreeMap<(bool, Kind, Op), Vec<(&Step, Option<&ApplyError>)>> = BTreeMap::new();
    for StepOutcome { step, result } in outcomes {
        let error = match result {
            StepResult::Done => None,
            StepResult::Failed(error) => Some(error),
            StepResult::Deferred(_) => continue,
        };
        let group = groups.entry((error.is_some(), step.kind, step.op)).or_default();
        group.push((step, error));
    }
    groups
        .into_values()
        .flat_map(|group| {
            if group.len() > ONE_BY_ONE {
                in_one(&group).into_iter().collect()
            } else {
                group.into_iter().map(|(step, error)| of_step(step, error)).collect::<Vec<_>>()
            }
        })
        .collect()
}

const fn done(op: Op) -> (&'static str, &'static str) {
    match op {
        Op::Create => ("Created", "created"),
        Op::Update => ("Updated", "updated"),
        Op::Delete => ("Deleted", "deleted"),
    }
}

fn of_step(step: &Step, error: Option<&ApplyError>) -> News {
    let news = match error {
        None => {
            let (reason, word) = done(step.op);
            let fields = match step.fields.as_slice() {
                [] => String::new(),
                fields => format!(" ({})", fields.join(", ")),
            };
            News::normal(reason, format!("{word}: {}{fields}", step.reason))
        }
        Some(error) => News::warning("StepFailed", format!("{}: failed to {error}", step.op)),
    };
    news.about(&step.key())
}

/// Many of the same kind at once.
fn in_one(group: &[(&Step, Option<&ApplyError>)]) -> Option<News> {
    let (first, error) = group.first()?;
    let what = format!("{} {}s", group.len(), first.kind);
    let (reason, word) = done(first.op);
    Some(match error {
        None => News::normal(reason, format!("{what} {word}, {} the first", first.name)),
        Some(error) => News::warning(
            "StepFailed",
            format!("{what} could not be {word}; {}: failed to {error}", first.name),
        ),
    })
}

/// Which items of the security checklist have changed since `before`; those
/// that are not known keep what was known.
pub(super) fn of_audit(before: &BTreeMap<&'static str, bool>, findings: &[Finding]) -> Vec<News> {
    let news = findings.iter().filter_map(|finding| {
        let held = before.get(finding.check).copied();
        let Finding { check, title, seen, .. } = finding;
        match finding.verdict {
            Verdict::Fails if held != Some(false) => {
                Some(News::warning("AuditFails", format!("{check}: not so: {title} ({seen})")))
            }
            Verdict::Holds if held == Some(false) => {
                Some(News::normal("AuditHolds", format!("{check}: {title}")))
            }
            _ => None,
        }
    });
    news.collect()
}
