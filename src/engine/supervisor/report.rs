//! How the server fares, in words: conditions, numbers, events.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::status::{
    ConditionStatus, ConditionType, Reason, ServerPhase, Status, SupervisionStatus,
};
use crate::domain::supervision::{State, Supervision};

/// Whole seconds, for people.
pub(super) fn told(wait: Duration) -> String {
    format!("{} s", wait.as_secs_f64().ceil())
}

/// The condition `Healthy`, and the numbers beside it.
pub(super) fn describe(machine: &Supervision, status: &mut Status, now: Timestamp) {
    let Supervision { state, since, starts, cause } = machine;
    let why = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    let (phase, holds, reason, message) = match state {
        State::Absent => (ServerPhase::Absent, None, Reason::NotRunning, String::new()),
        State::Starting { .. } => (
            ServerPhase::Starting,
            Some(ConditionStatus::False),
            Reason::Starting,
            format!("it is starting{why}"),
        ),
        State::Running { .. } => (ServerPhase::Running, None, Reason::Answering, String::new()),
        State::Unresponsive { .. } => (
            ServerPhase::Unresponsive,
            Some(ConditionStatus::False),
            Reason::Unresponsive,
            format!("it runs and does not answer{why}"),
        ),
        State::Halted => (
            ServerPhase::Halted,
            Some(ConditionStatus::False),
            Reason::Halted,
            format!("its node lives, and ejabberd has been stopped in it{why}"),
        ),
        State::Unseen { why } => {
            (ServerPhase::Unseen, Some(ConditionStatus::Unknown), Reason::CannotSee, why.clone())
        }
        State::PortSilent { why } => {
            (ServerPhase::PortSilent, Some(ConditionStatus::False), Reason::PortSilent, why.clone())
        }
        State::Paused => (
            ServerPhase::Paused,
            Some(ConditionStatus::False),
            Reason::Paused,
            "somebody paused it: `docker unpause`, or the signal CONT, lets it go on".to_owned(),
        ),
        State::BackingOff { until } => (
            ServerPhase::BackingOff,
            Some(ConditionStatus::False),
            cause.as_ref().map_or(Reason::BackingOff, |cause| cause.reason.as_str().into()),
            format!("it is started again at {}{why}", to_second(*until)),
        ),
        State::Failed { until } => (
            ServerPhase::Failed,
            Some(ConditionStatus::False),
            cause.as_ref().map_or(Reason::Failed, |cause| cause.reason.as_str().into()),
            format!("it cannot be started{why}; tried again at {}", to_second(*until)),
        ),
        State::Stopping => (
            ServerPhase::Stopping,
            Some(ConditionStatus::False),
            Reason::Stopping,
            "declared stopped".to_owned(),
        ),
        State::Stopped => (
            ServerPhase::Stopped,
            Some(ConditionStatus::False),
            Reason::Stopped,
            "stopped, as declared".to_owned(),
        ),
    };
    if let Some(holds) = holds {
        // A reader between two rounds must not see what was true before.
        status.server.up = matches!(state, State::PortSilent { .. });
        status.set(ConditionType::Healthy, holds, reason, message.as_str(), now);
        status.set(ConditionType::Ready, false, Reason::ServerDown, message, now);
    }
    status.server.supervision = Some(SupervisionStatus {
        state: phase,
        since: *since,
        starts: *starts,
        next_start: machine.due(),
        last_cause: cause.as_ref().map(ToString::to_string),
    });
}

fn to_second(moment: Timestamp) -> Timestamp {
    moment.round(jiff::Unit::Second).unwrap_or(moment)
}

/// What is worth an event.
pub(super) enum Change {
    /// The server answers.
    Up,
    /// As declared: reason and message.
    Declared { reason: Reason, message: String },
    /// Something an administrator wants to know.
    Trouble { reason: String, message: String },
}

impl Change {
    fn trouble(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Trouble { reason: reason.into(), message: message.into() }
    }
}

/// What has become of the server between two states of its supervision.
pub(super) fn change(before: &Supervision, after: &Supervision, now: Timestamp) -> Option<Change> {
    let cause = after.cause.as_ref();
    let reason = cause.map_or("Ended", |cause| cause.reason.as_str());
    let why = cause.map_or_else(String::new, ToString::to_string);
    match (&before.state, &after.state) {
        (State::Absent, State::Starting { .. }) if after.starts == before.starts => None,
        (_, State::Starting { .. }) if after.starts > before.starts && cause.is_none() => {
            Some(Change::Declared {
                reason: Reason::Other("Started".to_owned()),
                message: "started, as declared".to_owned(),
            })
        }
        (_, State::Starting { .. }) if after.starts > before.starts => {
            Some(Change::trouble(reason, format!("{why}; started again")))
        }
        (_, State::Running { .. }) if !matches!(before.state, State::Running { .. }) => {
            Some(Change::Up)
        }
        (_, State::Unresponsive { .. }) => {
            Some(Change::trouble(Reason::Unresponsive, "it runs and does not answer"))
        }
        (_, State::Unseen { why }) => Some(Change::trouble(Reason::CannotSee, why)),
        (_, State::PortSilent { why }) => Some(Change::trouble(Reason::PortSilent, why)),
        (_, State::BackingOff { .. } | State::Failed { .. }) => Some(Change::trouble(
            reason,
            format!("{why}; started again in {}", told(after.waits(now))),
        )),
        (_, State::Stopped) => Some(Change::Declared {
            reason: Reason::Stopped,
            message: "stopped, as declared".to_owned(),
        }),
        (_, State::Paused) => Some(Change::trouble(Reason::Paused, "somebody paused it")),
        _ => None,
    }
}
