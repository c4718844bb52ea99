//! The connection to the Docker engine: a new connection for each request, bounded in bytes and
//! time.
//!
//! The engine may be hostile or broken: another program than `dockerd` may listen at the socket.
//! The client library collects a whole response before decoding the response, waits for the body
//! without a deadline, and buffers a frame of a program's output until the frame is complete, up to
//! 4 GiB. So [`Guarded`] counts the bytes and measures the time at each read from the socket.

mod limits;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error as ApiError;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::Instant;

use limits::{Frames, Guarded, Limits};

/// The maximum length of the head of a response, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The time limit from a request to the end of its response. The head of the response must come
/// within [`super::REQUEST_DEADLINE`].
const RESPONSE_DEADLINE: Duration = Duration::from_mins(1);

/// The time limit to read a file.
const FILE_DEADLINE: Duration = Duration::from_mins(2);

/// The time limit to read the last lines of a log.
const LOG_DEADLINE: Duration = Duration::from_secs(30);

const MIB: usize = 1 << 20;

/// A client for the engine that listens at the Unix socket `socket`. The client connects
/// for each request.
///
/// # Errors
/// The errors of the library. If the socket does not exist, the first request fails.
pub(super) fn client(socket: &str) -> Result<bollard::Docker, ApiError> {
    let socket = Arc::new(PathBuf::from(socket));
    bollard::Docker::connect_with_custom_transport(
        move |request| send(Arc::clone(&socket), request),
        // The library needs a name for its URIs. The name is never resolved.
        Some("http://docker"),
        super::REQUEST_DEADLINE.as_secs(),
        bollard::API_DEFAULT_VERSION,
    )
}

async fn send(
    socket: Arc<PathBuf>,
    mut request: BollardRequest,
) -> Result<Response<Incoming>, ApiError> {
    let limits = limits(request.method(), request.uri().path());
    let (reader, writer) = UnixStream::connect(&*socket).await?.into_split();
    let stream = tokio::io::join(Guarded::new(reader, limits), writer);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    // The task ends with the response, or when the caller drops the request.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the Docker engine ended");
        }
    });
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    Ok(sender.send_request(request).await?)
}

/// The limits of the response to a request. Most responses are far below the default limit of
/// 1 MiB: for example, the engine describes a container in about ten kilobytes.
fn limits(method: &Method, path: &str) -> Limits {
    let within =
        |bytes, time| Limits { bytes, deadline: Some(Instant::now() + time), frames: None };
    let without_deadline = |bytes| Limits { bytes, deadline: None, frames: None };
    match path.rsplit('/').next().unwrap_or_default() {
        // No deadline: the program of the session runs until the session ends, and the code that
        // runs any other program sets a deadline for that program.
        "start" if path.contains("/exec/") => {
            Limits { frames: Some(Frames::new()), ..without_deadline(MIB) }
        }
        // No deadline: a stream of events can last for months. At the byte limit the stream fails,
        // and the caller opens a new stream. The byte limit is low, because after each read the
        // client library searches an unfinished line again from its first byte.
        "events" => without_deadline(MIB / 4),
        "logs" => within(4 * MIB, LOG_DEADLINE),
        // This limit must be higher than `archive::MAX_FILE_BYTES`. Otherwise a file that is too
        // long reaches this limit first, and the error does not name the file.
        "archive" if method == Method::GET => within(20 * MIB, FILE_DEADLINE),
        // The progress of a pull; the caller has a deadline.
        "create" if path.ends_with("/images/create") => without_deadline(16 * MIB),
        // Lists each file that the container changed.
        "changes" => within(16 * MIB, RESPONSE_DEADLINE),
        // Lists each thread with the whole command line of its process.
        "top" => within(8 * MIB, RESPONSE_DEADLINE),
        // A decoded list needs up to 200 times the memory of its text.
        _ => within(MIB, RESPONSE_DEADLINE),
    }
}
