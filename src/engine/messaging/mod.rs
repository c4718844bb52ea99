//! Messaging for programs: checks the token and every right of a client, and carries out its
//! operations.
//!
//! The MCP server forwards the token of its client with each request, so a program that controls
//! the MCP server can only do what the tokens that pass through the MCP server permit.

mod cursor;
mod failures;
mod in_force;
mod limits;
mod presence;
mod read;
mod register;
mod repeats;
mod send;
mod tokens;
mod views;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::in_force::InForce;
pub use self::views::Views;

use self::cursor::CursorKey;
use self::failures::internal;
use self::limits::Limits;
use self::repeats::Repeats;
use self::tokens::Tokens;
use super::ports::{EngineEvent, EventSink, MessagingHandler, Secrets, Store};
use crate::domain::messaging::{
    Failure, FailureCode, Identity, Operation, Request, Response, Tool,
};
use crate::domain::spec::MessagingClient;

/// The messaging service of the operator.
pub struct MessagingService {
    in_force: watch::Receiver<Option<Arc<InForce>>>,
    store: Arc<dyn Store>,
    secrets: Arc<dyn Secrets>,
    events: Arc<dyn EventSink>,
    views: Arc<Views>,
    tokens: Tokens,
    limits: Limits,
    repeats: Repeats,
    cursors: CursorKey,
    /// Serializes registrations, so that the limit of a client holds.
    registering: tokio::sync::Mutex<()>,
}

/// The client of a request, and the revision that the request started with.
struct Caller<'a> {
    in_force: &'a InForce,
    client: &'a MessagingClient,
}

impl MessagingService {
    /// The service for the revision that `in_force` holds. Fails if the operating system has no
    /// random numbers.
    pub fn new(
        in_force: watch::Receiver<Option<Arc<InForce>>>,
        store: Arc<dyn Store>,
        secrets: Arc<dyn Secrets>,
        events: Arc<dyn EventSink>,
        views: Arc<Views>,
    ) -> Result<Self, super::SecretError> {
        let cursors = CursorKey::new(&secrets.generate()?);
        Ok(Self {
            in_force,
            store,
            tokens: Tokens::new(Arc::clone(&secrets)),
            limits: Limits::default(),
            secrets,
            events,
            views,
            repeats: Repeats::new(),
            cursors,
            registering: tokio::sync::Mutex::default(),
        })
    }

    async fn carry_out(
        &self,
        caller: &Caller<'_>,
        operation: Operation,
    ) -> Result<serde_json::Value, Failure> {
        let client = caller.client;
        match operation {
            Operation::Identify => done(&Identity {
                client: client.name.to_string(),
                tools: client.tools.iter().copied().collect(),
            }),
            Operation::SendMessage(arguments) => done(&self.send(caller, arguments).await?),
            Operation::GetMessages(arguments) => done(&self.read(caller, arguments).await?),
            Operation::GetPresence(arguments) => done(&self.presence(caller, arguments).await?),
            Operation::RegisterUser(arguments) => done(&self.register(caller, arguments).await?),
            Operation::Read(view) => self.views.read(view),
            Operation::ReadResource(resource) => self.views.resource(resource, caller.in_force),
        }
    }

    /// Handles a request. Returns the tool of the operation, if it has one, for the metrics.
    async fn respond(
        &self,
        request: Request,
    ) -> (Option<Tool>, Result<serde_json::Value, Failure>) {
        let Request { token, operation } = request;
        let tool = operation.tool();
        let in_force = self.in_force.borrow().clone();
        let Some(in_force) = in_force else {
            let failure = Failure::new(
                FailureCode::Unavailable,
                "the operator has no valid desired state",
                "try again later, or ask the administrator to run `ejabberd-operator validate`",
            );
            return (tool, Err(failure));
        };
        let Some(client) = self.tokens.owner(&in_force, &token).await else {
            let failure = Failure::new(
                FailureCode::Unauthorized,
                "the token belongs to no client",
                "ask the administrator for a token",
            );
            return (tool, Err(failure));
        };
        let caller = Caller { in_force: &in_force, client };
        if let Some(tool) = tool
            && let Err(failure) = caller.client.check_tool(tool)
        {
            return (Some(tool), Err(failure));
        }
        if tool.is_some()
            && let Err(failure) = self.limits.spend(caller.client)
        {
            return (tool, Err(failure));
        }
        let _place = match self.limits.place(caller.client).await {
            Ok(place) => place,
            Err(failure) => return (tool, Err(failure)),
        };
        (tool, Box::pin(self.carry_out(&caller, operation)).await)
    }
}

#[async_trait]
impl MessagingHandler for MessagingService {
    async fn handle(&self, request: Request) -> Response {
        let begun = Instant::now();
        let (tool, result) = self.respond(request).await;
        if let Some(tool) = tool {
            let result = result.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
            self.events.take(EngineEvent::ToolUsed { tool, result, took: begun.elapsed() });
        }
        result.map_or_else(Response::Failed, Response::Done)
    }
}

fn done(result: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(result).map_err(|error| {
        tracing::error!("failed to write a result of messaging: {error}");
        internal()
    })
}
