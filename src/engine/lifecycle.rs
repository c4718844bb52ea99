//! Carrying out the steps that concern the server as a whole: making,
//! starting, stopping, replacing it, and putting a configuration in force.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::Engine;
use super::configuration::config_digest;
use super::keeper::Held;
use super::ports::{Memo, Runtime};
use super::report::{ApplyError, StepOutcome, StepResult};
use super::rollout::Target;
use super::round::Confirm;
use super::server::NodePhase;
use crate::diff::Action;
use crate::observed::{PAUSED, ProcessState, Reading, Work};
use crate::plan::Step;
use crate::rollout::{Method, Outcome};
use crate::spec::{DesiredState, ServerState};
use crate::supervision::{Cause, Ending};

/// Between an announcement and what it announces the file may have changed.
async fn still_wanted(confirm: &dyn Confirm) -> Result<(), ApplyError> {
    match confirm.deletions_wait().await {
        Some(why) => Err(ApplyError::Withdrawn(why)),
        None => Ok(()),
    }
}

/// How often a starting server is asked whether it has started. A session
/// costs the host half a second of a core, so not more often.
const START_POLL: Duration = Duration::from_millis(250);

/// How long a server that starts is waited for before its configuration changes.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// How many lines of a start are read. ejabberd logs about fifty lines before a
/// start fails, and an Erlang term takes up to a hundred.
pub(super) const START_LINES: usize = 500;

/// A runtime notes a start a little after the first line may have been logged.
const NOTED_LATE: Duration = Duration::from_millis(200);

/// When the runtime noted that the server was last started, or a little before.
pub(super) async fn last_start(runtime: &dyn Runtime) -> Option<Timestamp> {
    let started = runtime.circumstances().await.ok()?.started?;
    Some(started.checked_sub(NOTED_LATE).unwrap_or(started))
}

/// The log of the last start, without the lines of earlier starts. `began` is
/// when the caller knows of that start; the runtime knows it earlier where the
/// engine or an owner starts the server as well.
pub(super) async fn log_of_start(runtime: &dyn Runtime, began: Timestamp) -> Vec<String> {
    let since = match last_start(runtime).await {
        Some(noted) if began <= noted + NOTED_LATE => noted.max(began),
        Some(noted) => noted,
        None => began,
    };
    runtime.log(since, START_LINES).await.unwrap_or_default()
}

impl Engine {
    /// Carries out the steps of the kinds `server` and `config`, which come
    /// first in a plan. `refused` says why a new server must not come up with
    /// whatever its image has, if so.
    pub(super) async fn settle_server(
        &self,
        desired: &DesiredState,
        steps: Vec<Step>,
        refused: Option<&str>,
        confirm: &dyn Confirm,
    ) -> Vec<StepOutcome> {
        let (config, server): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| matches!(step.action, Action::ApplyConfig { .. }));
        let mut config = config.into_iter().next();
        let mut outcomes = Vec::new();
        let mut note = |step: Step, result: Result<StepResult, ApplyError>| {
            let result = result.unwrap_or_else(StepResult::Failed);
            let outcome = StepOutcome { step, result };
            self.telemetry.step(&outcome);
            outcomes.push(outcome);
        };
        for step in server {
            match &step.action {
                Action::CreateServer => {
                    let config = config.take();
                    self.create_server(desired, (step, config), refused, &mut note).await;
                }
                // Whatever it was started with is judged by the rollout.
                Action::StartServer if config.is_some() => {
                    let Some(config) = config.take() else { continue };
                    let result = self.start_with(desired, &config).await;
                    let started = matches!(
                        result,
                        Ok(()) | Err(ApplyError::RolledBack(_) | ApplyError::TakenBack(_))
                    );
                    if started {
                        note(step, Ok(StepResult::Done));
                    } else {
                        note(step, Ok(StepResult::deferred("its configuration is being seen to")));
                    }
                    note(config, result.map(|()| StepResult::Done));
                }
                Action::StartServer => {
                    let result = self.start_server(desired).await;
                    note(step, result);
                }
                Action::StopServer => {
                    let result = self.keeper.hold().await.stop().await;
                    note(step, result.map(|()| StepResult::Done));
                }
                Action::ReplaceServer => {
                    let result = self.replace_server(desired, &step, confirm).await;
                    note(step, result.map(|()| StepResult::Done));
                }
                Action::OwnRestarts => {
                    let result = self.runtime.own_restarts().await;
                    note(step, result.map(|()| StepResult::Done).map_err(ApplyError::from));
                }
                _ => {}
            }
        }
        if let Some(step) = config {
            let result = self.change_config(desired, &step, confirm).await;
            note(step, result.map(|()| StepResult::Done));
        }
        outcomes
    }

    /// Makes the server and starts it with the declared configuration. One
    /// that ejabberd refuses is not even begun with; one that fails only once
    /// it runs leaves the server with what its image brought.
    async fn create_server(
        &self,
        desired: &DesiredState,
        (step, config): (Step, Option<Step>),
        refused: Option<&str>,
        note: &mut impl FnMut(Step, Result<StepResult, ApplyError>),
    ) {
        if let Some(why) = refused {
            return note(
                step,
                Ok(StepResult::Deferred(format!("its configuration is refused: {why}").into())),
            );
        }
        let target = match &config {
            Some(config) => self.accepted(desired, config).await.map(Some),
            None => Ok(None),
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                note(step, Ok(StepResult::deferred("its configuration is not accepted")));
                if let Some(config) = config {
                    note(config, Err(error));
                }
                return;
            }
        };
        let mut held = self.keeper.hold().await;
        if let Err(error) = self.make().await {
            note(step, Err(error));
            if let Some(config) = config {
                note(config, Ok(StepResult::deferred("the server could not be made")));
            }
            return;
        }
        match (target, config) {
            (Some(target), Some(config)) => {
                let result = self
                    .roll_out(desired, Target { method: Method::Restart, ..target }, &mut held)
                    .await;
                let runs = self.runtime.inspect().await;
                note(
                    step,
                    Ok(match runs {
                        Ok(ProcessState::Running { .. }) => StepResult::Done,
                        _ => StepResult::deferred("it could not be started"),
                    }),
                );
                note(config, result.map(|()| StepResult::Done));
            }
            _ => {
                let began = Timestamp::now();
                let started = match held.start("Created").await {
                    Ok(()) if self.supervised => Ok(()),
                    Ok(()) => self.await_start(desired, began).await,
                    Err(error) => Err(error),
                };
                note(step, started.map(|()| StepResult::Done));
            }
        }
    }

    /// Makes the container where there is none.
    async fn make(&self) -> Result<(), ApplyError> {
        if self.runtime.inspect().await? == ProcessState::Absent {
            self.runtime.create().await?;
        }
        Ok(())
    }

    /// Starts a server that has ended. Where a keeper watches over it, that
    /// has come first mostly, and its backoff is kept.
    async fn start_server(&self, desired: &DesiredState) -> Result<StepResult, ApplyError> {
        if self.supervised {
            self.keeper.attend().await;
            let runs = matches!(self.runtime.inspect().await?, ProcessState::Running { .. });
            return Ok(match self.keeper.waits().await {
                Some(why) => StepResult::Deferred(why.into()),
                None if runs => StepResult::Done,
                None => StepResult::deferred("it is gone"),
            });
        }
        let mut held = self.keeper.hold().await;
        // Its process may be there, and ejabberd in it have been stopped.
        if matches!(self.runtime.inspect().await?, ProcessState::Running { .. }) {
            held.stop().await?;
        }
        let began = Timestamp::now();
        held.start("Stopped").await?;
        self.await_start(desired, began).await?;
        held.well().await;
        Ok(StepResult::Done)
    }

    /// Starts a server that has ended, with a configuration that is not the
    /// one that it ended with.
    async fn start_with(&self, desired: &DesiredState, config: &Step) -> Result<(), ApplyError> {
        let target = self.target(desired, config).await?;
        let mut held = self.keeper.hold().await;
        self.roll_out(desired, Target { method: Method::Restart, ..target }, &mut held).await
    }

    /// Changes the configuration of a server that runs.
    async fn change_config(
        &self,
        desired: &DesiredState,
        step: &Step,
        confirm: &dyn Confirm,
    ) -> Result<(), ApplyError> {
        let restart = matches!(step.action, Action::ApplyConfig { restart: true, .. });
        let target = if restart {
            // Nobody is told of an interruption that does not come.
            let target = self.accepted(desired, step).await?;
            if desired.server.announce.is_some() {
                self.announce(desired).await;
                still_wanted(confirm).await?;
            }
            target
        } else {
            let target = self.target(desired, step).await?;
            Target { method: self.method_now(target.method).await?, ..target }
        };
        let mut held = self.keeper.hold().await;
        self.roll_out(desired, target, &mut held).await
    }

    /// How a configuration can be put in force now. A server that starts cannot
    /// reload (its database aborts the transactions of `reload_config`, seen on
    /// 24.12), so the operator waits for the start. A start that does no work
    /// meanwhile is given up: the server is restarted.
    async fn method_now(&self, method: Method) -> Result<Method, ApplyError> {
        let measure =
            async || self.runtime.usage().await.ok().flatten().and_then(|usage| usage.work);
        let before = measure().await;
        self.await_awake(STARTS_WITHIN).await;
        match self.server.phase().await? {
            NodePhase::Running | NodePhase::Stopped => Ok(method),
            NodePhase::Starting | NodePhase::Stopping => match (before, measure().await) {
                (Some(before), Some(now)) if !now.since(&before, STARTS_WITHIN) => {
                    Ok(Method::Restart)
                }
                _ => Err(ApplyError::ConfigUnchecked(
                    "the server is still starting; tried again later".to_owned(),
                )),
            },
        }
    }

    /// What a step puts in force, once ejabberd has accepted it offline. What
    /// it refuses is latched.
    async fn accepted(&self, desired: &DesiredState, step: &Step) -> Result<Target, ApplyError> {
        let target = self.target(desired, step).await?;
        let Err(failure) = self.check(&target.files).await else { return Ok(target) };
        // A rollout that is not even begun with counts like one that ended here.
        let ends = if failure.blame { Outcome::Refused } else { Outcome::NotNow };
        self.telemetry.rollout(target.method.as_str(), ends(failure.clone()).as_str());
        let error = if failure.blame {
            ApplyError::ConfigRefused(failure.message)
        } else {
            ApplyError::ConfigUnchecked(failure.message)
        };
        if failure.blame {
            let variant = desired.config.as_ref().map_or("", |config| &config.variant);
            self.latch(&config_digest(&target.files), variant, "Invalid", &error.to_string());
        }
        Err(error)
    }

    /// What a step puts in force.
    async fn target(&self, desired: &DesiredState, step: &Step) -> Result<Target, ApplyError> {
        let Action::ApplyConfig { restart, standing, .. } = &step.action else {
            return Err(ApplyError::ConfigUnchecked("no configuration is meant".to_owned()));
        };
        let method = if *restart { Method::Restart } else { Method::Reload };
        if *standing && let Some((good, files)) = self.standing()? {
            return Ok(Target { files, method, standing: Some(good) });
        }
        let Some(config) = &desired.config else {
            return Err(ApplyError::ConfigUnchecked("none is declared".to_owned()));
        };
        Ok(Target { files: self.declared_config(config).await?, method, standing: None })
    }

    /// Replaces the container by one that is as declared, on the same volumes.
    /// The old one stays aside until the new one has proved itself.
    async fn replace_server(
        &self,
        desired: &DesiredState,
        step: &Step,
        confirm: &dyn Confirm,
    ) -> Result<(), ApplyError> {
        if self.store.memo(Memo::FailedReplacement)?.as_ref() == Some(&step.reason) {
            return Err(ApplyError::NotReplaced(
                "it failed before, and is tried again when the declaration changes or after \
                 `ejabberd-operator retry`"
                    .to_owned(),
            ));
        }
        self.runtime.prepare_replacement().await?;
        self.announce(desired).await;
        still_wanted(confirm).await?;
        let mut held = self.keeper.hold().await;
        let backup = self.server.back_up().await?;
        tracing::info!(backup, "the database was backed up");
        held.stop().await?;
        self.store.remember(Memo::Replacement, Some(&step.reason))?;
        let replaced = async {
            self.runtime.replace().await?;
            held.start("Replaced").await
        };
        let replaced = replaced.await;
        self.prove_replacement(desired, replaced, &mut held).await
    }

    /// Has a replacement prove itself in the midst of which an operator was
    /// killed: the one before still stands aside.
    pub(super) async fn resume_replacement(
        &self,
        desired: &DesiredState,
    ) -> Result<(), ApplyError> {
        if desired.server.state == ServerState::Stopped
            || self.store.memo(Memo::Replacement)?.is_none()
        {
            return Ok(());
        }
        tracing::warn!("a replacement was interrupted; going on where it was");
        let mut held = self.keeper.hold().await;
        let started = match self.runtime.inspect().await? {
            ProcessState::Running { .. } => Ok(()),
            ProcessState::Absent => Err(ApplyError::NotStarted("it is gone".to_owned())),
            ProcessState::Created | ProcessState::Stopped { .. } => held.start("Replaced").await,
        };
        self.prove_replacement(desired, started, &mut held).await
    }

    async fn prove_replacement(
        &self,
        desired: &DesiredState,
        started: Result<(), ApplyError>,
        held: &mut Held<'_>,
    ) -> Result<(), ApplyError> {
        let proved = match started {
            Ok(()) => {
                let gate = self.gate(desired, crate::rollout::Side::New, Timestamp::now());
                gate.await.map_err(|failure| ApplyError::NotStarted(failure.message))
            }
            Err(error) => Err(error),
        };
        match proved {
            Ok(()) => {
                held.well().await;
                self.runtime.drop_aside().await?;
                self.store.remember(Memo::FailedReplacement, None)?;
                Ok(self.store.remember(Memo::Replacement, None)?)
            }
            Err(error) => {
                tracing::warn!(%error, "the new container is not well; the old one comes back");
                let tried = self.store.memo(Memo::Replacement)?;
                self.store.remember(Memo::FailedReplacement, tried.as_deref())?;
                self.runtime.bring_back().await?;
                self.store.remember(Memo::Replacement, None)?;
                held.start("BroughtBack").await?;
                Err(ApplyError::NotReplaced(error.to_string()))
            }
        }
    }

    /// Waits until ejabberd answers, as long as its process lives, and works
    /// or has not passed the deadline for starts. The start began at `began`.
    async fn await_start(
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
                    return Err(ApplyError::NotStarted(Cause::of(&ending, false).to_string()));
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

    /// Why a server that has never run is not made, if so: its configuration
    /// is known to be refused, and there is no good one.
    pub(super) fn refused_config(state: &crate::observed::ObservedState) -> Option<&str> {
        match &state.config {
            Some(Reading::Known(reading)) if reading.standing.is_none() => {
                let latched = reading.latched.as_ref()?;
                (latched.reason == "Invalid").then_some(latched.message.as_str())
            }
            _ => None,
        }
    }
}
