//! The ports: everything that the engine needs of the world.
//!
//! Adapters implement these on floor 4, test doubles in the tests; the same
//! contract suite runs against both.

mod control;
mod runtime;
mod secrets;
mod source;
mod store;
mod telemetry;

pub use control::{Complaints, Control, Output, Spawned, Spawner};
pub use runtime::{ConfigFiles, LogLine, MAIN_CONFIG, NOTE, Runtime, StartContext};
pub use secrets::{IsOurs, Secrets};
pub use source::Source;
pub use store::{GOOD_CONFIGS, GoodConfig, KEPT_EVENTS, Memo, Store};
pub use telemetry::Telemetry;
