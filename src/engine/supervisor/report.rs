//! Reports the health of the server: conditions, numbers, events.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::status::{
    ConditionStatus, ConditionType, Reason, ServerPhase, Status, SupervisionStatus,
};
use crate::domain::supervision::{Cause, State, Supervision};

/// Returns a time in whole seconds, rounded up, for messages.
pub(super) fn seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs_f64().ceil())
}

/// Writes the condition `Healthy` and the numbers of the supervision into the status.
pub(super) fn describe(machine: &Supervision, status: &mut Status, now: Timestamp) {
    let Supervision { state, since, starts, cause } = machine;
    if let Some((reason, message)) = trouble(state, cause.as_ref()) {
        let healthy = match state {
            State::Unseen { .. } => ConditionStatus::Unknown,
            _ => ConditionStatus::False,
        };
        // Write the change now. Otherwise a reader sees the old state until the next round.
        status.server.up = matches!(state, State::PortSilent { .. });
        status.set(ConditionType::Healthy, healthy, reason, message.as_str(), now);
        status.set(ConditionType::Ready, false, Reason::ServerDown, message, now);
    }
    status.server.supervision = Some(SupervisionStatus {
        state: phase(state),
        since: *since,
        starts: *starts,
        next_start: machine.due(),
        last_cause: cause.as_ref().map(ToString::to_string),
    });
}

fn phase(state: &State) -> ServerPhase {
    match state {
        State::Absent => ServerPhase::Absent,
        State::Starting { .. } => ServerPhase::Starting,
        State::Running { .. } => ServerPhase::Running,
        State::Unresponsive { .. } => ServerPhase::Unresponsive,
        State::Halted => ServerPhase::Halted,
        State::Unseen { .. } => ServerPhase::Unseen,
        State::PortSilent { .. } => ServerPhase::PortSilent,
        State::Paused => ServerPhase::Paused,
        State::BackingOff { .. } => ServerPhase::BackingOff,
        State::Failed { .. } => ServerPhase::Failed,
        State::Stopping => ServerPhase::Stopping,
        State::Stopped => ServerPhase::Stopped,
    }
}

/// Returns why the server is not healthy; `None` if the server runs or does not exist, because a
/// reconciliation then sets the conditions.
fn trouble(state: &State, cause: Option<&Cause>) -> Option<(Reason, String)> {
    let why = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    let ended = |otherwise| cause.map_or(otherwise, |cause| cause.reason.as_str().into());
    Some(match state {
        State::Absent | State::Running { .. } => return None,
        State::Starting { .. } => (Reason::Starting, format!("it is starting{why}")),
        State::Unresponsive { .. } => {
            (Reason::Unresponsive, format!("it runs and does not respond{why}"))
        }
        State::Halted => {
            (Reason::Halted, format!("its node runs, but ejabberd was stopped in the node{why}"))
        }
        State::Unseen { why } => (Reason::CannotSee, why.clone()),
        State::PortSilent { why } => (Reason::PortSilent, why.clone()),
        State::Paused => (
            Reason::Paused,
            "it is paused; run `docker unpause`, or send the signal CONT".to_owned(),
        ),
        State::BackingOff { until } => (
            ended(Reason::BackingOff),
            format!("it is started again at {}{why}", to_second(*until)),
        ),
        State::Failed { until } => (
            ended(Reason::Failed),
            format!("it cannot be started{why}; tried again at {}", to_second(*until)),
        ),
        State::Stopping => (Reason::Stopping, "declared stopped".to_owned()),
        State::Stopped => (Reason::Stopped, "stopped, as declared".to_owned()),
    })
}

fn to_second(moment: Timestamp) -> Timestamp {
    moment.round(jiff::Unit::Second).unwrap_or(moment)
}

/// A change of the server that causes an event.
pub(super) enum Change {
    /// The server responds.
    Up,
    /// A start or stop that the desired state declares.
    Declared { reason: &'static str, message: &'static str },
    /// A fault of the server.
    Trouble { reason: String, message: String },
}

impl Change {
    fn trouble(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Trouble { reason: reason.into(), message: message.into() }
    }
}

/// Returns the change from `before` to `after` that causes an event; `None` if the change causes no
/// event.
pub(super) fn change(before: &Supervision, after: &Supervision, now: Timestamp) -> Option<Change> {
    let cause = after.cause.as_ref();
    let reason = cause.map_or("Ended", |cause| cause.reason.as_str());
    let why = cause.map_or_else(String::new, ToString::to_string);
    match (&before.state, &after.state) {
        (State::Absent, State::Starting { .. }) if after.starts == before.starts => None,
        (_, State::Starting { .. }) if after.starts > before.starts && cause.is_none() => {
            Some(Change::Declared { reason: "Started", message: "started, as declared" })
        }
        (_, State::Starting { .. }) if after.starts > before.starts => {
            Some(Change::trouble(reason, format!("{why}; started again")))
        }
        (_, State::Running { .. }) if !matches!(before.state, State::Running { .. }) => {
            Some(Change::Up)
        }
        (_, State::Unresponsive { .. }) => {
            Some(Change::trouble(Reason::Unresponsive, "it runs and does not respond"))
        }
        (_, State::Unseen { why }) => Some(Change::trouble(Reason::CannotSee, why)),
        (_, State::PortSilent { why }) => Some(Change::trouble(Reason::PortSilent, why)),
        (_, State::BackingOff { .. } | State::Failed { .. }) => Some(Change::trouble(
            reason,
            format!("{why}; started again in {}", seconds(after.waits(now))),
        )),
        (_, State::Stopped) => {
            Some(Change::Declared { reason: "Stopped", message: "stopped, as declared" })
        }
        (_, State::Paused) => Some(Change::trouble(Reason::Paused, "it is paused")),
        _ => None,
    }
}
