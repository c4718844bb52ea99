//! Making the container.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, ImageInspect, Mount, MountType, PortBinding, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{DockerRuntime, MANAGED_LABEL, root, status};
use crate::engine::RuntimeError;
use crate::spec::{Docker as Spec, Network};

/// How long a pull may take.
const PULL_DEADLINE: Duration = Duration::from_secs(600);

/// epmd and the Erlang distribution listen on every address unless told
/// otherwise, and with the host's network that means the world. `erl` itself
/// reads `ERL_ZFLAGS`, so this holds whatever the image's start script does
/// (tried on 23.01, 24.12 and 26.07).
pub(super) const LOOPBACK_ONLY: [(&str, &str); 2] = [
    ("ERL_EPMD_ADDRESS", "127.0.0.1"),
    ("ERL_ZFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
];

impl DockerRuntime {
    pub(super) async fn create_container(&self) -> Result<(), RuntimeError> {
        let client = self.client().await?;
        let image = self.image().await?;
        let config = image.config.unwrap_or_default();
        let layout = Layout::new(config.env.as_deref(), config.working_dir.as_deref());
        let volumes = volumes(&self.spec, &layout);
        self.refuse_shared(&volumes).await?;
        for name in volumes.values() {
            if client.inspect_volume(name).await.is_err() {
                let options = VolumeCreateRequest {
                    name: Some(name.clone()),
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
        let body = container_body(&self.spec, &volumes);
        client
            .create_container(Some(options), body)
            .await
            .map_err(|e| self.error("create the container", &e))?;
        Ok(())
    }

    /// Two servers on one database destroy it: a volume that another container
    /// has, say this one under the name it had before, is not taken.
    async fn refuse_shared(&self, volumes: &BTreeMap<String, String>) -> Result<(), RuntimeError> {
        let stand_in = format!("{}-check-", self.name());
        let aside = self.aside();
        for volume in volumes.values() {
            let filters = HashMap::from([("volume", vec![volume.as_str()])]);
            let options =
                query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let users = self.client().await?.list_containers(Some(options)).await;
            let users = users.map_err(|e| self.error("list the containers beside", &e))?;
            let names = users.into_iter().flat_map(|user| user.names.unwrap_or_default());
            let names = names.map(|name| name.trim_start_matches('/').to_owned());
            if let Some(other) =
                names.into_iter().find(|name| !name.starts_with(&stand_in) && *name != aside)
            {
                return Err(RuntimeError::Refused {
                    operation: format!("create {}", self.name()),
                    cause: format!(
                        "its volume {volume} belongs to the container {other}; was that renamed? \
                         Rename it back, remove it, or declare it as spec.server.docker.container"
                    ),
                });
            }
        }
        Ok(())
    }

    /// The declared image; pulled where the engine does not have it yet.
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

/// Where an image keeps what must not be lost.
pub(super) struct Layout {
    pub(super) database: String,
    pub(super) config: String,
}

impl Layout {
    /// As its environment says, else as the official images have it.
    pub(super) fn new(env: Option<&[String]>, working_dir: Option<&str>) -> Self {
        let variable = |name: &str| {
            env.into_iter()
                .flatten()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let home = working_dir.filter(|d| d.len() > 1).unwrap_or("/home/ejabberd");
        Self {
            database: variable("SPOOL_DIR").unwrap_or_else(|| format!("{home}/database")),
            config: variable("CONFIG_DIR").unwrap_or_else(|| format!("{home}/conf")),
        }
    }
}

/// The declared volumes, and named ones for database and configuration where
/// nothing is declared for those.
pub(super) fn volumes(spec: &Spec, layout: &Layout) -> BTreeMap<String, String> {
    let mut volumes = spec.volumes.clone();
    for (path, what) in [(&layout.database, "database"), (&layout.config, "conf")] {
        volumes.entry(path.clone()).or_insert_with(|| format!("{}-{what}", spec.container));
    }
    volumes
}

fn container_body(spec: &Spec, volumes: &BTreeMap<String, String>) -> ContainerCreateBody {
    let mut env: BTreeMap<&str, &str> = LOOPBACK_ONLY.into();
    env.extend(spec.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mounts = volumes
        .iter()
        .map(|(path, name)| Mount {
            target: Some(path.clone()),
            source: Some(name.clone()),
            typ: Some(MountType::VOLUME),
            ..Default::default()
        })
        .collect();
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
        labels: Some(labels()),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            mounts: Some(mounts),
            port_bindings: Some(bindings),
            // The operator restarts it; two who do so get in each other's way.
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
