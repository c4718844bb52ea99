//! Messaging for programs: checks the token and every right of a client, and carries out its
//! operations.
//!
//! The MCP server forwards the token of its client with each request, so a program that controls
//! the MCP server can only do what the tokens that pass through the MCP server permit.

mod clients;
mod cursor;
mod in_force;
mod presence;
mod read;
mod register;
mod repeats;
mod send;
mod views;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::in_force::InForce;
pub use self::views::Views;

use self::clients::{Caller, Clients};
use self::cursor::CursorKey;
use self::repeats::Repeats;
use super::error::StoreError;
use super::ports::{EngineEvent, EventSink, MessagingHandler, Secrets, Store};
use crate::domain::messaging::{
    Failure, FailureCode, Identity, Operation, Request, Response, Tool,
};
use crate::ejabberd::{ControlError, Refusal};

/// The messaging service of the operator.
pub struct MessagingService {
    in_force: watch::Receiver<Option<Arc<InForce>>>,
    store: Arc<dyn Store>,
    secrets: Arc<dyn Secrets>,
    events: Arc<dyn EventSink>,
    views: Arc<Views>,
    clients: Clients,
    repeats: Repeats,
    cursors: CursorKey,
    /// Serializes registrations, so that the limit of a client holds.
    registering: tokio::sync::Mutex<()>,
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
            clients: Clients::new(Arc::clone(&secrets)),
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
            Operation::Read(tool) => self.views.read(tool),
            Operation::ReadResource(resource) => self.views.resource(resource, caller.in_force),
        }
    }

    /// Handles a request. Returns the tool of the operation, if it has one, for the metrics.
    async fn respond(
        &self,
        request: Request,
    ) -> (Option<Tool>, Result<serde_json::Value, Failure>) {
        let Request { token, operation } = request;
        let tool = tool_of(&operation);
        let in_force = self.in_force.borrow().clone();
        let Some(in_force) = in_force else {
            let failure = Failure::new(
                FailureCode::Unavailable,
                "the operator has no valid desired state",
                "try again later, or ask the administrator to run `ejabberd-operator validate`",
            );
            return (tool, Err(failure));
        };
        let caller = match self.clients.caller(&in_force, &token).await {
            Ok(caller) => caller,
            Err(failure) => return (tool, Err(failure)),
        };
        if let Some(tool) = tool
            && let Err(failure) = caller.client.check_tool(tool)
        {
            return (Some(tool), Err(failure));
        }
        if tool.is_some()
            && let Err(failure) = self.clients.spend(caller.client)
        {
            return (tool, Err(failure));
        }
        let _place = match self.clients.place(caller.client).await {
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

/// The tool of an operation; `None` for an operation that is not a use of a tool. Reading a resource
/// needs the tool `server_status`.
const fn tool_of(operation: &Operation) -> Option<Tool> {
    match operation {
        Operation::Identify => None,
        Operation::SendMessage(_) => Some(Tool::SendMessage),
        Operation::GetMessages(_) => Some(Tool::GetMessages),
        Operation::GetPresence(_) => Some(Tool::GetPresence),
        Operation::RegisterUser(_) => Some(Tool::RegisterUser),
        Operation::Read(tool) => Some(*tool),
        Operation::ReadResource(_) => Some(Tool::ServerStatus),
    }
}

fn done(result: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(result).map_err(|error| {
        tracing::error!("failed to write a result of messaging: {error}");
        internal()
    })
}

fn internal() -> Failure {
    Failure::new(
        FailureCode::Internal,
        "the operator failed to carry out the operation",
        "try again; the administrator finds the reason in the operator's log",
    )
}

/// The failure for a call to the server that failed. The client gets no text of the server.
fn unavailable(error: &ControlError) -> Failure {
    tracing::debug!("messaging failed to {error}");
    match error {
        ControlError::Unsupported { .. } => Failure::new(
            FailureCode::Unavailable,
            "this server has no `erl`, which messaging needs",
            "ask the administrator to use an image with an `erl` program",
        ),
        ControlError::Timeout(_) | ControlError::Broken(_) => Failure::new(
            FailureCode::Unavailable,
            "the server did not respond in time, and may have carried out the operation",
            "repeat the call with the same `id`, so that no message is sent twice",
        ),
        _ => Failure::new(
            FailureCode::Unavailable,
            "the server does not respond",
            "try again later; the administrator sees the reason in `ejabberd-operator status`",
        ),
    }
}

fn state_unavailable(error: &StoreError) -> Failure {
    tracing::warn!("messaging failed to {error}");
    internal()
}

/// The failure for a refusal of the server. `who` is the acting account, and `to` the recipient or
/// the room.
fn refused(refusal: &Refusal, who: &str, to: &str) -> Failure {
    use FailureCode::{Forbidden, NotDelivered, NotFound, RefusedByRoom, Unavailable};
    let (code, message, next_step) = match refusal {
        Refusal::NoAccount => (
            NotFound,
            format!("the account {who} does not exist"),
            "use an existing account, or register the account first",
        ),
        Refusal::Banned => (
            Forbidden,
            format!("the account {who} is banned"),
            "use another account, or ask the administrator to lift the ban",
        ),
        Refusal::NoRecipient => (
            NotFound,
            format!("the account {to} does not exist"),
            "correct `to`, or call again with `ensure_recipient: true` if this client may register",
        ),
        Refusal::NoRoom => (
            NotFound,
            format!("the room {to} does not exist"),
            "correct the name; the administrator declares rooms in the desired state",
        ),
        Refusal::Outcast => (
            RefusedByRoom,
            format!("the room {to} has banned {who}"),
            "use another account, or ask an owner of the room",
        ),
        Refusal::MembersOnly => (
            RefusedByRoom,
            format!("the room {to} admits only members, and {who} is not a member"),
            "ask an owner of the room to make the account a member",
        ),
        Refusal::Password => (
            RefusedByRoom,
            format!("the room {to} asks for a password"),
            "ask an owner of the room to make the account an admin of the room",
        ),
        Refusal::Captcha => (
            RefusedByRoom,
            format!("the room {to} asks for a captcha"),
            "ask an owner of the room to make the account a member",
        ),
        Refusal::Moderated => (
            RefusedByRoom,
            format!("the room {to} is moderated, and {who} may not write there"),
            "ask an owner of the room to make the account a member",
        ),
        Refusal::NotPermitted => (
            RefusedByRoom,
            format!("the server does not permit {who} to use rooms"),
            "use another account",
        ),
        Refusal::Room(why) => (
            RefusedByRoom,
            format!("the room {to} refused {who}: {why}"),
            "use another account, or ask an owner of the room",
        ),
        Refusal::NotBroadcast => (
            NotDelivered,
            format!("the room {to} did not broadcast the message"),
            "look at the messages of the room before you send the message again",
        ),
        Refusal::NotStored => (
            NotDelivered,
            format!("{to} is offline, and the server kept no message"),
            "try again when the account is online; `get_presence` shows it",
        ),
        Refusal::Dropped => (
            NotDelivered,
            "a module of the server dropped the message".to_owned(),
            "ask the administrator which module filters messages",
        ),
        Refusal::NoArchive => (
            Unavailable,
            "the server keeps no archive of messages".to_owned(),
            "ask the administrator to add `mod_mam` to the configuration of the server",
        ),
        Refusal::Database => {
            (Unavailable, "the archive of the server failed".to_owned(), "try again later")
        }
    };
    Failure::new(code, message, next_step)
}
