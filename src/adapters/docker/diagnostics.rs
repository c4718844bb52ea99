//! Facts about the container and the host that can prevent a start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState};
use jiff::Timestamp;

use super::create::Layout;
use super::drift::bindings;
use super::{DockerRuntime, published, status};
use crate::adapters::host::{disks, holders};
use crate::domain::observed::{Holder, PAUSED, ProcessState, RuntimeDiagnostics, Space};
use crate::ejabberd::erlang::CommandLine;
use crate::engine::{Lifecycle, RuntimeError};

/// The time limit of `df`, which responds at once unless a network file system hangs.
const DF_DEADLINE: Duration = Duration::from_secs(4);

impl DockerRuntime {
    fn is_here(&self) -> bool {
        self.spec.engine.starts_with("unix://")
    }

    pub(super) async fn read_diagnostics(&self) -> Result<RuntimeDiagnostics, RuntimeError> {
        let container = self.container().await?;
        let of_container = container.as_ref().and_then(|c| c.image.clone());
        let image = match (&self.spec.image, of_container) {
            (Some(name), None) => Some((name.clone(), self.has_image(name).await?)),
            // An existing container does not need the declared image.
            (_, Some(_)) => container
                .as_ref()
                .and_then(|c| c.config.as_ref()?.image.clone())
                .map(|name| (name, true)),
            (None, None) => None,
        };
        let Some(container) = container else {
            return Ok(RuntimeDiagnostics { image, ..RuntimeDiagnostics::default() });
        };
        let state = container.state.clone().unwrap_or_default();
        let host = container.host_config.clone().unwrap_or_default();
        let running = state.running == Some(true) && state.restarting != Some(true);
        let limit = host.memory.and_then(|bytes| u64::try_from(bytes).ok());
        Ok(RuntimeDiagnostics {
            image,
            started: time(state.started_at.as_ref()),
            ended: if running { None } else { time(state.finished_at.as_ref()) },
            restarts: container.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            error: error(&state),
            memory_limit: limit.filter(|bytes| *bytes > 0),
            gone: if self.is_here() { gone(&container) } else { Vec::new() },
            mounts: mounts(&container),
            published: bindings(host.port_bindings.as_ref(), "/tcp"),
            bound: if running { published::bound(&container) } else { Vec::new() },
        })
    }

    async fn has_image(&self, name: &str) -> Result<bool, RuntimeError> {
        match self.client().await?.inspect_image(name).await {
            Ok(_) => Ok(true),
            Err(e) if status(&e) == Some(404) => Ok(false),
            Err(e) => Err(self.error("inspect the image of", &e)),
        }
    }

    /// The disk space of the server: the disks in the container if the server runs, otherwise the
    /// disk of the host with Docker's data. Fails if the server does not run and the engine is on
    /// another host.
    pub(super) async fn read_space(&self) -> Result<Vec<Space>, RuntimeError> {
        if let Some(container) = self.container().await? {
            let runs = matches!(
                self.inspect().await?,
                ProcessState::Running { health } if health.as_deref() != Some(PAUSED)
            );
            if runs {
                let found = self.space_inside(&container).await;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        if !self.is_here() {
            return Err(RuntimeError::Refused {
                operation: "measure the disks of the server".to_owned(),
                cause: "its engine is on another host, and it does not run".to_owned(),
            });
        }
        let info = self.client().await?.info().await;
        let root = info.map_err(|e| self.error("ask the engine for", &e))?.docker_root_dir;
        let root = root.unwrap_or_else(|| "/var/lib/docker".to_owned());
        Ok(disks::of("containers and volumes", Path::new(&root)).into_iter().collect())
    }

    async fn space_inside(&self, container: &ContainerInspectResponse) -> Vec<Space> {
        let config = container.config.clone().unwrap_or_default();
        let env = config.env.unwrap_or_default();
        let layout = Layout::new(&env, config.working_dir.as_deref(), None);
        let directories = [("the database", layout.database), ("the configuration", layout.config)];
        let mut argv = vec!["df".to_owned(), "-Pk".to_owned()];
        argv.extend(directories.iter().map(|(_, path)| path.clone()));
        let command = CommandLine { argv, env: Vec::new(), user: None };
        match self.output_in(self.name(), command, DF_DEADLINE).await {
            Ok(output) if output.code == Some(0) => disks::of_df(&output.stdout, &directories),
            _ => Vec::new(),
        }
    }

    pub(super) async fn read_holders(&self, ports: &[u16]) -> Result<Vec<Holder>, RuntimeError> {
        if !self.is_here() {
            return Err(RuntimeError::Refused {
                operation: "look at the sockets of the host".to_owned(),
                cause: format!("the engine at {} is elsewhere", self.spec.engine),
            });
        }
        let container = self.container().await?;
        let bound = container.as_ref().map(published::bound).unwrap_or_default();
        let addresses = container.as_ref().map(published::addresses).unwrap_or_default();
        let id = container.and_then(|container| container.id);
        let ports = ports.to_vec();
        let found = tokio::task::spawn_blocking(move || {
            holders::of(&ports, |pid, at| {
                id.as_ref().is_some_and(|id| is_in(pid, id))
                    || published::is_proxy(pid, &addresses)
                    // The engine reserved this address for the server, even if another program
                    // holds it.
                    || bound.iter().any(|port| !port.udp && port.outside == at)
            })
        });
        found.await.map_err(|e| RuntimeError::Refused {
            operation: "look at the sockets of the host".to_owned(),
            cause: e.to_string(),
        })
    }
}

/// Whether the process `pid` runs in the container with this id.
fn is_in(pid: i32, id: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(id))
}

/// Parses a time of the engine; `None` for the year 1, which the engine writes for "never".
fn time(text: Option<&String>) -> Option<Timestamp> {
    let time: Timestamp = text?.parse().ok()?;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

fn error(state: &ContainerState) -> Option<String> {
    state.error.clone().filter(|text| !text.is_empty())
}

/// The mounted paths of the host that no longer exist.
fn gone(container: &ContainerInspectResponse) -> Vec<String> {
    let sources = container.mounts.iter().flatten();
    let binds = sources.filter(|mount| mount.typ.as_deref() == Some("bind"));
    let sources = binds.filter_map(|mount| mount.source.clone());
    sources
        .filter(|source| {
            let found = fs::symlink_metadata(source);
            found.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        })
        .collect()
}

fn mounts(container: &ContainerInspectResponse) -> Vec<(String, String)> {
    let mut mounts: Vec<(String, String)> = container
        .mounts
        .iter()
        .flatten()
        .filter_map(|mount| {
            let what = match mount.typ.as_deref() {
                Some("volume") => format!("the volume {}", mount.name.as_deref()?),
                _ => mount.source.clone()?,
            };
            Some((mount.destination.clone()?, what))
        })
        .collect();
    mounts.sort();
    mounts
}
