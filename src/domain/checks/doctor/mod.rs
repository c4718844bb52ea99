//! What may be wrong when somebody says that something is.
//!
//! Pure: [`diagnose`] judges an [`Evidence`] that somebody else gathered. There
//! is one list of checks, grouped by what people notice ([`Symptom`]). What
//! could not be looked at is [`Verdict::Unknown`], never fine; what does not
//! concern this server is [`Verdict::DoesNotApply`]. Each problem comes with what
//! was seen and what to do about it: an edit of the file or a command of this
//! program where one helps, because nobody is to log in to the host.

mod account;
mod api;
mod checks;
mod configuration;
mod delivery;
mod evidence;
mod load;
mod login;
mod operator;
mod place;
mod start;
#[cfg(test)]
mod tests;
mod words;

use schemars::JsonSchema;
use serde::Serialize;

pub use checks::{CHECKS, LOGIN_CHECKS};
pub use evidence::*;

/// What people notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Symptom {
    /// The server does not start, or not for long.
    Start,
    /// The API cannot be reached.
    Api,
    /// Messages do not arrive.
    Delivery,
    /// It uses a lot.
    Load,
    /// Something is wrong with one account.
    Account,
}

impl Symptom {
    /// Every one, in the order in which they are looked at.
    pub const ALL: [Self; 5] = [Self::Start, Self::Api, Self::Delivery, Self::Load, Self::Account];

    /// In words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Start => "ejabberd does not start",
            Self::Api => "the API cannot be reached",
            Self::Delivery => "messages are not delivered",
            Self::Load => "it uses a lot",
            Self::Account => "this account",
        }
    }
}

/// What a look at one thing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is wrong with it.
    Fine,
    /// Something is.
    Problem,
    /// It could not be looked at.
    Unknown,
    /// It does not concern this server.
    DoesNotApply,
}

/// What a look at one thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What it may explain.
    pub symptom: Symptom,
    /// The fixed name of the check.
    pub check: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, in a sentence; of what is not known, why.
    pub seen: String,
    /// What shows it: lines of a log, numbers, paths.
    pub evidence: Vec<String>,
    /// What to do about it.
    #[serde(rename = "do")]
    pub todo: Option<String>,
}

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// What it may explain.
    pub symptom: Symptom,
    /// Its name; never changes.
    pub name: &'static str,
    /// How near the root of things it is: of several problems, that with the
    /// smallest number is likely to be the cause of the others.
    rank: u8,
    look: fn(&Evidence) -> Answer,
}

/// More lines of evidence than this help nobody.
const MOST_EVIDENCE: usize = 6;

/// Goes through the checks for these symptoms, in the order of the list.
#[must_use]
pub fn diagnose(evidence: &Evidence, symptoms: &[Symptom]) -> Vec<Finding> {
    let wanted = CHECKS.iter().filter(|check| symptoms.contains(&check.symptom));
    wanted
        .map(|check| {
            let Answer { verdict, seen, evidence: mut lines, todo } = (check.look)(evidence);
            if lines.len() > MOST_EVIDENCE {
                let more = lines.len() - (MOST_EVIDENCE - 1);
                lines.truncate(MOST_EVIDENCE - 1);
                lines.push(format!("and {more} more"));
            }
            let (symptom, check) = (check.symptom, check.name);
            Finding { symptom, check, verdict, seen, evidence: lines, todo }
        })
        .collect()
}

/// The problem that is likely to be the cause of the others.
#[must_use]
pub fn likely(findings: &[Finding]) -> Option<&Finding> {
    let rank = |finding: &&Finding| {
        let check = CHECKS.iter().find(|check| check.name == finding.check);
        check.map_or(u8::MAX, |check| check.rank)
    };
    findings.iter().filter(|finding| finding.verdict == Verdict::Problem).min_by_key(rank)
}

/// What a check answers.
struct Answer {
    verdict: Verdict,
    seen: String,
    evidence: Vec<String>,
    todo: Option<String>,
}

impl Answer {
    fn new(verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { verdict, seen: seen.into(), evidence: Vec::new(), todo: None }
    }

    fn with(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }
}

fn fine(seen: impl Into<String>) -> Answer {
    Answer::new(Verdict::Fine, seen)
}

fn problem(seen: impl Into<String>, todo: impl Into<String>) -> Answer {
    Answer::new(Verdict::Problem, seen).todo(todo)
}

fn unknown(why: impl Into<String>) -> Answer {
    Answer::new(Verdict::Unknown, why)
}

fn no_matter(why: impl Into<String>) -> Answer {
    Answer::new(Verdict::DoesNotApply, why)
}
