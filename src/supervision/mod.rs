//! Floor 2: when the server is started, restarted, or left alone.
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
//!   minutes after a crash, and a kill would make it begin again. One that
//!   neither answers nor works for a minute is frozen.
//! * One slow answer is not an outage. Several in a row are; and then a server
//!   that does nothing at all is restarted, while one that is busy gets longer.
//! * A fault that a person has to remove first is named, and the start is not
//!   tried every second.

mod cause;
mod entries;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use cause::{Cause, EPMD_UNREACHABLE, Ending};
pub use entries::{Level, LogEntry, entries};

use crate::observed::Work;
use crate::spec::{Backoff, Probe};

/// A server that does not answer and still works gets so many times as long as
/// one that does nothing.
const PATIENCE_WHEN_BUSY: u32 = 8;

/// How long others get to start the server, or to remove it, before the operator
/// starts it.
const OTHERS_FIRST: Duration = Duration::from_secs(10);

/// A server that starts, does not answer, and shows no work for so long is
/// frozen: no processor time, no byte read or written, no wait for a disk.
const FROZEN_AFTER: Duration = Duration::from_secs(60);

/// The operator must see ejabberd stopped in its node twice, at least this far
/// apart: an administrator may be starting it again.
pub const HALTED_FOR: Duration = Duration::from_secs(2);

/// A stop that did not help is tried again after so long.
const STOP_AGAIN: Duration = Duration::from_secs(30);

/// Between two probes of a server that starts. Each costs the host half a
/// second of a core, which the server could use.
const WHILE_STARTING: Duration = Duration::from_millis(700);

/// Between two probes of a server that the operator cannot see, at least: each
/// starts a VM beside the server, in vain.
const WHILE_UNSEEN: Duration = Duration::from_secs(15);

/// What is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether it shall run.
    pub shall_run: bool,
    /// How its health is asked for.
    pub probe: Probe,
    /// How fast it is started again.
    pub backoff: Backoff,
    /// Who else may start it.
    pub others: Others,
}

/// Who else may start the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    None,
    /// The owner of a container that the operator did not create: the owner may
    /// stop it to replace it, as `docker-compose down` and `up` do.
    Owner,
    /// Its engine, by a restart policy.
    RestartPolicy,
}

/// Where the server is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Nobody has looked yet, or there is nothing to start.
    Absent,
    /// It was started and has not answered since.
    Starting {
        /// When it was last seen to do something.
        alive: Timestamp,
        /// What it had done by then, where that was measured.
        work: Option<Work>,
    },
    /// It answers.
    Running {
        /// Since when, without a miss that mattered.
        healthy: Timestamp,
        /// Answers missed in a row.
        misses: u32,
    },
    /// It runs and does not answer.
    Unresponsive {
        /// Answers missed in a row.
        misses: u32,
        /// When the work was measured, at the last miss.
        measured: Timestamp,
        /// What it had done by then, where that was measured.
        work: Option<Work>,
    },
    /// Its node lives, and ejabberd has been stopped in it.
    Halted,
    /// It runs, and the operator cannot see how: the control channel does not
    /// open, or a client port answers although the node does not.
    Unseen {
        /// Why not, and what to do.
        why: String,
    },
    /// ejabberd answers, and a client port does not. A restart may not help, and
    /// would interrupt those whom it serves at other ports.
    PortSilent {
        /// Which port, and what it does instead.
        why: String,
    },
    /// Somebody has paused it; that is theirs to end.
    Paused,
    /// It ended, and is started again later.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// It cannot be started until somebody mends something; it is tried again all the same.
    Failed {
        /// When.
        until: Timestamp,
    },
    /// It is being stopped, as declared.
    Stopping,
    /// It is stopped, as declared.
    Stopped,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The process runs.
    Runs,
    /// The process is paused.
    IsPaused,
    /// The process has ended, or could not be started.
    Ended(Ending),
    /// There is no process to start.
    IsAbsent,
    /// It answers.
    Answered,
    /// Neither its node nor a client port answered in time. What it has done so
    /// far, where that is known.
    Missed(Option<Work>),
    /// Its node answers and says that ejabberd is on the way up. What it has done
    /// so far, where that is known.
    InProgress(Option<Work>),
    /// The operator cannot see whether the server serves: why not.
    Unseen(String),
    /// ejabberd answers, and a client port does not.
    PortSilent(String),
    /// Its node lives, and ejabberd in it has been stopped.
    Halted,
    /// Somebody wants it tried again now.
    TryNow,
    /// Only time has passed.
    Nothing,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the process.
    Start,
    /// End the living process, by force if need be, and start it.
    Restart,
    /// Stop the server in good order.
    Stop,
}

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
    /// A server that nobody has looked at.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { state: State::Absent, since: now, starts: 0, cause: None }
    }

    /// Takes in what happened at `now`; answers what is to be done.
    #[must_use]
    pub fn step(&mut self, event: Event, settings: &Settings, now: Timestamp) -> Option<Effect> {
        self.forget_if_healthy(settings, now);
        if !settings.shall_run {
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
            (Event::Ended(ending), state) => {
                let was_up = !matches!(state, State::Starting { .. } | State::Absent);
                let others_first = match settings.others {
                    Others::None => false,
                    Others::Owner => ending.is_orderly(),
                    Others::RestartPolicy => true,
                };
                return self.ended(Cause::of(&ending, was_up), others_first, settings, now);
            }
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

    /// How long to the next probe. One that has just failed is followed at once.
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
            // Whether it still runs, and how, is for the first look to say.
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

    fn missed(
        &mut self,
        work: Option<Work>,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Effect> {
        let probe = &settings.probe;
        match self.state {
            State::Starting { .. } => {
                // Where there is no VM yet, a start script may be waiting for something.
                let limit = work.map_or(probe.start_deadline, |_| FROZEN_AFTER);
                if self.idle_for(work, now) >= limit {
                    return self.restart(Cause::frozen(limit), settings, now);
                }
            }
            State::Running { healthy, misses } if misses + 1 < probe.failures => {
                self.state = State::Running { healthy, misses: misses + 1 };
            }
            State::Running { misses, .. } => {
                self.enter(State::Unresponsive { misses: misses + 1, measured: now, work }, now);
            }
            State::Halted | State::Unseen { .. } | State::PortSilent { .. } => {
                self.enter(State::Unresponsive { misses: 1, measured: now, work }, now);
            }
            State::Unresponsive { misses, measured, work: before } => {
                let misses = misses + 1;
                let busy = worked(before, work, since(measured, now));
                let patience = if busy { PATIENCE_WHEN_BUSY } else { 1 };
                let work = work.or(before);
                self.state = State::Unresponsive { misses, measured: now, work };
                if misses > probe.failures.saturating_mul(patience) {
                    return self.restart(Cause::unresponsive(), settings, now);
                }
            }
            _ => {}
        }
        None
    }

    /// Its node answers: it starts. That takes as long as it works.
    fn in_progress(
        &mut self,
        work: Option<Work>,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Effect> {
        if !matches!(self.state, State::Starting { .. }) {
            self.enter(State::Starting { alive: now, work }, now);
            return None;
        }
        let deadline = settings.probe.start_deadline;
        if self.idle_for(work, now) < deadline {
            return None;
        }
        self.restart(Cause::stuck_start(deadline), settings, now)
    }

    /// For how long a server that starts has done nothing.
    fn idle_for(&mut self, work: Option<Work>, now: Timestamp) -> Duration {
        let State::Starting { alive, work: before } = self.state else { return Duration::ZERO };
        if before.is_none() && work.is_some() {
            // What it had done when it was last seen is not known.
            self.state = State::Starting { alive, work };
        } else if worked(before, work, since(alive, now)) {
            self.state = State::Starting { alive: now, work };
            return Duration::ZERO;
        }
        since(alive, now)
    }

    fn port_silent(&mut self, why: String, settings: &Settings, now: Timestamp) {
        match self.state {
            // One slow answer is nothing to report.
            State::Running { healthy, misses } if misses + 1 < settings.probe.failures => {
                self.state = State::Running { healthy, misses: misses + 1 };
            }
            _ => self.enter(State::PortSilent { why }, now),
        }
    }

    /// It lives and has to be restarted; not sooner than the backoff allows.
    fn restart(&mut self, cause: Cause, settings: &Settings, now: Timestamp) -> Option<Effect> {
        let wait = self.wait(false, settings);
        self.cause = Some(cause);
        if since(self.since, now) < wait {
            return None;
        }
        self.start(now);
        Some(Effect::Restart)
    }

    /// It has ended by itself.
    fn ended(
        &mut self,
        cause: Cause,
        others_first: bool,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Effect> {
        let to_mend = cause.needs_mending();
        self.cause = Some(cause);
        let wait = self.wait(to_mend, settings);
        if wait.is_zero() && !others_first {
            return self.start(now);
        }
        let wait = if others_first { wait.max(OTHERS_FIRST) } else { wait };
        let until = now + wait;
        self.enter(
            if to_mend { State::Failed { until } } else { State::BackingOff { until } },
            now,
        );
        None
    }

    /// The wait before the next start. The first is immediate, unless starting
    /// is known not to help.
    fn wait(&self, to_mend: bool, settings: &Settings) -> Duration {
        let Backoff { initial, max, .. } = settings.backoff;
        let doublings = match (self.starts, to_mend) {
            (0, false) => return Duration::ZERO,
            (starts, true) => starts,
            (starts, false) => starts - 1,
        };
        initial.saturating_mul(2_u32.saturating_pow(doublings)).min(max)
    }

    fn when_due(&mut self, now: Timestamp) -> Option<Effect> {
        match self.state {
            State::BackingOff { until } | State::Failed { until } if now < until => None,
            State::Stopped | State::Stopping => {
                self.starts = 0;
                self.start(now)
            }
            _ => self.start(now),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "the effect of every caller")]
    fn start(&mut self, now: Timestamp) -> Option<Effect> {
        self.starts = self.starts.saturating_add(1);
        self.enter(State::Starting { alive: now, work: None }, now);
        Some(Effect::Start)
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

/// Whether a server has worked between two measurements, `passed` apart.
fn worked(before: Option<Work>, now: Option<Work>, passed: Duration) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => now.since(&before, passed),
        _ => false,
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(then);
    Duration::try_from(passed).unwrap_or_default()
}
