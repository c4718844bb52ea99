//! What the sentence says.

use super::*;
use crate::domain::status::{AuditStatus, BlockedStatus, ServerPhase, SupervisionStatus};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// One that is as declared since 10.
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
fn what_is_as_declared_says_since_when() {
    let told = converged().headline();
    assert_eq!(
        (told.tone, told.what.as_str(), told.since),
        (Tone::Good, "All as declared", Some(at(10)))
    );
    assert!(told.also.is_empty() && told.why.is_empty());
}

#[test]
fn a_dead_server_comes_before_everything_else() {
    let mut status = converged();
    status.server.up = false;
    status.server.supervision = Some(supervision(ServerPhase::BackingOff));
    status.set(ConditionType::Healthy, false, "Killed", "words", at(20));
    status.set(ConditionType::Ready, false, "ServerDown", "words", at(20));
    status.set(ConditionType::Degraded, true, "StepsFail", "words", at(20));
    status.failing.insert("user a@b".to_owned(), "failed".to_owned());
    let told = working_on(status.clone(), 0, 0, 0);
    assert_eq!(told.what, "Server down");
    assert_eq!((told.tone, told.since, told.at), (Tone::Bad, Some(at(20)), Some(at(50))));
    assert_eq!((told.why.as_str(), told.doing.as_str()), ("killed", "next start"));
    assert_eq!(told.also, ["1 object cannot be put right"]);
    // An operator that began later knows from its memory since when.
    status.set(ConditionType::Healthy, true, "", "", at(60));
    status.set(ConditionType::Healthy, false, "", "", at(70));
    assert_eq!(status.headline().since, Some(at(30)));
}

#[test]
fn who_is_told_to_keep_still_says_so() {
    let mut status = converged();
    status.server.up = false;
    status.set(ConditionType::Healthy, false, "NotRunning", "it does not run", at(20));
    status.set(ConditionType::Degraded, true, "CannotObserve", "words", at(20));
    status.drift.insert("server create".to_owned(), 1);
    status.set(ConditionType::Reconciling, true, "Working", "", at(41));
    let told = {
        status.held = Some("spec.suspend is true".to_owned());
        status.headline()
    };
    assert_eq!(told.doing, "left as it is: spec.suspend is true");
    assert!(told.also.is_empty(), "what follows from it is not told: {:?}", told.also);
}

#[test]
fn every_state_of_the_server_has_its_sentence() {
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
        let told = status.headline();
        assert_ne!(told.tone, Tone::Good, "{state}");
        sentences.insert(told.what);
    }
    assert_eq!(sentences.len(), 10);
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_place() {
    let mut status = converged();
    let message = "desired-state.yaml:3:5: unknown field";
    status.set(ConditionType::Stalled, true, "InvalidDesiredState", message, at(40));
    status.set(ConditionType::Ready, false, "InvalidDesiredState", message, at(40));
    let told = status.headline();
    assert_eq!((told.tone, told.why.as_str(), told.since), (Tone::Bad, message, Some(at(40))));
}

#[test]
fn refused_deletions_wait_for_somebody_also_while_a_round_goes_on() {
    let mut status = converged();
    let digest = crate::domain::model::Digest::new("d");
    status.blocked =
        Some(BlockedStatus { digest, reason: "too many".to_owned(), deletions: 6, creations: 0 });
    status.drift.insert("user delete".to_owned(), 6);
    status.set(ConditionType::Stalled, true, "DeletionsRefused", "too many", at(40));
    status.set(ConditionType::Ready, false, "Drift", "6 differences are left", at(40));
    status.set(ConditionType::Reconciling, true, "Working", "", at(41));
    let told = status.headline();
    assert_eq!(told.what, "6 deletions are refused");
    assert_eq!(told.also, ["Making it as declared"]);
}

#[test]
fn what_a_round_puts_right_is_no_fault_yet() {
    let mut status = converged();
    status.drift.insert("user create".to_owned(), 9);
    status.set(ConditionType::Ready, false, "Drift", "9 differences are left", at(40));
    assert_eq!(status.headline().what, "9 differences are left");
    status.set(ConditionType::Reconciling, true, "Working", "", at(41));
    let told = working_on(status.clone(), 9, 4, 1);
    assert_eq!((told.tone, told.doing.as_str()), (Tone::Busy, "4 of 9 steps done, 1 failed"));
}

#[test]
fn an_open_item_of_the_checklist_is_told_beside() {
    let mut status = converged();
    let failing = vec!["loopback_host".to_owned()];
    status.audit = Some(AuditStatus { time: at(1), items: 15, failing, unknown: vec![] });
    let told = status.headline();
    assert_eq!(told.tone, Tone::Good);
    assert_eq!(told.also, ["1 of 15 items of the security checklist does not hold"]);
}

#[test]
fn who_has_not_looked_yet_does_not_sound_the_alarm() {
    let told = Status::new(at(0)).headline();
    assert_eq!(told.tone, Tone::Unknown);
}
