//! The framework of `audit` and `doctor`.
//!
//! A list of checks is a constant array of [`Check`]s. Each check judges evidence that the engine
//! collected, and returns a [`Finding`].

/// The maximum number of lines of evidence in a finding.
pub(super) const MAX_EVIDENCE: usize = 6;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The server meets the checked condition.
    Passes,
    /// The server does not meet the checked condition.
    Fails,
    /// The engine could not collect the evidence. This verdict never counts as
    /// [`Passes`](Self::Passes).
    Unknown,
    /// The check does not concern this server. The checklist of `audit` does not use this verdict.
    DoesNotApply,
}

impl Verdict {
    /// Whether the check passed; `None` if the verdict is [`Unknown`](Self::Unknown) or
    /// [`DoesNotApply`](Self::DoesNotApply).
    #[must_use]
    pub const fn passed(self) -> Option<bool> {
        match self {
            Self::Passes => Some(true),
            Self::Fails => Some(false),
            Self::Unknown | Self::DoesNotApply => None,
        }
    }
}

/// A check of evidence of the type `E`, with a topic of the type `T`: the data that a list adds to
/// each check.
pub struct Check<E, T> {
    /// The name. The name is a label of a metric and a field of the JSON output, so the name must
    /// never change.
    pub name: &'static str,
    /// The data that the list adds to the check.
    pub topic: T,
    /// The cure for a failure: what the administrator must do. `None` if the judgement contains the
    /// cure.
    pub(super) cure: Option<&'static str>,
    /// Judges the evidence.
    pub(super) judge: fn(&E) -> Judgement,
}

impl<E, T: Copy> Check<E, T> {
    /// Judges `evidence`.
    #[must_use]
    pub fn run(&self, evidence: &E) -> Finding<T> {
        let Judgement { verdict, seen, evidence, cure } = (self.judge)(evidence);
        Finding {
            check: self.name,
            topic: self.topic,
            verdict,
            seen,
            evidence: bounded(evidence),
            cure: cure.or_else(|| self.cure.map(str::to_owned)),
        }
    }
}

/// The result of one check, with the name and the topic of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<T> {
    /// The name of the check.
    pub check: &'static str,
    /// The data that the list adds to the check.
    pub topic: T,
    /// The result.
    pub verdict: Verdict,
    /// The observation in one sentence; if the verdict is [`Verdict::Unknown`], the reason.
    pub seen: String,
    /// The lines that prove the observation, such as lines of a log, numbers and paths: at most 6
    /// lines.
    pub evidence: Vec<String>,
    /// The cure for a failure: what the administrator must do; `None` if no cure is known.
    pub cure: Option<String>,
}

/// The conclusion of a check, without the name and the topic of the check.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) seen: String,
    pub(super) evidence: Vec<String>,
    pub(super) cure: Option<String>,
}

impl Judgement {
    pub(super) fn new(verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { verdict, seen: seen.into(), evidence: Vec::new(), cure: None }
    }

    /// Adds lines to the evidence.
    pub(super) fn with(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// Returns the judgement that the condition holds.
pub(super) fn passes(seen: impl Into<String>) -> Judgement {
    Judgement::new(Verdict::Passes, seen)
}

/// Returns the judgement that the condition does not hold. The finding gets the cure of the check.
pub(super) fn fails(seen: impl Into<String>) -> Judgement {
    Judgement::new(Verdict::Fails, seen)
}

/// Returns the judgement that the condition does not hold. The finding gets `cure` instead of the
/// cure of the check.
pub(super) fn problem(seen: impl Into<String>, cure: impl Into<String>) -> Judgement {
    Judgement { cure: Some(cure.into()), ..fails(seen) }
}

/// Returns the judgement that the evidence is unknown, for the reason `why`.
pub(super) fn unknown(why: impl Into<String>) -> Judgement {
    Judgement::new(Verdict::Unknown, why)
}

/// Returns the judgement that the check does not concern this server, for the reason `why`.
pub(super) fn does_not_apply(why: impl Into<String>) -> Judgement {
    Judgement::new(Verdict::DoesNotApply, why)
}

/// Evaluates to the value of a [`Reading`](crate::domain::observed::Reading). If the value is
/// unknown, the macro returns from the surrounding function with [`unknown`] and the reason.
macro_rules! known {
    ($reading:expr) => {
        match $reading {
            $crate::domain::observed::Reading::Known(value) => value,
            $crate::domain::observed::Reading::Unknown(why) => {
                return $crate::domain::checks::check::unknown(why.clone());
            }
        }
    };
}
pub(super) use known;

/// Limits `lines` to [`MAX_EVIDENCE`] lines. The last line then gives the number of the removed
/// lines.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > MAX_EVIDENCE {
        let more = lines.len() - (MAX_EVIDENCE - 1);
        lines.truncate(MAX_EVIDENCE - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cure: Option<&'static str>, judge: fn(&u8) -> Judgement) -> Check<u8, &'static str> {
        Check { name: "small", topic: "size", cure, judge }
    }

    #[test]
    fn a_finding_has_the_name_the_topic_and_the_judgement_of_its_check() {
        let small = check(None, |size| match size {
            0..10 => passes("it is small"),
            _ => problem(format!("it is {size}"), "shrink it").with(["measured".to_owned()]),
        });
        let finding = small.run(&9);
        assert_eq!(
            (finding.check, finding.topic, finding.verdict),
            ("small", "size", Verdict::Passes)
        );
        assert_eq!((finding.evidence.len(), finding.cure), (0, None));
        let finding = small.run(&12);
        assert_eq!((finding.verdict, finding.seen.as_str()), (Verdict::Fails, "it is 12"));
        assert_eq!(
            (finding.evidence, finding.cure),
            (vec!["measured".into()], Some("shrink it".into()))
        );
    }

    #[test]
    fn the_cure_of_the_judgement_replaces_the_cure_of_the_check() {
        let always = Some("always this");
        assert_eq!(check(always, |_| fails("")).run(&0).cure.as_deref(), always);
        let finding = check(always, |_| problem("", "rather this")).run(&0);
        assert_eq!(finding.cure.as_deref(), Some("rather this"));
    }

    #[test]
    fn evidence_above_the_limit_is_replaced_by_a_count() {
        let all = |lines: usize| (0..lines).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(bounded(all(MAX_EVIDENCE)), all(MAX_EVIDENCE));
        assert_eq!(bounded(all(MAX_EVIDENCE + 1)), ["0", "1", "2", "3", "4", "and 2 more"]);
    }

    #[test]
    fn passed_is_none_for_unknown_and_does_not_apply() {
        use Verdict::{DoesNotApply, Fails, Passes, Unknown};
        let passed = [Passes, Fails, Unknown, DoesNotApply].map(Verdict::passed);
        assert_eq!(passed, [Some(true), Some(false), None, None]);
    }
}
