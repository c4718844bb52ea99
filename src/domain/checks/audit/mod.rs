//! The security checklist.
//!
//! Pure: [`check`] judges [`Evidence`] that the engine collected. [`CHECKS`] is the only list;
//! the `audit` command, the health gate of a rollout and the metrics all use it. The names of
//! the checks are labels of metrics, so they never change.
//!
//! Missing evidence gives [`Verdict::Unknown`], which never counts as passed. If a configuration is
//! ambiguous, the verdict is the worse of the two verdicts, or `Unknown`.

mod access;
mod certificates;
mod checks;
mod evidence;
mod file;
mod messaging;
mod network;
mod nginx;
mod promise;
mod settings;
mod sockets;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

pub use super::check::Verdict;
use super::check::{Judgement, fails, known, passes, unknown};
pub use certificates::{Certificate, ends, warning};
pub use checks::CHECKS;
pub use evidence::{ClientListener, Distribution, Evidence, Inside, Variant, Wire};
pub use messaging::{ClientEvidence, TokenEvidence};
pub use promise::{BrokenItem, broken_around, broken_on_server, broken_promise};
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

/// The verdict of an item in the output of `audit --output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PublishedVerdict {
    /// The item holds.
    Holds,
    /// The item does not hold.
    Fails,
    /// The evidence is missing, or the item does not apply.
    Unknown,
}

/// One item of the checklist.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
struct Published<'f> {
    /// The name of the item. It never changes.
    check: &'static str,
    /// The condition that has to hold, in words.
    title: &'static str,
    /// Whether the item holds.
    verdict: PublishedVerdict,
    /// The observation in one sentence; for an unknown item, the reason.
    seen: &'f str,
    /// Why the item matters.
    why: &'static str,
    /// How to fix the item, also for an item that holds; null if the checklist has no fix.
    mend: Option<&'f str>,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { check, topic: Topic { title, why }, verdict, seen, evidence: _, cure } = self;
        let verdict = match verdict {
            Verdict::Passes => PublishedVerdict::Holds,
            Verdict::Fails => PublishedVerdict::Fails,
            Verdict::Unknown | Verdict::DoesNotApply => PublishedVerdict::Unknown,
        };
        Published { check, title, verdict, seen, why, mend: cure.as_deref() }.serialize(serializer)
    }
}

impl JsonSchema for Finding {
    fn schema_name() -> Cow<'static, str> {
        Published::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Published::json_schema(generator)
    }
}
