//! Watches the engine's events, so that the operator notices within milliseconds that the container
//! stops.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::DockerRuntime;

/// The events that can change whether the server runs.
const EVENTS: [&str; 8] =
    ["create", "destroy", "die", "oom", "pause", "start", "unpause", "health_status"];

/// The pause before the next connection to an engine that does not respond.
const PAUSE: Duration = Duration::from_secs(5);

/// The minimum duration of a healthy stream. After a shorter stream, the operator pauses.
const LONG: Duration = Duration::from_mins(1);

impl DockerRuntime {
    /// Notifies `changed` of each event until the caller drops the future. Also notifies after the
    /// end of a stream, because the operator may have missed events.
    pub(super) async fn watch_events(&self, changed: &Notify) {
        loop {
            let opened = Instant::now();
            if let Ok(client) = self.client().await {
                let filters =
                    HashMap::from([("container", vec![self.name()]), ("event", EVENTS.to_vec())]);
                let options = query::EventsOptionsBuilder::default().filters(&filters).build();
                let mut events = Box::pin(client.events(Some(options)));
                while let Some(Ok(event)) = events.next().await {
                    tracing::debug!(
                        action = event.action.as_deref().unwrap_or_default(),
                        "the container changed"
                    );
                    changed.notify_one();
                }
            }
            // Reconnect without a pause after a long stream: a healthy stream ends too, when the
            // response reaches the byte limit of `transport`.
            if opened.elapsed() < LONG {
                sleep(PAUSE).await;
            }
            changed.notify_one();
        }
    }
}
