//! A stream of changes as server-sent events.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::page_data::Listing;
use super::serve::Connection;
use crate::domain::status::Status;

/// The interval of keep-alive messages. Without these messages a page does not notice a lost
/// connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The time for which the operator collects changes. The page gets these changes in one message.
const TOGETHER: Duration = Duration::from_millis(150);

/// The `Retry-After` header of a refused stream, in seconds.
const AGAIN: &str = "10";

/// The state of one stream to a page.
struct Follower {
    status: watch::Receiver<Status>,
    plan: watch::Receiver<Arc<str>>,
    audit: watch::Receiver<Arc<str>>,
    listing: watch::Receiver<Listing>,
    stop: watch::Receiver<bool>,
    begun: bool,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn stream(
    State(shared): State<Shared>,
    Extension(connection): Extension<Connection>,
) -> Response {
    let place = match Arc::clone(&shared.streams).try_acquire_owned() {
        Ok(place) => place,
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
            let later = [(header::RETRY_AFTER, AGAIN)];
            let why = "the maximum number of pages is connected; close another page\n";
            return (StatusCode::SERVICE_UNAVAILABLE, later, why).into_response();
        }
    };
    let page_data = &shared.page_data;
    let mut follower = Follower {
        status: shared.status.clone(),
        plan: page_data.plan.subscribe(),
        audit: page_data.audit.subscribe(),
        listing: page_data.listing.subscribe(),
        stop: shared.stop.clone(),
        begun: false,
        // End the stream before the lifetime of its connection ends, so that the response ends
        // without an error.
        end: Instant::now() + connection.follow().mul_f64(0.9),
        _place: place,
    };
    follower.status.mark_changed();
    follower.plan.mark_changed();
    follower.audit.mark_changed();
    follower.listing.mark_changed();
    let events = stream::unfold(follower, async |mut follower| {
        let text = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    (kind, Body::from_stream(events)).into_response()
}

impl Follower {
    /// Waits for changes and returns the changes as events. `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if *self.stop.borrow() || Instant::now() >= self.end {
                return None;
            }
            let ready = self.changes();
            if !ready.is_empty() {
                return Some(ready);
            }
            // All branches are cancel-safe. An error means that the operator ends.
            tokio::select! {
                changed = self.status.changed() => { changed.ok()?; self.status.mark_changed(); }
                changed = self.plan.changed() => { changed.ok()?; self.plan.mark_changed(); }
                changed = self.audit.changed() => { changed.ok()?; self.audit.mark_changed(); }
                changed = self.listing.changed() => { changed.ok()?; self.listing.mark_changed(); }
                _ = self.stop.wait_for(|stop| *stop) => return None,
                () = sleep_until(self.end) => return None,
                () = sleep(KEEP_ALIVE) => return Some(": still here\n\n".to_owned()),
            }
            tokio::select! {
                () = sleep(TOGETHER) => {}
                _ = self.stop.wait_for(|stop| *stop) => return None,
            }
        }
    }

    fn changes(&mut self) -> String {
        let mut text = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            let version = env!("CARGO_PKG_VERSION");
            tell(&mut text, "hello", &json!({ "now": Timestamp::now(), "version": version }));
        }
        if changed(&self.status) {
            let status = self.status.borrow_and_update();
            tell(&mut text, "headline", &status.headline());
            tell(&mut text, "status", &*status);
        }
        for (name, latest) in [("plan", &mut self.plan), ("audit", &mut self.audit)] {
            if changed(latest) {
                tell_json(&mut text, name, &latest.borrow_and_update());
            }
        }
        if changed(&self.listing) {
            let listing = self.listing.borrow_and_update();
            let Listing { version, overview, counts } = &*listing;
            let left_out = overview.left_out;
            tell(
                &mut text,
                "objects",
                &json!({ "version": version, "counts": counts, "leftOut": left_out }),
            );
        }
        text
    }
}

fn changed<T>(latest: &watch::Receiver<T>) -> bool {
    latest.has_changed().unwrap_or(false)
}

fn tell(text: &mut String, name: &str, what: &impl Serialize) {
    match serde_json::to_string(what) {
        Ok(json) => tell_json(text, name, &json),
        Err(error) => {
            tracing::error!(%error, name, "failed to write an event, so the page shows old data")
        }
    }
}

/// Appends an event with JSON data. `json` must contain no line breaks, because a line break ends
/// the data.
fn tell_json(text: &mut String, name: &str, json: &str) {
    // Writing to a `String` cannot fail.
    let _ = write!(text, "event: {name}\ndata: {json}\n\n");
}
