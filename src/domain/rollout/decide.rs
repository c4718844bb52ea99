//! The state machine of one rollout: returns the next effect for the result of the last effect.
//! Uses no clock and no I/O.
//!
//! ```text
//! Checking ─► Keeping ─► Trying ─► Putting(new) ─► Gating(new) ─► good
//!    │           │          │           └──────┬───────┘
//!    │           │          │                  ▼
//! refused     not now  not written      Putting(old) ─► Gating(old) ─► rolled back
//!                                            └──────┬───────┘
//!                                                   ▼ after a reload: once more, with a restart
//!                                                 stuck
//! ```

use serde::{Deserialize, Serialize};

use super::Method;

/// The files of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The new files.
    New,
    /// The files that were in force before.
    Old,
}

/// The failure of an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// A sentence for people.
    pub message: String,
    /// Whether the configuration is the cause, as far as the operator knows. A taken port or a full
    /// disk is not the configuration's fault.
    pub blame: bool,
}

/// The phase of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "phase")]
pub enum Phase {
    /// ejabberd checks the new files offline.
    Checking,
    /// The operator keeps a copy of the files in force, for a rollback.
    Keeping,
    /// The operator writes the new files beside the old files and removes the written files again,
    /// to check that the files can be written.
    Trying,
    /// The operator puts files in force.
    Putting {
        /// The files.
        side: Side,
        /// The method.
        method: Method,
    },
    /// The health gate checks the server.
    Gating {
        /// The files in force.
        side: Side,
        /// The method that put the files in force.
        method: Method,
    },
}

/// The result of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The effect succeeded.
    Went,
    /// The effect failed.
    Failed(Failure),
}

/// The next action of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run ejabberd's offline check of the new files.
    Check,
    /// Keep a copy of the files in force.
    Keep,
    /// Check that the new files can be written, while the server runs.
    TryToWrite,
    /// Put files in force.
    Put(Side, Method),
    /// Check that the server is healthy with these files.
    Gate(Side),
    /// End the rollout.
    End(Outcome),
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new files are in force, and the server is healthy.
    Good,
    /// ejabberd refuses the new files; nothing was changed.
    Refused(Failure),
    /// The rollout could not begin; nothing was changed.
    NotNow(Failure),
    /// The files cannot be written; nothing was changed.
    NotWritten(Failure),
    /// The old files are in force again, and the server is healthy.
    RolledBack(Failure),
    /// The old files are in force again, and the server is not healthy with the old files either.
    Stuck {
        /// The failure with the new files.
        first: Failure,
        /// The failure with the old files.
        then: Failure,
    },
}

/// One rollout. The engine stores the rollout, so that a restarted operator can continue the
/// rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The phase.
    pub phase: Phase,
    /// The method that puts the new files in force.
    pub method: Method,
    /// The reason for the rollback; `None` if the operator does not roll back the new files.
    pub failure: Option<Failure>,
}

impl Rollout {
    /// A rollout in its first phase.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self { phase: Phase::Checking, method, failure: None }
    }

    /// The effect of the current phase. A restarted operator repeats the effect, so every effect
    /// must be repeatable.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self.phase {
            Phase::Checking => Effect::Check,
            Phase::Keeping => Effect::Keep,
            Phase::Trying => Effect::TryToWrite,
            Phase::Putting { side, method } => Effect::Put(side, method),
            Phase::Gating { side, .. } => Effect::Gate(side),
        }
    }

    /// Processes the result of the current phase and returns the next effect.
    #[must_use]
    pub fn step(&mut self, event: Event) -> Effect {
        let method = self.method;
        self.phase = match (self.phase.clone(), event) {
            (Phase::Checking, Event::Went) => Phase::Keeping,
            (Phase::Checking, Event::Failed(why)) if why.blame => {
                return Effect::End(Outcome::Refused(why));
            }
            (Phase::Checking | Phase::Keeping, Event::Failed(why)) => {
                return Effect::End(Outcome::NotNow(why));
            }
            (Phase::Keeping, Event::Went) => Phase::Trying,
            (Phase::Trying, Event::Failed(why)) => return Effect::End(Outcome::NotWritten(why)),
            (Phase::Trying, Event::Went) => Phase::Putting { side: Side::New, method },
            (Phase::Putting { side, method }, Event::Went) => Phase::Gating { side, method },
            (Phase::Gating { side: Side::New, .. }, Event::Went) => {
                return Effect::End(Outcome::Good);
            }
            (
                Phase::Putting { side: Side::New, method }
                | Phase::Gating { side: Side::New, method },
                Event::Failed(why),
            ) => {
                self.failure = Some(why);
                Phase::Putting { side: Side::Old, method }
            }
            (Phase::Gating { side: Side::Old, .. }, Event::Went) => {
                return Effect::End(Outcome::RolledBack(self.first()));
            }
            // A restart may fix what a reload does not fix.
            (
                Phase::Putting { side: Side::Old, method: Method::Reload }
                | Phase::Gating { side: Side::Old, method: Method::Reload },
                Event::Failed(_),
            ) => Phase::Putting { side: Side::Old, method: Method::Restart },
            (
                Phase::Putting { side: Side::Old, .. } | Phase::Gating { side: Side::Old, .. },
                Event::Failed(then),
            ) => return Effect::End(Outcome::Stuck { first: self.first(), then }),
        };
        self.effect()
    }

    /// Whether the server may have some of the new files. After a kill of the operator, the next
    /// run must continue such a rollout.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Checking | Phase::Keeping | Phase::Trying)
    }

    fn first(&self) -> Failure {
        self.failure.clone().unwrap_or(Failure { message: "unknown".to_owned(), blame: false })
    }
}

impl Outcome {
    /// The failure with the new files; `None` for [`Good`](Self::Good).
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Good => None,
            Self::Refused(why)
            | Self::NotNow(why)
            | Self::NotWritten(why)
            | Self::RolledBack(why) => Some(why),
            Self::Stuck { first, .. } => Some(first),
        }
    }

    /// Whether the operator must not try the same files again.
    #[must_use]
    pub fn latches(&self) -> bool {
        self.failure().is_some_and(|why| why.blame)
    }

    /// The outcome without its reasons.
    #[must_use]
    pub fn result(&self) -> RolloutResult {
        match self {
            Self::Good => RolloutResult::Good,
            Self::Refused(_) => RolloutResult::Refused,
            Self::NotNow(_) | Self::NotWritten(_) => RolloutResult::NotNow,
            Self::RolledBack(_) => RolloutResult::RolledBack,
            Self::Stuck { .. } => RolloutResult::Stuck,
        }
    }
}

/// How a rollout ended, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutResult {
    /// The configuration is in force.
    Good,
    /// The configuration was refused.
    Refused,
    /// The rollout did not begin, for a reason that is not the configuration's fault.
    NotNow,
    /// The previous configuration was restored.
    RolledBack,
    /// Neither configuration works.
    Stuck,
}

impl RolloutResult {
    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Refused => "refused",
            Self::NotNow => "not_now",
            Self::RolledBack => "rolled_back",
            Self::Stuck => "stuck",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(blame: bool) -> Event {
        Event::Failed(Failure { message: "bad".into(), blame })
    }

    /// Applies the events, and returns the effects as text and the outcome.
    fn play(method: Method, how: &[Event]) -> (Vec<String>, Option<Outcome>) {
        let mut rollout = Rollout::new(method);
        let mut effects = vec![format!("{:?}", rollout.effect())];
        for event in how {
            match rollout.step(event.clone()) {
                Effect::End(outcome) => return (effects, Some(outcome)),
                effect => effects.push(format!("{effect:?}")),
            }
            // A stored rollout has the same effect.
            let kept = serde_json::to_string(&rollout).unwrap();
            let again: Rollout = serde_json::from_str(&kept).unwrap();
            assert_eq!(format!("{:?}", again.effect()), *effects.last().unwrap());
        }
        (effects, None)
    }

    #[test]
    fn every_sequence_of_events_ends_in_its_outcome() {
        use Event::Went;
        let words = |how: &[Event], method| {
            let (effects, outcome) = play(method, how);
            (effects.join(" "), outcome.map_or("none", |outcome| outcome.result().as_str()))
        };
        let table: &[(&[Event], Method, &str, &str)] = &[
            (&[bad(true)], Method::Reload, "Check", "refused"),
            (&[bad(false)], Method::Reload, "Check", "not_now"),
            (&[Went, bad(false)], Method::Restart, "Check Keep", "not_now"),
            (&[Went, Went, bad(false)], Method::Restart, "Check Keep TryToWrite", "not_now"),
            (
                &[Went, Went, Went, Went, Went],
                Method::Reload,
                "Check Keep TryToWrite Put(New, Reload) Gate(New)",
                "good",
            ),
            (
                &[Went, Went, Went, Went, bad(true), Went, Went],
                Method::Reload,
                "Check Keep TryToWrite Put(New, Reload) Gate(New) Put(Old, Reload) Gate(Old)",
                "rolled_back",
            ),
            (
                &[Went, Went, Went, bad(true), Went, bad(true), Went, Went],
                Method::Reload,
                "Check Keep TryToWrite Put(New, Reload) Put(Old, Reload) Gate(Old) Put(Old, Restart) Gate(Old)",
                "rolled_back",
            ),
            (
                &[Went, Went, Went, Went, bad(true), Went, bad(false)],
                Method::Restart,
                "Check Keep TryToWrite Put(New, Restart) Gate(New) Put(Old, Restart) Gate(Old)",
                "stuck",
            ),
        ];
        for (how, method, effects, outcome) in table {
            assert_eq!(words(how, *method), ((*effects).to_owned(), *outcome), "{how:?}");
        }
    }

    #[test]
    fn only_a_failure_of_the_configuration_is_latched() {
        use Event::Went;
        let outcome =
            |blame| play(Method::Restart, &[Went, Went, Went, Went, bad(blame), Went, Went]).1;
        assert!(outcome(true).unwrap().latches());
        assert!(!outcome(false).unwrap().latches());
        assert!(!Outcome::Good.latches());
    }
}
