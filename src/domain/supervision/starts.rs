//! The restart of a server, and the wait before it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Effect, EndedWhile, Ending, Others, Settings, State, Supervision, since};
use crate::domain::spec::Backoff;

/// The time that the operator gives the owner or the restart policy to start or remove the server,
/// before the operator starts the server.
const OTHERS_FIRST: Duration = Duration::from_secs(10);

impl Supervision {
    /// Restarts a server that runs; `None` if the backoff is not over yet.
    pub(super) fn restart(
        &mut self,
        cause: Cause,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Effect> {
        let wait = self.wait(false, settings);
        self.cause = Some(cause);
        if since(self.since, now) < wait {
            return None;
        }
        self.start(now);
        Some(Effect::Restart)
    }

    /// Reacts to the end of a server that should run.
    pub(super) fn ended(
        &mut self,
        ending: &Ending,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Effect> {
        let ended = match self.state {
            State::Starting { .. } | State::Absent => EndedWhile::Starting,
            _ => EndedWhile::Up,
        };
        let others_start = match settings.others {
            Others::None => false,
            Others::Owner => ending.is_orderly(),
            Others::RestartPolicy => true,
        };
        let cause = Cause::of(ending, ended);
        let needs_fix = cause.needs_fix();
        self.cause = Some(cause);
        let wait = self.wait(needs_fix, settings);
        if wait.is_zero() && !others_start {
            return self.start(now);
        }
        let wait = if others_start { wait.max(OTHERS_FIRST) } else { wait };
        let until = now + wait;
        self.enter(
            if needs_fix { State::Failed { until } } else { State::BackingOff { until } },
            now,
        );
        None
    }

    /// The wait before the next start; zero for the first start, unless a person must fix the cause
    /// first.
    fn wait(&self, needs_fix: bool, settings: &Settings) -> Duration {
        let Backoff { initial, max, .. } = settings.backoff;
        let doublings = match (self.starts, needs_fix) {
            (0, false) => return Duration::ZERO,
            (starts, true) => starts,
            (starts, false) => starts - 1,
        };
        initial.saturating_mul(2_u32.saturating_pow(doublings)).min(max)
    }

    pub(super) fn when_due(&mut self, now: Timestamp) -> Option<Effect> {
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
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Effect> {
        self.starts = self.starts.saturating_add(1);
        self.enter(State::Starting { alive: now, work: None }, now);
        Some(Effect::Start)
    }
}
