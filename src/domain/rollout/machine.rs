//! The state machine of one rollout: what is done next, given how the last
//! thing went. No clock, no I/O.
//!
//! ```text
//! Checking ─► Keeping ─► Trying ─► Putting(new) ─► Gating(new) ─► good
//!    │           │          │           └──────┬───────┘
//!    │           │          │                  ▼
//! refused     not now  not written      Putting(old) ─► Gating(old) ─► rolled back
//!                                            └──────┬───────┘
//!                                                   ▼ once more, by a restart
//!                                                 stuck
//! ```

use serde::{Deserialize, Serialize};

use super::Method;

/// Which files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The new files.
    New,
    /// Those that were in force before.
    Old,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// A sentence for people.
    pub message: String,
    /// Whether the configuration is to blame, as far as known. A taken port or a full disk is not
    /// the configuration's fault.
    pub blame: bool,
}

/// Where a rollout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "phase")]
pub enum Phase {
    /// ejabberd checks the new files offline.
    Checking,
    /// What is in force is kept, to come back to.
    Keeping,
    /// The new files are written beside the old ones, and removed again.
    Trying,
    /// Files are put in force.
    Putting {
        /// Which.
        side: Side,
        /// How.
        method: Method,
    },
    /// The server proves that it is well.
    Gating {
        /// With which files.
        side: Side,
        /// How they were put in force.
        method: Method,
    },
}

/// How one thing went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// As it should.
    Went,
    /// It did not.
    Failed(Failure),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask ejabberd offline.
    Check,
    /// Keep a copy of the files in force.
    Keep,
    /// See whether the new files can be written, while the server serves.
    TryToWrite,
    /// Put files in force.
    Put(Side, Method),
    /// See that the server is well with them.
    Gate(Side),
    /// It is over.
    End(Outcome),
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new files are in force, and the server is well.
    Good,
    /// ejabberd refuses them; nothing was changed.
    Refused(Failure),
    /// It could not be begun; nothing was changed.
    NotNow(Failure),
    /// The files cannot be written; nothing was changed.
    NotWritten(Failure),
    /// The old files are in force again, and the server is well.
    RolledBack(Failure),
    /// The old files are back, and the server is not well with them either.
    Stuck {
        /// What was wrong with the new ones.
        first: Failure,
        /// What is wrong now.
        then: Failure,
    },
}

/// One rollout, as it is also remembered in case the operator is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Where it is.
    pub phase: Phase,
    /// How the new files are put in force.
    pub method: Method,
    /// Why they are taken back, once they are.
    pub failure: Option<Failure>,
}

impl Rollout {
    /// A rollout that begins now.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self { phase: Phase::Checking, method, failure: None }
    }

    /// What the phase that it is in asks for. After a kill this is done again:
    /// every effect may be repeated.
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

    /// Processes the result of the present phase and returns the next effect.
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

    /// Whether the server may have the new files, or half of them: what a kill
    /// at this point must not forget.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Checking | Phase::Keeping | Phase::Trying)
    }

    fn first(&self) -> Failure {
        self.failure.clone().unwrap_or(Failure { message: "unknown".to_owned(), blame: false })
    }
}

impl Outcome {
    /// What was wrong with the new files, if anything was.
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

    /// Whether the same files are not to be tried again.
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
    /// The configuration before was put back.
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

    /// Plays `how` and answers the effects as text, the last one the outcome.
    fn play(method: Method, how: &[Event]) -> (Vec<String>, Option<Outcome>) {
        let mut rollout = Rollout::new(method);
        let mut effects = vec![format!("{:?}", rollout.effect())];
        for event in how {
            match rollout.step(event.clone()) {
                Effect::End(outcome) => return (effects, Some(outcome)),
                effect => effects.push(format!("{effect:?}")),
            }
            // A kill at any point finds the same effect again.
            let kept = serde_json::to_string(&rollout).unwrap();
            let again: Rollout = serde_json::from_str(&kept).unwrap();
            assert_eq!(format!("{:?}", again.effect()), *effects.last().unwrap());
        }
        (effects, None)
    }

    #[test]
    fn every_way_through_ends_in_one_of_the_outcomes() {
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
    fn only_what_the_configuration_causes_is_latched() {
        use Event::Went;
        let outcome =
            |blame| play(Method::Restart, &[Went, Went, Went, Went, bad(blame), Went, Went]).1;
        assert!(outcome(true).unwrap().latches());
        assert!(!outcome(false).unwrap().latches());
        assert!(!Outcome::Good.latches());
    }
}
