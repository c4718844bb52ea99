//! The client side of the messaging socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::frames::{Connection, Frame, FrameError};
use crate::domain::messaging::{Failure, FailureCode, Operation, Request, Response, Tool};
use crate::domain::model::Secret;

/// The maximum number of connections for operations.
const OPERATIONS: usize = 56;

/// The maximum number of connections to identify clients. These connections are separate, so that
/// slow operations of one client do not delay the other clients.
const IDENTITIES: usize = 8;

/// The time limit of a call, with the wait for a connection. The operator responds within 30
/// seconds.
const CALL: Duration = Duration::from_secs(35);

/// Calls the operator through the messaging socket.
pub struct OperatorClient {
    path: PathBuf,
    operations: Pool,
    identities: Pool,
}

impl OperatorClient {
    /// Creates a client of the socket at `path`. Connects with the first call.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, operations: Pool::new(OPERATIONS), identities: Pool::new(IDENTITIES) }
    }

    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls an operation with the token of a client. Responds within 35 seconds, with the code
    /// `unavailable` if the operator does not respond.
    ///
    /// Repeats a call only if the operator cannot have executed the call, or if the operation
    /// changes nothing.
    pub async fn call(&self, token: &Secret, operation: Operation) -> Response {
        let reads_only = operation.tool().is_none_or(Tool::reads_only);
        let repeat = if reads_only { Repeat::Always } else { Repeat::Unsent };
        let pool = match operation {
            Operation::Identify => &self.identities,
            _ => &self.operations,
        };
        let Ok(frame) = Frame::new(&Request { token: token.clone(), operation }) else {
            return too_long();
        };
        let lost = match timeout(CALL, self.exchange(pool, &frame, repeat)).await {
            Ok(Ok(response)) => return response,
            Ok(Err(lost)) => lost,
            Err(_) => Lost::Late,
        };
        tracing::debug!(%lost, "the operator did not respond a call");
        self.unavailable(&lost)
    }

    /// Sends a frame and returns the response. Connects again once if a connection was lost.
    async fn exchange(&self, pool: &Pool, frame: &Frame, repeat: Repeat) -> Result<Response, Lost> {
        // The semaphore is never closed.
        let _permit = pool.permits.acquire().await.map_err(|_| Lost::Late)?;
        let mut connection = match pool.idle_connection() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = match exchange(&mut connection, frame).await {
            Ok(response) => response,
            Err(lost) if !repeat.permits(&lost) => return Err(lost),
            Err(_) => {
                connection = self.connect().await?;
                exchange(&mut connection, frame).await?
            }
        };
        pool.idle.lock().push(connection);
        Ok(response)
    }

    async fn connect(&self) -> Result<Connection, Lost> {
        UnixStream::connect(&self.path).await.map(Connection::new).map_err(Lost::Unsent)
    }

    fn unavailable(&self, lost: &Lost) -> Response {
        let path = self.path.display();
        let (message, next_step) = match lost {
            Lost::Unsent(_) => (
                format!("the operator does not respond at `{path}`"),
                "try again in a minute; if the failure remains, the administrator can run \
                 `ejabberd-operator status`",
            ),
            Lost::Sent(_) | Lost::Late => (
                format!("the operator at `{path}` did not respond, so the result is unknown"),
                "read the messages or the presence to see the result, then try again",
            ),
        };
        Response::Failed(Failure::new(FailureCode::Unavailable, message, next_step))
    }
}

/// Why a call has no response.
#[derive(Debug, thiserror::Error)]
enum Lost {
    /// The operator has not received the complete request.
    #[error("failed to send the request: {0}")]
    Unsent(io::Error),
    /// The operator may have executed the request.
    #[error("failed to read the response: {0}")]
    Sent(FrameError),
    /// The time limit of the call was reached.
    #[error("the time limit was reached")]
    Late,
}

/// When the client sends a request again on a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// After each lost connection.
    Always,
    /// Only if the operator has not received the complete request.
    Unsent,
}

impl Repeat {
    fn permits(self, lost: &Lost) -> bool {
        match lost {
            Lost::Unsent(_) => true,
            Lost::Sent(_) => self == Self::Always,
            Lost::Late => false,
        }
    }
}

/// Connections of one kind.
struct Pool {
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn new(connections: usize) -> Self {
        Self { permits: Semaphore::new(connections), idle: Mutex::default() }
    }

    /// Returns a connection that the operator keeps open. Drops the connections that the operator
    /// closed, for example because the operator was restarted.
    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some(connection) = idle.pop() {
            if connection.is_idle() {
                return Some(connection);
            }
        }
        None
    }
}

async fn exchange(connection: &mut Connection, frame: &Frame) -> Result<Response, Lost> {
    connection.write(frame).await.map_err(Lost::Unsent)?;
    match connection.read().await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Lost::Sent(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
        Err(error) => Err(Lost::Sent(error)),
    }
}

fn too_long() -> Response {
    Response::Failed(Failure::new(
        FailureCode::InvalidArgument,
        "the request is larger than 1 MiB",
        "send a shorter text",
    ))
}
