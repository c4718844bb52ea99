//! The number of requests of each client that are in progress.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The maximum number of requests of one client in progress.
const MAX_REQUESTS: usize = 32;

/// Counts the requests in progress by the name of the client.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<Mutex<BTreeMap<String, usize>>>);

impl Requests {
    /// Counts a further request of a client. `None` if the client has too many requests in
    /// progress.
    pub(super) fn begin(&self, client: &str) -> Option<Slot> {
        let mut counts = self.0.lock();
        let count = counts.entry(client.to_owned()).or_default();
        if *count >= MAX_REQUESTS {
            return None;
        }
        *count += 1;
        Some(Slot { requests: self.clone(), client: client.to_owned() })
    }

    fn end(&self, client: &str) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(client);
            }
        }
    }
}

/// A request in progress. Dropping the slot ends the request.
#[derive(Debug)]
pub(in crate::adapters::messaging::mcp) struct Slot {
    requests: Requests,
    client: String,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.requests.end(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_at_most_32_requests_in_progress() {
        let requests = Requests::default();
        let mut slots: Vec<Slot> = (0..MAX_REQUESTS).filter_map(|_| requests.begin("a")).collect();
        assert_eq!(slots.len(), MAX_REQUESTS);
        assert!(requests.begin("a").is_none());
        assert!(requests.begin("b").is_some());
        slots.pop();
        assert!(requests.begin("a").is_some());
        drop(slots);
        assert!(requests.0.lock().is_empty());
    }
}
