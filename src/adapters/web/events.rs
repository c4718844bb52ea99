//! Lists and searches the stored events.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Shared, ask};
use crate::domain::status::{Event, EventType};
use crate::engine::KEPT_EVENTS;

/// The maximum number of events in one response.
const MAX_LIMIT: usize = 200;
const DEFAULT_LIMIT: usize = 50;

/// The query of a request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Question {
    #[serde(rename = "type")]
    kind: Option<EventType>,
    object: Option<String>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct EventList {
    matched: usize,
    offset: usize,
    /// The events, the latest event first.
    events: Vec<Event>,
}

pub(super) async fn list(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Response {
    match ask(&shared.store, |store| store.events(KEPT_EVENTS)).await {
        Ok(events) => axum::Json(find(events, &question)).into_response(),
        Err(response) => response,
    }
}

fn find(events: Vec<Event>, question: &Question) -> EventList {
    let words: Vec<String> = question.q.split_whitespace().map(str::to_lowercase).collect();
    let fits = |event: &Event| {
        question.kind.is_none_or(|kind| event.kind == kind)
            && question.object.as_ref().is_none_or(|object| event.object.as_ref() == Some(object))
            && mentions(event, &words)
    };
    let found: Vec<Event> = events.into_iter().rev().filter(fits).collect();
    EventList {
        matched: found.len(),
        offset: question.offset,
        events: found
            .into_iter()
            .skip(question.offset)
            .take(question.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT))
            .collect(),
    }
}

fn mentions(event: &Event, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let object = event.object.as_deref().unwrap_or_default();
    let text = format!("{}\n{object}\n{}", event.reason, event.message).to_lowercase();
    words.iter().all(|word| text.contains(word))
}
