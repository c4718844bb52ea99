//! Handles the requests of MCP clients.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, ErrorData,
    Implementation, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceContents,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::Value;

use super::caller::Caller;
use super::{operations, tools};
use crate::adapters::messaging::OperatorClient;
use crate::domain::messaging::{Failure, FailureCode, Identity, Operation, Response, Tool};
use crate::domain::model::Secret;

/// The revisions of the protocol.
const REVISIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// The methods whose parameters are checked by the types of the SDK. The SDK delivers a request
/// with other parameters as a custom request.
const METHODS: [&str; 7] = [
    "completion/complete",
    "initialize",
    "resources/list",
    "resources/read",
    "server/discover",
    "tools/call",
    "tools/list",
];

/// The MCP server of one transport. Passes each call of a tool to the operator.
#[derive(Clone)]
pub struct McpServer {
    client: Arc<OperatorClient>,
    /// The token of the client of standard input. `None` for HTTP: each HTTP request has a token.
    token: Option<Secret>,
}

impl McpServer {
    pub(super) const fn new(client: Arc<OperatorClient>, token: Option<Secret>) -> Self {
        Self { client, token }
    }

    /// Returns the client of a request.
    async fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, Failure> {
        let parts = context.extensions.get::<Parts>();
        if let Some(caller) = parts.and_then(|parts| parts.extensions.get::<Caller>()) {
            return Ok(caller.clone());
        }
        let Some(token) = &self.token else {
            // The gate of HTTP adds a caller to each request.
            return Err(internal("the request has no client"));
        };
        let identity = identify(&self.client, token).await?;
        Ok(Caller::new(token.clone(), identity, None))
    }

    /// Calls the operator. Fails if the client cancels the request meanwhile.
    async fn call(
        &self,
        caller: &Caller,
        operation: Operation,
        context: &RequestContext<RoleServer>,
    ) -> Result<Response, ErrorData> {
        tokio::select! {
            response = self.client.call(caller.token(), operation) => Ok(response),
            () = context.ct.cancelled() => {
                Err(ErrorData::internal_error("the client cancelled the request", None))
            }
        }
    }
}

/// Returns the client of a token.
pub(super) async fn identify(client: &OperatorClient, token: &Secret) -> Result<Identity, Failure> {
    match client.call(token, Operation::Identify).await {
        Response::Done(value) => serde_json::from_value(value)
            .map_err(|_| internal("the operator has an incompatible version")),
        Response::Failed(failure) => Err(failure),
    }
}

fn internal(message: &str) -> Failure {
    let next_step = "the administrator must install the same version of both programs";
    Failure::new(FailureCode::Internal, message, next_step)
}

/// Returns a failure as an error of the protocol, for requests that are not calls of tools.
fn protocol_error(failure: &Failure) -> ErrorData {
    let code = match failure.code {
        FailureCode::NotFound => ErrorCode::RESOURCE_NOT_FOUND,
        FailureCode::InvalidArgument | FailureCode::Forbidden => ErrorCode::INVALID_PARAMS,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    ErrorData::new(code, failure.to_string(), Some(operations::json(failure)))
}

fn unknown_tool() -> ErrorData {
    ErrorData::invalid_params("the tool is unknown, or this client does not have the tool", None)
}

fn unknown_resource() -> ErrorData {
    ErrorData::resource_not_found("the resource is unknown, or this client may not read it", None)
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let program = Implementation::new("ejabberd-operator", env!("CARGO_PKG_VERSION"))
            .with_title("ejabberd-operator");
        ServerConfig::new(capabilities)
            .with_server_info(program)
            .with_instructions(tools::INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&REVISIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = self.caller(&context).await.map_err(|failure| protocol_error(&failure))?;
        let tools = Tool::ALL.into_iter().filter(|tool| caller.has(*tool));
        Ok(ListToolsResult::with_all_items(tools.map(tools::definition).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = tools::tool(&request.name).ok_or_else(unknown_tool)?;
        let caller = match self.caller(&context).await {
            Ok(caller) => caller,
            Err(failure) => return Ok(operations::failed(&failure).into()),
        };
        if !caller.has(tool) {
            return Err(unknown_tool());
        }
        let operation = match operations::operation(tool, request.arguments) {
            Ok(operation) => operation,
            Err(failure) => return Ok(operations::failed(&failure).into()),
        };
        let response = self.call(&caller, operation, &context).await?;
        Ok(operations::result(response).into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let caller = self.caller(&context).await.map_err(|failure| protocol_error(&failure))?;
        let permitted = caller.has(Tool::ServerStatus);
        let resources = if permitted { tools::resources() } else { Vec::new() };
        Ok(ListResourcesResult::with_all_items(resources))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let resource = tools::resource(&request.uri).ok_or_else(unknown_resource)?;
        let caller = self.caller(&context).await.map_err(|failure| protocol_error(&failure))?;
        if !caller.has(Tool::ServerStatus) {
            return Err(unknown_resource());
        }
        match self.call(&caller, Operation::ReadResource(resource), &context).await? {
            Response::Done(value) => {
                Ok(ReadResourceResult::new(vec![content(value, request.uri)]).into())
            }
            Response::Failed(failure) => Err(protocol_error(&failure)),
        }
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(if METHODS.contains(&request.method.as_str()) {
            ErrorData::invalid_params("the parameters of the method are invalid", None)
        } else {
            ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "the method is unknown", None)
        })
    }
}

/// Returns the content of a resource. A text is shown as it is; other JSON is indented.
fn content(value: Value, uri: String) -> ResourceContents {
    let text = match value {
        Value::String(text) => text,
        value => format!("{value:#}"),
    };
    ResourceContents::text(text, uri).with_mime_type("application/json")
}
