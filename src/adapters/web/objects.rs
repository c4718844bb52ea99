//! Searches accounts, groups and rooms by name and state.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Shared, refused};
use crate::domain::model::Kind;
use crate::domain::status::overview::{Object, ObjectState, Overview};

/// The maximum number of objects in one response.
const MAX_LIMIT: usize = 200;
const DEFAULT_LIMIT: usize = 50;

/// The query of a request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Question {
    kind: Option<Kind>,
    state: Option<Wanted>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

/// The states of objects that a query selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Wanted {
    One(ObjectState),
    Several(Several),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Several {
    /// All states that need attention.
    Attention,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectList<'a> {
    version: u64,
    total: usize,
    matched: usize,
    offset: usize,
    left_out: usize,
    objects: Vec<&'a Object>,
}

pub(super) async fn list(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Response {
    let (version, overview) = {
        let listing = shared.page_data.listing.borrow();
        (listing.version, Arc::clone(&listing.overview))
    };
    // A search reads tens of thousands of names, so run the search on a blocking thread.
    let found = tokio::task::spawn_blocking(move || {
        serde_json::to_vec(&find(version, &overview, &question))
    });
    match found.await {
        Ok(Ok(json)) => {
            ([(axum::http::header::CONTENT_TYPE, "application/json")], json).into_response()
        }
        _ => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed to search: the search was interrupted; try again\n",
        ),
    }
}

fn find<'a>(version: u64, overview: &'a Overview, question: &Question) -> ObjectList<'a> {
    let words: Vec<String> = question.q.split_whitespace().map(str::to_lowercase).collect();
    let fits = |object: &&Object| {
        question.kind.is_none_or(|kind| object.kind == kind)
            && question.state.is_none_or(|wanted| wanted.is(object.state))
            && mentions(object, &words)
    };
    let mut found: Vec<&Object> = overview.objects.iter().filter(fits).collect();
    // Sort by state, the worst state first. The sort is stable, so objects with the same state keep
    // the order of kinds and names.
    found.sort_by_key(|object| rank(object.state));
    ObjectList {
        version,
        total: overview.objects.len(),
        matched: found.len(),
        offset: question.offset,
        left_out: overview.left_out,
        objects: found
            .into_iter()
            .skip(question.offset)
            .take(question.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT))
            .collect(),
    }
}

fn mentions(object: &Object, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let text = format!("{}\n{}\n{}", object.name, object.about, object.why).to_lowercase();
    words.iter().all(|word| text.contains(word))
}

impl Wanted {
    fn is(self, state: ObjectState) -> bool {
        match self {
            Self::One(wanted) => wanted == state,
            Self::Several(Several::Attention) => needs_attention(state),
        }
    }
}

const fn needs_attention(state: ObjectState) -> bool {
    match state {
        ObjectState::Failing
        | ObjectState::Contested
        | ObjectState::Refused
        | ObjectState::Waiting
        | ObjectState::Differs
        | ObjectState::NotInForce
        | ObjectState::Unknown => true,
        ObjectState::AsDeclared | ObjectState::Kept | ObjectState::Unmanaged => false,
    }
}

const fn rank(state: ObjectState) -> u8 {
    if needs_attention(state) { state as u8 } else { u8::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview() -> Overview {
        let object = |kind, name: &str, state, about: &str| Object {
            kind,
            name: name.to_owned(),
            state,
            why: String::new(),
            about: about.to_owned(),
            owned_since: None,
        };
        let mut objects: Vec<Object> = (0..20_000)
            .map(|n| object(Kind::User, &format!("u{n:05}@a.example"), ObjectState::AsDeclared, ""))
            .collect();
        objects.push(object(Kind::Room, "hall@c.example", ObjectState::Differs, "GROẞE Halle"));
        objects.push(object(Kind::Room, "lab@c.example", ObjectState::Unmanaged, ""));
        Overview { objects, left_out: 3 }
    }

    fn names(question: &Question) -> (usize, Vec<String>) {
        let overview = overview();
        let response = find(1, &overview, question);
        (response.matched, response.objects.iter().map(|object| object.name.clone()).collect())
    }

    #[test]
    fn objects_are_found_by_every_word_in_name_and_title() {
        let ask = |q: &str| names(&Question { q: q.to_owned(), ..Question::default() });
        assert_eq!(ask("groß HALL"), (1, vec!["hall@c.example".to_owned()]));
        assert_eq!(ask("u01234"), (1, vec!["u01234@a.example".to_owned()]));
        assert_eq!(ask("absent"), (0, vec![]));
        let (all, first) = ask("");
        assert_eq!((all, first.len(), first[0].as_str()), (20_002, 50, "hall@c.example"));
    }

    #[test]
    fn a_page_is_bounded_and_starts_at_its_offset() {
        let page = |offset| Question {
            kind: Some(Kind::User),
            offset,
            limit: Some(1_000_000),
            ..Question::default()
        };
        assert_eq!(names(&page(0)).1.len(), MAX_LIMIT);
        assert_eq!(names(&page(19_999)).1, ["u19999@a.example"]);
        assert_eq!(names(&page(usize::MAX)).1, Vec::<String>::new());
    }

    #[test]
    fn a_state_is_selected_by_its_name() {
        let ask = |state: &str| {
            let state = serde_json::from_value(serde_json::json!(state)).unwrap();
            names(&Question { state: Some(state), ..Question::default() }).1
        };
        assert_eq!(ask("attention"), ["hall@c.example"]);
        assert_eq!(ask("unmanaged"), ["lab@c.example"]);
        assert_eq!(ask("kept"), Vec::<String>::new());
    }
}
