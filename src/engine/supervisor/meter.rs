//! Measures the resource usage of the server in a task beside the rounds. Docker (20.10) measures
//! once a second and lets the caller wait for the measurement, but a round must not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::observed::Usage;
use crate::engine::ports::Runtime;

/// The deadline of a measurement.
const LIMIT: Duration = Duration::from_secs(20);

/// A meter of the server's resource usage: holds the last measurement, and runs at most one
/// measurement at a time.
pub struct Meter {
    runtime: Arc<dyn Runtime>,
    last: Mutex<Option<Usage>>,
    under_way: AtomicBool,
}

impl Meter {
    /// Creates a meter that measures through `runtime`. The first call of `read` begins the first
    /// measurement.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { runtime, last: Mutex::default(), under_way: AtomicBool::new(false) })
    }

    /// Returns the last measurement, and begins the next measurement in the background. Returns
    /// `None` if no measurement has ended yet, if the last measurement failed, or if the server did
    /// not run.
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
