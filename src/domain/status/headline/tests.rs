//! Tests of the headline.

use super::*;
use crate::domain::status::{AuditStatus, BlockedStatus, ServerPhase, SupervisionStatus};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The status of a server that is as declared since second 10.
fn converged() -> Status {
    let mut status = Status::new(at(0));
    status.last_attempt = Some(at(10));
    status.server.up = true;
    for (kind, holds) in [
        (ConditionType::Ready, true),
        (ConditionType::Reconciling, false),
        (ConditionType::Stalled, false),
        (ConditionType::Degraded, false),
        (ConditionType::ConfigApplied, true),
        (ConditionType::Healthy, true),
    ] {
        status.set(kind, holds, "Test", "a message", at(10));
    }
    status
}

fn supervision(state: ServerPhase) -> SupervisionStatus {
    SupervisionStatus {
        state,
        since: at(30),
        starts: 3,
        next_start: Some(at(50)),
        last_cause: Some("killed".to_owned()),
    }
}

fn working_on(mut status: Status, steps: usize, done: usize, failed: usize) -> Headline {
    status.progress = Some(Progress { steps, done, failed });
    status.headline()
}

#[test]
fn a_server_as_declared_has_the_time_since_when() {
    let headline = converged().headline();
    assert_eq!(
        (headline.tone, headline.what.as_str(), headline.since),
        (Tone::Good, "All as declared", Some(at(10)))
    );
    assert!(headline.also.is_empty() && headline.why.is_empty());
}

#[test]
fn a_server_that_is_down_is_the_headline() {
    let mut status = converged();
    status.server.up = false;
    status.server.supervision = Some(supervision(ServerPhase::BackingOff));
    status.set(ConditionType::Healthy, false, "Killed", "words", at(20));
    status.set(ConditionType::Ready, false, "ServerDown", "words", at(20));
    status.set(ConditionType::Degraded, true, "StepsFail", "words", at(20));
    status.failing.insert("user a@b".to_owned(), "failed".to_owned());
    let headline = working_on(status.clone(), 0, 0, 0);
    assert_eq!(headline.what, "Server down");
    assert_eq!(
        (headline.tone, headline.since, headline.at),
        (Tone::Bad, Some(at(20)), Some(at(50)))
    );
    assert_eq!((headline.why.as_str(), headline.doing.as_str()), ("killed", "next start"));
    assert_eq!(headline.also, ["1 object cannot be corrected"]);
    // A restarted operator knows the time from the supervision status.
    status.set(ConditionType::Healthy, true, "", "", at(60));
    status.set(ConditionType::Healthy, false, "", "", at(70));
    assert_eq!(status.headline().since, Some(at(30)));
}

#[test]
fn the_headline_names_why_nothing_is_changed() {
    let mut status = converged();
    status.server.up = false;
    status.set(ConditionType::Healthy, false, "NotRunning", "it does not run", at(20));
    status.set(ConditionType::Degraded, true, "CannotObserve", "words", at(20));
    status.drift.insert("server create".to_owned(), 1);
    status.set(ConditionType::Reconciling, true, "Working", "", at(41));
    let headline = {
        status.held = Some("spec.suspend is true".to_owned());
        status.headline()
    };
    assert_eq!(headline.doing, "nothing is changed: spec.suspend is true");
    assert!(headline.also.is_empty(), "consequences are not listed: {:?}", headline.also);
}

#[test]
fn every_phase_of_the_server_has_its_own_sentence() {
    let mut sentences = std::collections::BTreeSet::new();
    for state in [
        ServerPhase::Starting,
        ServerPhase::Unresponsive,
        ServerPhase::Halted,
        ServerPhase::Unseen,
        ServerPhase::PortSilent,
        ServerPhase::Paused,
        ServerPhase::BackingOff,
        ServerPhase::Failed,
        ServerPhase::Stopping,
        ServerPhase::Stopped,
    ] {
        let mut status = converged();
        status.server.up = false;
        status.server.supervision = Some(supervision(state));
        status.set(ConditionType::Healthy, false, "Test", "words", at(20));
        let headline = status.headline();
        assert_ne!(headline.tone, Tone::Good, "{state}");
        sentences.insert(headline.what);
    }
    assert_eq!(sentences.len(), 10);
}

#[test]
fn an_invalid_file_is_the_headline_with_its_position() {
    let mut status = converged();
    let message = "desired-state.yaml:3:5: unknown field";
    status.set(ConditionType::Stalled, true, "InvalidDesiredState", message, at(40));
    status.set(ConditionType::Ready, false, "InvalidDesiredState", message, at(40));
    let headline = status.headline();
    assert_eq!(
        (headline.tone, headline.why.as_str(), headline.since),
        (Tone::Bad, message, Some(at(40)))
    );
}

#[test]
fn refused_deletions_stay_the_headline_during_a_round() {
    let mut status = converged();
    let digest = crate::domain::model::Digest::new("d");
    let reason = format!("too many{}", crate::domain::plan::approval_hint(&digest));
    status.blocked = Some(BlockedStatus { digest, reason, deletions: 6, creations: 0 });
    status.drift.insert("user delete".to_owned(), 6);
    status.set(ConditionType::Stalled, true, "DeletionsRefused", "too many", at(40));
    status.set(ConditionType::Ready, false, "Drift", "6 differences are left", at(40));
    status.set(ConditionType::Reconciling, true, "Working", "", at(41));
    let headline = status.headline();
    assert_eq!(headline.what, "6 deletions are refused");
    assert_eq!(headline.why, "too many", "the list of deletions explains the approval");
    assert_eq!(headline.also, ["Applying the declared state"]);
}

#[test]
fn a_difference_is_no_warning_while_a_round_corrects_it() {
    let mut status = converged();
    status.drift.insert("user create".to_owned(), 9);
    status.set(ConditionType::Ready, false, "Drift", "9 differences are left", at(40));
    assert_eq!(status.headline().what, "9 differences are left");
    status.set(ConditionType::Reconciling, true, "Working", "", at(41));
    let headline = working_on(status.clone(), 9, 4, 1);
    assert_eq!(
        (headline.tone, headline.doing.as_str()),
        (Tone::Busy, "4 of 9 steps done, 1 failed")
    );
}

#[test]
fn a_failing_item_of_the_checklist_is_listed_below_the_headline() {
    let mut status = converged();
    let failing = vec!["loopback_host".to_owned()];
    status.audit = Some(AuditStatus { time: at(1), items: 15, failing, unknown: vec![] });
    let headline = status.headline();
    assert_eq!(headline.tone, Tone::Good);
    assert_eq!(headline.also, ["1 of 15 items of the security checklist does not hold"]);
}

#[test]
fn a_status_without_an_observation_is_no_alarm() {
    let headline = Status::new(at(0)).headline();
    assert_eq!(headline.tone, Tone::Unknown);
}
