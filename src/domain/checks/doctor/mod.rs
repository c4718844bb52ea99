//! The diagnosis of a server that does not work as expected.
//!
//! Pure: [`diagnose`] judges [`Evidence`] that the engine and the command collected. [`CHECKS`]
//! is the only list, grouped by [`Symptom`]. Missing evidence gives [`Verdict::Unknown`], which
//! never counts as passed. Each problem names its evidence and its cure. Where possible the cure
//! is a change of the desired state or a command of this program, because administrators do not
//! log in to the host.

mod account;
mod api;
mod checks;
mod configuration;
mod delivery;
mod evidence;
mod host;
mod load;
mod login;
mod operator;
mod parts;
mod start;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

pub use super::check::Verdict;
use super::check::{Judgement, does_not_apply, known, passes, problem, unknown};
use super::text;
pub use checks::{CHECKS, LOGIN_CHECKS};
pub use evidence::*;

/// The maximum number of items that a sentence lists.
const MAX_LISTED: usize = 5;

/// A check of the diagnosis.
pub type Check = super::Check<Evidence, Topic>;

/// The result of one check.
pub type Finding = super::Finding<Topic>;

/// What the list states about a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// The symptom that a failure can explain.
    pub symptom: Symptom,
    /// How close a failure is to the root cause. Of several problems, the problem with the
    /// smallest rank probably causes the others.
    rank: u8,
}

/// A symptom that people notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Symptom {
    /// The server does not start, or stops soon after its start.
    Start,
    /// The API does not respond.
    Api,
    /// Messages do not arrive.
    Delivery,
    /// The server uses a lot of processor time or memory.
    Load,
    /// One account has a problem.
    Account,
}

impl Symptom {
    /// Every symptom, in the order of the output.
    pub const ALL: [Self; 5] = [Self::Start, Self::Api, Self::Delivery, Self::Load, Self::Account];

    /// The symptom in words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Start => "ejabberd does not start",
            Self::Api => "the API cannot be reached",
            Self::Delivery => "messages are not delivered",
            Self::Load => "the server uses a lot of resources",
            Self::Account => "this account",
        }
    }
}

/// Runs the checks for these symptoms, in the order of the list.
#[must_use]
pub fn diagnose(evidence: &Evidence, symptoms: &[Symptom]) -> Vec<Finding> {
    let wanted = CHECKS.iter().filter(|check| symptoms.contains(&check.topic.symptom));
    wanted.map(|check| check.run(evidence)).collect()
}

/// The problem that probably causes the others.
#[must_use]
pub fn likely(findings: &[Finding]) -> Option<&Finding> {
    let problems = findings.iter().filter(|finding| finding.verdict == Verdict::Fails);
    problems.min_by_key(|finding| finding.topic.rank)
}

/// The verdict of a check in the output of `doctor --output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum PublishedVerdict {
    /// Nothing is wrong.
    Fine,
    /// Something is wrong.
    Problem,
    /// The evidence is missing.
    Unknown,
    /// The check does not concern this server.
    DoesNotApply,
}

/// The result of one check.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
struct Published<'f> {
    /// The symptom that a problem here can explain.
    symptom: Symptom,
    /// The name of the check. It never changes.
    check: &'static str,
    /// Whether something is wrong.
    verdict: PublishedVerdict,
    /// The observation in one sentence; for an unknown check, the reason.
    seen: &'f str,
    /// The evidence: lines of a log, numbers, paths.
    evidence: &'f [String],
    /// What to do about a problem.
    r#do: Option<&'f str>,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { check, topic: Topic { symptom, rank: _ }, verdict, seen, evidence, cure } = self;
        let verdict = match verdict {
            Verdict::Passes => PublishedVerdict::Fine,
            Verdict::Fails => PublishedVerdict::Problem,
            Verdict::Unknown => PublishedVerdict::Unknown,
            Verdict::DoesNotApply => PublishedVerdict::DoesNotApply,
        };
        let (symptom, r#do) = (*symptom, cure.as_deref());
        Published { symptom, check, verdict, seen, evidence, r#do }.serialize(serializer)
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

/// The items for a sentence.
fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    text::list(MAX_LISTED, items)
}

/// The sentence part that counts waiting messages.
fn messages_wait(number: i64) -> String {
    if number == 1 { "1 message waits".to_owned() } else { format!("{number} messages wait") }
}
