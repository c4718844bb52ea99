//! The paths for programs: `/readyz`, `/status` and `/metrics`.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::access::Trusted;
use crate::domain::status::ConditionType;

/// Responds to `/readyz`. The operator is ready if a round has ended and the server responds.
///
/// The request needs no token, because a load balancer sends no token. The response to a request
/// without a token contains no reason.
pub(super) async fn ready(
    State(shared): State<Shared>,
    Extension(trusted): Extension<Trusted>,
) -> Response {
    let status = shared.status.borrow();
    if status.server.up && status.last_attempt.is_some() {
        return "ok\n".into_response();
    }
    let why = match status.get(ConditionType::Healthy) {
        Some(healthy) if trusted.0 => format!("not ready: {}\n", healthy.message),
        _ => "not ready\n".to_owned(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

pub(super) async fn status(State(shared): State<Shared>) -> Response {
    axum::Json(&*shared.status.borrow()).into_response()
}

pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (shared.metrics)())
        .into_response()
}
