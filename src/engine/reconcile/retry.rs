//! Decides when to try again: backoff for each object that fails, and for the whole reconciliation
//! if the server could not be read.

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

/// The waits after failures: they double, with jitter, so that many objects are not retried at
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

/// The maximum wait before the operator observes an unreadable server again.
const MAX_BLIND: Duration = Duration::from_secs(15);

struct Failure {
    waits: ExponentialBackoff,
    until: Instant,
}

/// The objects that wait, each with the end of its wait.
#[derive(Default)]
pub(in crate::engine) struct Retries {
    failing: BTreeMap<ObjectKey, Failure>,
    blind: Option<Failure>,
    contention: Contention,
}

impl Retries {
    /// Why a step must wait; `None` if the step may run.
    pub(in crate::engine) fn backing_off(&self, step: &StepInfo, now: Instant) -> Option<Deferral> {
        if self.failing.get(&step.key).is_some_and(|failure| now < failure.until) {
            return Some(Deferral::Backoff);
        }
        self.contention.waits(step, now).then_some(Deferral::Contended)
    }

    /// Updates the waits after a reconciliation: an object that failed waits longer, and the wait
    /// of an object that did not fail ends. A deferred object keeps its wait.
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
                // A step that waited for its backoff when the reconciliation began may be due
                // by now: without its entry it would wait for the next resync. A step that was
                // deferred for another reason is due when that reason ends.
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

    /// Ends all waits: a changed file may have fixed the failures.
    pub(in crate::engine) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The time of the next retry.
    pub(in crate::engine) fn next(&self, now: Instant) -> Option<Instant> {
        let failing = self.failing.values().chain(&self.blind).map(|failure| failure.until).min();
        failing.into_iter().chain(self.contention.next(now)).min()
    }
}

fn later(mut waits: ExponentialBackoff, now: Instant) -> Failure {
    // The iterator has no limit, so it never ends.
    let wait = waits.next().unwrap_or(Duration::from_mins(5));
    Failure { waits, until: now + wait }
}
