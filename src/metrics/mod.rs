//! temporary
#![allow(missing_docs)]
use std::sync::Arc;
use std::time::Duration;
use crate::engine::*;
pub struct Metrics;
impl Metrics { pub fn new() -> Result<Self, prometheus::Error> { Ok(Self) } pub fn encode(&self) -> String { String::new() } }
impl Telemetry for Metrics {
    fn begin(&self, _: &crate::plan::Plan) {} fn step(&self, _: &StepOutcome) {} fn round(&self, _: &RoundReport) {}
    fn status(&self, _: &crate::status::Status) {} fn restarted(&self, _: &'static str) {} fn rollout(&self, _: &'static str) {}
}
pub struct Metered(Arc<dyn Control>);
impl Metered { pub fn new(c: Arc<dyn Control>, _: Arc<Metrics>) -> Self { Self(c) } }
#[async_trait::async_trait]
impl Control for Metered {
    async fn call(&self, c: Call, d: Duration) -> Result<Value, ControlError> { self.0.call(c, d).await }
    async fn version(&self) -> Result<crate::model::ServerVersion, ControlError> { self.0.version().await }
    async fn close(&self) { self.0.close().await }
}
