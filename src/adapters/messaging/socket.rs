//! The server side of the messaging socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::frames::{Connection, Frame, FrameError};
use super::listener::remove_stale;
use crate::domain::messaging::{Failure, FailureCode, Request, Response};
use crate::engine::MessagingHandler;

/// The wait after a failure to accept a connection, for example because no file descriptor is free.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The time limit for open requests to finish when the operator ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The limits of the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The maximum number of connections. The operator closes further connections at once.
    pub(super) connections: usize,
    /// The maximum time between two requests of a connection.
    pub(super) idle: Duration,
    /// The time limit for a request to arrive, after its first byte.
    pub(super) arrival: Duration,
    /// The time limit for the handler. Afterwards, the response is the code `unavailable`.
    pub(super) handler: Duration,
    /// The time limit to write a response.
    pub(super) write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            idle: Duration::from_mins(5),
            arrival: Duration::from_secs(10),
            handler: Duration::from_secs(30),
            write: Duration::from_secs(10),
        }
    }
}

/// Serves the messaging socket until `shutdown` becomes true. Then open requests have up to ten
/// seconds to finish. Removes the file of the socket.
pub async fn serve(
    listener: UnixListener,
    handler: Arc<dyn MessagingHandler>,
    shutdown: watch::Receiver<bool>,
) {
    serve_within(listener, handler, shutdown, Limits::default()).await;
}

/// Serves the messaging socket within `limits`.
pub(super) async fn serve_within(
    listener: UnixListener,
    handler: Arc<dyn MessagingHandler>,
    mut shutdown: watch::Receiver<bool>,
    limits: Limits,
) {
    let path = path(&listener);
    let mut connections = JoinSet::new();
    loop {
        // All branches are cancel-safe.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            // Ignore an error: the sender was dropped, so the operator ends.
            _ = shutdown.wait_for(|shutdown| *shutdown) => break,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < limits.connections => {
                let served = serve_one(stream, Arc::clone(&handler), shutdown.clone(), limits);
                connections.spawn(served);
            }
            Ok(_) => tracing::debug!("closed a messaging connection: all connections are in use"),
            Err(error) => {
                tracing::debug!(%error, "failed to accept a messaging connection");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    remove(path.as_deref());
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST_REQUESTS, ended).await;
}

fn path(listener: &UnixListener) -> Option<PathBuf> {
    listener.local_addr().ok()?.as_pathname().map(Path::to_owned)
}

/// Removes the file of the socket, unless another operator already listens there.
fn remove(path: Option<&Path>) {
    let Some(path) = path else { return };
    if let Err(error) = remove_stale(path) {
        tracing::debug!(%error, "failed to remove the messaging socket");
    }
}

/// Serves the requests of a connection, one after the other.
async fn serve_one(
    stream: UnixStream,
    handler: Arc<dyn MessagingHandler>,
    mut shutdown: watch::Receiver<bool>,
    limits: Limits,
) {
    let mut connection = Connection::new(stream);
    loop {
        let request = tokio::select! {
            request = next_request(&mut connection, limits) => request,
            // A request that has not arrived completely was not executed.
            _ = shutdown.wait_for(|shutdown| *shutdown) => return,
        };
        let served = match request {
            Ok(Some(request)) => respond(&mut connection, &*handler, request, limits).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::debug!(%error, "closed a messaging connection");
            return;
        }
    }
}

/// Reads the next request. `None` if the peer closed the connection.
async fn next_request(
    connection: &mut Connection,
    limits: Limits,
) -> Result<Option<Request>, FrameError> {
    let late = |what: &'static str| std::io::Error::new(std::io::ErrorKind::TimedOut, what);
    let first = timeout(limits.idle, connection.readable()).await;
    first.map_err(|_| late("no request arrived"))??;
    let request = timeout(limits.arrival, connection.read()).await;
    request.map_err(|_| late("the request did not arrive completely"))?
}

async fn respond(
    connection: &mut Connection,
    handler: &dyn MessagingHandler,
    request: Request,
    limits: Limits,
) -> Result<(), FrameError> {
    let response = timeout(limits.handler, handler.handle(request)).await;
    let frame = match Frame::new(&response.unwrap_or_else(|_| late(limits))) {
        Err(FrameError::TooLong) => Frame::new(&too_long())?,
        frame => frame?,
    };
    let written = timeout(limits.write, connection.write(&frame)).await;
    Ok(written.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??)
}

fn late(limits: Limits) -> Response {
    Response::Failed(Failure::new(
        FailureCode::Unavailable,
        format!("the server did not finish within {} seconds", limits.handler.as_secs()),
        "try again in a minute; after `xmpp_send_message`, read the messages first",
    ))
}

fn too_long() -> Response {
    Response::Failed(Failure::new(
        FailureCode::Internal,
        "the result is larger than 1 MiB",
        "ask for less, for example with a smaller `limit`",
    ))
}
