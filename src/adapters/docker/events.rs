//! The engine's events: a container that dies is noticed within milliseconds.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::DockerRuntime;

/// What may have changed whether the server runs.
const EVENTS: [&str; 8] =
    ["create", "destroy", "die", "oom", "pause", "start", "unpause", "health_status"];

/// How long an engine that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// A stream that lasted longer than this was healthy.
const LONG: Duration = Duration::from_mins(1);

impl DockerRuntime {
    /// Passes events on until it is dropped. When the stream breaks, events
    /// may have been missed, which is as good as one.
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
            // A healthy stream ends too, at the limit of bytes for each response.
            if opened.elapsed() < LONG {
                sleep(PAUSE).await;
            }
            changed.notify_one();
        }
    }
}
