//! Putting one container in the place of another.

use bollard::models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters as query;

use super::{DockerRuntime, status};
use crate::engine::RuntimeError;

impl DockerRuntime {
    /// The name of the container that is being replaced.
    pub(super) fn aside(&self) -> String {
        format!("{}-before", self.name())
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), RuntimeError> {
        let options = query::RenameContainerOptionsBuilder::default().name(to).build();
        let renamed = self.client().await?.rename_container(from, options).await;
        renamed.map_err(|e| self.error("rename the container", &e))
    }

    pub(super) async fn exists_container(&self, name: &str) -> Result<bool, RuntimeError> {
        match self.client().await?.inspect_container(name, None).await {
            Ok(_) => Ok(true),
            Err(e) if status(&e) == Some(404) => Ok(false),
            Err(e) => Err(self.error("inspect a container beside", &e)),
        }
    }

    /// Removes a container that does not run. Its volumes stay, anonymous ones
    /// as well: nobody knows what is on them.
    pub(super) async fn remove_container(&self, name: &str) -> Result<(), RuntimeError> {
        let options = None::<query::RemoveContainerOptions>;
        match self.client().await?.remove_container(name, options).await {
            Ok(()) => Ok(()),
            Err(e) if status(&e) == Some(404) => Ok(()),
            Err(e) => Err(self.error("remove the container", &e)),
        }
    }

    pub(super) async fn turn_restarts_off(&self) -> Result<(), RuntimeError> {
        let body = ContainerUpdateBody {
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..Default::default()
        };
        let updated = self.client().await?.update_container(self.name(), body).await;
        updated.map_err(|e| self.error("change the restart policy of", &e))
    }
}
