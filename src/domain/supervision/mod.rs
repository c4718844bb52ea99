//! When the server is started, restarted, or left alone.
//!
//! A state machine without a clock or any I/O: events and the time go in,
//! effects come out. What it decides:
//!
//! * A server that died is started at once, the next time after ten seconds,
//!   then twenty, up to five minutes, as the kubelet does it; after ten minutes
//!   of health all that is forgotten.
//! * A server is started or restarted only on **positive evidence** that it does
//!   not serve: its process has ended; or its node answers and says that
//!   ejabberd is stopped; or the node does not answer and no client port does
//!   either. What the operator cannot see is [`State::Unseen`], and starts
//!   nothing.
//! * Starting is not hanging. A server that starts is left alone as long as it
//!   works, however long that takes: 26.07 repairs its account table for
//!   minutes after a crash, and a kill would make it begin again. A server that
//!   neither answers nor works for a minute is frozen.
//! * One slow answer is not an outage. Several in a row are; and then a server
//!   that does nothing at all is restarted, while a busy server gets longer.
//! * A fault that a person has to remove first is named, and the start is not
//!   tried every second.

mod cause;
mod entries;
mod starts;
mod state;
#[cfg(test)]
mod tests;
mod unresponsive;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use cause::{Cause, EPMD_UNREACHABLE, EndedWhile, Ending};
pub use entries::{Level, LogEntry, entries};
pub use state::{Effect, Event, Others, Settings, State};

use super::spec::Probe;

/// The operator must see ejabberd stopped in its node twice, at least this far
/// apart: an administrator may be starting it again.
pub const HALTED_FOR: Duration = Duration::from_secs(2);

/// The operator repeats a stop that had no effect after this time.
const STOP_AGAIN: Duration = Duration::from_secs(30);

/// Between two probes of a server that starts. Each costs the host half a
/// second of a core, which the server could use.
const WHILE_STARTING: Duration = Duration::from_millis(700);

/// Between two probes of a server that the operator cannot see, at least: each
/// starts a VM beside the server, in vain.
const WHILE_UNSEEN: Duration = Duration::from_secs(15);

/// The state machine, and what it remembers across restarts of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supervision {
    /// Where the server is in its life.
    pub state: State,
    /// Since when it has been there.
    pub since: Timestamp,
    /// Starts since it was last well for long.
    pub starts: u32,
    /// Why it last ended or was ended, if it did.
    pub cause: Option<Cause>,
}

impl Supervision {
    /// A server that the operator has not observed yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { state: State::Absent, since: now, starts: 0, cause: None }
    }

    /// Processes an event at `now`. Returns the effect to carry out.
    #[must_use]
    pub fn step(&mut self, event: Event, settings: &Settings, now: Timestamp) -> Option<Effect> {
        self.forget_if_healthy(settings, now);
        if !settings.must_run {
            return self.shall_not_run(&event, now);
        }
        match (event, &self.state) {
            (Event::IsAbsent, _) => self.enter(State::Absent, now),
            (Event::IsPaused, _) => self.enter(State::Paused, now),
            (
                Event::Runs,
                State::Starting { .. }
                | State::Running { .. }
                | State::Unresponsive { .. }
                | State::Halted
                | State::Unseen { .. }
                | State::PortSilent { .. },
            )
            | (
                Event::Nothing,
                State::Running { .. }
                | State::Unresponsive { .. }
                | State::Halted
                | State::Unseen { .. }
                | State::PortSilent { .. },
            )
            | (Event::Answered, State::Running { misses: 0, .. }) => {}
            (Event::Runs, _) => self.enter(State::Starting { alive: now, work: None }, now),
            // It was well before and after: its health is not new.
            (Event::Answered, State::Running { healthy, .. }) => {
                self.state = State::Running { healthy: *healthy, misses: 0 };
            }
            (Event::Answered, _) => self.enter(State::Running { healthy: now, misses: 0 }, now),
            (Event::Missed(work), _) => return self.missed(work, settings, now),
            (Event::InProgress(work), _) => return self.in_progress(work, settings, now),
            (Event::Unseen(why), _) => self.enter(State::Unseen { why }, now),
            (Event::PortSilent(why), _) => self.port_silent(why, settings, now),
            (Event::Halted, State::Halted) if since(self.since, now) >= HALTED_FOR => {
                return self.restart(Cause::halted(), settings, now);
            }
            (Event::Halted, _) => self.enter(State::Halted, now),
            (
                Event::Ended(_),
                State::BackingOff { .. } | State::Failed { .. } | State::Stopped | State::Stopping,
            ) => return self.when_due(now),
            (Event::Ended(ending), _) => return self.ended(&ending, settings, now),
            (Event::TryNow, State::BackingOff { .. } | State::Failed { .. }) => {
                self.starts = 0;
                return self.start(now);
            }
            (Event::TryNow, State::Halted) => {
                self.starts = 0;
                return self.restart(Cause::halted(), settings, now);
            }
            (Event::Nothing, State::BackingOff { .. } | State::Failed { .. }) => {
                return self.when_due(now);
            }
            (Event::TryNow | Event::Nothing, _) => {}
        }
        None
    }

    /// When the machine wants to be asked again at the latest, if at all.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::BackingOff { until } | State::Failed { until } => Some(until),
            _ => None,
        }
    }

    /// How long the server waits to be started from `now` on; zero if it does not.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Duration {
        self.due().map_or(Duration::ZERO, |until| {
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        })
    }

    /// How long to the next probe. A failed probe is repeated at once.
    #[must_use]
    pub fn probe_after(&self, probe: &Probe) -> Duration {
        match self.state {
            State::Running { misses: 0, .. } => probe.interval,
            State::Running { .. } | State::Unresponsive { .. } | State::Halted => {
                probe.interval / 10
            }
            State::Starting { .. } => probe.interval.min(WHILE_STARTING),
            State::Unseen { .. } => probe.interval.max(WHILE_UNSEEN),
            _ => probe.interval,
        }
    }

    /// Whether a probe makes sense now.
    #[must_use]
    pub fn wants_probes(&self) -> bool {
        matches!(
            self.state,
            State::Starting { .. }
                | State::Running { .. }
                | State::Unresponsive { .. }
                | State::Halted
                | State::Unseen { .. }
                | State::PortSilent { .. }
        )
    }

    /// Takes up what an operator before us remembered.
    #[must_use]
    pub fn resumed(self, settings: &Settings, now: Timestamp) -> Self {
        let state = match self.state {
            // A clock that was set back must not make us wait for hours.
            State::BackingOff { until } => {
                State::BackingOff { until: until.min(now + settings.backoff.max) }
            }
            State::Failed { until } => {
                State::Failed { until: until.min(now + settings.backoff.max) }
            }
            // The first observation shows whether the server still runs.
            State::Running { .. }
            | State::Unresponsive { .. }
            | State::Starting { .. }
            | State::Halted
            | State::Unseen { .. }
            | State::PortSilent { .. } => State::Absent,
            other => other,
        };
        Self { state, ..self }
    }

    fn shall_not_run(&mut self, event: &Event, now: Timestamp) -> Option<Effect> {
        match event {
            Event::Ended(_) | Event::IsAbsent => {
                self.starts = 0;
                self.cause = None;
                self.enter(State::Stopped, now);
                None
            }
            Event::Runs | Event::IsPaused | Event::Halted
                if self.state != State::Stopping || since(self.since, now) >= STOP_AGAIN =>
            {
                self.since = now;
                self.state = State::Stopping;
                Some(Effect::Stop)
            }
            _ => None,
        }
    }

    fn forget_if_healthy(&mut self, settings: &Settings, now: Timestamp) {
        if let State::Running { healthy, .. } = self.state
            && since(healthy, now) >= settings.backoff.reset_after
        {
            self.starts = 0;
        }
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        if std::mem::discriminant(&self.state) != std::mem::discriminant(&state) {
            self.since = now;
        }
        self.state = state;
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(then);
    Duration::try_from(passed).unwrap_or_default()
}
