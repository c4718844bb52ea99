//! Events: the changes and failures that the operator reports, each with its time, reason and
//! object.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::model::{ObjectKey, Revision};

/// Whether an event needs attention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// The event is expected.
    #[default]
    Normal,
    /// The event is a failure, or can lead to a failure.
    Warning,
}

impl EventType {
    /// The published string.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// An event. A repetition with the same reason, object and message increases the count of the
/// event, as in Kubernetes. So a failure that lasts for a night does not displace other events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The number of the event. Numbers increase by one.
    #[serde(default)]
    pub id: u64,
    /// The time of the last occurrence.
    pub time: Timestamp,
    /// The time of the first occurrence.
    #[serde(default)]
    pub first: Timestamp,
    /// The number of occurrences.
    #[serde(default)]
    pub count: u64,
    /// Whether the event needs attention.
    #[serde(default, rename = "type")]
    pub kind: EventType,
    /// The reason: one word for programs.
    pub reason: String,
    /// The object, as `user ann@example.org`; null if the event concerns the server or the
    /// operator as a whole.
    #[serde(default)]
    pub object: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The revision in force at the last occurrence.
    #[serde(default)]
    pub revision: Option<Revision>,
}

/// An event without its time and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    kind: EventType,
    reason: String,
    object: Option<String>,
    message: String,
}

impl EventDraft {
    /// An expected event. A message that is too long is cut.
    #[must_use]
    pub fn normal(reason: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self { kind: EventType::Normal, reason: reason.into(), object: None, message }
    }

    /// An event that needs attention.
    #[must_use]
    pub fn warning(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: EventType::Warning, ..Self::normal(reason, message) }
    }

    /// Sets the object.
    #[must_use]
    pub fn about(self, object: &ObjectKey) -> Self {
        Self { object: Some(object.to_string()), ..self }
    }

    /// Whether this is another occurrence of `event`.
    fn is(&self, event: &Event, now: Timestamp) -> bool {
        now.duration_since(event.time) <= AGAIN_WITHIN
            && self.reason == event.reason
            && self.object == event.object
            && self.message == event.message
    }
}

/// The maximum length of a message, in characters. The log has the whole message.
const MAX_MESSAGE: usize = 1000;

/// A repetition within this time after the last occurrence increases the count of the event. A
/// later repetition is a new event: a server that ends twice in a night causes two events.
const AGAIN_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The maximum number of events in the status.
const MAX_RECENT: usize = 50;

/// The latest events, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Recent {
    events: VecDeque<Event>,
    /// The numbers of the events that changed since the last [`take_unsaved`](Self::take_unsaved).
    #[serde(skip)]
    unsaved: Vec<u64>,
}

impl Recent {
    /// Continues with the events of an earlier run of the operator; `events` newest last.
    #[must_use]
    pub fn from_last(events: Vec<Event>) -> Self {
        let surplus = events.len().saturating_sub(MAX_RECENT);
        Self { events: events.into_iter().skip(surplus).collect(), unsaved: Vec::new() }
    }

    /// Records an event. A new event replaces the oldest event if the list is full.
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

    /// The events that changed since the last call, oldest first.
    pub fn take_unsaved(&mut self) -> Vec<Event> {
        let unsaved = std::mem::take(&mut self.unsaved);
        self.events.iter().filter(|event| unsaved.contains(&event.id)).cloned().collect()
    }

    /// The events, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.events.iter()
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(recent: &mut Recent, message: &str, second: i64) {
        recent.record(
            EventDraft::normal("Test", message),
            None,
            Timestamp::from_second(second).unwrap(),
        );
    }

    #[test]
    fn events_are_bounded_and_numbered() {
        let mut recent = Recent::default();
        (0..120).for_each(|n| record(&mut recent, &n.to_string(), n));
        assert_eq!(recent.iter().count(), MAX_RECENT);
        let last = recent.iter().next_back().unwrap();
        assert_eq!((last.message.as_str(), last.id), ("119", 120));
        let mut next = Recent::from_last(recent.iter().cloned().collect());
        record(&mut next, "after a restart", 200);
        assert_eq!(next.iter().next_back().unwrap().id, 121);
    }

    #[test]
    fn a_repetition_within_ten_minutes_is_counted() {
        let mut recent = Recent::default();
        record(&mut recent, "a", 1);
        record(&mut recent, "b", 2);
        record(&mut recent, "a", 3);
        assert_eq!(recent.take_unsaved().len(), 2);
        record(&mut recent, "a", 4);
        let unsaved = recent.take_unsaved();
        let [a] = unsaved.as_slice() else { panic!("{unsaved:?}") };
        assert_eq!((a.id, a.count, a.first.as_second(), a.time.as_second()), (1, 3, 1, 4));
        assert_eq!(recent.iter().map(|e| e.id).collect::<Vec<_>>(), [2, 1]);
        record(&mut recent, "c", 5);
        record(&mut recent, "a", 4 + 601);
        assert_eq!(recent.iter().filter(|event| event.message == "a").count(), 2);
        assert_eq!(recent.iter().next_back().unwrap().id, 4);
    }
}
