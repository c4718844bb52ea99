//! The command `run`: reconciles until a signal ends the program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::endpoint::Web;
use super::progress::{Fanout, Log, ProgressPublisher};
use super::runtimes::Connectors;
use super::session::Paths;
use super::{Outcome, endpoint, messaging};
use crate::adapters::host::nginx::NginxFiles;
use crate::adapters::metrics::Metrics;
use crate::adapters::secrets::FileSecrets;
use crate::adapters::sqlite::OrderFile;
use crate::adapters::web;
use crate::domain::status::{EventDraft, Status};
use crate::engine::{
    Controller, EventSink, MessagingService, Secrets, StatusPublisher, Store, Views,
};

/// Reconciles until a signal ends the program.
pub(super) async fn run(
    paths: &Paths,
    web: &Web,
    resync: Duration,
    messaging_socket: PathBuf,
) -> Outcome {
    let (access, local) = web.access()?;
    let source = Arc::new(paths.source()?);
    let store = Arc::new(paths.memory().map_err(|error| paths.unusable(&error))?);
    let listener = web.bind().await?;
    let address = listener.local_addr()?;
    let instance = format!("{}-{}", std::process::id(), Timestamp::now().as_nanosecond());
    endpoint::write(&paths.state_dir, address, &instance, &local)?;
    let metrics = Arc::new(Metrics::new()?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(signals(stop));
    let (status, seen) = watch::channel(Status { instance, ..Status::new(Timestamp::now()) });
    let exposition: web::Exposition = {
        let metrics = Arc::clone(&metrics);
        Arc::new(move || metrics.encode())
    };
    let page_data = Arc::new(web::PageData::default());
    let views = Arc::new(Views::default());
    let resources = web::PageResources {
        status: seen,
        page_data: Arc::clone(&page_data),
        store: Arc::clone(&store) as Arc<dyn Store>,
        metrics: exposition,
        access,
    };
    let served = tokio::spawn(web::serve(listener, resources, stopped.clone()));
    tracing::info!(%address, desired_state = %paths.desired_state.display(), "started");
    let events: Arc<dyn EventSink> = Arc::new(Fanout(vec![
        Arc::clone(&metrics) as _,
        Arc::new(Log::default()),
        Arc::new(ProgressPublisher::new(status.clone())),
        page_data,
        Arc::clone(&views) as _,
    ]));
    let publisher =
        StatusPublisher::new(status, Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&events));
    publisher.publish(|status, now| {
        let version = env!("CARGO_PKG_VERSION");
        let message = format!("ejabberd-operator {version} began");
        status.record_event(EventDraft::normal("OperatorStarted", message), now);
    });
    let secrets: Arc<dyn Secrets> = Arc::new(FileSecrets::new());
    let (in_force, seen) = watch::channel(None);
    let messaging = MessagingService::new(
        seen.clone(),
        Arc::clone(&store) as Arc<dyn Store>,
        Arc::clone(&secrets),
        Arc::clone(&events),
        views,
    )?;
    let messaging = messaging::serve(messaging_socket, Arc::new(messaging), seen, stopped.clone());
    let messaging = tokio::spawn(messaging);
    let controller = Controller {
        source,
        store,
        secrets,
        proxy: Arc::new(NginxFiles::default()),
        connector: Arc::new(Connectors { metrics, holder: paths.holder() }),
        events,
        publisher: Arc::new(publisher),
        orders: Arc::new(OrderFile::new(&paths.state_dir)),
        server_changed: Arc::default(),
        in_force,
        resync,
    };
    // The future is large, so move the future to the heap.
    Box::pin(controller.run(stopped)).await;
    // Remove the address when the operator ends, so that `status` reports that no operator runs.
    endpoint::remove(&paths.state_dir);
    let _ = served.await;
    let _ = messaging.await;
    Ok(())
}

/// Handles SIGTERM and SIGINT. The first signal ends the program after the current step, and the
/// second signal ends the program at once.
async fn signals(stop: watch::Sender<bool>) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("failed to listen for signals");
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            // Both branches are cancel-safe.
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        // End the programs that print a secret. Otherwise such a program continues to run, or
        // delays the end of the operator.
        crate::adapters::secrets::end_programs();
        if *stop.borrow() {
            std::process::exit(130);
        }
        stop.send_replace(true);
    }
}
