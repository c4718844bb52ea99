//! What happened, when, why, to what.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::model::{ObjectKey, Revision};

/// Whether somebody should look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// As it should go.
    #[default]
    Normal,
    /// Something went wrong, or may.
    Warning,
}

impl EventType {
    /// The word for people and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Something that happened. Told again in the same words, it is the same event
/// once more and not another one, as in Kubernetes: a failure that goes on for
/// a night does not push everything else out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its number, one more than that of the event before.
    #[serde(default)]
    pub id: u64,
    /// When it last happened.
    pub time: Timestamp,
    /// When it first happened.
    #[serde(default)]
    pub first: Timestamp,
    /// How often it happened.
    #[serde(default)]
    pub count: u64,
    /// Whether somebody should look at it.
    #[serde(default, rename = "type")]
    pub kind: EventType,
    /// One word for programs.
    pub reason: String,
    /// To what it happened, as `user ann@example.org`; nothing where it
    /// concerns the server or the operator as a whole.
    #[serde(default)]
    pub object: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The revision that was in force.
    #[serde(default)]
    pub revision: Option<Revision>,
}

/// What is to be told: an event without its time and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    kind: EventType,
    reason: String,
    object: Option<String>,
    message: String,
}

impl EventDraft {
    /// Something that goes as it should.
    #[must_use]
    pub fn normal(reason: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self { kind: EventType::Normal, reason: reason.into(), object: None, message }
    }

    /// Something that somebody should look at.
    #[must_use]
    pub fn warning(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: EventType::Warning, ..Self::normal(reason, message) }
    }

    /// The same, about an object.
    #[must_use]
    pub fn about(self, object: &ObjectKey) -> Self {
        Self { object: Some(object.to_string()), ..self }
    }

    fn is(&self, event: &Event, now: Timestamp) -> bool {
        now.duration_since(event.time) <= AGAIN_WITHIN
            && self.reason == event.reason
            && self.object == event.object
            && self.message == event.message
    }
}

/// A message has so many characters at most; what says more is in the log.
const MAX_MESSAGE: usize = 1000;

/// What is told again within so long is the same event once more. Later it is
/// another one: two deaths of the server in a night are two.
const AGAIN_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// How many events the status shows.
const MAX_RECENT: usize = 50;

/// The latest events, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Recent {
    events: VecDeque<Event>,
    /// Those that were told since they were last taken to be remembered.
    #[serde(skip)]
    unsaved: Vec<u64>,
}

impl Recent {
    /// Goes on where an operator before this one ended; `events` newest last.
    #[must_use]
    pub fn from_last(events: Vec<Event>) -> Self {
        let surplus = events.len().saturating_sub(MAX_RECENT);
        Self { events: events.into_iter().skip(surplus).collect(), unsaved: Vec::new() }
    }

    /// Notes that something happened; the oldest event makes room.
    pub fn record(&mut self, draft: EventDraft, revision: Option<&Revision>, now: Timestamp) {
        let same = self.events.iter().position(|event| draft.is(event, now));
        let last = self.events.back().map_or(0, |event| event.id);
        let event = match same.and_then(|at| self.events.remove(at)) {
            Some(before) => Event {
                time: now,
                count: before.count.saturating_add(1),
                revision: revision.cloned(),
                ..before
            },
            None => Event {
                id: last.max(self.newest()) + 1,
                time: now,
                first: now,
                count: 1,
                kind: draft.kind,
                reason: draft.reason,
                object: draft.object,
                message: draft.message,
                revision: revision.cloned(),
            },
        };
        if self.events.len() == MAX_RECENT {
            self.events.pop_front();
        }
        self.unsaved.push(event.id);
        self.events.push_back(event);
    }

    fn newest(&self) -> u64 {
        self.events.iter().map(|event| event.id).max().unwrap_or(0)
    }

    /// What was told since this was last asked, oldest first.
    pub fn take_unsaved(&mut self) -> Vec<Event> {
        let unsaved = std::mem::take(&mut self.unsaved);
        self.events.iter().filter(|event| unsaved.contains(&event.id)).cloned().collect()
    }

    /// Oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.events.iter()
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(recent: &mut Recent, message: &str, second: i64) {
        recent.record(
            EventDraft::normal("Test", message),
            None,
            Timestamp::from_second(second).unwrap(),
        );
    }

    #[test]
    fn events_are_bounded_and_numbered() {
        let mut recent = Recent::default();
        (0..120).for_each(|n| told(&mut recent, &n.to_string(), n));
        assert_eq!(recent.iter().count(), MAX_RECENT);
        let last = recent.iter().next_back().unwrap();
        assert_eq!((last.message.as_str(), last.id), ("119", 120));
        let mut next = Recent::from_last(recent.iter().cloned().collect());
        told(&mut next, "after a restart", 200);
        assert_eq!(next.iter().next_back().unwrap().id, 121);
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut recent = Recent::default();
        told(&mut recent, "a", 1);
        told(&mut recent, "b", 2);
        told(&mut recent, "a", 3);
        assert_eq!(recent.take_unsaved().len(), 2);
        told(&mut recent, "a", 4);
        let unsaved = recent.take_unsaved();
        let [a] = unsaved.as_slice() else { panic!("{unsaved:?}") };
        assert_eq!((a.id, a.count, a.first.as_second(), a.time.as_second()), (1, 3, 1, 4));
        assert_eq!(recent.iter().map(|e| e.id).collect::<Vec<_>>(), [2, 1]);
        told(&mut recent, "c", 5);
        told(&mut recent, "a", 4 + 601);
        assert_eq!(recent.iter().filter(|event| event.message == "a").count(), 2);
        assert_eq!(recent.iter().next_back().unwrap().id, 4);
    }
}
