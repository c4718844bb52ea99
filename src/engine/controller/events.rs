//! What is worth an event. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::checks::audit::{Finding, Topic, Verdict};
use crate::domain::diff::StepInfo;
use crate::domain::model::{Kind, ObjectKey, Op};
use crate::domain::status::{Condition, ConditionStatus, ConditionType, EventDraft, Reason};
use crate::engine::reconcile::report::{ApplyError, RoundReport, StepOutcome, StepResult};

/// So many objects of a kind are told of one by one in a round; of more, only
/// how many, and the first.
const ONE_BY_ONE: usize = 10;

/// What has become of the conditions.
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

/// Why something may not be ready that other drafts tell of.
const TOLD_OTHERWISE: [Reason; 4] =
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
        // Work is told step by step, a new revision and the server's ups and
        // downs by themselves; that nothing is wrong is drafts only after
        // something was.
        (Reconciling, ..)
        | (Stalled | Degraded, Unknown, False)
        | (Ready | ConfigApplied | Stalled | Degraded, _, Unknown) => return None,
        (Ready, _, False) if TOLD_OTHERWISE.contains(reason) => return None,
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

/// A step that was done, or why it failed.
type Tried<'r> = (&'r StepInfo, Option<&'r ApplyError>);

/// Which failures were told already: one that is tried again all night, and
/// fails in the same words, is told once.
#[derive(Debug, Default)]
pub struct EventDeduplicator(BTreeMap<ObjectKey, String>);

impl EventDeduplicator {
    /// Whether what became of a step is worth a word; remembers that it was said.
    pub fn is_news(&mut self, outcome: &StepOutcome) -> bool {
        let key = outcome.step.key.clone();
        match &outcome.result {
            StepResult::Done => {
                self.0.remove(&key);
                true
            }
            StepResult::Failed(error) => {
                let words = error.to_string();
                self.0.insert(key, words.clone()).is_none_or(|before| before != words)
            }
            StepResult::Deferred(_) => false,
        }
    }

    /// Forgets what fails no more: it is gone, or nobody wants it any longer.
    /// What was not tried because the server could not be read fails as before.
    pub fn tidy(&mut self, report: &RoundReport) {
        if !report.plan.unknown.is_empty() {
            return;
        }
        let failing: BTreeSet<ObjectKey> = report.failing().collect();
        self.0.retain(|key, _| failing.contains(key));
    }
}

/// What has become of the steps of a round, those that `told` has not told.
pub(in crate::engine) fn of_steps(
    outcomes: &[StepOutcome],
    told: &mut EventDeduplicator,
) -> Vec<EventDraft> {
    let mut groups: BTreeMap<(bool, Kind, Op), Vec<Tried<'_>>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| told.is_news(outcome)) {
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

/// Many of the same kind at once.
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

/// Which items of the security checklist have changed since `before`; those
/// that are not known keep what was known.
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
                format!("{check}: not so: {title} ({seen})"),
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
    use crate::domain::status::{EventType, Recent, Status};
    use jiff::Timestamp;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// What is told when `after` follows on `before`, as reason and type.
    fn told(before: &Status, after: &Status) -> Vec<(String, EventType)> {
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
    fn a_condition_that_changes_is_told_once() {
        let start = Status::new(NOW);
        let ready = with(&start, ConditionType::Ready, true, "Converged");
        assert_eq!(told(&start, &ready), [("Converged".to_owned(), EventType::Normal)]);
        assert_eq!(told(&ready, &ready), []);
        let drift = with(&ready, ConditionType::Ready, false, "Drift");
        assert_eq!(told(&ready, &drift), [("Drift".to_owned(), EventType::Warning)]);
        let other = with(&drift, ConditionType::Ready, false, "Held");
        assert_eq!(told(&drift, &other), []);
    }

    #[test]
    fn what_was_never_wrong_is_not_told_to_be_right() {
        let start = Status::new(NOW);
        let fine = with(&start, ConditionType::Degraded, false, "NoFailures");
        assert_eq!(told(&start, &fine), []);
        let wrong = with(&fine, ConditionType::Degraded, true, "StepsFail");
        assert_eq!(told(&fine, &wrong), [("StepsFail".to_owned(), EventType::Warning)]);
        assert_eq!(told(&wrong, &fine), [("NoFailures".to_owned(), EventType::Normal)]);
    }

    /// A round with one thing that could not be read, or none, and no steps.
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
    fn a_failure_is_not_told_again_after_the_server_was_away() {
        let outcome = StepOutcome {
            step: StepInfo {
                key: ObjectKey::parse(Kind::User, "ann@a.example").unwrap(),
                op: Op::Create,
                fields: Vec::new(),
                reason: "declared, not on the server".to_owned(),
            },
            result: StepResult::Failed(ApplyError::NotReadBack),
        };
        let mut told = EventDeduplicator::default();
        assert!(told.is_news(&outcome));
        told.tidy(&idle(&["accounts: the server is starting"]));
        assert!(!told.is_news(&outcome), "nothing says that it would not fail now");
        told.tidy(&idle(&[]));
        assert!(told.is_news(&outcome), "it had ceased to fail");
    }

    #[test]
    fn many_of_a_kind_are_one_event() {
        let outcome = |n: usize, result: StepResult| StepOutcome {
            step: StepInfo {
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
        assert_eq!(again.len(), 1, "what failed before is not told again: {again:?}");
        of_steps(&many, &mut EventDeduplicator::default())
            .into_iter()
            .for_each(|drafts| recent.record(drafts, None, NOW));
        let told: Vec<_> = recent.iter().map(|event| event.message.as_str()).collect();
        assert_eq!(told[0], "250 users created, u000@a.example the first");
        assert!(told[1].starts_with("250 users could not be created; u001@a.example: failed to"));
    }
}
