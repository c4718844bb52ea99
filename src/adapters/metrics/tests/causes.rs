//! Tests of the metrics that alerts use.

use super::*;
use crate::engine::Deferral;

#[test]
fn blocking_conditions_set_and_reset_their_gauges() {
    let metrics = Metrics::new().unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let mut status = status();
    let shows = |status: &Status, valid: f64, refused: f64, held_back: f64| {
        metrics.status(status);
        let series = parse(&metrics.encode());
        assert_eq!(series["ejabberd_operator_desired_state_valid"], valid);
        assert_eq!(series["ejabberd_operator_refused_deletions"], refused);
        assert_eq!(series["ejabberd_operator_config_held_back"], held_back);
    };
    shows(&status, 1.0, 0.0, 0.0);
    for reason in ["Unreadable", "InvalidDesiredState"] {
        status.set(ConditionType::Stalled, true, reason, "", now);
        shows(&status, 0.0, 0.0, 0.0);
    }
    let (digest, reason) = (Digest::new("d"), "many".to_owned());
    status.blocked =
        Some(crate::domain::status::BlockedStatus { digest, reason, deletions: 7, creations: 0 });
    status.set(ConditionType::Stalled, true, "DeletionsRefused", "", now);
    shows(&status, 1.0, 7.0, 0.0);
    status.blocked = None;
    status.set(ConditionType::Stalled, false, "Progressing", "", now);
    for reason in ["RolledBack", "Invalid"] {
        status.set(ConditionType::ConfigApplied, false, reason, "", now);
        shows(&status, 1.0, 0.0, 1.0);
    }
    for (holds, reason) in [(false, "RollingOut"), (true, "RolledOut")] {
        status.set(ConditionType::ConfigApplied, holds, reason, "", now);
        shows(&status, 1.0, 0.0, 0.0);
    }
}

#[test]
fn the_state_of_the_server_process_is_a_series() {
    let metrics = Metrics::new().unwrap();
    let mut status = status();
    let shows = |status: &Status, state: Option<ServerPhase>| {
        metrics.status(status);
        let series = parse(&metrics.encode());
        for phase in ServerPhase::ALL {
            let id = format!("ejabberd_operator_server_state{{state=\"{phase}\"}}");
            assert_eq!(series[&id], f64::from(u8::from(Some(phase) == state)), "{id}");
        }
        series["ejabberd_operator_restart_backoff_seconds"]
    };
    assert_eq!(shows(&status, None), 0.0);
    let next = Timestamp::now() + Duration::from_secs(100);
    let supervision = |state, next_start| SupervisionStatus {
        state,
        since: Timestamp::UNIX_EPOCH,
        starts: 3,
        next_start,
        last_cause: None,
    };
    // The operator started during a backoff, so the gauge shows the time until `next`.
    status.server.supervision = Some(supervision(ServerPhase::BackingOff, Some(next)));
    let left = shows(&status, Some(ServerPhase::BackingOff));
    assert!((90.0..=100.0).contains(&left), "{left}");
    // After `backoff`, the gauge shows the full delay; a later status does not replace the delay
    // with the remaining time.
    metrics.backoff(Duration::from_secs(160));
    assert_eq!(shows(&status, Some(ServerPhase::BackingOff)), 160.0);
    status.server.supervision = Some(supervision(ServerPhase::Running, None));
    assert_eq!(shows(&status, Some(ServerPhase::Running)), 0.0);
}

#[test]
fn the_series_of_a_server_that_does_not_respond_are_removed() {
    let metrics = Metrics::new().unwrap();
    let mut status = status();
    metrics.status(&status);
    // The supervisor reports the end of the server between two rounds. The status still holds the
    // values of the last round.
    status.server.up = false;
    metrics.status(&status);
    let series = parse(&metrics.encode());
    assert_eq!((series["ejabberd_up"], series["ejabberd_uptime_seconds"]), (0.0, 0.0));
    let gone = ["ejabberd_info", "ejabberd_registered", "ejabberd_connected", "ejabberd_online"];
    assert!(!series.keys().any(|id| gone.iter().any(|word| id.starts_with(word))), "{series:?}");
}

#[test]
fn each_failing_object_is_counted_once() {
    let metrics = Metrics::new().unwrap();
    let failed = || StepResult::Failed(ApplyError::NotStarted("why".into()));
    let outcome = |kind, name: &str, result| StepOutcome {
        step: step(kind, &format!("{name}@a.example")),
        result,
    };
    let mut report = report(BTreeMap::new());
    for n in 0..100 {
        report.outcomes.push(outcome(Kind::User, &format!("u{n}"), failed()));
    }
    report.outcomes.push(outcome(Kind::User, "u0", failed()));
    report.outcomes.push(outcome(Kind::Room, "done", StepResult::Done));
    report.outcomes.push(outcome(
        Kind::Room,
        "deferred",
        StepResult::Deferred(Deferral::ServerAway),
    ));
    report.outcomes.push(outcome(
        Kind::Room,
        "undone",
        StepResult::Failed(ApplyError::NotReadBack),
    ));
    metrics.round(&report);
    let series = parse(&metrics.encode());
    let failing =
        |kind: &str| series[&format!("ejabberd_operator_failing_objects{{kind=\"{kind}\"}}")];
    assert_eq!((failing("user"), failing("room"), failing("group")), (100.0, 1.0, 0.0));
    let steps = |result: &str| {
        let labels = format!("kind=\"room\",op=\"create\",result=\"{result}\"");
        series[&format!("ejabberd_operator_steps_total{{{labels}}}")]
    };
    // `round` counts only the deferred steps and the steps that failed on read-back.
    // `Metrics::step` counts the other steps, and this test does not call `Metrics::step`.
    assert_eq!((steps("deferred"), steps("failed"), steps("done")), (1.0, 1.0, 0.0));
    metrics.round(&self::report(BTreeMap::new()));
    let text = metrics.encode();
    assert!(text.contains("ejabberd_operator_failing_objects{kind=\"user\"} 0"), "{text}");
}

#[test]
fn a_stopped_container_has_no_usage() {
    let metrics = Metrics::new().unwrap();
    let mut report = report(BTreeMap::new());
    report.server_stats.usage = Some(Usage { cpu_seconds: 1.0, memory_bytes: 2, work: None });
    report.observed.process = Reading::Known(ProcessState::Running { health: None });
    metrics.round(&report);
    assert!(metrics.encode().contains("ejabberd_container_memory_bytes 2"));
    report.observed.process = Reading::Known(ProcessState::Absent);
    metrics.round(&report);
    assert!(!metrics.encode().contains("ejabberd_container_memory_bytes"));
}
