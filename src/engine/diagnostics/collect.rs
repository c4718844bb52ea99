//! Collects single values with deadlines.
//!
//! A value that cannot be collected is unknown, with the reason. The collection of the other values
//! continues, so a query that hangs costs at most its deadline.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::domain::observed::{PAUSED, ProcessState, Reading};

/// The reason in the evidence if a value was not needed.
pub(super) const NOT_ASKED: &str = "not queried";

/// The reason why a server cannot respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unresponsive<'p> {
    /// The process or its container is paused.
    Paused,
    /// The process does not run.
    NotRunning,
    /// The state of the process is unknown, for this reason.
    Unknown(&'p str),
}

/// Returns the reason why a server with this process cannot respond; `None` if the server may
/// respond.
pub(super) fn unresponsive(process: &Reading<ProcessState>) -> Option<Unresponsive<'_>> {
    match process {
        Reading::Known(ProcessState::Running { health }) => {
            (health.as_deref() == Some(PAUSED)).then_some(Unresponsive::Paused)
        }
        Reading::Known(_) => Some(Unresponsive::NotRunning),
        Reading::Unknown(why) => Some(Unresponsive::Unknown(why)),
    }
}

/// Returns a value that is unknown for the reason `why`.
pub(super) fn unknown<T>(why: &str) -> Reading<T> {
    Reading::Unknown(why.to_owned())
}

/// Runs `query` and returns the result. The result is unknown if the query fails or does not end
/// within `deadline`.
pub(super) async fn within<T>(
    deadline: Duration,
    query: impl Future<Output = Result<T, String>>,
) -> Reading<T> {
    match timeout(deadline, query).await {
        Ok(Ok(value)) => Reading::Known(value),
        Ok(Err(why)) => Reading::Unknown(why),
        Err(_) => Reading::Unknown(format!("no response within {deadline:?}")),
    }
}

/// Runs `query` as [`within`] does. If `skip` holds a reason, the query does not run, and the value
/// is unknown with this reason.
pub(super) async fn unless<T>(
    skip: Option<&str>,
    deadline: Duration,
    query: impl Future<Output = Result<T, String>>,
) -> Reading<T> {
    match skip {
        Some(why) => unknown(why),
        None => within(deadline, query).await,
    }
}

/// Converts the error of a result to a message that begins with "failed to".
pub(super) fn explained<T>(result: Result<T, impl Display>) -> Result<T, String> {
    result.map_err(|e| format!("failed to {e}"))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(3);

    #[test]
    fn a_running_server_that_is_not_paused_may_respond() {
        let running = |health: Option<&str>| {
            Reading::Known(ProcessState::Running { health: health.map(str::to_owned) })
        };
        assert_eq!(unresponsive(&running(None)), None);
        assert_eq!(unresponsive(&running(Some("unhealthy"))), None);
        assert_eq!(unresponsive(&running(Some(PAUSED))), Some(Unresponsive::Paused));
        let absent = Reading::Known(ProcessState::Absent);
        assert_eq!(unresponsive(&absent), Some(Unresponsive::NotRunning));
        let hidden = Reading::Unknown("it hid".to_owned());
        assert_eq!(unresponsive(&hidden), Some(Unresponsive::Unknown("it hid")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_without_a_response_is_unknown_after_its_deadline() {
        assert_eq!(within(DEADLINE, ready(Ok(7))).await, Reading::Known(7));
        let failed = within(DEADLINE, ready(explained(Err::<u8, _>("ask")))).await;
        assert_eq!(failed, unknown("failed to ask"));
        assert_eq!(within::<u8>(DEADLINE, pending()).await, unknown("no response within 3s"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_skipped_query_does_not_run() {
        let skipped = unless::<u8>(Some(NOT_ASKED), DEADLINE, async { panic!("it ran") });
        assert_eq!(skipped.await, unknown(NOT_ASKED));
        assert_eq!(unless(None, DEADLINE, ready(Ok(7))).await, Reading::Known(7));
    }
}
