//! Computes the status from the report of a reconciliation. Does no input or output.

use jiff::Timestamp;

use crate::domain::model::Kind;
use crate::domain::observed::{LatchReason, ProcessState, Reading};
use crate::domain::spec::DesiredState;
use crate::domain::status::{
    BlockedStatus, ConditionStatus, ConditionType, Reason, ServerStatus, Status,
};
use crate::engine::reconcile::deferral::Deferral;
use crate::engine::reconcile::report::{ApplyError, RoundReport, StepOutcome, StepResult};

/// The maximum number of failing objects that the status names. The status counts all failing
/// objects.
const MAX_FAILING: usize = 50;

/// Updates `status` with the results of a reconciliation.
pub fn update(status: &mut Status, desired: &DesiredState, report: &RoundReport, now: Timestamp) {
    status.name.clone_from(&desired.name);
    status.revision = Some(desired.revision.clone());
    status.variant = desired.config.as_ref().map(|config| config.variant.clone());
    status.config_digest.clone_from(&report.config);
    status.server = server(report);
    status.objects =
        report.objects.iter().map(|(kind, counts)| (kind.to_string(), *counts)).collect();
    status.drift =
        report.drift.iter().map(|((kind, op), n)| (format!("{kind} {op}"), *n)).collect();
    status.blocked = report.plan.blocked.as_ref().map(|blocked| BlockedStatus {
        digest: report.plan.digest.clone(),
        reason: blocked.reason.clone(),
        deletions: blocked.deletions.len(),
        creations: blocked.creations.len(),
    });
    // Keep the earlier error of a step in backoff, because this round does not run the step.
    let before = std::mem::take(&mut status.failing);
    let waiting = report.outcomes.iter().filter(|outcome| waits(outcome)).filter_map(|outcome| {
        let (key, why) = before.get_key_value(&outcome.step.key.to_string())?;
        Some((key.clone(), why.clone()))
    });
    status.failing = report
        .failures()
        .map(|(step, error)| (step.key.to_string(), format!("failed to {error}")))
        .chain(waiting)
        .take(MAX_FAILING)
        .collect();
    status.not_in_force.clear();
    for found in &report.plan.not_in_force {
        let name = format!("{} {}", found.kind, found.name);
        if status.not_in_force.len() < MAX_FAILING || status.not_in_force.contains_key(&name) {
            let all = status.not_in_force.entry(name).or_default();
            *all = if all.is_empty() { found.why.clone() } else { format!("{all}; {}", found.why) };
        }
    }
    status.failing_count = report.failing().count();
    let contended = report.outcomes.iter().filter(|outcome| is_contended(outcome));
    status.contended = contended
        .take(MAX_FAILING)
        .map(|outcome| (outcome.step.key.to_string(), outcome.step.reason.clone()))
        .collect();
    status.progress = None;
    status.held = report.held.map(ToOwned::to_owned);
    status.last_attempt = Some(report.started);
    if status.failing.is_empty() && report.plan.unknown.is_empty() {
        status.last_success = Some(now);
    }
    ready(status, report, now);
    stalled(status, report, now);
    degraded(status, report, now);
    config(status, desired, report, now);
    healthy(status, report, now);
}

fn server(report: &RoundReport) -> ServerStatus {
    let observed = &report.observed;
    let (process, health) = match &observed.process {
        Reading::Known(ProcessState::Absent) => ("absent", None),
        Reading::Known(ProcessState::Created | ProcessState::Stopped { .. }) => ("stopped", None),
        Reading::Known(ProcessState::Running { health }) => ("running", health.clone()),
        Reading::Unknown(_) => ("unknown", None),
    };
    let mut server = ServerStatus {
        up: observed.version.known().is_some(),
        process: process.to_owned(),
        health,
        version: observed.version.known().map(ToString::to_string),
        uptime_seconds: report.server_stats.uptime_seconds,
        ..ServerStatus::default()
    };
    for (host, names) in &observed.users {
        if let Reading::Known(names) = names {
            server.registered_users.insert(host.to_string(), names.len());
        }
    }
    server.connected_users =
        report.server_stats.connected.iter().map(|(host, n)| (host.to_string(), *n)).collect();
    for room in observed.rooms.known().into_iter().flat_map(|rooms| &rooms.present) {
        *server.online_rooms.entry(room.service.to_string()).or_default() += 1;
    }
    server
}

fn ready(status: &mut Status, report: &RoundReport, now: Timestamp) {
    let drift: usize = report.drift.values().sum();
    let (holds, reason, message) = if let Reading::Unknown(why) = &report.observed.version {
        (false, Reason::ServerDown, why.clone())
    } else if let Some(why) = &report.plan.database_missing {
        (false, Reason::DatabaseMissing, why.clone())
    } else if let Some(why) = &report.plan.state_outdated {
        (false, Reason::StateOutdated, why.clone())
    } else if let Some(why) = report.plan.unknown.first() {
        (false, Reason::Unknown, why.clone())
    } else if let (true, Some(why)) = (drift > 0, report.held) {
        (false, Reason::Held, format!("{} as they are: {why}", left(drift)))
    } else if drift > 0 {
        (false, Reason::Drift, left(drift))
    } else if let Some(first) = report.plan.not_in_force.first() {
        let more = match report.plan.not_in_force.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        // `Ready` is true: no steps remain, and no step can put the settings in `not_in_force`
        // into force.
        let message = format!(
            "the server stores the declared settings, but some settings are not in force: {first}{more}"
        );
        (true, Reason::Converged, message)
    } else {
        (true, Reason::Converged, "the server matches the desired state".to_owned())
    };
    status.set(ConditionType::Ready, holds, reason, message, now);
}

fn left(drift: usize) -> String {
    if drift == 1 {
        "1 difference is left".to_owned()
    } else {
        format!("{drift} differences are left")
    }
}

/// Whether a step failed before and waits for the next try.
fn waits(outcome: &StepOutcome) -> bool {
    matches!(outcome.result, StepResult::Deferred(Deferral::Backoff))
}

/// Whether a step waits because another program repeatedly reverts the change.
fn is_contended(outcome: &StepOutcome) -> bool {
    matches!(outcome.result, StepResult::Deferred(Deferral::Contended))
}

fn stalled(status: &mut Status, report: &RoundReport, now: Timestamp) {
    if let Some(why) = &report.plan.database_missing {
        return status.set(ConditionType::Stalled, true, Reason::DatabaseMissing, why.clone(), now);
    }
    if let Some(why) = &report.plan.state_outdated {
        return status.set(ConditionType::Stalled, true, Reason::StateOutdated, why.clone(), now);
    }
    match &report.plan.blocked {
        Some(blocked) => {
            let refused = if blocked.deletions.is_empty() {
                Reason::CreationsRefused
            } else {
                Reason::DeletionsRefused
            };
            status.set(ConditionType::Stalled, true, refused, blocked.reason.clone(), now);
        }
        None => status.set(
            ConditionType::Stalled,
            false,
            Reason::Progressing,
            "nothing blocks the plan",
            now,
        ),
    }
}

fn degraded(status: &mut Status, report: &RoundReport, now: Timestamp) {
    let failures =
        report.failures().count() + report.outcomes.iter().filter(|outcome| waits(outcome)).count();
    let first =
        report.failures().next().map(|(step, error)| format!("{}: failed to {error}", step.key));
    let first =
        first.or_else(|| status.failing.iter().next().map(|(key, why)| format!("{key}: {why}")));
    let latched = match &report.observed.config {
        Some(Reading::Known(reading)) => reading.latched.as_ref(),
        _ => None,
    };
    if let (None, Some(latched)) = (&first, latched) {
        let variant = status.variant.as_deref().unwrap_or_default();
        let message = format!(
            "the operator does not retry the configuration `{variant}`: {}; change the file, or run \
             `ejabberd-operator retry`",
            latched.message
        );
        return status.set(ConditionType::Degraded, true, Reason::ConfigHeldBack, message, now);
    }
    let contended = status.contended.iter().next().map(|(key, why)| {
        let more = match status.contended.len() {
            1 => String::new(),
            2 => " and 1 more object".to_owned(),
            n => format!(" and {} more objects", n - 1),
        };
        format!(
            "another program repeatedly reverts `{key}`{more} ({why}); the operator now retries with \
             longer delays; stop the other program, or remove the entry from the file"
        )
    });
    if let (None, Some(contended)) = (&first, contended) {
        return status.set(ConditionType::Degraded, true, Reason::Contested, contended, now);
    }
    match (first, report.plan.unknown.first()) {
        (Some(first), _) => {
            let message =
                if failures > 1 { format!("{failures} steps fail; {first}") } else { first };
            status.set(ConditionType::Degraded, true, Reason::StepsFail, message, now);
        }
        // If the server does not respond, `Ready` and `Healthy` report the cause.
        (None, Some(why)) if report.observed.version.known().is_some() => {
            status.set(ConditionType::Degraded, true, Reason::CannotObserve, why.clone(), now)
        }
        (None, _) => {
            status.set(ConditionType::Degraded, false, Reason::NoFailures, "no step fails", now)
        }
    }
}

fn config(status: &mut Status, desired: &DesiredState, report: &RoundReport, now: Timestamp) {
    let kind = ConditionType::ConfigApplied;
    let Some(config) = &desired.config else {
        return status.set(
            kind,
            ConditionStatus::Unknown,
            Reason::NotDeclared,
            "spec.config is absent",
            now,
        );
    };
    let failure =
        report.failures().find(|(step, _)| step.kind() == Kind::Config).map(|(_, error)| error);
    let latched = match &report.observed.config {
        Some(Reading::Known(reading)) => reading.latched.as_ref().map(|l| (l, &reading.last_good)),
        _ => None,
    };
    let waiting = report.outcomes.iter().any(|o| o.step.kind() == Kind::Config && waits(o));
    match (&report.observed.config, failure) {
        // During the backoff, the report of this round has no failure. Keep the message of the
        // failed rollout; otherwise the condition hides the cause.
        (_, None)
            if waiting && status.get(kind).is_some_and(|c| c.reason == Reason::RolledBack) => {}
        (_, Some(error)) => {
            let reason = match error {
                ApplyError::ConfigRefused(_) => Reason::Invalid,
                ApplyError::RolledBack(_) | ApplyError::TakenBack(_) | ApplyError::Stuck { .. } => {
                    Reason::RolledBack
                }
                _ => Reason::RollingOut,
            };
            status.set(kind, false, reason, format!("failed to {error}"), now);
        }
        _ if latched.is_some() => {
            let Some((latched, last_good)) = latched else { return };
            let instead = match last_good {
                Some(good) if good.in_force => format!("`{}` stays in force", good.variant),
                Some(good) => format!("the operator restores `{}`", good.variant),
                None => "the previous configuration stays in force".to_owned(),
            };
            let message = format!("{}; {instead}", latched.message);
            let reason = match latched.reason {
                LatchReason::Invalid => Reason::Invalid,
                LatchReason::RolledBack | LatchReason::ByHand => Reason::RolledBack,
            };
            status.set(kind, false, reason, message, now);
        }
        (Some(Reading::Known(reading)), None) if reading.declared == reading.in_force => {
            status.set(
                kind,
                true,
                Reason::RolledOut,
                format!("`{}` is in force", config.variant),
                now,
            );
        }
        (Some(Reading::Unknown(why)), None) => {
            status.set(kind, ConditionStatus::Unknown, Reason::Unknown, why.clone(), now)
        }
        _ => {
            let waits = report.outcomes.iter().find_map(|outcome| match &outcome.result {
                StepResult::Deferred(why) if outcome.step.kind() == Kind::Config => Some(why),
                _ => None,
            });
            let why = waits.map_or_else(String::new, |why| format!(": {why}"));
            let message = format!("`{}` is not in force yet{why}", config.variant);
            status.set(kind, false, Reason::RollingOut, message, now);
        }
    }
}

fn cannot_see(status: &mut Status, why: &str, now: Timestamp) {
    status.set(ConditionType::Healthy, ConditionStatus::Unknown, Reason::CannotSee, why, now);
}

fn healthy(status: &mut Status, report: &RoundReport, now: Timestamp) {
    match (&report.observed.version, &report.observed.process) {
        (Reading::Known(version), _) => {
            status.set(
                ConditionType::Healthy,
                true,
                Reason::Answering,
                format!("ejabberd {version} responds"),
                now,
            );
        }
        (_, Reading::Unknown(why)) => cannot_see(status, why, now),
        (Reading::Unknown(why), _) if report.observed.unseen => cannot_see(status, why, now),
        (Reading::Unknown(why), Reading::Known(ProcessState::Running { .. })) => {
            status.set(ConditionType::Healthy, false, Reason::NotAnswering, why.clone(), now);
        }
        (Reading::Unknown(why), _) => {
            status.set(ConditionType::Healthy, false, Reason::NotRunning, why.clone(), now)
        }
    }
}
