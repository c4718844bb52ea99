//! The runtime of a server in a Docker container, through the engine's API.
//!
//! The operator adopts a container with the declared name unchanged. If no container has the name,
//! the operator creates a container with the database and the configuration on named volumes, so
//! that both outlive the container.

mod api_error;
mod archive;
mod check;
mod config;
mod create;
mod database;
mod describe;
mod diagnostics;
mod drift;
mod events;
mod exec;
mod inherited;
mod mounted_files;
mod published;
mod replace;
mod replacement_impact;
mod temporary;
mod transport;
mod usage;

use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error as ApiError;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters as query;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::domain::database::{Database, Location};
use crate::domain::observed::{
    Holder, PAUSED, ProcessState, RuntimeDiagnostics, RuntimeDrift, Space, Usage,
};
use crate::domain::spec::Docker as Spec;
use crate::ejabberd::StartContext;
use crate::ejabberd::erlang::Verdict;
use crate::engine::{
    ConfigFiles, Introspection, Lifecycle, LogLine, NOTE, Replacement, RuntimeError, ServerConfig,
};
use api_error::{advice, root, status};

/// The label of containers and volumes that this program created.
pub const MANAGED_LABEL: &str = "io.ejabberd-operator.managed";

/// The time limit of a request. The engine responds within milliseconds, but a `stop` waits for the
/// container.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// The time limit of the first request to the engine.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The time between the engine's `stop` and its `kill`, in seconds. The operator stops ejabberd
/// first, so this time matters only if ejabberd did not stop.
const STOP_GRACE_SECONDS: i32 = 10;

/// The runtime of a server in a Docker container; see the documentation of the module.
pub struct DockerRuntime {
    spec: Spec,
    client: OnceCell<bollard::Docker>,
    /// The cached location of a directory: the id of the container, the path of the directory, and
    /// the location.
    located: Mutex<Option<(String, String, Location)>>,
    /// The state directory whose lock the operator holds; `None` if the operator holds no lock.
    holder: Option<String>,
}

impl DockerRuntime {
    /// A runtime for the container in `spec`. The runtime connects at its first use.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self { spec, client: OnceCell::new(), located: Mutex::default(), holder: None }
    }

    /// This runtime, for an operator that holds the lock of the state directory `holder`. No other
    /// operator then uses temporary containers and files with this holder, so the runtime may
    /// remove such containers and files.
    #[must_use]
    pub fn held_by(self, holder: Option<String>) -> Self {
        Self { holder, ..self }
    }

    async fn client(&self) -> Result<&bollard::Docker, RuntimeError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<bollard::Docker, RuntimeError> {
        let engine = |cause: String| RuntimeError::Engine {
            what: format!("the Docker engine at {}", self.spec.engine),
            cause,
        };
        let socket = self.spec.engine.strip_prefix("unix://").ok_or_else(|| {
            engine("it is reached by its socket alone; write unix:///PATH".to_owned())
        })?;
        let client = transport::client(socket)
            .map_err(|e| engine(format!("{}; is dockerd running?", root(&e))))?;
        timeout(CONNECT_DEADLINE, client.negotiate_version())
            .await
            .map_err(|_| {
                engine(format!("no response within {CONNECT_DEADLINE:?}; is dockerd running?"))
            })?
            .map_err(|e| engine(format!("{}; {}", root(&e), advice(&e))))
    }

    fn name(&self) -> &str {
        &self.spec.container
    }

    /// The container as the engine describes it; `None` if the container does not exist.
    async fn container(&self) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        let request = self.client().await?.inspect_container(self.name(), None);
        match request.await {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(self.error("inspect the container", &e)),
        }
    }

    fn error(&self, operation: &str, error: &ApiError) -> RuntimeError {
        match error {
            ApiError::DockerResponseServerError { status_code: 404, .. } => RuntimeError::Missing(
                format!("what is needed to {operation} {} ({})", self.name(), root(error)),
            ),
            ApiError::DockerResponseServerError { .. } => RuntimeError::Refused {
                operation: format!("{operation} {}", self.name()),
                cause: root(error),
            },
            ApiError::RequestTimeoutError => {
                RuntimeError::Timeout(format!("{operation} {}", self.name()))
            }
            other => RuntimeError::Engine {
                what: format!("the Docker engine at {}", self.spec.engine),
                cause: root(other),
            },
        }
    }
}

#[async_trait]
impl Lifecycle for DockerRuntime {
    async fn inspect(&self) -> Result<ProcessState, RuntimeError> {
        let Some(container) = self.container().await? else {
            return Ok(ProcessState::Absent);
        };
        let state = container.state.unwrap_or_default();
        if state.paused == Some(true) {
            return Ok(ProcessState::Running { health: Some(PAUSED.to_owned()) });
        }
        // The engine also reports `running` while the restart policy waits for the next start.
        if state.running == Some(true) && state.restarting != Some(true) {
            let health = state.health.and_then(|h| h.status);
            let status = health
                .filter(|h| !matches!(h, HealthStatusEnum::EMPTY | HealthStatusEnum::NONE))
                .map(|h| h.to_string());
            return Ok(ProcessState::Running { health: status });
        }
        if state.status == Some(ContainerStateStatusEnum::CREATED) {
            return Ok(ProcessState::Created);
        }
        Ok(ProcessState::Stopped {
            exit_code: state.exit_code,
            oom_killed: state.oom_killed == Some(true),
        })
    }

    async fn create(&self) -> Result<(), RuntimeError> {
        self.create_container().await
    }

    async fn start(&self) -> Result<(), RuntimeError> {
        let request =
            self.client().await?.start_container(self.name(), None::<query::StartContainerOptions>);
        let Err(error) = request.await else { return Ok(()) };
        self.finish_removal().await;
        Err(self.error("start the container", &error))
    }

    async fn stop(&self) -> Result<(), RuntimeError> {
        let options = query::StopContainerOptionsBuilder::default().t(STOP_GRACE_SECONDS).build();
        match self.client().await?.stop_container(self.name(), Some(options)).await {
            Ok(()) => Ok(()),
            // Not an error: the container is stopped already, or does not exist.
            Err(e) if matches!(status(&e), Some(304 | 404)) => Ok(()),
            Err(e) => Err(self.error("stop the container", &e)),
        }
    }

    async fn remove_leftovers(&self) -> Result<bool, RuntimeError> {
        self.remove_what_is_left().await
    }

    async fn disable_restart_policy(&self) -> Result<(), RuntimeError> {
        self.turn_restarts_off().await
    }

    async fn watch(&self, changed: &tokio::sync::Notify) {
        self.watch_events(changed).await;
    }
}

#[async_trait]
impl ServerConfig for DockerRuntime {
    async fn read_config(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError> {
        self.read_config_files(names).await
    }

    async fn check_config(
        &self,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        self.check_config_files(files, context).await
    }

    async fn try_to_write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        self.try_to_write_config_files(files).await
    }

    async fn write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        self.write_config_files(files).await
    }
}

#[async_trait]
impl Replacement for DockerRuntime {
    async fn prepare_replacement(&self) -> Result<(), RuntimeError> {
        self.image().await?;
        self.refuse_taken_name(None).await
    }

    async fn instance(&self) -> Result<Option<String>, RuntimeError> {
        Ok(self.container().await?.and_then(|container| container.id))
    }

    async fn replace(&self, old: &str) -> Result<(), RuntimeError> {
        self.replace_container(old).await
    }

    async fn rollback_replacement(&self, old: &str) -> Result<(), RuntimeError> {
        self.rollback_container(old).await
    }

    async fn commit_replacement(&self, old: &str) -> Result<(), RuntimeError> {
        self.remove_container(old).await
    }

    async fn read_note(&self, directory: &str) -> Result<Option<Vec<u8>>, RuntimeError> {
        let file = self.download(self.name(), &format!("{directory}/{NOTE}")).await?;
        Ok(file.map(|file| file.content))
    }

    async fn write_note(&self, directory: &str, content: &[u8]) -> Result<(), RuntimeError> {
        let files = ConfigFiles::from([(NOTE.to_owned(), content.to_vec())]);
        // Only root reads the note: the server does not need it.
        let owner = archive::Owner { uid: 0, gid: 0, mode: 0o600 };
        self.upload(self.name(), directory, &files, owner).await
    }

    async fn location(&self, directory: &str) -> Result<Option<Location>, RuntimeError> {
        self.location_of(directory).await
    }

    async fn would_lose(&self, known: Option<&Database>) -> Result<Option<String>, RuntimeError> {
        self.lost_by_creation(known).await
    }
}

#[async_trait]
impl Introspection for DockerRuntime {
    async fn drift(&self, database: Option<&str>) -> Result<Option<RuntimeDrift>, RuntimeError> {
        self.read_drift(database).await
    }

    async fn usage(&self) -> Result<Option<Usage>, RuntimeError> {
        self.read_usage().await
    }

    async fn host_sockets(&self) -> Result<String, RuntimeError> {
        self.read_host_sockets().await
    }

    async fn diagnostics(&self) -> Result<RuntimeDiagnostics, RuntimeError> {
        self.read_diagnostics().await
    }

    async fn space(&self) -> Result<Vec<Space>, RuntimeError> {
        self.read_space().await
    }

    async fn holders(&self, ports: &[u16]) -> Result<Vec<Holder>, RuntimeError> {
        self.read_holders(ports).await
    }

    async fn log_lines(
        &self,
        since: Timestamp,
        lines: usize,
    ) -> Result<Vec<LogLine>, RuntimeError> {
        self.read_log(since, lines).await
    }
}
