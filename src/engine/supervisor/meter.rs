//! What the server uses, read beside the rounds. Docker measures once a second
//! and has whoever asks wait for it (20.10); a round must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::observed::Usage;
use crate::engine::ports::Runtime;

/// A measurement that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(20);

/// The last measurement, and the next one under way.
pub struct Meter {
    runtime: Arc<dyn Runtime>,
    last: Mutex<Option<Usage>>,
    under_way: AtomicBool,
}

impl Meter {
    /// Nothing is measured before somebody asks.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { runtime, last: Mutex::default(), under_way: AtomicBool::new(false) })
    }

    /// The last measurement; the next one begins.
    pub(in crate::engine) fn read(self: &Arc<Self>) -> Option<Usage> {
        if !self.under_way.swap(true, Ordering::AcqRel) {
            let meter = Arc::clone(self);
            tokio::spawn(async move {
                let measured = tokio::time::timeout(LIMIT, meter.runtime.usage()).await;
                let measured = measured.ok().and_then(Result::ok).flatten();
                *meter.last.lock() = measured;
                meter.under_way.store(false, Ordering::Release);
            });
        }
        *self.last.lock()
    }
}
