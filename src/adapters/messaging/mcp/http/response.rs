//! Responses that do not come from the SDK.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::http::{HeaderName, HeaderValue, StatusCode, header};
use rmcp::model::{ErrorData, JsonRpcError};

/// A response of the HTTP server.
pub(super) type Response = hyper::Response<BoxBody<Bytes, Infallible>>;

/// The `Retry-After` header of a request that may succeed later, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The header that stops nginx from buffering a response.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The response to a request that the SDK does not get.
pub(super) struct Refused(Box<Response>);

impl Refused {
    /// A response with a text.
    pub(super) fn new(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let mut response = hyper::Response::new(Full::new(text.into()).boxed());
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        Self(Box::new(response)).with(header::CONTENT_TYPE, kind)
    }

    /// A response 400 with an error of JSON-RPC without an id.
    pub(super) fn invalid_message(error: ErrorData) -> Self {
        let json = serde_json::to_vec(&JsonRpcError::new(None, error)).unwrap_or_default();
        let kind = HeaderValue::from_static("application/json");
        Self::new(StatusCode::BAD_REQUEST, json).with(header::CONTENT_TYPE, kind)
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    /// Asks the client to try again later.
    pub(super) fn later(self) -> Self {
        self.with(header::RETRY_AFTER, RETRY_AFTER)
    }

    /// Closes the connection after the response. A client that has not proved its identity gets no
    /// second request on the connection, and the rest of its request is not read.
    pub(super) fn closing(self) -> Self {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    pub(super) fn into_response(self) -> Response {
        *self.0
    }
}

/// Adds the headers that each response has: no cache stores the response, and no proxy delays the
/// response.
pub(super) fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
