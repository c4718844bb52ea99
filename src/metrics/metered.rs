//! Counts the calls of a control channel.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Metrics;
use crate::engine::{Call, Control, ControlError, Value};
use crate::model::ServerVersion;

/// A control channel whose calls are counted by command and result.
pub struct Metered {
    control: Arc<dyn Control>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Counts the calls over `control` in `metrics`.
    #[must_use]
    pub fn new(control: Arc<dyn Control>, metrics: Arc<Metrics>) -> Self {
        Self { control, metrics }
    }

    fn count<T>(&self, command: &'static str, answer: &Result<T, ControlError>) {
        self.metrics.call(command, answer.as_ref().err().map_or("ok", ControlError::category));
    }
}

#[async_trait]
impl Control for Metered {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        let command = call.name();
        let answer = self.control.call(call, deadline).await;
        self.count(command, &answer);
        answer
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        let answer = self.control.version().await;
        self.count("version", &answer);
        answer
    }

    async fn close(&self) {
        self.control.close().await;
    }
}
