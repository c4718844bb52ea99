//! Decides why a server does not respond: the server starts, is busy, or hangs.

use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Effect, Settings, State, Supervision, since};
use crate::domain::observed::Work;

/// The factor by which the operator waits longer for a silent server that works than for a silent
/// server that does nothing.
const PATIENCE_WHEN_BUSY: u32 = 8;

/// The time after which a starting server that does not respond and shows no work is frozen. Work
/// is processor time, bytes read or written, or a wait for a disk.
const FROZEN_AFTER: Duration = Duration::from_mins(1);

impl Supervision {
    pub(super) fn missed(
        &mut self,
        work: Option<Work>,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Effect> {
        let probe = &settings.probe;
        match self.state {
            State::Starting { .. } => {
                // Without a VM there is no measured work, and a start script may wait for another
                // service. So this start has the longer `start_deadline`.
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

    /// Handles a node that reports the start of ejabberd. A start may last as long as the start
    /// makes progress.
    pub(super) fn in_progress(
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

    /// Records the work of a server that starts, and returns the time for which the server has done
    /// nothing.
    fn idle_for(&mut self, work: Option<Work>, now: Timestamp) -> Duration {
        let State::Starting { alive, work: before } = self.state else { return Duration::ZERO };
        if before.is_none() && work.is_some() {
            // The work at the last observation is unknown, so nothing can be compared.
            self.state = State::Starting { alive, work };
        } else if worked(before, work, since(alive, now)) {
            self.state = State::Starting { alive: now, work };
            return Duration::ZERO;
        }
        since(alive, now)
    }

    pub(super) fn port_silent(&mut self, why: String, settings: &Settings, now: Timestamp) {
        match self.state {
            // One slow response is not an outage.
            State::Running { healthy, misses } if misses + 1 < settings.probe.failures => {
                self.state = State::Running { healthy, misses: misses + 1 };
            }
            _ => self.enter(State::PortSilent { why }, now),
        }
    }
}

/// Whether a server has worked between two measurements with the time `passed` between them.
fn worked(before: Option<Work>, now: Option<Work>, passed: Duration) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => now.since(&before, passed),
        _ => false,
    }
}
