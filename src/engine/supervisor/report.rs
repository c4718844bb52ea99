//! How the server fares, in words: conditions, numbers, events.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::status::{ConditionStatus, ConditionType, Status, SupervisionStatus};
use crate::domain::supervision::{State, Supervision};

/// Whole seconds, for people.
pub(super) fn told(wait: Duration) -> String {
    format!("{} s", wait.as_secs_f64().ceil())
}

/// The condition `Healthy`, and the numbers beside it.
pub(super) fn describe(machine: &Supervision, status: &mut Status, now: Timestamp) {
    let Supervision { state, since, starts, cause } = machine;
    let why = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    let (word, holds, reason, message) = match state {
        State::Absent => ("absent", None, "", String::new()),
        State::Starting { .. } => {
            ("starting", Some(ConditionStatus::False), "Starting", format!("it is starting{why}"))
        }
        State::Running { .. } => ("running", None, "", String::new()),
        State::Unresponsive { .. } => (
            "unresponsive",
            Some(ConditionStatus::False),
            "Unresponsive",
            format!("it runs and does not answer{why}"),
        ),
        State::Halted => (
            "halted",
            Some(ConditionStatus::False),
            "Halted",
            format!("its node lives, and ejabberd has been stopped in it{why}"),
        ),
        State::Unseen { why } => {
            ("unseen", Some(ConditionStatus::Unknown), CANNOT_SEE, why.clone())
        }
        State::PortSilent { why } => {
            ("port-silent", Some(ConditionStatus::False), "PortSilent", why.clone())
        }
        State::Paused => (
            "paused",
            Some(ConditionStatus::False),
            "Paused",
            "somebody paused it: `docker unpause`, or the signal CONT, lets it go on".to_owned(),
        ),
        State::BackingOff { until } => (
            "backing-off",
            Some(ConditionStatus::False),
            cause.as_ref().map_or("BackingOff", |cause| cause.reason.as_str()),
            format!("it is started again at {}{why}", to_second(*until)),
        ),
        State::Failed { until } => (
            "failed",
            Some(ConditionStatus::False),
            cause.as_ref().map_or("Failed", |cause| cause.reason.as_str()),
            format!("it cannot be started{why}; tried again at {}", to_second(*until)),
        ),
        State::Stopping => {
            ("stopping", Some(ConditionStatus::False), "Stopping", "declared stopped".to_owned())
        }
        State::Stopped => {
            ("stopped", Some(ConditionStatus::False), "Stopped", "stopped, as declared".to_owned())
        }
    };
    if let Some(holds) = holds {
        // A reader between two rounds must not see what was true before.
        status.server.up = matches!(state, State::PortSilent { .. });
        status.set(ConditionType::Healthy, holds, reason, message.as_str(), now);
        status.set(ConditionType::Ready, false, "ServerDown", message, now);
    }
    status.server.supervision = Some(SupervisionStatus {
        state: word.to_owned(),
        since: *since,
        starts: *starts,
        next_start: machine.due(),
        last_cause: cause.as_ref().map(ToString::to_string),
    });
}

/// The reason of the condition where the operator cannot look.
const CANNOT_SEE: &str = "CannotSee";

fn to_second(moment: Timestamp) -> Timestamp {
    moment.round(jiff::Unit::Second).unwrap_or(moment)
}

/// What is worth an event, as a word and a sentence.
pub(super) fn headline(
    before: &Supervision,
    after: &Supervision,
    now: Timestamp,
) -> Option<(String, String)> {
    let cause = after.cause.as_ref();
    let word = cause.map_or("Ended", |cause| cause.reason.as_str()).to_owned();
    let why = cause.map_or_else(String::new, ToString::to_string);
    match (&before.state, &after.state) {
        (State::Absent, State::Starting { .. }) if after.starts == before.starts => None,
        (_, State::Starting { .. }) if after.starts > before.starts && cause.is_none() => {
            Some(("Started".to_owned(), "started, as declared".to_owned()))
        }
        (_, State::Starting { .. }) if after.starts > before.starts => {
            Some((word, format!("{why}; started again")))
        }
        (_, State::Running { .. }) if !matches!(before.state, State::Running { .. }) => {
            Some(("ServerUp".to_owned(), "the server answers".to_owned()))
        }
        (_, State::Unresponsive { .. }) => {
            Some(("Unresponsive".to_owned(), "it runs and does not answer".to_owned()))
        }
        (_, State::Unseen { why }) => Some((CANNOT_SEE.to_owned(), why.clone())),
        (_, State::PortSilent { why }) => Some(("PortSilent".to_owned(), why.clone())),
        (_, State::BackingOff { .. } | State::Failed { .. }) => {
            Some((word, format!("{why}; started again in {}", told(after.waits(now)))))
        }
        (_, State::Stopped) => Some(("Stopped".to_owned(), "stopped, as declared".to_owned())),
        (_, State::Paused) => Some(("Paused".to_owned(), "somebody paused it".to_owned())),
        _ => None,
    }
}
