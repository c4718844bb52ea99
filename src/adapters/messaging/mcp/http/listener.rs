//! Accepts HTTP connections and limits their number and duration.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Rules;
use super::gate::Gate;
use crate::adapters::host::write_timeout::WriteTimeout;
use crate::adapters::messaging::OperatorClient;

/// The maximum number of connections.
const MAX_CONNECTIONS: usize = 256;

/// The time limit for the head of a request, and for the time between two requests.
const HEAD: Duration = Duration::from_secs(10);

/// The time limit for a write. The server disconnects a client that reads nothing of its response
/// for this time.
const WRITE: Duration = Duration::from_secs(10);

/// The maximum lifetime of a connection.
const LIFE: Duration = Duration::from_mins(10);

/// The time limit for open requests to finish when the program ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The maximum number of headers of a request.
const MAX_HEADERS: usize = 64;

/// The maximum size of the head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The wait after a failure to accept a connection, for example because no file descriptor is free.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Serves MCP over HTTP until `stop` becomes true. Then open requests have up to ten seconds to
/// finish.
pub async fn serve(
    listener: TcpListener,
    client: Arc<OperatorClient>,
    rules: Rules,
    mut stop: watch::Receiver<bool>,
) {
    let gate = Arc::new(Gate::new(client, rules));
    let mut slots = Slots::default();
    let mut connections = JoinSet::new();
    loop {
        // All branches are cancel-safe.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            // Ignore an error: the sender was dropped, so the program ends.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) if slots.make_room() => {
                let progress = Arc::new(Progress::default());
                let served =
                    serve_one(stream, Arc::clone(&gate), Arc::clone(&progress), stop.clone());
                slots.0.push(Slot { connection: connections.spawn(served), progress });
            }
            Ok(_) => tracing::debug!("closed a connection: all connections are in use"),
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Each connection ends within `LAST_REQUESTS`.
    let _ = timeout(LAST_REQUESTS + Duration::from_secs(1), ended).await;
}

/// The connections, the oldest first.
#[derive(Default)]
struct Slots(Vec<Slot>);

struct Slot {
    connection: AbortHandle,
    progress: Arc<Progress>,
}

/// The progress of a connection.
#[derive(Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    /// The client has not proved its identity on the connection.
    const UNKNOWN: u8 = 0;
    /// The client has proved its identity, and no request is in progress.
    const IDLE: u8 = 1;
    /// A request of a client that has proved its identity is in progress.
    const BUSY: u8 = 2;

    /// Records that the client has proved its identity, and that its request is in progress.
    pub(super) fn begin(&self) {
        self.0.store(Self::BUSY, Ordering::Relaxed);
    }

    /// Records that the request has ended.
    pub(super) fn end(&self) {
        self.0.store(Self::IDLE, Ordering::Relaxed);
    }
}

impl Slots {
    /// Returns whether a connection is free. If all connections are in use, closes a connection
    /// without a request of a known client: the oldest connection of an unknown client, else the
    /// oldest idle connection. So clients that send requests slowly, or never, do not block the
    /// others.
    fn make_room(&mut self) -> bool {
        self.0.retain(|slot| !slot.connection.is_finished());
        if self.0.len() < MAX_CONNECTIONS {
            return true;
        }
        let oldest = |progress| {
            self.0.iter().position(|slot| slot.progress.0.load(Ordering::Relaxed) == progress)
        };
        let closed = oldest(Progress::UNKNOWN).or_else(|| oldest(Progress::IDLE));
        let Some(position) = closed else { return false };
        self.0.remove(position).connection.abort();
        true
    }
}

async fn serve_one(
    stream: TcpStream,
    gate: Arc<Gate>,
    progress: Arc<Progress>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let (gate, progress) = (Arc::clone(&gate), Arc::clone(&progress));
        async move { Ok::<_, Infallible>(gate.respond(request, &progress).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, WRITE)), service);
    tokio::pin!(served);
    tokio::select! {
        // Ignore the error: an error of a client needs no action of the administrator.
        _ = served.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = sleep(LIFE) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(LAST_REQUESTS, served).await;
}
