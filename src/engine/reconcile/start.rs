//! Waiting for a server that starts, and reading the log of the start.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::report::ApplyError;
use super::round::Reconciler;
use crate::domain::observed::{PAUSED, ProcessState, Work};
use crate::domain::spec::DesiredState;
use crate::domain::supervision::{Cause, EndedWhile, Ending};
use crate::engine::ports::Runtime;

/// How often a starting server is asked whether it has started. A session
/// costs the host half a second of a core, so not more often.
const START_POLL: Duration = Duration::from_millis(250);

/// How many lines of a start are read. ejabberd logs about fifty lines before a
/// start fails, and an Erlang term takes up to a hundred.
pub(in crate::engine) const START_LINES: usize = 500;

/// A runtime notes a start a little after the first line may have been logged.
const NOTED_LATE: Duration = Duration::from_millis(200);

/// When the runtime noted that the server was last started, or a little before.
pub(in crate::engine) async fn last_start(runtime: &dyn Runtime) -> Option<Timestamp> {
    let started = runtime.diagnostics().await.ok()?.started?;
    Some(started.checked_sub(NOTED_LATE).unwrap_or(started))
}

/// The log of the last start, without the lines of earlier starts. `began` is
/// when the caller knows of that start; the runtime knows it earlier where the
/// engine or an owner starts the server as well.
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
    /// Waits until ejabberd answers, as long as its process lives, and works
    /// or has not passed the deadline for starts. The start began at `began`.
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
                    return Err(ApplyError::NotStarted("it is gone".to_owned()));
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
                        "it did not answer within {limit:?}"
                    )));
                }
                work = now;
                deadline += limit;
            }
            sleep(START_POLL).await;
        }
    }

    /// Waits a little for a server that is just starting, so that a command
    /// given right after a start does not find it half awake.
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
