//! Serves the messaging socket in the command `run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::adapters::messaging;
use crate::engine::{InForce, MessagingHandler};

/// The pause between two tries to create the socket.
const AGAIN: Duration = Duration::from_secs(10);

/// Serves the messaging socket from the first revision that declares `spec.messaging` until `stop`
/// becomes true. Tries again if the socket cannot be created.
pub(super) async fn serve(
    path: PathBuf,
    handler: Arc<dyn MessagingHandler>,
    mut in_force: watch::Receiver<Option<Arc<InForce>>>,
    mut stop: watch::Receiver<bool>,
) {
    let declared = |in_force: &Option<Arc<InForce>>| {
        in_force.as_ref().is_some_and(|in_force| in_force.messaging.is_some())
    };
    // All branches are cancel-safe.
    tokio::select! {
        declared = in_force.wait_for(declared) => {
            if declared.is_err() {
                return;
            }
        }
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let mut warned = false;
    let listener = loop {
        match messaging::bind(&path) {
            Ok(listener) => break listener,
            Err(error) => warn_once(&mut warned, &path, &error),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    };
    tracing::info!(socket = %path.display(), "serving the messaging socket");
    messaging::serve(listener, handler, stop).await;
}

fn warn_once(warned: &mut bool, path: &Path, error: &std::io::Error) {
    let why = format!("failed to create the messaging socket `{}`: {error}", path.display());
    if *warned {
        tracing::debug!("{why}");
    } else {
        tracing::warn!("{why}; no program can send messages; trying again every 10 seconds");
        *warned = true;
    }
}
