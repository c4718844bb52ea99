//! Creation of the container.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, ImageConfig, ImageInspect, Mount, MountType, PortBinding,
    RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{DockerRuntime, MANAGED_LABEL, root, status};
use crate::domain::spec::{Docker as Spec, Network};
use crate::engine::RuntimeError;

/// The time limit to pull an image.
const PULL_DEADLINE: Duration = Duration::from_mins(10);

/// The variables that bind epmd and the Erlang distribution to loopback. By default both listen on
/// every address; with the host's network, public addresses are among them. `erl` itself reads
/// `ERL_ZFLAGS`, so the image's start script cannot override the variable (tested with 23.01, 24.12
/// and 26.07).
pub(super) const LOOPBACK_ONLY: [(&str, &str); 2] = [
    ("ERL_EPMD_ADDRESS", "127.0.0.1"),
    ("ERL_ZFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
];

impl DockerRuntime {
    pub(super) async fn create_container(&self) -> Result<(), RuntimeError> {
        let image = self.image().await?;
        let config = image.config.unwrap_or_default();
        let layout = Layout::of_new(&self.spec, &config);
        let volumes = volumes(&self.spec, &layout);
        let database = volumes.get(&layout.database).map(String::as_str);
        self.refuse_shared(database, None).await?;
        self.create_with(container_body(&self.spec, &volumes)).await
    }

    /// Creates the missing volumes, and then the container.
    pub(super) async fn create_with(&self, body: ContainerCreateBody) -> Result<(), RuntimeError> {
        let client = self.client().await?;
        let mounts = body.host_config.as_ref().and_then(|host| host.mounts.as_ref());
        let volumes = mounts.into_iter().flatten().filter(|m| m.typ == Some(MountType::VOLUME));
        let volumes: Vec<String> = volumes.filter_map(|mount| mount.source.clone()).collect();
        for name in volumes {
            if client.inspect_volume(&name).await.is_err() {
                let options = VolumeCreateRequest {
                    name: Some(name),
                    labels: Some(labels()),
                    ..Default::default()
                };
                client
                    .create_volume(options)
                    .await
                    .map_err(|e| self.error("create a volume for", &e))?;
            }
        }
        let options = query::CreateContainerOptionsBuilder::default().name(self.name()).build();
        client
            .create_container(Some(options), body)
            .await
            .map_err(|e| self.error("create the container", &e))?;
        Ok(())
    }

    /// Fails if another container uses `volume`, such as the same server under an earlier name: two
    /// servers on one database destroy the database. `aside` is the id of the container that is
    /// being replaced, which may use the volume.
    pub(super) async fn refuse_shared(
        &self,
        volume: Option<&str>,
        aside: Option<&str>,
    ) -> Result<(), RuntimeError> {
        let Some(volume) = volume else { return Ok(()) };
        let filters = HashMap::from([("volume", vec![volume])]);
        let options =
            query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let users = self.client().await?.list_containers(Some(options)).await;
        let users = users.map_err(|e| self.error("list the containers beside", &e))?;
        let others =
            users.into_iter().filter(|user| user.id.as_deref() != aside && !self.is_stand_in(user));
        let names = others.flat_map(|user| user.names.unwrap_or_default());
        let mut names = names.map(|name| name.trim_start_matches('/').to_owned());
        match names.next() {
            None => Ok(()),
            Some(other) => Err(RuntimeError::Refused {
                operation: format!("create {}", self.name()),
                cause: format!(
                    "its volume {volume} belongs to the container {other}; was that renamed? \
                     Rename it back, remove it, or declare it as spec.server.docker.container"
                ),
            }),
        }
    }

    /// The declared image. Pulls the image if the engine does not have the image.
    pub(super) async fn image(&self) -> Result<ImageInspect, RuntimeError> {
        let name = self.spec.image.as_deref().ok_or_else(|| {
            RuntimeError::Missing(format!(
                "the container {}, nor an image to create it from; set spec.server.docker.image",
                self.name()
            ))
        })?;
        let client = self.client().await?;
        match client.inspect_image(name).await {
            Ok(image) => return Ok(image),
            Err(e) if status(&e) == Some(404) => {}
            Err(e) => return Err(self.error("inspect the image of", &e)),
        }
        tracing::info!(image = name, "pulling the image");
        let missing = |cause: String| {
            RuntimeError::Missing(format!(
                "the image {name}: the engine does not have it, and pulling it failed ({cause}); \
             is the name right? `docker pull {name}` shows more"
            ))
        };
        let (from, tag) = match name.rsplit_once(':') {
            Some((from, tag)) if !tag.contains('/') => (from, tag),
            _ => (name, "latest"),
        };
        let options = query::CreateImageOptionsBuilder::default().from_image(from).tag(tag).build();
        let mut progress = Box::pin(client.create_image(Some(options), None, None));
        let pull = async {
            while let Some(step) = progress.next().await {
                step.map_err(|e| missing(root(&e)))?;
            }
            Ok(())
        };
        timeout(PULL_DEADLINE, pull)
            .await
            .map_err(|_| RuntimeError::Timeout(format!("pull {name}")))??;
        client.inspect_image(name).await.map_err(|e| missing(root(&e)))
    }
}

pub(super) fn labels() -> HashMap<String, String> {
    HashMap::from([(MANAGED_LABEL.to_owned(), "true".to_owned())])
}

/// The label with the names of the variables that were declared at the container's creation. A
/// replacement of the container inherits all other variables.
pub(super) const MANAGED_VARIABLES: &str = "io.ejabberd-operator.environment";

/// The labels of a server's container.
pub(super) fn labels_of(spec: &Spec) -> HashMap<String, String> {
    let declared: Vec<&str> = spec.environment.keys().map(String::as_str).collect();
    let mut labels = labels();
    labels.insert(MANAGED_VARIABLES.to_owned(), declared.join(","));
    labels
}

pub(super) fn volume_mount(target: &str, name: &str) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(name.to_owned()),
        typ: Some(MountType::VOLUME),
        ..Default::default()
    }
}

/// The directories of a container with data that must not be lost.
pub(super) struct Layout {
    pub(super) database: String,
    pub(super) config: String,
    /// The VOLUMEs of the image: the engine creates an unnamed volume at each of these paths if
    /// nothing else is mounted there.
    image_volumes: Vec<String>,
}

impl Layout {
    /// The layout of a container that is created from the declaration.
    pub(super) fn of_new(spec: &Spec, image: &ImageConfig) -> Self {
        // Declared variables come first, because `new` uses the first value of a variable.
        let declared = spec.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let env: Vec<String> = declared.chain(image.env.iter().flatten().cloned()).collect();
        Self::new(&env, image.working_dir.as_deref(), image.volumes.as_deref())
    }

    /// The layout from the variables `SPOOL_DIR` and `CONFIG_DIR`, otherwise the layout of the
    /// official images.
    pub(super) fn new(
        env: &[String],
        working_dir: Option<&str>,
        image_volumes: Option<&[String]>,
    ) -> Self {
        let variable = |name: &str| {
            env.iter()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let home = working_dir.filter(|d| d.len() > 1).unwrap_or("/home/ejabberd");
        Self {
            database: variable("SPOOL_DIR").unwrap_or_else(|| format!("{home}/database")),
            config: variable("CONFIG_DIR").unwrap_or_else(|| format!("{home}/conf")),
            image_volumes: image_volumes.unwrap_or_default().to_vec(),
        }
    }

    /// Whether a volume at one of `paths` holds `directory`. A VOLUME of the image between the path
    /// and `directory` would hide the directory.
    fn has(&self, paths: &BTreeMap<String, String>, directory: &str) -> bool {
        let above = paths.keys().filter(|path| is_within(directory, path));
        let Some(nearest) = above.max_by_key(|path| path.len()) else { return false };
        !self.image_volumes.iter().any(|volume| {
            volume.len() > nearest.len()
                && is_within(volume, nearest)
                && is_within(directory, volume)
        })
    }
}

/// Whether `path` is `directory` or is inside `directory`.
pub(super) fn is_within(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The volumes of a new container, by path: the declared volumes, and a named volume for the
/// database and for the configuration if no declared volume holds them.
pub(super) fn volumes(spec: &Spec, layout: &Layout) -> BTreeMap<String, String> {
    let mut volumes = spec.volumes.clone();
    for (path, what) in [(&layout.database, "database"), (&layout.config, "conf")] {
        if !layout.has(&spec.volumes, path) {
            volumes.insert(path.clone(), format!("{}-{what}", spec.container));
        }
    }
    volumes
}

pub(super) fn container_body(
    spec: &Spec,
    volumes: &BTreeMap<String, String>,
) -> ContainerCreateBody {
    let mut env: BTreeMap<&str, &str> = LOOPBACK_ONLY.into();
    env.extend(spec.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mounts = volumes.iter().map(|(path, name)| volume_mount(path, name)).collect();
    let bindings: HashMap<String, Option<Vec<PortBinding>>> = spec
        .ports
        .iter()
        .map(|port| {
            let binding = PortBinding {
                host_ip: Some(port.address.to_string()),
                host_port: Some(port.host_port.to_string()),
            };
            (format!("{}/tcp", port.container_port), Some(vec![binding]))
        })
        .collect();
    let network = match spec.network {
        Network::Host => "host",
        Network::Bridge => "bridge",
    };
    ContainerCreateBody {
        image: spec.image.clone(),
        env: Some(env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(labels_of(spec)),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            mounts: Some(mounts),
            port_bindings: Some(bindings),
            // Only the operator restarts the container: a restart policy would interfere.
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_above_the_database_holds_the_database_unless_the_image_has_a_volume_between() {
        let spec = |path: &str| Spec {
            container: "v2".to_owned(),
            image: None,
            engine: String::new(),
            network: Network::Bridge,
            ports: Vec::new(),
            volumes: BTreeMap::from([(path.to_owned(), "all".to_owned())]),
            environment: BTreeMap::new(),
            config_path: None,
            recreate: crate::domain::spec::Recreate::Never,
        };
        let of_image = |volumes: &[&str]| ImageConfig {
            working_dir: Some("/opt/ejabberd".to_owned()),
            volumes: Some(volumes.iter().map(|&path| path.to_owned()).collect()),
            ..Default::default()
        };
        let shown = |spec: &Spec, image: &ImageConfig| {
            let volumes = volumes(spec, &Layout::of_new(spec, image));
            volumes.iter().map(|(path, name)| format!("{path} {name}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(&spec("/opt"), &of_image(&["/srv"])), ["/opt all"]);
        assert_eq!(
            shown(&spec("/opt/ejabberd"), &of_image(&["/opt/ejabberd"])),
            ["/opt/ejabberd all"]
        );
        assert_eq!(
            shown(&spec("/opt/ejabberd"), &of_image(&["/opt/ejabberd/database"])),
            ["/opt/ejabberd all", "/opt/ejabberd/database v2-database"]
        );
        assert_eq!(
            shown(&spec("/opt/e"), &of_image(&[])),
            ["/opt/e all", "/opt/ejabberd/conf v2-conf", "/opt/ejabberd/database v2-database"]
        );
        let mut moved = spec("/data");
        moved.environment.insert("SPOOL_DIR".to_owned(), "/data/db".to_owned());
        let expected = ["/data all", "/opt/ejabberd/conf v2-conf"];
        assert_eq!(shown(&moved, &of_image(&[])), expected);
    }
}
