//! Connections: how many there are, and how long each may take.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Site, router};

/// Open connections; who comes later waits.
const MAX_CONNECTIONS: usize = 128;

/// A client that does not finish its request in time is hung up on.
const HEADER_WITHIN: Duration = Duration::from_secs(10);

/// The most lines that the head of a request may have.
const MAX_HEADERS: usize = 64;

/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long a connection may live. One that follows what happens is opened
/// again by its page; one whose client takes nothing any more would stay
/// for ever.
pub(super) const MAX_LIFE: Duration = Duration::from_secs(600);

/// How long requests under way may go on once the operator ends.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// How long to wait when no connection can be taken, as without a file
/// descriptor to spare.
const TAKEN_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Serves until `stop` says so.
pub async fn serve(listener: TcpListener, site: Site, mut stop: watch::Receiver<bool>) {
    let router = router(site, stop.clone());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // All of them are cancel-safe.
        let taken = tokio::select! {
            taken = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => taken,
            Some(_) = connections.join_next() => continue,
            // An error means that whoever could say so is gone, which says so too.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match taken {
            (Ok(place), Ok((stream, _))) => {
                let served = connection(stream, router.clone(), stop.clone());
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(TAKEN_AGAIN_AFTER).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_REQUESTS, ended).await;
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // What is wrong with a client is its own business.
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = tokio::time::sleep(MAX_LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_REQUESTS, connection).await;
}
