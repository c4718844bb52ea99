//! Decides when the operator tries again: backoff for each object that fails, and for the whole
//! reconciliation if the operator could not read a part of the server.

use std::collections::BTreeMap;
use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::contention::Contention;
use super::deferral::Deferral;
use super::report::{RoundReport, StepResult};
use crate::domain::diff::StepInfo;
use crate::domain::model::{Kind, ObjectKey};
use crate::domain::spec::Backoff;

/// The first wait of an object that failed.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Returns the sequence of waits after failures. Each wait is twice as long as the previous wait,
/// up to `longest`. Jitter spreads the retries, so that the operator does not retry many objects at
/// the same time.
fn waits(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_factor(2.0)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The maximum wait before the operator observes again a server that the operator could not read
/// completely.
const MAX_BLIND: Duration = Duration::from_secs(15);

struct Failure {
    waits: ExponentialBackoff,
    until: Instant,
}

/// The objects that wait for a retry, each with the end of the wait.
#[derive(Default)]
pub(in crate::engine) struct Retries {
    failing: BTreeMap<ObjectKey, Failure>,
    blind: Option<Failure>,
    contention: Contention,
}

impl Retries {
    /// Returns why a step must wait at `now`; `None` if the step may run.
    pub(in crate::engine) fn backing_off(&self, step: &StepInfo, now: Instant) -> Option<Deferral> {
        if self.failing.get(&step.key).is_some_and(|failure| now < failure.until) {
            return Some(Deferral::Backoff);
        }
        self.contention.waits(step, now).then_some(Deferral::Contended)
    }

    /// Updates the waits after a reconciliation: an object that failed waits longer, and the wait
    /// of an object that did not fail ends. A deferred object keeps the current wait.
    pub(in crate::engine) fn learn(
        &mut self,
        report: &RoundReport,
        backoff: &Backoff,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.failing);
        for outcome in &report.outcomes {
            let key = outcome.step.key.clone();
            match (&outcome.result, before.remove(&key)) {
                (StepResult::Failed(_), known) => {
                    // A step of the server may interrupt clients, so such a step waits longer.
                    let first = match key.kind() {
                        Kind::Server | Kind::Config => backoff.initial,
                        _ => FIRST_WAIT,
                    };
                    let waits =
                        known.map_or_else(|| waits(first, backoff.max), |failure| failure.waits);
                    self.failing.insert(key, later(waits, now));
                }
                // If the step was deferred because of backoff, keep the entry, even if the wait has
                // ended during the reconciliation. Otherwise the step waits for the next resync. If
                // the step was deferred for another reason, drop an entry whose wait has ended,
                // because an early retry is useless while the other reason exists.
                (StepResult::Deferred(why), Some(known))
                    if *why == Deferral::Backoff || known.until > now =>
                {
                    self.failing.insert(key, known);
                }
                (StepResult::Done, _) => self.contention.done(&outcome.step, now),
                (StepResult::Deferred(_), _) => {}
            }
        }
        self.contention.tidy(now);
        self.blind = if report.plan.unknown.is_empty() {
            None
        } else {
            let waits = self
                .blind
                .take()
                .map_or_else(|| waits(FIRST_WAIT, MAX_BLIND), |failure| failure.waits);
            Some(later(waits, now))
        };
    }

    /// Ends all waits. The caller uses this function after a file has changed, or after the
    /// administrator has given an order such as `retry`: the causes of the failures may be gone.
    pub(in crate::engine) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Returns the time of the next retry; `None` if nothing waits for a retry.
    pub(in crate::engine) fn next(&self, now: Instant) -> Option<Instant> {
        let failing = self.failing.values().chain(&self.blind).map(|failure| failure.until).min();
        failing.into_iter().chain(self.contention.next(now)).min()
    }
}

fn later(mut waits: ExponentialBackoff, now: Instant) -> Failure {
    // The sequence of waits has no end, so the default value is never used.
    let wait = waits.next().unwrap_or(Duration::from_mins(5));
    Failure { waits, until: now + wait }
}
