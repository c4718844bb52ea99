//! Decides when the operator starts and restarts the server.
//!
//! This module is a state machine without a clock or I/O: the input is events and the time, the
//! output is effects. The rules:
//!
//! * The operator restarts a server that ended. The first restart is immediate. The next restart
//!   waits 10 seconds, then 20 seconds, up to 5 minutes, like the kubelet. Ten minutes of health
//!   reset the backoff.
//! * The operator starts or restarts a server only on **positive evidence** that the server does
//!   not serve: its process has ended; or its node reports that ejabberd is stopped; or neither the
//!   node nor a client port responds. A server that cannot be observed is [`State::Unseen`], and
//!   the operator starts nothing.
//! * A start is not a hang. The operator does not interrupt a start that makes progress: 26.07
//!   repairs its account table for minutes after a crash, and a kill would restart the repair. A
//!   server that neither responds nor works for a minute is frozen.
//! * One slow response is not an outage, but several slow responses in a row are an outage. The
//!   operator then restarts a server that does nothing, and waits longer for a busy server.
//! * The operator reports a fault that a person must fix first, and waits before each retry of the
//!   start.

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

pub use cause::{Cause, EndReason, EndedWhile, Ending, is_own_port};
pub use entries::{Level, LogEntry, entries};
pub use state::{Effect, Event, Others, Settings, State};

use super::spec::Probe;

/// The minimum time between two observations that ejabberd is stopped in its node, before the
/// operator restarts the server. In this time, an administrator may start ejabberd again.
pub const HALTED_FOR: Duration = Duration::from_secs(2);

/// The time after which the operator repeats a stop that had no effect.
const STOP_AGAIN: Duration = Duration::from_secs(30);

/// The time between two probes of a server that starts. Each probe costs half a second of a core,
/// which the server could use.
const WHILE_STARTING: Duration = Duration::from_millis(700);

/// The minimum time between two probes of a server that the operator cannot observe: each probe
/// starts a VM on the host of the server.
const WHILE_UNSEEN: Duration = Duration::from_secs(15);

/// The state machine. The engine stores the state machine across restarts of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supervision {
    /// The state of the server.
    pub state: State,
    /// The time when the state began.
    pub since: Timestamp,
    /// The number of starts since the server was last healthy for the time `reset_after` of the
    /// backoff.
    pub starts: u32,
    /// The cause of the last end or restart of the server; `None` if there is no such cause.
    pub cause: Option<Cause>,
}

impl Supervision {
    /// A server that the operator has not observed yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { state: State::Absent, since: now, starts: 0, cause: None }
    }

    /// Processes an event at `now`. Returns the effect to carry out; `None` if there is nothing to
    /// do.
    #[must_use]
    pub fn step(&mut self, event: Event, settings: &Settings, now: Timestamp) -> Option<Effect> {
        self.forget_if_healthy(settings, now);
        if !settings.must_run {
            return self.must_not_run(&event, now);
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
            // A server that was healthy before a miss keeps the time since when the server is
            // healthy.
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

    /// The time of the next start; `None` if no start waits. The caller must call
    /// [`step`](Self::step) at this time.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::BackingOff { until } | State::Failed { until } => Some(until),
            _ => None,
        }
    }

    /// The time from `now` to the next start; zero if no start waits.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Duration {
        self.due().map_or(Duration::ZERO, |until| {
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        })
    }

    /// The time to the next probe. After a missed response, this time is a tenth of the interval.
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

    /// Whether the caller must probe the server in the current state.
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

    /// Continues the supervision of an earlier run of the operator.
    #[must_use]
    pub fn resumed(self, settings: &Settings, now: Timestamp) -> Self {
        let state = match self.state {
            // If the clock was set back, `until` is far in the future. Without this limit, the wait
            // could last for hours.
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

    fn must_not_run(&mut self, event: &Event, now: Timestamp) -> Option<Effect> {
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
