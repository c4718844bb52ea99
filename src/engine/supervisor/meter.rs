//! Measures the usage of the server beside the rounds. Docker measures once a second and lets
//! the caller wait for the measurement (20.10); a round must not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::observed::Usage;
use crate::engine::ports::Runtime;

/// The deadline of a measurement.
const LIMIT: Duration = Duration::from_secs(20);

/// The last measurement, and the next measurement while it runs.
pub struct Meter {
    runtime: Arc<dyn Runtime>,
    last: Mutex<Option<Usage>>,
    under_way: AtomicBool,
}

impl Meter {
    /// A meter of `runtime`. The first measurement begins with the first `read`.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { runtime, last: Mutex::default(), under_way: AtomicBool::new(false) })
    }

    /// The last measurement. Begins the next measurement in the background.
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
