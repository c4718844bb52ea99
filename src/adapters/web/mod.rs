//! The HTTP server of the operator, on loopback by default.
//!
//! A page at `/` with its data under `/api`, and `/metrics`, `/livez`, `/readyz` and `/status` for
//! programs. All routes are read-only. [`PageData`] holds the data of the page, [`Access`] decides
//! which clients may read, and [`serve`] limits the number and the duration of connections and
//! reserves slots for `/livez`, `/readyz` and `/metrics`.

mod access;
mod configs;
mod connection_slots;
mod events;
mod live;
mod objects;
mod page_data;
mod probes;
mod serve;
mod static_files;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, watch};

pub use access::{Access, Token, TokenError};
pub use page_data::PageData;
pub use serve::serve;

use crate::domain::status::Status;
use crate::engine::Store;

/// The function that returns the text of `/metrics`.
pub type Exposition = Arc<dyn Fn() -> String + Send + Sync>;

/// The maximum number of pages that receive events at the same time.
const MAX_STREAMS: usize = 16;

/// The data and the access rules of the HTTP server.
pub struct PageResources {
    /// The current status.
    pub status: watch::Receiver<Status>,
    /// The other data of the page.
    pub page_data: Arc<PageData>,
    /// The store with the older events and the configurations.
    pub store: Arc<dyn Store>,
    /// The function that returns the text of `/metrics`.
    pub metrics: Exposition,
    /// The clients that may read.
    pub access: Access,
}

/// The data that all handlers share.
#[derive(Clone)]
struct Shared {
    status: watch::Receiver<Status>,
    page_data: Arc<PageData>,
    store: Arc<dyn Store>,
    metrics: Exposition,
    streams: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

fn router(resources: PageResources, stop: watch::Receiver<bool>) -> Router {
    let PageResources { status, page_data, store, metrics, access } = resources;
    let streams = Arc::new(Semaphore::new(MAX_STREAMS));
    let shared = Shared { status, page_data, store, metrics, streams, stop };
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(probes::ready))
        .route("/status", get(probes::status))
        .route("/metrics", get(probes::metrics))
        .route("/api/live", get(live::stream))
        .route("/api/objects", get(objects::list))
        .route("/api/events", get(events::list))
        .route("/api/configs", get(configs::list))
        .route("/api/configs/diff", get(configs::difference))
        .with_state(shared)
        .merge(static_files::routes())
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "this path does not exist\n") })
        .layer(from_fn(serve::limit_reserved_connections))
        .layer(from_fn_with_state(Arc::new(access), access::gate))
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    (status, why).into_response()
}

/// Queries the store on a blocking thread, because the store blocks.
async fn ask<T: Send + 'static>(
    store: &Arc<dyn Store>,
    question: impl FnOnce(&dyn Store) -> Result<T, crate::engine::StoreError> + Send + 'static,
) -> Result<T, Response> {
    let store = Arc::clone(store);
    let failed = |error: String| {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to {error}\n")).into_response()
    };
    match tokio::task::spawn_blocking(move || question(&*store)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("query the store".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    mod pages;
    mod stubborn;

    /// Opens a real store in `directory`.
    fn store(directory: &std::path::Path) -> std::sync::Arc<dyn crate::engine::Store> {
        std::sync::Arc::new(crate::adapters::sqlite::SqliteStore::open(directory).unwrap())
    }
}
