//! MCP on standard input and output, for one client.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, RequestId, ServerJsonRpcMessage};
use rmcp::service::{ServerInitializeError, serve_server};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::McpServer;
use crate::adapters::host::files;
use crate::adapters::messaging::OperatorClient;
use crate::domain::messaging::token::{MAX_TOKEN_BYTES, TOKEN_RULE, is_token};
use crate::domain::model::Secret;

/// The maximum length of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// The maximum number of requests in progress. The next message is read when a request has ended.
const MAX_REQUESTS: usize = 32;

/// The time limit for open requests to finish when the program ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The time limit for open requests to finish after the end of the input. A call ends within 35
/// seconds.
const LAST_CALLS: Duration = Duration::from_secs(40);

/// The time limit for the SDK to end after the last request.
const END: Duration = Duration::from_secs(10);

/// The reason why the token of the client cannot be used. The message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("read the token from `{path}`: {cause}; give the path of a readable file")]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// All accounts of this host can read or change the file.
    #[error(
        "take the token from `{0}`: all accounts of this host may read or change the file; run \
         `chmod o-rw` on the file"
    )]
    Open(PathBuf),
    /// The content of the file is not a token.
    #[error("take the token from `{0}`: {TOKEN_RULE}; write the token of the client into the file")]
    NoToken(PathBuf),
}

/// Reads the token of a client from a file. Fails if accounts other than the owner and the group
/// can read or change the file.
pub fn read_token(path: &Path) -> Result<Secret, TokenFileError> {
    let failed = |cause| TokenFileError::Unreadable { path: path.to_owned(), cause };
    let file = files::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o006 != 0 {
        return Err(TokenFileError::Open(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN_BYTES + 2));
    let limit = u64::try_from(MAX_TOKEN_BYTES + 2).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    let token = text.trim_end_matches(['\n', '\r']);
    if is_token(token) {
        Ok(Secret::new(token.to_owned()))
    } else {
        Err(TokenFileError::NoToken(path.to_owned()))
    }
}

/// Serves MCP until the end of `input`, or until `stop` becomes true. Then open requests have up to
/// ten seconds to finish.
///
/// # Errors
/// An error of the transport before the first request.
pub async fn serve<R, W>(
    client: Arc<OperatorClient>,
    token: Secret,
    (input, output): (R, W),
    mut stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let lines = AsyncRwTransport::new_server(input, output).with_max_line_length(MAX_MESSAGE_BYTES);
    let requests = Arc::new(Requests::default());
    let transport = Bounded { lines, requests: Arc::clone(&requests), stop: stop.clone() };
    let server = McpServer::new(client, Some(token));
    match serve_server(server, transport).await {
        Ok(running) => {
            let ended = running.waiting();
            tokio::pin!(ended);
            tokio::select! {
                _ = ended.as_mut() => return Ok(()),
                _ = stop.wait_for(|stop| *stop) => {}
            }
            // The output may be blocked: its reader may read nothing.
            let _ = timeout(LAST_REQUESTS + END, ended).await;
            Ok(())
        }
        // The client closed its side before the first request.
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        // The other errors contain the message of the client, which may be a message of a person.
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the first message on standard input is not a request of MCP",
        )),
    }
}

/// The ids of the requests in progress, with a limit. An id that a client uses several times is
/// several times in the list.
struct Requests {
    ids: Mutex<Vec<RequestId>>,
    free: Semaphore,
}

impl Default for Requests {
    fn default() -> Self {
        Self { ids: Mutex::default(), free: Semaphore::new(MAX_REQUESTS) }
    }
}

impl Requests {
    /// Waits until a further request may begin.
    async fn wait(&self) {
        // The semaphore is never closed. Dropping the permit keeps the place free, because one task
        // reads all messages.
        let _ = self.free.acquire().await;
    }

    /// Waits until all requests have ended, for at most `within`.
    async fn wait_for_all(&self, within: Duration) {
        let all = u32::try_from(MAX_REQUESTS).unwrap_or(u32::MAX);
        let _ = timeout(within, self.free.acquire_many(all)).await;
    }

    fn begin(&self, id: RequestId) {
        if let Ok(permit) = self.free.try_acquire() {
            permit.forget();
            self.ids.lock().push(id);
        }
    }

    fn end(&self, id: &RequestId) {
        let mut ids = self.ids.lock();
        if let Some(position) = ids.iter().position(|other| other == id) {
            ids.swap_remove(position);
            self.free.add_permits(1);
        }
    }
}

/// A transport with a limit for the requests in progress. So a client that does not read its
/// responses cannot fill the memory.
struct Bounded<R: AsyncRead, W: AsyncWrite> {
    lines: AsyncRwTransport<RoleServer, R, W>,
    requests: Arc<Requests>,
    stop: watch::Receiver<bool>,
}

impl<R, W> Transport<RoleServer> for Bounded<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let ended = match &message {
            ServerJsonRpcMessage::Response(response) => Some(response.id.clone()),
            ServerJsonRpcMessage::Error(error) => error.id.clone(),
            _ => None,
        };
        let (sent, requests) = (self.lines.send(message), Arc::clone(&self.requests));
        async move {
            let result = sent.await;
            if let Some(id) = ended {
                requests.end(&id);
            }
            result
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        // All branches are cancel-safe: `lines` keeps a part of a message.
        let message = tokio::select! {
            message = async {
                self.requests.wait().await;
                self.lines.receive().await
            } => message.ok_or(LAST_CALLS),
            _ = self.stop.wait_for(|stop| *stop) => Err(LAST_REQUESTS),
        };
        let message = match message {
            Ok(message) => message,
            Err(within) => {
                self.requests.wait_for_all(within).await;
                return None;
            }
        };
        match &message {
            ClientJsonRpcMessage::Request(request) => self.requests.begin(request.id.clone()),
            ClientJsonRpcMessage::Notification(notification) => {
                // A cancelled request has no response.
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.requests.end(id);
                }
            }
            _ => {}
        }
        Some(message)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.lines.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_file_must_be_closed_and_contain_one_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let with = |content: &str, mode| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read_token(&path)
        };
        assert_eq!(with("secret-0123456789\n", 0o600).unwrap().expose(), "secret-0123456789");
        assert!(matches!(with("secret-0123456789\n", 0o644), Err(TokenFileError::Open(_))));
        assert!(matches!(with("two words\n", 0o640), Err(TokenFileError::NoToken(_))));
        assert!(matches!(with("\n", 0o600), Err(TokenFileError::NoToken(_))));
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        assert!(matches!(with(&long, 0o600), Err(TokenFileError::NoToken(_))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(read_token(&path), Err(TokenFileError::Unreadable { .. })));
    }
}
