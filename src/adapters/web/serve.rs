//! Accepts connections and limits their number and duration.
//!
//! Reserved slots keep `/livez`, `/readyz` and `/metrics` available while clients hold all other
//! slots.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection_slots::{ConnectionSlots, Pool};
use super::{PageResources, router};
use crate::adapters::host::write_timeout::WriteTimeout;

/// The maximum number of headers of a request.
const MAX_HEADERS: usize = 64;

/// The maximum size of a request's head, and of the buffer for a response that the client does not
/// read, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The size of the kernel's send buffer for each connection, in bytes. The kernel doubles this
/// size.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// The time limit for open requests to finish when the connection must close, for example because
/// the operator ends.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// The wait after a failure to accept a connection, for example because no file descriptor is free.
const TAKEN_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The paths that a connection in a reserved slot may request. So probes and scrapers can reach the
/// operator even if clients hold all other slots.
const RESERVED_FOR: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The `Retry-After` header of a refused request in a reserved slot, in seconds.
const AGAIN: &str = "5";

/// The limits of the number and the duration of connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The maximum number of connections in general slots.
    pub(super) general: usize,
    /// The maximum number of connections from one address in general slots.
    pub(super) of_one_address: usize,
    /// The maximum number of connections in reserved slots, which may request only
    /// [`RESERVED_FOR`].
    pub(super) reserved: usize,
    /// The time limit for the head of a request. The limit also closes a connection that sends no
    /// request.
    pub(super) head: Duration,
    /// The time limit for a write. The operator disconnects a client that reads nothing of its
    /// response for this time.
    pub(super) write: Duration,
    /// The maximum lifetime of a connection. The limit also closes the connection of a client that
    /// reads its response byte by byte.
    pub(super) life: Duration,
    /// The maximum lifetime of a connection that receives events. Afterwards the page connects
    /// again.
    pub(super) following: Duration,
    /// The maximum lifetime of a connection in a reserved slot.
    pub(super) reserved_life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            general: 128,
            of_one_address: 96,
            reserved: 32,
            head: Duration::from_secs(10),
            write: Duration::from_secs(10),
            life: Duration::from_mins(1),
            following: Duration::from_mins(10),
            reserved_life: Duration::from_secs(5),
        }
    }
}

/// The connection of a request. The server passes the connection to the handler of the request.
#[derive(Clone)]
pub(super) struct Connection {
    pool: Pool,
    follows: Arc<AtomicBool>,
    limits: Limits,
}

impl Connection {
    /// Extends the lifetime of the connection to the lifetime of an event stream. Returns the new
    /// lifetime.
    pub(super) fn follow(&self) -> Duration {
        self.follows.store(true, Ordering::Relaxed);
        self.limits.following
    }
}

/// Serves HTTP with the default limits until `stop` becomes true.
pub async fn serve(listener: TcpListener, resources: PageResources, stop: watch::Receiver<bool>) {
    serve_within(listener, resources, stop, Limits::default()).await;
}

/// Serves HTTP within `limits` until `stop` becomes true.
pub(super) async fn serve_within(
    listener: TcpListener,
    resources: PageResources,
    mut stop: watch::Receiver<bool>,
    limits: Limits,
) {
    let router = router(resources, stop.clone());
    let mut slots = ConnectionSlots::new(limits);
    let mut connections = JoinSet::new();
    loop {
        // All branches are cancel-safe.
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            Some(_) = connections.join_next() => continue,
            // Ignore an error: the sender was dropped, so the operator ends.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match taken {
            Ok((stream, from)) => {
                let from: IpAddr = from.ip().to_canonical();
                let pool = slots.pool_for(from);
                let connection = Connection { pool, follows: Arc::default(), limits };
                let served = serve_one(stream, router.clone(), connection, stop.clone());
                slots.take(pool, from, connections.spawn(served));
                // Let the task of this connection run. Otherwise the next connection could replace
                // this connection before the task reads the first request.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection");
                sleep(TAKEN_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST_REQUESTS, ended).await;
}

async fn serve_one(
    stream: TcpStream,
    router: Router,
    connection: Connection,
    mut stop: watch::Receiver<bool>,
) {
    let Connection { pool, ref follows, limits } = connection;
    let follows = Arc::clone(follows);
    // Without the limit, megabytes of responses wait in the kernel for each client that does not
    // read.
    if let Err(error) =
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES)
    {
        tracing::debug!(%error, "failed to set the size of a send buffer");
    }
    let handler = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(connection.clone());
        handler.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        // Allow a client to close its side before the response, as `printf … | nc -N` does.
        .half_close(true)
        .keep_alive(pool == Pool::General)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, limits.write)), service);
    let lived = async {
        match pool {
            Pool::Reserved => sleep(limits.reserved_life).await,
            Pool::General => {
                sleep(limits.life).await;
                if follows.load(Ordering::Relaxed) {
                    sleep(limits.following.saturating_sub(limits.life)).await;
                }
            }
        }
    };
    tokio::pin!(served);
    tokio::select! {
        // Ignore the error: an error of a client needs no action of the administrator.
        _ = served.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = lived => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(LAST_REQUESTS, served).await;
}

/// Refuses a request in a reserved slot if the path is not in [`RESERVED_FOR`]. Closes the
/// connection of a request with a body, because no handler reads a body, and a body may never end.
pub(super) async fn limit_reserved_connections(
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let reserved = connection.pool == Pool::Reserved;
    let mut response = if reserved && !RESERVED_FOR.contains(&request.uri().path()) {
        let why = "the maximum number of clients is connected; try again in a few seconds\n";
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, AGAIN)], why).into_response()
    } else {
        next.run(request).await
    };
    if reserved || has_body {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
