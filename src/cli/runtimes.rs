//! Chooses and connects the adapters for a server. Only this module knows all adapters.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::logged_control::LoggedControl;
use crate::adapters::docker::DockerRuntime;
use crate::adapters::ejabberdctl::Ejabberdctl;
use crate::adapters::metrics::{Metered, Metrics};
use crate::adapters::process::ProcessRuntime;
use crate::adapters::session::Session;
use crate::domain::model::ServerVersion;
use crate::domain::observed::{ProcessState, RuntimeDrift, Usage};
use crate::domain::spec;
use crate::ejabberd::erlang::Verdict;
use crate::ejabberd::{Call, Control, ControlError, FallbackControl, StartContext, Value};
use crate::engine::{
    ConfigFiles, Connector, Introspection, Lifecycle, LogLine, Replacement, Runtime, RuntimeError,
    ServerConfig, Spawner,
};

/// The connector of the engine: creates runtimes and control channels, and counts the calls of the
/// channels.
pub(super) struct Connectors {
    pub(super) metrics: Arc<Metrics>,
    /// The identity of the state directory ([`Paths::holder`](super::session::Paths::holder));
    /// `None` if this process does not hold the lock of the directory.
    pub(super) holder: Option<String>,
}

impl Connector for Connectors {
    fn connect(&self, server: &spec::Server) -> (Arc<dyn Runtime>, Arc<dyn Control>) {
        match &server.runtime {
            spec::Runtime::Docker(docker) => {
                let (runtime, control) = in_container(docker.clone(), self.holder.clone());
                self.metered(runtime, control)
            }
            spec::Runtime::Process(process) => {
                let runtime = Arc::new(ProcessRuntime::new(process.clone()));
                let spawner: Arc<dyn Spawner> = Arc::clone(&runtime) as Arc<dyn Spawner>;
                let control = channel(&spawner, runtime.control_script());
                self.metered(runtime, control)
            }
            spec::Runtime::External(_) => unsupported("spec.server.external"),
        }
    }
}

impl Connectors {
    fn metered(
        &self,
        runtime: Arc<dyn Runtime>,
        control: FallbackControl,
    ) -> (Arc<dyn Runtime>, Arc<dyn Control>) {
        let control = Arc::new(LoggedControl(Arc::new(control)));
        (runtime, Arc::new(Metered::new(control, Arc::clone(&self.metrics))))
    }
}

/// Connects the runtime of a container and the control channel of its server.
pub(super) fn in_container(
    docker: spec::Docker,
    holder: Option<String>,
) -> (Arc<DockerRuntime>, FallbackControl) {
    let runtime = Arc::new(DockerRuntime::new(docker).held_by(holder));
    let spawner: Arc<dyn Spawner> = Arc::clone(&runtime) as Arc<dyn Spawner>;
    let control = channel(&spawner, vec!["ejabberdctl".to_owned()]);
    (runtime, control)
}

/// Creates the control channel: a session through `spawner`, and `ejabberdctl` as the fallback.
/// `script` is the control script with the options that identify the server.
fn channel(spawner: &Arc<dyn Spawner>, script: Vec<String>) -> FallbackControl {
    FallbackControl::new(
        Arc::new(Session::new(Arc::clone(spawner))),
        Arc::new(Ejabberdctl::new(Arc::clone(spawner), script)),
    )
}

fn unsupported(what: &'static str) -> (Arc<dyn Runtime>, Arc<dyn Control>) {
    let refusal = Arc::new(Unsupported(what));
    (Arc::clone(&refusal) as Arc<dyn Runtime>, refusal)
}

/// A runtime that refuses every operation. The field is the path of a kind of server that can be
/// declared but is not supported yet.
struct Unsupported(&'static str);

impl Unsupported {
    fn error(&self) -> RuntimeError {
        RuntimeError::Refused {
            operation: format!("use {}", self.0),
            cause: "it is declared but not yet supported; use spec.server.docker or spec.server.process".to_owned(),
        }
    }
}

#[async_trait]
impl Lifecycle for Unsupported {
    async fn inspect(&self) -> Result<ProcessState, RuntimeError> {
        Err(self.error())
    }

    async fn create(&self) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn start(&self) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn stop(&self) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn disable_restart_policy(&self) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn watch(&self, _: &tokio::sync::Notify) {
        std::future::pending().await
    }
}

#[async_trait]
impl ServerConfig for Unsupported {
    async fn read_config(&self, _: &[String]) -> Result<ConfigFiles, RuntimeError> {
        Err(self.error())
    }

    async fn check_config(
        &self,
        _: &ConfigFiles,
        _: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        Err(self.error())
    }

    async fn try_to_write_config(&self, _: &ConfigFiles) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn write_config(&self, _: &ConfigFiles) -> Result<(), RuntimeError> {
        Err(self.error())
    }
}

#[async_trait]
impl Replacement for Unsupported {
    async fn replace(&self, _: &str) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn rollback_replacement(&self, _: &str) -> Result<(), RuntimeError> {
        Err(self.error())
    }

    async fn commit_replacement(&self, _: &str) -> Result<(), RuntimeError> {
        Err(self.error())
    }
}

#[async_trait]
impl Introspection for Unsupported {
    async fn drift(&self, _: Option<&str>) -> Result<Option<RuntimeDrift>, RuntimeError> {
        Err(self.error())
    }

    async fn usage(&self) -> Result<Option<Usage>, RuntimeError> {
        Err(self.error())
    }

    async fn log_lines(&self, _: Timestamp, _: usize) -> Result<Vec<LogLine>, RuntimeError> {
        Err(self.error())
    }
}

#[async_trait]
impl Control for Unsupported {
    async fn call(&self, _: Call, _: Duration) -> Result<Value, ControlError> {
        Err(ControlError::Unreachable(self.error().to_string()))
    }
    async fn version(&self) -> Result<ServerVersion, ControlError> {
        Err(ControlError::Unreachable(self.error().to_string()))
    }
    async fn close(&self) {}
}
