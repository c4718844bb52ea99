//! Limits what a client uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::domain::messaging::rate::Bucket;
use crate::domain::messaging::{Failure, FailureCode};
use crate::domain::spec::MessagingClient;

/// The maximum number of operations of one client at the same time.
const MAX_CONCURRENT: usize = 16;

/// The time for which an operation waits for a place.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The usage of each client.
pub(super) struct Limits {
    usage: Mutex<BTreeMap<String, Usage>>,
    start: Instant,
}

struct Usage {
    bucket: Bucket,
    places: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { usage: Mutex::default(), start: Instant::now() }
    }
}

impl Limits {
    /// Counts one use of a tool. Fails if the client has used its rate.
    pub(super) fn spend(&self, client: &MessagingClient) -> Result<(), Failure> {
        let now = self.start.elapsed();
        let mut usage = self.usage.lock();
        let used = Self::usage(&mut usage, client, now);
        used.bucket.take(client.rate, now).map_err(|wait| {
            Failure::new(
                FailureCode::RateLimited,
                format!("the client `{}` sent too many requests", client.name),
                format!("wait {} seconds", wait.as_secs() + 1),
            )
        })
    }

    /// A place for one operation of a client. Waits up to [`MAX_WAIT`] while all places of the client
    /// are taken, and fails afterwards.
    pub(super) async fn place(
        &self,
        client: &MessagingClient,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let now = self.start.elapsed();
        let places = Arc::clone(&Self::usage(&mut self.usage.lock(), client, now).places);
        match timeout(MAX_WAIT, places.acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed, so the other error is the end of the wait.
            _ => Err(Failure::new(
                FailureCode::RateLimited,
                format!(
                    "the client `{}` already has {MAX_CONCURRENT} requests in progress",
                    client.name
                ),
                "wait for the responses",
            )),
        }
    }

    /// The usage of a client. The file declares at most 100 clients; entries of earlier revisions
    /// are removed when there are many.
    fn usage<'u>(
        usage: &'u mut BTreeMap<String, Usage>,
        client: &MessagingClient,
        now: Duration,
    ) -> &'u mut Usage {
        const MOST: usize = 1000;
        if usage.len() >= MOST && !usage.contains_key(client.name.as_str()) {
            usage.retain(|_, used| used.places.available_permits() < MAX_CONCURRENT);
        }
        usage.entry(client.name.to_string()).or_insert_with(|| Usage {
            bucket: Bucket::new(client.rate, now),
            places: Arc::new(Semaphore::new(MAX_CONCURRENT)),
        })
    }
}
