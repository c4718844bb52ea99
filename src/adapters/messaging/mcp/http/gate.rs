//! Checks a request before the SDK gets the request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, GetMeta, ProtocolVersion};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::time::timeout;

use super::Rules;
use super::listener::Progress;
use super::requests::Requests;
use super::response::{Refused, Response, finish};
use super::sessions::Sessions;
use crate::adapters::messaging::OperatorClient;
use crate::adapters::messaging::mcp::McpServer;
use crate::adapters::messaging::mcp::caller::Caller;
use crate::adapters::messaging::mcp::handler::identify;
use crate::domain::messaging::token::is_token;
use crate::domain::messaging::{FailureCode, MCP_PATH};
use crate::domain::model::Secret;

/// The maximum length of a body, in bytes.
const MAX_BODY_BYTES: usize = 256 << 10;

/// The time limit for a body to arrive.
const BODY: Duration = Duration::from_secs(10);

/// The header with the id of a session.
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// The header with the revision of the protocol.
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The methods of the path, for the header `Allow`.
const METHODS: HeaderValue = HeaderValue::from_static("POST, DELETE");

/// The response without a valid token.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"ejabberd-operator\"");

/// The checks, and the SDK behind the checks.
pub(super) struct Gate {
    rules: Rules,
    client: Arc<OperatorClient>,
    requests: Requests,
    sessions: Sessions,
    sdk: StreamableHttpService<McpServer, NeverSessionManager>,
}

impl Gate {
    pub(super) fn new(client: Arc<OperatorClient>, rules: Rules) -> Self {
        let config = StreamableHttpServerConfig::default()
            // The gate has the sessions. Without a stream, each request has one JSON response.
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_sse_keep_alive(None)
            .with_allowed_hosts(rules.host_texts())
            .with_allowed_origins(rules.origin_texts())
            .enforce_origin_validation()
            .with_max_request_body_bytes(MAX_BODY_BYTES);
        let server = McpServer::new(Arc::clone(&client), None);
        let sdk = StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config);
        Self { rules, client, requests: Requests::default(), sessions: Sessions::default(), sdk }
    }

    /// Responds to a request of a connection, and records the progress of the connection.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
        progress: &Progress,
    ) -> Response {
        let response = match self.authenticate(&request).await {
            Ok(caller) => {
                progress.begin();
                let response = self.serve(request, caller).await;
                progress.end();
                response.unwrap_or_else(Refused::into_response)
            }
            Err(refused) => refused.closing().into_response(),
        };
        finish(response)
    }

    /// Checks everything that needs no body. Returns the client.
    async fn authenticate(&self, request: &Request<Incoming>) -> Result<Caller, Refused> {
        self.rules.check(request.uri(), request.headers())?;
        if request.uri().path() != MCP_PATH {
            return Err(Refused::new(
                StatusCode::NOT_FOUND,
                "this path does not exist; use /mcp\n",
            ));
        }
        if ![Method::POST, Method::DELETE].contains(request.method()) {
            let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "use POST\n");
            return Err(refused.with(header::ALLOW, METHODS));
        }
        let declared = request.body().size_hint().lower();
        if declared > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let token = token(request.headers()).ok_or_else(unauthorized)?;
        let identity = match identify(&self.client, &token).await {
            Ok(identity) => identity,
            Err(failure) => return Err(refusal(failure.code, failure.to_string())),
        };
        let Some(slot) = self.requests.begin(&identity.client) else {
            let why = "the client has too many requests in progress\n";
            return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, why).later());
        };
        Ok(Caller::new(token, identity, Some(slot)))
    }

    /// Passes the request of a known client to the SDK.
    async fn serve(&self, request: Request<Incoming>, caller: Caller) -> Result<Response, Refused> {
        let (mut parts, body) = request.into_parts();
        // The SDK must not see the token.
        parts.headers.remove(header::AUTHORIZATION);
        if parts.method == Method::DELETE {
            return self.end_session(&parts, &caller);
        }
        let body = read(body).await?;
        let message = parse(&body)?;
        let begins = match lifecycle(&message, &parts.headers) {
            Lifecycle::Initialize => true,
            Lifecycle::Session => {
                self.check_session(&parts, &caller)?;
                false
            }
            Lifecycle::Request => false,
        };
        let session = if begins { Some(self.begin_session(&caller)?) } else { None };
        parts.extensions.insert(caller);
        let mut response = self.sdk.handle(Request::from_parts(parts, Full::new(body))).await;
        if let Some(session) = session {
            response.headers_mut().insert(SESSION_ID, session);
        }
        Ok(response)
    }

    fn begin_session(&self, caller: &Caller) -> Result<HeaderValue, Refused> {
        let failed =
            || Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "failed to begin a session\n");
        let id = self.sessions.begin(caller.name()).map_err(|_| failed())?;
        HeaderValue::try_from(id).map_err(|_| failed())
    }

    fn check_session(&self, parts: &Parts, caller: &Caller) -> Result<(), Refused> {
        let id = session_id(parts)?;
        if self.sessions.continue_session(id, caller.name()) { Ok(()) } else { Err(no_session()) }
    }

    fn end_session(&self, parts: &Parts, caller: &Caller) -> Result<Response, Refused> {
        let id = session_id(parts)?;
        if self.sessions.end(id, caller.name()) {
            Ok(Refused::new(StatusCode::OK, "the session has ended\n").into_response())
        } else {
            Err(no_session())
        }
    }
}

/// How a message belongs to the other messages of a client.
enum Lifecycle {
    /// The message begins a session.
    Initialize,
    /// The message belongs to a session.
    Session,
    /// The message is complete, as in the revision 2026-07-28. An id of a session is ignored.
    Request,
}

fn lifecycle(message: &ClientJsonRpcMessage, headers: &HeaderMap) -> Lifecycle {
    if let ClientJsonRpcMessage::Request(request) = message {
        match &request.request {
            ClientRequest::InitializeRequest(_) => return Lifecycle::Initialize,
            ClientRequest::DiscoverRequest(_) => return Lifecycle::Request,
            request if request.get_meta().protocol_version().is_some() => {
                return Lifecycle::Request;
            }
            _ => {}
        }
    }
    let revision = headers.get(REVISION).and_then(|value| value.to_str().ok());
    match revision {
        Some(revision) if revision >= ProtocolVersion::V_2026_07_28.as_str() => Lifecycle::Request,
        _ => Lifecycle::Session,
    }
}

/// Returns the token of a request. `None` if the request has no header with a token, or several.
fn token(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let valid = scheme.eq_ignore_ascii_case("bearer") && is_token(token);
    valid.then(|| Secret::new(token.to_owned()))
}

/// Returns the id of the session of a request.
fn session_id(parts: &Parts) -> Result<&str, Refused> {
    let id = parts.headers.get(SESSION_ID).and_then(|value| value.to_str().ok());
    id.ok_or_else(|| {
        let why = "the header Mcp-Session-Id is missing; begin with `initialize`\n";
        Refused::new(StatusCode::BAD_REQUEST, why)
    })
}

/// Reads a body within the limits of length and time.
async fn read(body: Incoming) -> Result<Bytes, Refused> {
    match timeout(BODY, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(too_large().closing())
        }
        Ok(Err(_)) => {
            Err(Refused::new(StatusCode::BAD_REQUEST, "the body is incomplete\n").closing())
        }
        Err(_) => {
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n")
                .closing())
        }
    }
}

fn parse(body: &Bytes) -> Result<ClientJsonRpcMessage, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        Refused::invalid_message(match error.classify() {
            serde_json::error::Category::Data => {
                ErrorData::invalid_request("the body is no message of MCP", None)
            }
            _ => ErrorData::parse_error("the body is no JSON", None),
        })
    })
}

fn too_large() -> Refused {
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 256 KiB\n")
}

fn no_session() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "the session does not exist; begin again with `initialize`\n",
    )
}

fn unauthorized() -> Refused {
    let why = "send a valid token: `Authorization: Bearer TOKEN`\n";
    Refused::new(StatusCode::UNAUTHORIZED, why).with(header::WWW_AUTHENTICATE, CHALLENGE)
}

/// Returns the response to a client that the operator did not identify.
fn refusal(code: FailureCode, why: String) -> Refused {
    match code {
        // The text does not depend on the token.
        FailureCode::Unauthorized => unauthorized(),
        FailureCode::Forbidden => Refused::new(StatusCode::FORBIDDEN, why + "\n"),
        FailureCode::RateLimited => Refused::new(StatusCode::TOO_MANY_REQUESTS, why + "\n").later(),
        _ => Refused::new(StatusCode::SERVICE_UNAVAILABLE, why + "\n").later(),
    }
}
