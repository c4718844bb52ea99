//! Carrying out the steps that concern the server as a whole: making,
//! starting, stopping it, and putting a configuration in force.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Engine;
use super::ports::ConfigFiles;
use super::report::{ApplyError, StepOutcome, StepResult};
use crate::diff::Action;
use crate::erlang::Verdict;
use crate::observed::{PAUSED, ProcessState};
use crate::plan::Step;
use crate::spec::DesiredState;

/// How often a starting server is asked whether it has started. A session
/// costs the host half a second of a core, so not more often.
const START_POLL: Duration = Duration::from_millis(250);

impl Engine {
    /// Carries out the steps of the kinds `server` and `config`, which come
    /// first in a plan. The configuration is checked before anything is made
    /// or stopped, so that a bad one changes nothing.
    pub(super) async fn settle_server(
        &self,
        desired: &DesiredState,
        steps: Vec<Step>,
    ) -> Vec<StepOutcome> {
        let (config, server): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| matches!(step.action, Action::ApplyConfig { .. }));
        let mut outcomes = Vec::new();
        let mut note = |step: Step, result: StepResult| {
            let outcome = StepOutcome { step, result };
            self.telemetry.step(&outcome);
            outcomes.push(outcome);
        };
        let config = config.into_iter().next();
        let files = match &config {
            Some(_) => self.checked_config(desired).await.map(Some),
            None => Ok(None),
        };
        let files = match (config, files) {
            (Some(step), Err(error)) => {
                self.telemetry.rollout(error.category());
                note(step, StepResult::Failed(error));
                for step in server {
                    // A new server must not come up with whatever its image has.
                    if step.action == Action::CreateServer {
                        note(step, StepResult::Deferred("its configuration is not accepted"));
                    } else {
                        let result = self.server_step(desired, &step, None).await;
                        note(step, result.map_or_else(StepResult::Failed, |()| StepResult::Done));
                    }
                }
                return outcomes;
            }
            (Some(step), Ok(Some(files))) => Some((step, files)),
            _ => None,
        };
        let starts = server
            .iter()
            .any(|step| matches!(step.action, Action::CreateServer | Action::StartServer));
        let mut failed = false;
        for step in server {
            let result =
                self.server_step(desired, &step, files.as_ref().map(|(_, files)| files)).await;
            failed |= result.is_err();
            note(step, result.map_or_else(StepResult::Failed, |()| StepResult::Done));
        }
        if let Some((step, files)) = files {
            let result = if failed {
                StepResult::Deferred("the server could not be started")
            } else if starts {
                // It was written before the start.
                StepResult::Done
            } else {
                self.roll_out(desired, &files)
                    .await
                    .map_or_else(StepResult::Failed, |()| StepResult::Done)
            };
            self.telemetry.rollout(match &result {
                StepResult::Failed(error) => error.category(),
                other => other.as_str(),
            });
            note(step, result);
        }
        outcomes
    }

    async fn server_step(
        &self,
        desired: &DesiredState,
        step: &Step,
        files: Option<&ConfigFiles>,
    ) -> Result<(), ApplyError> {
        match &step.action {
            Action::StopServer => self.stop_server().await,
            Action::CreateServer | Action::StartServer => {
                match self.runtime.inspect().await? {
                    ProcessState::Absent => self.runtime.create().await?,
                    // Its process is there, and ejabberd in it has been stopped.
                    ProcessState::Running { .. } => self.stop_server().await?,
                    ProcessState::Created | ProcessState::Stopped { .. } => {}
                }
                if let Some(files) = files {
                    self.runtime.write_config(files).await?;
                }
                self.runtime.start().await?;
                self.telemetry.restarted(if step.action == Action::CreateServer {
                    "created"
                } else {
                    "stopped"
                });
                self.await_start(desired).await
            }
            _ => Ok(()),
        }
    }

    /// The declared configuration, once ejabberd has accepted it offline.
    async fn checked_config(&self, desired: &DesiredState) -> Result<ConfigFiles, ApplyError> {
        let Some(config) = &desired.config else { return Ok(ConfigFiles::new()) };
        let files = self.declared_config(config).await?;
        match self.runtime.check_config(&files).await? {
            Verdict::Accepted => Ok(files),
            Verdict::Refused(message) => Err(ApplyError::ConfigRefused(message)),
            Verdict::Unable(message) => Err(ApplyError::ConfigUnchecked(message)),
        }
    }

    /// Replaces the configuration of a server that runs, and restarts it. If
    /// it does not come up, the files from before are put back.
    async fn roll_out(
        &self,
        desired: &DesiredState,
        files: &ConfigFiles,
    ) -> Result<(), ApplyError> {
        let names: Vec<String> = files.keys().cloned().collect();
        let before = self.runtime.read_config(&names).await?;
        let running = matches!(self.runtime.inspect().await?, ProcessState::Running { .. });
        if !running {
            return Ok(self.runtime.write_config(files).await?);
        }
        let Err(error) = self.restart_with(desired, files).await else { return Ok(()) };
        if before.is_empty() {
            return Err(error);
        }
        tracing::warn!(%error, "the server did not come up with the new configuration; putting the one before back");
        self.restart_with(desired, &before).await?;
        Err(ApplyError::RolledBack(error.to_string()))
    }

    /// Restarts the server with `files`. They are written while it is down:
    /// whoever is killed in between finds it stopped, or the files different,
    /// and never files that look as if they were in force.
    async fn restart_with(
        &self,
        desired: &DesiredState,
        files: &ConfigFiles,
    ) -> Result<(), ApplyError> {
        self.stop_server().await?;
        self.runtime.write_config(files).await?;
        self.runtime.start().await?;
        self.telemetry.restarted("config");
        self.await_start(desired).await
    }

    /// Stops the server in good order, then its process. A server that cannot
    /// be asked any more is stopped all the same.
    async fn stop_server(&self) -> Result<(), ApplyError> {
        if let Err(error) = self.server.stop().await {
            tracing::warn!(%error, "the server could not be asked to stop in good order");
        }
        self.server.close().await;
        Ok(self.runtime.stop().await?)
    }

    /// Waits until ejabberd answers, as long as its process lives and the
    /// deadline for starts has not passed.
    async fn await_start(&self, desired: &DesiredState) -> Result<(), ApplyError> {
        let deadline = Instant::now() + desired.server.probe.start_deadline;
        loop {
            match self.runtime.inspect().await? {
                ProcessState::Running { .. } | ProcessState::Created => {}
                ProcessState::Stopped { exit_code, oom_killed } => {
                    let code = exit_code
                        .map_or_else(String::new, |code| format!(" with exit code {code}"));
                    let memory = if oom_killed { ", killed for want of memory" } else { "" };
                    return Err(ApplyError::NotStarted(format!(
                        "it ended{code}{memory} while starting; its log says why"
                    )));
                }
                ProcessState::Absent => {
                    return Err(ApplyError::NotStarted("it is gone".to_owned()));
                }
            }
            if matches!(self.server.is_started().await, Ok(true)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let limit = desired.server.probe.start_deadline;
                return Err(ApplyError::NotStarted(format!("it did not answer within {limit:?}")));
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
