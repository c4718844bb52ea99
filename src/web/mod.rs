//! Floor 4: what the operator shows over HTTP, on loopback by default.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::status::{ConditionType, Status};

/// How long requests under way may go on once the operator ends.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Makes the text of `/metrics`.
pub type Exposition = Arc<dyn Fn() -> String + Send + Sync>;

/// What the handlers read.
#[derive(Clone)]
struct Shared {
    status: watch::Receiver<Status>,
    metrics: Exposition,
}

/// Serves until `stop` says so. Handlers only read what is in memory, so they
/// cannot hang.
pub async fn serve(
    listener: TcpListener,
    status: watch::Receiver<Status>,
    metrics: Exposition,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(page))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(status_json))
        .route("/metrics", get(exposition))
        .with_state(Shared { status, metrics });
    let mut stopped = stop.clone();
    let ended = async move {
        // An error means that whoever could say so is gone, which says so too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(ended).into_future();
    tokio::select! {
        result = server => result,
        () = async {
            let _ = stopped.wait_for(|stop| *stop).await;
            tokio::time::sleep(LAST_REQUESTS).await;
        } => Ok(()),
    }
}

/// Ready means that a round was finished against a server that answers.
async fn readyz(State(shared): State<Shared>) -> Response {
    let status = shared.status.borrow();
    if status.server.up && status.last_attempt.is_some() {
        return "ok\n".into_response();
    }
    let why = status.get(ConditionType::Healthy).map(|c| c.message.clone()).unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
}

async fn status_json(State(shared): State<Shared>) -> Response {
    axum::Json(&*shared.status.borrow()).into_response()
}

async fn exposition(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (shared.metrics)())
        .into_response()
}

/// The page for people, for now as plain as the terminal's.
async fn page(State(shared): State<Shared>) -> Response {
    let status = shared.status.borrow();
    let lines: Vec<String> = status
        .conditions
        .iter()
        .map(|c| format!("{:<14} {:<8} {:<20} {}", c.kind, c.status.as_str(), c.reason, c.message))
        .collect();
    let body = format!(
        "ejabberd-operator {}\n\n{}\n\n/status /metrics /livez /readyz\n",
        status.name,
        lines.join("\n")
    );
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}
