//! The ports: traits for everything that the engine needs from outside.
//!
//! Adapters implement the traits. In tests, test doubles implement the traits. The same contract
//! suite runs against the adapters and the test doubles.

mod bundle;
mod events;
mod messaging;
mod reverse_proxy;
mod runtime;
mod secrets;
mod source;
mod spawner;
mod store;

pub use bundle::Ports;
pub use events::{EngineEvent, EventSink};
pub use messaging::MessagingHandler;
pub use reverse_proxy::ReverseProxy;
pub use runtime::{
    ConfigFiles, Introspection, Lifecycle, LogLine, MAIN_CONFIG, NOTE, Replacement, Runtime,
    ServerConfig,
};
pub use secrets::{IsOurs, Secrets};
pub use source::Source;
pub use spawner::{Complaints, Output, Spawned, Spawner};
pub use store::{GOOD_CONFIGS, GoodConfig, KEPT_EVENTS, StateKey, Store};
