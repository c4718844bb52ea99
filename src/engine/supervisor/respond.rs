//! Reacts to the events of the server: advances the state machine, carries out the effects of the
//! state machine, and publishes the changes.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::report::{Change, change, describe};
use super::{BLIND, Supervisor};
use crate::domain::observed::{PAUSED, ProcessState};
use crate::domain::status::{ConditionType, EventDraft, Reason, Status};
use crate::domain::supervision::{Cause, Effect, EndedWhile, Ending, Event, State, Supervision};
use crate::engine::error::RuntimeError;
use crate::engine::ports::{EngineEvent, StateKey};
use crate::engine::reconcile::start::{START_LINES, last_start, log_of_start};

/// The maximum age of the log lines that the supervisor reads, if the start time of the server is
/// unknown.
const LAST_WORDS_SINCE: Duration = Duration::from_mins(2);

fn long_ago() -> Timestamp {
    Timestamp::now().checked_sub(LAST_WORDS_SINCE).unwrap_or_default()
}

impl Supervisor {
    pub(super) async fn event(&self, process: ProcessState, machine: &Supervision) -> Event {
        match process {
            ProcessState::Absent | ProcessState::Created => Event::IsAbsent,
            ProcessState::Running { health } if health.as_deref() == Some(PAUSED) => {
                Event::IsPaused
            }
            ProcessState::Running { .. } => Event::Runs,
            ProcessState::Stopped { exit_code, oom_killed } => {
                let ending = Ending { exit_code, oom_killed, ..Ending::default() };
                let starting = matches!(machine.state, State::Starting { .. } | State::Absent);
                // If the server was up, start the server first and read the log after the start, so
                // that clients wait less.
                let log = if starting { self.start_log(machine).await } else { Vec::new() };
                Event::Ended(Ending { log, ..ending })
            }
        }
    }

    /// Reads the log of the start that failed. Returns no lines if the runtime does not return the
    /// log within [`BLIND`].
    async fn start_log(&self, machine: &Supervision) -> Vec<String> {
        let began = match machine.state {
            State::Starting { .. } => machine.since,
            _ => long_ago(),
        };
        timeout(BLIND, log_of_start(&*self.runtime, began)).await.unwrap_or_default()
    }

    /// Reads the last lines of the log before the new start. If the runtime does not know the time
    /// of the new start, `until` replaces that time.
    async fn last_words(&self, until: Timestamp) -> Vec<String> {
        let log = async {
            let restarted = last_start(&*self.runtime).await.filter(|start| *start > long_ago());
            let lines = self.runtime.log_lines(long_ago(), START_LINES).await.ok()?;
            let before = lines.into_iter().filter(|line| line.time < restarted.unwrap_or(until));
            Some(before.map(|line| line.text).collect())
        };
        timeout(BLIND, log).await.ok().flatten().unwrap_or_default()
    }

    /// Advances the state machine, and carries out the effects until no effect is left.
    pub(super) async fn advance(&self, machine: &mut Supervision, event: Event) {
        let settings = self.settings();
        let before = machine.clone();
        let mut event = event;
        // Each failed start adds one event. The limit prevents an endless loop.
        for _ in 0..3 {
            let was_up =
                matches!(machine.state, State::Running { .. } | State::Unresponsive { .. });
            let ended = match &event {
                Event::Ended(ending) => Some(ending.clone()),
                _ => None,
            };
            let Some(effect) = machine.step(event, &settings, Timestamp::now()) else { break };
            let now = Timestamp::now();
            let failed = self.carry_out(effect).await;
            if was_up
                && failed.is_none()
                && let Some(ending) = ended
            {
                let log = self.last_words(now).await;
                machine.cause = Some(Cause::of(&Ending { log, ..ending }, EndedWhile::Up));
            }
            if effect != Effect::Stop && failed.is_none() {
                let reason = machine.cause.as_ref().map_or("Stopped", |c| c.reason.as_str());
                self.events.take(EngineEvent::ServerStarted { reason });
            }
            match failed {
                Some(why) if effect != Effect::Stop => {
                    // The server was not started, so there is no log to add.
                    event = Event::Ended(Ending { not_started: Some(why), ..Ending::default() });
                }
                _ => break,
            }
        }
        self.report_change(&before, machine);
    }

    /// Carries out an effect. Returns why the effect failed; `None` if the effect succeeded.
    async fn carry_out(&self, effect: Effect) -> Option<String> {
        if effect != Effect::Stop {
            tracing::info!("starting the server");
        }
        let done = match effect {
            Effect::Start => self.runtime.start().await,
            Effect::Restart => {
                self.server.close().await;
                match self.runtime.stop().await {
                    Ok(()) => self.runtime.start().await,
                    Err(error) => Err(error),
                }
            }
            Effect::Stop => match self.stop_in_order().await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!("failed to {error}");
                    return Some(error.to_string());
                }
            },
        };
        done.err().map(|error: RuntimeError| format!("failed to {error}"))
    }

    /// Stops ejabberd in the node, then the process. Stops the process even if the stop of ejabberd
    /// fails.
    pub(super) async fn stop_in_order(&self) -> Result<(), RuntimeError> {
        if let Err(error) = self.server.stop().await {
            tracing::warn!(%error, "failed to stop ejabberd by its command; the process is stopped anyway");
        }
        self.server.close().await;
        self.runtime.stop().await
    }

    /// Publishes the changes of the server's health, and stores the state of the supervision.
    fn report_change(&self, before: &Supervision, after: &Supervision) {
        let moved = std::mem::discriminant(&before.state) != std::mem::discriminant(&after.state);
        if !moved && before.cause == after.cause && before.starts == after.starts {
            return;
        }
        if let Ok(json) = serde_json::to_string(after)
            && let Err(error) = self.store.remember(StateKey::Supervision, Some(&json))
        {
            tracing::warn!(%error, "failed to store the state of the supervision");
        }
        self.events.take(EngineEvent::BackoffChanged(after.waits(Timestamp::now())));
        self.show(|status, now| {
            describe(after, status, now);
            if after.state == State::Absent {
                status.server.up = false;
                status.set(
                    ConditionType::Ready,
                    false,
                    Reason::ServerDown,
                    "the server does not exist",
                    now,
                );
            }
            let draft = match change(before, after, now) {
                None => return,
                Some(Change::Up) => {
                    tracing::info!("the server responds");
                    EventDraft::normal("ServerUp", "the server responds")
                }
                Some(Change::Declared { reason, message }) => {
                    tracing::warn!(reason, "{message}");
                    EventDraft::normal(reason, message)
                }
                Some(Change::Trouble { reason, message }) => {
                    tracing::warn!(reason, "{message}");
                    EventDraft::warning(reason, message)
                }
            };
            status.record_event(draft, now);
        });
        self.server_changed.notify_one();
    }

    pub(super) fn show(&self, change: impl FnOnce(&mut Status, Timestamp)) {
        if let Some(publisher) = &self.publisher {
            publisher.publish(change);
        }
    }
}
