//! Waits for a starting server, and reads the log of the start.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::report::ApplyError;
use super::round::Reconciler;
use crate::domain::observed::{PAUSED, ProcessState, Work};
use crate::domain::spec::DesiredState;
use crate::domain::supervision::{Cause, EndedWhile, Ending};
use crate::engine::ports::Runtime;

/// The interval between checks of a starting server. To open a session costs half a second of CPU
/// time, so the interval must not be shorter.
const START_POLL: Duration = Duration::from_millis(250);

/// The maximum number of log lines that the operator reads of a start. ejabberd logs about 50 lines
/// before a start fails, and an Erlang term takes up to 100 lines.
pub(in crate::engine) const START_LINES: usize = 500;

/// The maximum delay between the first log line of a start and the start time that the runtime
/// records.
const NOTED_LATE: Duration = Duration::from_millis(200);

/// Returns the time of the last start according to the runtime, minus [`NOTED_LATE`]; `None` if the
/// runtime does not know the start time.
pub(in crate::engine) async fn last_start(runtime: &dyn Runtime) -> Option<Timestamp> {
    let started = runtime.diagnostics().await.ok()?.started?;
    Some(started.checked_sub(NOTED_LATE).unwrap_or(started))
}

/// Returns the log of the last start, without the lines of earlier starts. `began` is the time at
/// which the caller learned of the start. If the container engine or an owner started the server,
/// the runtime knows an earlier time. Returns no lines if the runtime cannot read the log.
pub(in crate::engine) async fn log_of_start(
    runtime: &dyn Runtime,
    began: Timestamp,
) -> Vec<String> {
    let since = match last_start(runtime).await {
        Some(noted) if began <= noted + NOTED_LATE => noted.max(began),
        Some(noted) => noted,
        None => began,
    };
    runtime.log(since, START_LINES).await.unwrap_or_default()
}

impl Reconciler {
    /// Waits until ejabberd responds. Fails if the process ends, or if the process did no work
    /// before the deadline for starts. `began` is the time of the start.
    pub(super) async fn await_start(
        &self,
        desired: &DesiredState,
        began: Timestamp,
    ) -> Result<(), ApplyError> {
        let limit = desired.server.probe.start_deadline;
        let mut deadline = Instant::now() + limit;
        let mut work: Option<Work> = None;
        loop {
            match self.runtime.inspect().await? {
                ProcessState::Running { .. } | ProcessState::Created => {}
                ProcessState::Stopped { exit_code, oom_killed } => {
                    let log = log_of_start(&*self.runtime, began).await;
                    let ending = Ending { exit_code, oom_killed, log, ..Ending::default() };
                    return Err(ApplyError::NotStarted(
                        Cause::of(&ending, EndedWhile::Starting).to_string(),
                    ));
                }
                ProcessState::Absent => {
                    return Err(ApplyError::NotStarted("the container is gone".to_owned()));
                }
            }
            if matches!(self.server.is_started().await, Ok(true)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let now = self.runtime.usage().await?.and_then(|usage| usage.work);
                let works = match (work, now) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(before), Some(now)) => now.since(&before, limit),
                };
                if !works {
                    return Err(ApplyError::NotStarted(format!(
                        "it did not respond within {limit:?}"
                    )));
                }
                work = now;
                deadline += limit;
            }
            sleep(START_POLL).await;
        }
    }

    /// Waits until a starting server has started, at most for the time `limit`, so that a command
    /// right after a start does not reach a server that has only partly started. Returns at once if
    /// the server does not run or is paused.
    pub async fn await_awake(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let starting = match self.runtime.inspect().await {
                Ok(ProcessState::Running { health }) => health.as_deref() != Some(PAUSED),
                _ => false,
            };
            if !starting || matches!(self.server.is_started().await, Ok(true)) {
                return;
            }
            sleep(START_POLL).await;
        }
    }
}
