//! The status that the operator reports: conditions, counts and events.

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

/// The type of a condition, as in Kubernetes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConditionType {
    /// The server responds, and the last round left no drift.
    Ready,
    /// A round is changing something.
    Reconciling,
    /// The file is invalid, or a plan is refused.
    Stalled,
    /// Some steps fail.
    Degraded,
    /// The declared configuration is in force.
    ConfigApplied,
    /// The server is healthy.
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
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// Whether the condition holds is unknown.
    Unknown,
}

impl ConditionStatus {
    /// The published string.
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

/// A condition of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The type.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// The reason: one word for programs.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// The time when `status` last changed.
    pub last_transition_time: Timestamp,
}

/// The numbers of objects of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// The number of declared objects.
    pub desired: usize,
    /// The number of owned objects.
    pub managed: usize,
    /// The number of objects on the server that are neither declared nor owned.
    pub unmanaged: usize,
}

/// The state of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// Whether the server responds.
    pub up: bool,
    /// The state of the process: absent, stopped, running, unknown.
    pub process: String,
    /// The health of the container, as the engine reports it.
    pub health: Option<String>,
    /// The version of the server.
    pub version: Option<String>,
    /// The time since the start of the server, in seconds.
    pub uptime_seconds: Option<u64>,
    /// The number of accounts, by vhost.
    pub registered_users: BTreeMap<String, usize>,
    /// The number of sessions, by vhost.
    pub connected_users: BTreeMap<String, u64>,
    /// The number of running rooms, by service.
    pub online_rooms: BTreeMap<String, usize>,
    /// The supervision of the server; null in the status of a command, which does not supervise.
    #[serde(default)]
    pub supervision: Option<SupervisionStatus>,
}

/// The supervision of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SupervisionStatus {
    /// The phase of the server.
    pub state: ServerPhase,
    /// The time when the phase began.
    pub since: Timestamp,
    /// The number of starts since the server was last healthy for long.
    pub starts: u32,
    /// The time of the next start, if a start waits.
    pub next_start: Option<Timestamp>,
    /// Why the server last ended or was stopped.
    pub last_cause: Option<String>,
}

/// The progress of a round that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The number of steps.
    pub steps: usize,
    /// The number of finished steps.
    pub done: usize,
    /// The number of failed steps.
    pub failed: usize,
}

/// The result of the security checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditStatus {
    /// The time of the last check.
    pub time: Timestamp,
    /// The number of items.
    pub items: usize,
    /// The items that do not hold.
    pub failing: Vec<String>,
    /// The items whose evidence is missing.
    pub unknown: Vec<String>,
}

/// Deletions that wait for an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockedStatus {
    /// The digest that approves the deletions.
    pub digest: Digest,
    /// Why the guard refused the deletions.
    pub reason: String,
    /// The number of deletions.
    pub deletions: usize,
    /// The number of accounts that are not created, because accounts of the same names remain in
    /// another store.
    #[serde(default)]
    pub creations: usize,
}

impl BlockedStatus {
    /// A sentence such as `3 deletions are refused`.
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

/// The status document of `/status` and `status --output json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The unique name of this run of the operator.
    #[serde(default)]
    pub instance: String,
    /// `metadata.name`; empty until the file is read.
    pub name: String,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// The declared variant of the configuration.
    pub variant: Option<String>,
    /// The digest of the configuration on the server.
    pub config_digest: Option<Digest>,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// The server.
    pub server: ServerStatus,
    /// The numbers of objects, by kind.
    pub objects: BTreeMap<String, Counts>,
    /// The number of differences after the last round, by kind and operation.
    pub drift: BTreeMap<String, usize>,
    /// Objects that another program keeps changing back, and what differs; at most 50.
    #[serde(default, rename = "contested")]
    pub contended: BTreeMap<String, String>,
    /// Deletions that the guard refused.
    pub blocked: Option<BlockedStatus>,
    /// Objects whose steps fail, and why; at most 50.
    pub failing: BTreeMap<String, String>,
    /// Objects that are as declared, but have a part without effect on this server, and why; at
    /// most 50.
    #[serde(default)]
    pub not_in_force: BTreeMap<String, String>,
    /// The number of objects whose steps fail, also above 50.
    #[serde(default)]
    pub failing_count: usize,
    /// The progress of the running round, if the round changes something.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Why the last round was not allowed to change anything, if so.
    #[serde(default)]
    pub held: Option<String>,
    /// The start of the last round.
    pub last_attempt: Option<Timestamp>,
    /// The end of the last round without a failure.
    pub last_success: Option<Timestamp>,
    /// The last result of the security checklist.
    #[serde(default)]
    pub audit: Option<AuditStatus>,
    /// The latest events, newest last.
    pub events: Recent,
}

impl Status {
    /// The status before the first round.
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
            contended: BTreeMap::new(),
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

    /// Sets a condition. The transition time changes only with the status.
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

    /// The condition of this type.
    #[must_use]
    pub fn get(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Whether the condition `Stalled` holds for this reason.
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

    /// Records an event.
    pub fn record_event(&mut self, draft: EventDraft, now: Timestamp) {
        self.events.record(draft, self.revision.as_ref(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
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
