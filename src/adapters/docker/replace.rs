//! Replaces a container.
//!
//! The operator renames a container for a replacement only if the container's id is in the state
//! directory. A rollback removes the new container only if the operator created that container. The
//! operator never touches any other container with one of these names.

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerUpdateBody, ImageConfig,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters as query;

use super::database::covering;
use super::inherited::Old;
use super::{DockerRuntime, MANAGED_LABEL, inherited, status};
use crate::domain::database::Location;
use crate::engine::{ConfigFiles, Lifecycle, RuntimeError};

/// The file with Erlang's cookie, in the home directory. Other nodes and scripts may use the
/// cookie, so the new container keeps the cookie.
const COOKIE: &str = ".erlang.cookie";

impl DockerRuntime {
    /// The name of the old container during a replacement.
    fn aside(&self) -> String {
        format!("{}-before", self.name())
    }

    /// Renames the container with the id `old`, and creates a new container that inherits every
    /// setting that is not declared. Fails if `old` does not have the server's name.
    pub(super) async fn replace_container(&self, old: &str) -> Result<(), RuntimeError> {
        let here = self.container().await?;
        let Some(container) = here.filter(|container| container.id.as_deref() == Some(old)) else {
            return Err(self.refused("replace", "another container has the name now"));
        };
        self.refuse_taken_name(Some(old)).await?;
        let (old_image, new_image) = self.both_images(&container).await?;
        let settings = Old { container: &container, image: &old_image };
        let body = inherited::body(&self.spec, &settings, &new_image);
        let layout = inherited::new_layout(&self.spec, &settings, &new_image);
        let mounts = inherited::by_path(&body);
        let database = match covering(&inherited::locations(&mounts), &layout.database) {
            Location::Volume { name, .. } => Some(name),
            _ => None,
        };
        self.refuse_shared(database.as_deref(), Some(old)).await?;
        self.rename(old, &self.aside()).await?;
        self.create_with(body).await?;
        self.carry_cookie(old, &container).await
    }

    /// Fails if a container other than `old` has the name that `old` gets during the replacement.
    pub(super) async fn refuse_taken_name(&self, old: Option<&str>) -> Result<(), RuntimeError> {
        match self.inspected(&self.aside()).await? {
            Some(other) if other.id.as_deref() != old => Err(self.refused(
                "replace",
                &format!(
                    "another container has the name {}, which the old container needs: rename or \
                     remove that container",
                    self.aside()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The settings of the container's image, and of the declared image. The settings of the
    /// container's image are empty if that image was removed.
    pub(super) async fn both_images(
        &self,
        container: &ContainerInspectResponse,
    ) -> Result<(ImageConfig, ImageConfig), RuntimeError> {
        let client = self.client().await?;
        let old = match &container.image {
            // An image can be removed while its container exists.
            Some(id) => client.inspect_image(id).await.ok().and_then(|image| image.config),
            None => None,
        };
        let new = self.image().await?.config.unwrap_or_default();
        Ok((old.unwrap_or_default(), new))
    }

    /// Removes the replacement of the container `old`, and renames `old` back. If `old` no longer
    /// exists, the replacement stays.
    pub(super) async fn rollback_container(&self, old: &str) -> Result<(), RuntimeError> {
        let Some(before) = self.inspected(old).await? else {
            tracing::warn!("the old container no longer exists; the replacement stays");
            return Ok(());
        };
        match self.container().await? {
            // The replacement failed before the rename, so the old container still has its name.
            Some(here) if here.id == before.id => return self.stop().await,
            Some(here) if is_managed(&here) => {
                self.stop().await?;
                self.remove_container(here.id.as_deref().unwrap_or(self.name())).await?;
            }
            Some(_) => {
                return Err(self.refused(
                    "bring back",
                    "another container has its name: rename or remove that container",
                ));
            }
            None => {}
        }
        self.rename(old, self.name()).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), RuntimeError> {
        let options = query::RenameContainerOptionsBuilder::default().name(to).build();
        let renamed = self.client().await?.rename_container(from, options).await;
        renamed.map_err(|e| self.error("rename the container", &e))
    }

    /// The container with this name or id as the engine describes it, if the container exists.
    async fn inspected(
        &self,
        name: &str,
    ) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        match self.client().await?.inspect_container(name, None).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(self.error("inspect a container beside", &e)),
        }
    }

    /// Removes a stopped container. Its volumes stay, even unnamed volumes, because the new
    /// container uses the volumes. A missing container is no error.
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), RuntimeError> {
        let options = None::<query::RemoveContainerOptions>;
        match self.client().await?.remove_container(id, options).await {
            Ok(()) => Ok(()),
            Err(e) if status(&e) == Some(404) => Ok(()),
            Err(e) => Err(self.error("remove the container", &e)),
        }
    }

    /// Removes the container if an earlier removal has failed half-way.
    ///
    /// The engine calls such a container `dead`. The container cannot be started, and only a second
    /// removal helps. With the storage driver `fuse-overlayfs` (Docker 20.10.24) a removal fails
    /// like this, "directory not empty", if a program, such as the operator, reads a file of the
    /// container at the same time.
    pub(super) async fn finish_removal(&self) {
        let Ok(Some(container)) = self.container().await else { return };
        let state = container.state.as_ref().and_then(|state| state.status);
        let (Some(ContainerStateStatusEnum::DEAD), Some(id)) = (state, &container.id) else {
            return;
        };
        match self.remove_container(id).await {
            Ok(()) => tracing::info!(
                "the removal of the container {} had failed half-way; it is removed now",
                self.name()
            ),
            Err(error) => tracing::debug!("failed to {error}"),
        }
    }

    /// Copies Erlang's cookie to the new container if the cookie is in the old container's own
    /// layer, and not on a mount.
    async fn carry_cookie(
        &self,
        old: &str,
        container: &ContainerInspectResponse,
    ) -> Result<(), RuntimeError> {
        let config = container.config.as_ref();
        let home = config.and_then(|config| config.working_dir.as_deref()).unwrap_or_default();
        let mounts = super::database::mounts_of(container);
        if home.is_empty() || self.location_in(old, &mounts, home).await? != Location::Container {
            return Ok(());
        }
        let Some(cookie) = self.download(old, &format!("{home}/{COOKIE}")).await? else {
            return Ok(());
        };
        if !self.exists(self.name(), home).await? {
            return Ok(());
        }
        let files = ConfigFiles::from([(COOKIE.to_owned(), cookie.content)]);
        self.upload(self.name(), home, &files, cookie.owner).await
    }

    fn refused(&self, operation: &str, cause: &str) -> RuntimeError {
        RuntimeError::Refused {
            operation: format!("{operation} {}", self.name()),
            cause: cause.to_owned(),
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

/// Whether the operator created `container`.
pub(super) fn is_managed(container: &ContainerInspectResponse) -> bool {
    let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.is_some_and(|labels| labels.contains_key(MANAGED_LABEL))
}
