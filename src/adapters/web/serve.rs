//! Connections: how many there are, how long each may take, and which places
//! no client can take from the probes.

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

use super::patient::Patient;
use super::places::{Places, Pool};
use super::{Site, router};

/// The most lines that the head of a request may have.
const MAX_HEADERS: usize = 64;

/// The largest head of a request, and the most of an answer that waits in our
/// memory for its client.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// What the kernel keeps of an answer that its client does not read. It
/// doubles the number.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// How long requests under way may go on once the operator ends.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// How long to wait when no connection can be taken, as without a file
/// descriptor to spare.
const TAKEN_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What is answered in a reserved place: for probes and scrapers, which have to
/// see that the operator lives when clients have taken every other place.
const RESERVED_FOR: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// When a client that finds no place may try again, in seconds.
const AGAIN: &str = "5";

/// How many connections there may be, and how long each may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Open connections that may ask for everything.
    pub(super) general: usize,
    /// The most of them from one address.
    pub(super) of_one_address: usize,
    /// Further ones, for [`RESERVED_FOR`] alone.
    pub(super) reserved: usize,
    /// The head of a request has to be complete within this; also how long a
    /// connection may stay open without one.
    pub(super) head: Duration,
    /// A client that takes nothing of its answer for so long is hung up on.
    pub(super) write: Duration,
    /// How long a connection may live. It bounds a client that takes its
    /// answer byte by byte.
    pub(super) life: Duration,
    /// The same of a connection that follows events: its page opens it again.
    pub(super) following: Duration,
    /// The same of one in a reserved place.
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

/// What a handler may know of its connection, and change about it.
#[derive(Clone)]
pub(super) struct Connection {
    pool: Pool,
    follows: Arc<AtomicBool>,
    limits: Limits,
}

impl Connection {
    /// Lets the connection live as long as one may that follows what happens,
    /// and tells how long that is.
    pub(super) fn follow(&self) -> Duration {
        self.follows.store(true, Ordering::Relaxed);
        self.limits.following
    }
}

/// Serves until `stop` says so.
pub async fn serve(listener: TcpListener, site: Site, stop: watch::Receiver<bool>) {
    serve_within(listener, site, stop, Limits::default()).await;
}

/// The same, with other limits.
pub(super) async fn serve_within(
    listener: TcpListener,
    site: Site,
    mut stop: watch::Receiver<bool>,
    limits: Limits,
) {
    let router = router(site, stop.clone());
    let mut places = Places::new(limits);
    let mut connections = JoinSet::new();
    loop {
        // All of them are cancel-safe.
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            Some(_) = connections.join_next() => continue,
            // An error means that the sender is gone, which ends the server as well.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match taken {
            Ok((stream, from)) => {
                let from: IpAddr = from.ip().to_canonical();
                let pool = places.pool_for(from);
                let connection = Connection { pool, follows: Arc::default(), limits };
                let served = serve_one(stream, router.clone(), connection, stop.clone());
                places.take(pool, from, connections.spawn(served));
                // The new connection is served before the next one may replace it.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
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
    // Without it, megabytes of answers would wait in the kernel for each client that reads none.
    if let Err(error) =
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES)
    {
        tracing::debug!(%error, "the size of a send buffer stays as it is");
    }
    let site = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(connection.clone());
        site.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        // `printf … | nc -N` closes its side before it is answered.
        .half_close(true)
        .keep_alive(pool == Pool::General)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.write)), service);
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
        // What is wrong with a client is its own business.
        _ = served.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = lived => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(LAST_REQUESTS, served).await;
}

/// Answers in a reserved place only what that is for, and closes a connection
/// whose request has a body: nothing here reads one, and it may never end.
pub(super) async fn keep_to_place(
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let reserved = connection.pool == Pool::Reserved;
    let mut answer = if reserved && !RESERVED_FOR.contains(&request.uri().path()) {
        let why = "as many clients as may be are connected; try again in a few seconds\n";
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, AGAIN)], why).into_response()
    } else {
        next.run(request).await
    };
    if reserved || has_body {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
