//! The security checklist.
//!
//! Pure: [`check`] judges [`Evidence`] that the engine collected. [`CHECKS`] is the only list;
//! the `audit` command, the health gate of a rollout and the metrics all use it. The names of
//! the checks are labels of metrics, so they never change.
//!
//! Missing evidence gives [`Verdict::Unknown`], which never counts as passed. Where a
//! configuration can be read in two ways, the verdict is the worse one, or `Unknown`.

mod access;
mod certificates;
mod checks;
mod evidence;
mod file;
mod network;
mod promise;
mod settings;
mod sockets;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

pub use super::check::Verdict;
use super::check::{Judgement, fails, known, passes, unknown};
pub use certificates::{Certificate, ends, warning};
pub use checks::CHECKS;
pub use evidence::{ClientListener, Distribution, Evidence, Inside, Variant, Wire};
pub use promise::{BrokenItem, broken_around, broken_promise};
pub use settings::VERSION_FLOOR;
pub use sockets::{Socket, Table, listening, listening_with_inode, user_of_status};

/// An item of the checklist.
pub type Check = super::Check<Evidence, Topic>;

/// The result of one item.
pub type Finding = super::Finding<Topic>;

/// What the checklist states about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// The condition that has to hold, in words.
    pub title: &'static str,
    /// Why the condition matters.
    pub why: &'static str,
}

/// Judges every item, in the order of the list.
#[must_use]
pub fn check(evidence: &Evidence) -> Vec<Finding> {
    CHECKS.iter().map(|check| check.run(evidence)).collect()
}

/// The published form: an entry of `checks` in the output of `audit --output json`.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Published<'f> {
            check: &'static str,
            title: &'static str,
            verdict: &'static str,
            seen: &'f str,
            why: &'static str,
            mend: Option<&'f str>,
        }
        let Self { check, topic: Topic { title, why }, verdict, seen, evidence: _, cure } = self;
        let verdict = match verdict {
            Verdict::Passes => "holds",
            Verdict::Fails => "fails",
            Verdict::Unknown | Verdict::DoesNotApply => "unknown",
        };
        Published { check, title, verdict, seen, why, mend: cure.as_deref() }.serialize(serializer)
    }
}
