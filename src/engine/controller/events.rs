//! Decides which changes cause events. Does no input or output.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::checks::audit::{Finding, Topic, Verdict};
use crate::domain::diff::StepInfo;
use crate::domain::model::{Kind, ObjectKey, Op};
use crate::domain::status::{Condition, ConditionStatus, ConditionType, EventDraft, Reason};
use crate::engine::reconcile::report::{ApplyError, RoundReport, StepOutcome, StepResult};

/// The maximum number of objects of one kind that get an event each in a reconciliation. If more
/// objects have the same operation and result, these objects share one event. The shared event has
/// the number of objects and the name of the first object.
const ONE_BY_ONE: usize = 10;

/// Returns the events for the conditions that changed.
pub(in crate::engine) fn of_conditions(
    before: &[Condition],
    after: &[Condition],
) -> Vec<EventDraft> {
    let pairs =
        after.iter().filter_map(|new| Some((before.iter().find(|c| c.kind == new.kind)?, new)));
    pairs
        .filter(|(old, new)| old.status != new.status)
        .filter_map(|(old, new)| of_condition(old, new))
        .collect()
}

/// The reasons of the condition `Ready` for which another event reports the cause.
const REPORTED_ELSEWHERE: [Reason; 4] =
    [Reason::NewRevision, Reason::InvalidDesiredState, Reason::Unreadable, Reason::ServerDown];

fn of_condition(old: &Condition, new: &Condition) -> Option<EventDraft> {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{ConfigApplied, Degraded, Healthy, Ready, Reconciling, Stalled};
    let Condition { kind, reason, message, .. } = new;
    let blind = |condition: &Condition| condition.reason == Reason::CannotSee;
    let not = if new.status == False { "not " } else { "" };
    let message = match reason {
        Reason::RollingOut => message.clone(),
        _ => format!("{not}{kind}: {message}"),
    };
    let good = match (kind, old.status, new.status) {
        // Skip these changes: steps, new revisions, and the start and end of the server cause
        // separate events. A condition that reports no problem causes an event only after a
        // problem.
        (Reconciling, ..)
        | (Stalled | Degraded, Unknown, False)
        | (Ready | ConfigApplied | Stalled | Degraded, _, Unknown) => return None,
        (Ready, _, False) if REPORTED_ELSEWHERE.contains(reason) => return None,
        (Healthy, ..) if !blind(old) && !blind(new) => return None,
        (Stalled | Degraded, _, status) => status == False,
        (ConfigApplied, _, False) if *reason == Reason::RollingOut => true,
        (_, _, status) => status == True,
    };
    Some(if good {
        EventDraft::normal(reason.as_str(), message)
    } else {
        EventDraft::warning(reason.as_str(), message)
    })
}

/// A step that was tried, and the error; `None` if the step succeeded.
type Tried<'r> = (&'r StepInfo, Option<&'r ApplyError>);

/// The deduplicator of failure events: remembers the failures that already have an event. A step
/// that fails repeatedly with the same message gets one event.
#[derive(Debug, Default)]
pub struct EventDeduplicator(BTreeMap<ObjectKey, String>);

impl EventDeduplicator {
    /// Returns whether the outcome of a step needs an event, and remembers a failure.
    pub fn is_new(&mut self, outcome: &StepOutcome) -> bool {
        let key = outcome.step.key.clone();
        match &outcome.result {
            StepResult::Done => {
                self.0.remove(&key);
                true
            }
            StepResult::Failed(error) => {
                let message = error.to_string();
                self.0.insert(key, message.clone()).is_none_or(|before| before != message)
            }
            StepResult::Deferred(_) => false,
        }
    }

    /// Forgets the objects that no longer fail, for example because an object is gone or no longer
    /// declared. Keeps all objects while a part of the server is unknown, because the plan then
    /// lacks steps.
    pub fn tidy(&mut self, report: &RoundReport) {
        if !report.plan.unknown.is_empty() {
            return;
        }
        let failing: BTreeSet<ObjectKey> = report.failing().collect();
        self.0.retain(|key, _| failing.contains(key));
    }
}

/// Returns the events for the steps of a reconciliation. `deduplicator` drops repeated failures.
pub(in crate::engine) fn of_steps(
    outcomes: &[StepOutcome],
    deduplicator: &mut EventDeduplicator,
) -> Vec<EventDraft> {
    let mut groups: BTreeMap<(bool, Kind, Op), Vec<Tried<'_>>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| deduplicator.is_new(outcome)) {
        let StepOutcome { step, result } = outcome;
        let error = match result {
            StepResult::Done => None,
            StepResult::Failed(error) => Some(error),
            StepResult::Deferred(_) => continue,
        };
        let group = groups.entry((error.is_some(), step.kind(), step.op)).or_default();
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

fn of_step(step: &StepInfo, error: Option<&ApplyError>) -> EventDraft {
    let drafts = match error {
        None => {
            let fields = match step.fields.as_slice() {
                [] => String::new(),
                fields => format!(" ({})", fields.join(", ")),
            };
            EventDraft::normal(done(step.op).0, format!("{}{fields}", step.reason))
        }
        Some(error) => EventDraft::warning("StepFailed", format!("{}: failed to {error}", step.op)),
    };
    drafts.about(&step.key)
}

/// Returns one event for several objects of the same kind.
fn in_one(group: &[Tried<'_>]) -> Option<EventDraft> {
    let (first, error) = group.first()?;
    let what = format!("{} {}s", group.len(), first.kind());
    let (reason, word) = done(first.op);
    Some(match error {
        None => EventDraft::normal(reason, format!("{what} {word}, {} the first", first.name())),
        Some(error) => EventDraft::warning(
            "StepFailed",
            format!("{what} could not be {word}; {}: failed to {error}", first.name()),
        ),
    })
}

/// Returns the events for the items of the security checklist whose result changed since `before`.
/// An item with an unknown result causes no event.
pub(in crate::engine) fn of_audit(
    before: &BTreeMap<&'static str, bool>,
    findings: &[Finding],
) -> Vec<EventDraft> {
    let drafts = findings.iter().filter_map(|finding| {
        let held = before.get(finding.check).copied();
        let Finding { check, topic: Topic { title, .. }, seen, .. } = finding;
        match finding.verdict {
            Verdict::Fails if held != Some(false) => Some(EventDraft::warning(
                "AuditFails",
                format!("{check}: failed: {title} ({seen})"),
            )),
            Verdict::Passes if held == Some(false) => {
                Some(EventDraft::normal("AuditHolds", format!("{check}: {title}")))
            }
            _ => None,
        }
    });
    drafts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diff::Phase;
    use crate::domain::status::{EventType, Recent, Status};
    use jiff::Timestamp;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// Returns the reason and the type of each event for the change from `before` to `after`.
    fn drafts(before: &Status, after: &Status) -> Vec<(String, EventType)> {
        let mut recent = Recent::default();
        for drafts in of_conditions(&before.conditions, &after.conditions) {
            recent.record(drafts, None, NOW);
        }
        recent.iter().map(|event| (event.reason.clone(), event.kind)).collect()
    }

    fn with(before: &Status, kind: ConditionType, holds: bool, reason: &str) -> Status {
        let mut after = before.clone();
        after.set(kind, holds, reason, "", NOW);
        after
    }

    #[test]
    fn a_changed_condition_causes_one_event() {
        let start = Status::new(NOW);
        let ready = with(&start, ConditionType::Ready, true, "Converged");
        assert_eq!(drafts(&start, &ready), [("Converged".to_owned(), EventType::Normal)]);
        assert_eq!(drafts(&ready, &ready), []);
        let drift = with(&ready, ConditionType::Ready, false, "Drift");
        assert_eq!(drafts(&ready, &drift), [("Drift".to_owned(), EventType::Warning)]);
        let other = with(&drift, ConditionType::Ready, false, "Held");
        assert_eq!(drafts(&drift, &other), []);
    }

    #[test]
    fn a_condition_without_an_earlier_problem_causes_no_event() {
        let start = Status::new(NOW);
        let fine = with(&start, ConditionType::Degraded, false, "NoFailures");
        assert_eq!(drafts(&start, &fine), []);
        let wrong = with(&fine, ConditionType::Degraded, true, "StepsFail");
        assert_eq!(drafts(&fine, &wrong), [("StepsFail".to_owned(), EventType::Warning)]);
        assert_eq!(drafts(&wrong, &fine), [("NoFailures".to_owned(), EventType::Normal)]);
    }

    /// Creates a report without steps in which the parts `unknown` could not be read.
    fn idle(unknown: &[&str]) -> RoundReport {
        use crate::domain::observed::{ObservedState, Reading};
        RoundReport {
            started: NOW,
            took: std::time::Duration::ZERO,
            plan: crate::domain::plan::Plan {
                revision: crate::domain::model::Revision::new("r"),
                digest: crate::domain::model::Digest::new("d"),
                blocked: None,
                done: Vec::new(),
                server: Vec::new(),
                objects: Vec::new(),
                summary: crate::domain::plan::Summary::default(),
                approved: None,
                database_missing: None,
                state_outdated: None,
                unknown: unknown.iter().map(|what| (*what).to_owned()).collect(),
                notes: Vec::new(),
                not_in_force: Vec::new(),
            },
            outcomes: Vec::new(),
            observed: ObservedState::unanswered(Reading::Unknown(String::new()), ""),
            server_stats: crate::engine::reconcile::report::ServerStats::default(),
            drift: BTreeMap::new(),
            objects: BTreeMap::new(),
            config: None,
            held: None,
            vanished: 0,
            overview: std::sync::Arc::default(),
        }
    }

    #[test]
    fn a_failure_causes_no_second_event_after_an_outage() {
        let outcome = StepOutcome {
            step: StepInfo {
                phase: Phase::Objects,
                key: ObjectKey::parse(Kind::User, "ann@a.example").unwrap(),
                op: Op::Create,
                fields: Vec::new(),
                reason: "declared, not on the server".to_owned(),
            },
            result: StepResult::Failed(ApplyError::NotReadBack),
        };
        let mut deduplicator = EventDeduplicator::default();
        assert!(deduplicator.is_new(&outcome));
        deduplicator.tidy(&idle(&["accounts: the server is starting"]));
        assert!(!deduplicator.is_new(&outcome), "the step was not tried");
        deduplicator.tidy(&idle(&[]));
        assert!(deduplicator.is_new(&outcome), "the step did not fail in between");
    }

    #[test]
    fn many_objects_of_one_kind_share_one_event() {
        let outcome = |n: usize, result: StepResult| StepOutcome {
            step: StepInfo {
                phase: Phase::Objects,
                key: ObjectKey::parse(Kind::User, &format!("u{n:03}@a.example")).unwrap(),
                op: Op::Create,
                fields: Vec::new(),
                reason: "declared, not on the server".to_owned(),
            },
            result,
        };
        let few: Vec<_> = (0..ONE_BY_ONE).map(|n| outcome(n, StepResult::Done)).collect();
        assert_eq!(of_steps(&few, &mut EventDeduplicator::default()).len(), ONE_BY_ONE);
        let many: Vec<_> = (0..500)
            .map(|n| {
                let failed = StepResult::Failed(ApplyError::NotReadBack);
                outcome(n, if n % 2 == 0 { StepResult::Done } else { failed })
            })
            .collect();
        let mut recent = Recent::default();
        let mut known = EventDeduplicator::default();
        assert_eq!(of_steps(&many, &mut known).len(), 2);
        let again = of_steps(&many, &mut known);
        assert_eq!(again.len(), 1, "a repeated failure is no event: {again:?}");
        of_steps(&many, &mut EventDeduplicator::default())
            .into_iter()
            .for_each(|drafts| recent.record(drafts, None, NOW));
        let messages: Vec<_> = recent.iter().map(|event| event.message.as_str()).collect();
        assert_eq!(messages[0], "250 users created, u000@a.example the first");
        assert!(
            messages[1].starts_with("250 users could not be created; u001@a.example: failed to")
        );
    }
}
