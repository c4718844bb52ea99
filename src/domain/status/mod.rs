//! What the operator says of itself: conditions, counts, events.

mod events;
mod headline;
pub mod overview;
mod phase;
mod reason;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use events::{Event, EventDraft, EventType, Recent};
pub use headline::{Headline, Tone};
pub use phase::ServerPhase;
pub use reason::Reason;

use super::model::{Digest, Revision};

/// The conditions, as in Kubernetes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConditionType {
    /// The server answers, and the last round left no drift.
    Ready,
    /// A round changes something right now.
    Reconciling,
    /// The file is invalid, or a plan is refused.
    Stalled,
    /// Some steps fail.
    Degraded,
    /// The declared configuration is in force.
    ConfigApplied,
    /// The server itself is well.
    Healthy,
}

impl ConditionType {
    /// Every condition, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Degraded,
        Self::ConfigApplied,
        Self::Healthy,
    ];
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Degraded => "Degraded",
            Self::ConfigApplied => "ConfigApplied",
            Self::Healthy => "Healthy",
        })
    }
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionStatus {
    /// The word for metrics and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word for programs.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
}

/// Objects of one kind, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Declared.
    pub desired: usize,
    /// Owned.
    pub managed: usize,
    /// On the server, neither declared nor owned.
    pub unmanaged: usize,
}

/// What the server said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// Whether it answers.
    pub up: bool,
    /// The state of its process: absent, stopped, running, unknown.
    pub process: String,
    /// The engine's own word for its health.
    pub health: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// For how long it has been up, in seconds.
    pub uptime_seconds: Option<u64>,
    /// Accounts by vhost.
    pub registered_users: BTreeMap<String, usize>,
    /// Sessions by vhost.
    pub connected_users: BTreeMap<String, u64>,
    /// Running rooms by service.
    pub online_rooms: BTreeMap<String, usize>,
    /// How it fares; unknown to a command that looks once.
    #[serde(default)]
    pub supervision: Option<SupervisionStatus>,
}

/// How the server fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SupervisionStatus {
    /// Where the server is in its life.
    pub state: ServerPhase,
    /// Since when.
    pub since: Timestamp,
    /// Starts since it was last well for long.
    pub starts: u32,
    /// When it is started again, if it waits for that.
    pub next_start: Option<Timestamp>,
    /// Why it last ended, or was ended.
    pub last_cause: Option<String>,
}

/// How far a round is that changes things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Steps of the round.
    pub steps: usize,
    /// Those that were done.
    pub done: usize,
    /// Those that failed.
    pub failed: usize,
}

/// The security checklist, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditStatus {
    /// When it was gone through.
    pub time: Timestamp,
    /// How many items it has.
    pub items: usize,
    /// Those that do not hold.
    pub failing: Vec<String>,
    /// Those of which nobody knows.
    pub unknown: Vec<String>,
}

/// Deletions that wait for an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockedStatus {
    /// What approves them.
    pub digest: Digest,
    /// Why they were refused.
    pub reason: String,
    /// How many there are.
    pub deletions: usize,
    /// How many accounts are not created, because those of the same names are
    /// left behind in another store.
    #[serde(default)]
    pub creations: usize,
}

impl BlockedStatus {
    /// `3 deletions are refused`.
    #[must_use]
    pub fn counted(&self) -> String {
        let count = |n: usize, word: &str| match n {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        };
        let parts = [count(self.deletions, "deletion"), count(self.creations, "creation")];
        let one = self.deletions + self.creations == 1;
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{} {} refused", parts.join(" and "), if one { "is" } else { "are" })
    }
}

/// The status document, as `/status` and `status --output json` give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Which operator this is: a word that no other has.
    #[serde(default)]
    pub instance: String,
    /// `metadata.name`; empty before the file was read.
    pub name: String,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// The configuration variant that is declared.
    pub variant: Option<String>,
    /// The digest of the configuration on the server.
    pub config_digest: Option<Digest>,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// The server.
    pub server: ServerStatus,
    /// Objects by kind.
    pub objects: BTreeMap<String, Counts>,
    /// Differences that the last round left, by kind and operation.
    pub drift: BTreeMap<String, usize>,
    /// Objects that something else keeps changing back, and what differs; at
    /// most fifty.
    #[serde(default)]
    pub contested: BTreeMap<String, String>,
    /// Deletions that the guard refused.
    pub blocked: Option<BlockedStatus>,
    /// Objects that fail, and why; at most fifty.
    pub failing: BTreeMap<String, String>,
    /// Objects that are as declared, of which something has no effect on this
    /// server, and why; at most fifty.
    #[serde(default)]
    pub not_in_force: BTreeMap<String, String>,
    /// How many objects fail, named or not.
    #[serde(default)]
    pub failing_count: usize,
    /// How far the round under way is, if it changes something.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Why the last round changed nothing at all, if so.
    #[serde(default)]
    pub held: Option<String>,
    /// When the last round began.
    pub last_attempt: Option<Timestamp>,
    /// When the last round without a failure ended.
    pub last_success: Option<Timestamp>,
    /// What became of the security checklist when it was last gone through.
    #[serde(default)]
    pub audit: Option<AuditStatus>,
    /// The latest events, newest last.
    pub events: Recent,
}

impl Status {
    /// A status that knows nothing yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let conditions = ConditionType::ALL
            .map(|kind| Condition {
                kind,
                status: ConditionStatus::Unknown,
                reason: Reason::Starting,
                message: "no round has ended yet".to_owned(),
                last_transition_time: now,
            })
            .into();
        Self {
            instance: String::new(),
            name: String::new(),
            revision: None,
            variant: None,
            config_digest: None,
            conditions,
            server: ServerStatus::default(),
            objects: BTreeMap::new(),
            drift: BTreeMap::new(),
            contested: BTreeMap::new(),
            blocked: None,
            failing: BTreeMap::new(),
            not_in_force: BTreeMap::new(),
            failing_count: 0,
            progress: None,
            held: None,
            last_attempt: None,
            last_success: None,
            audit: None,
            events: Recent::default(),
        }
    }

    /// Sets a condition. Its transition time moves only when its status does.
    pub fn set(
        &mut self,
        kind: ConditionType,
        status: impl Into<ConditionStatus>,
        reason: impl Into<Reason>,
        message: impl Into<String>,
        now: Timestamp,
    ) {
        let status = status.into();
        let message = message.into();
        if let Some(condition) = self.conditions.iter_mut().find(|c| c.kind == kind) {
            if condition.status != status {
                condition.last_transition_time = now;
            }
            condition.status = status;
            condition.reason = reason.into();
            condition.message = message;
        }
    }

    /// One condition.
    #[must_use]
    pub fn get(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Whether it is stalled, and this is the reason.
    #[must_use]
    pub fn stalled_for(&self, reason: &Reason) -> bool {
        self.get(ConditionType::Stalled).is_some_and(|stalled| {
            stalled.status == ConditionStatus::True && stalled.reason == *reason
        })
    }

    /// Whether a condition holds.
    #[must_use]
    pub fn is(&self, kind: ConditionType) -> bool {
        self.get(kind).is_some_and(|c| c.status == ConditionStatus::True)
    }

    /// Notes that something happened.
    pub fn record_event(&mut self, draft: EventDraft, now: Timestamp) {
        self.events.record(draft, self.revision.as_ref(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let (then, now) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(9).unwrap());
        let mut status = Status::new(then);
        status.set(ConditionType::Ready, true, "Converged", "", then);
        status.set(ConditionType::Ready, true, "StillConverged", "new words", now);
        let ready = status.get(ConditionType::Ready).unwrap();
        assert_eq!((ready.reason.as_str(), ready.last_transition_time), ("StillConverged", then));
        status.set(ConditionType::Ready, false, "Drift", "", now);
        assert_eq!(status.get(ConditionType::Ready).unwrap().last_transition_time, now);
    }
}
