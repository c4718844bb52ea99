//! Describes an existing container as a declaration.

use std::collections::BTreeSet;

use bollard::models::{ContainerInspectResponse, HostConfig};

use super::DockerRuntime;
use super::create::{LOOPBACK_ONLY, Layout};
use super::drift::{bindings, mounts};
use crate::domain::database::Location;
use crate::domain::export::{Container, quoted};
use crate::domain::observed::{PAUSED, ProcessState};
use crate::domain::spec::{Docker as Spec, Network, PortMapping};
use crate::engine::{Lifecycle, RuntimeError};

impl DockerRuntime {
    /// Fails unless the container exists, runs and is not paused.
    pub async fn needs_running(&self) -> Result<(), RuntimeError> {
        let cause = match self.inspect().await? {
            ProcessState::Running { health } if health.as_deref() == Some(PAUSED) => {
                format!("it is paused; try `docker unpause {}`", self.name())
            }
            ProcessState::Running { .. } => return Ok(()),
            ProcessState::Absent => {
                return Err(RuntimeError::Missing(format!("a container {}", self.name())));
            }
            ProcessState::Created | ProcessState::Stopped { .. } => {
                format!("it does not run; try `docker start {}`", self.name())
            }
        };
        Err(RuntimeError::Refused {
            operation: format!("read the server in {}", self.name()),
            cause,
        })
    }

    /// The settings of the container that can be declared, and remarks about other settings.
    /// `config` is the path of the server's configuration in the container.
    pub async fn describe(&self, config: &str) -> Result<Container, RuntimeError> {
        let missing = || RuntimeError::Missing(format!("a container {}", self.name()));
        let container = self.container().await?.ok_or_else(missing)?;
        let mut described = describe(&self.spec, &container);
        let found = match self.config_path().await {
            Ok(path) => Some(path),
            Err(RuntimeError::Missing(_)) => None,
            Err(error) => return Err(error),
        };
        if found.as_deref() != Some(config) {
            described.docker.config_path = Some(config.to_owned());
        }
        described.remarks.extend(self.database_remark(&container).await?);
        let variables = self.own_variables(&container).await;
        if !variables.is_empty() {
            described.remarks.push(format!(
                "it has variables that its image does not set; they are left out because they may be \
                 secrets: {}; declare the variables that a new container needs under `environment`",
                variables.join(", ")
            ));
        }
        Ok(described)
    }

    /// A remark if the database is lost with the container; `None` if the database is stored
    /// elsewhere.
    async fn database_remark(
        &self,
        container: &ContainerInspectResponse,
    ) -> Result<Option<String>, RuntimeError> {
        let config = container.config.clone().unwrap_or_default();
        let env = config.env.unwrap_or_default();
        let layout = Layout::new(&env, config.working_dir.as_deref(), None);
        let location = self.location_of(&layout.database).await?;
        Ok(location.filter(|at| matches!(at, Location::Container | Location::Memory)).map(|at| {
            format!(
                "its database at {} is in {at}: it is lost with the container",
                quoted(&layout.database)
            )
        }))
    }

    /// The names of the variables that the image does not set. Returns no values, because a value
    /// may be a secret.
    async fn own_variables(&self, container: &ContainerInspectResponse) -> Vec<String> {
        let Some(image) = &container.image else { return Vec::new() };
        let Ok(client) = self.client().await else { return Vec::new() };
        let image = client.inspect_image(image).await.ok().and_then(|image| image.config);
        let of_image = image.and_then(|config| config.env).unwrap_or_default();
        let env = container.config.as_ref().and_then(|config| config.env.as_deref());
        let set = env.into_iter().flatten().filter(|line| !of_image.contains(line));
        set.filter_map(|line| line.split_once('='))
            .filter(|variable| !LOOPBACK_ONLY.contains(variable))
            .map(|(name, _)| quoted(name))
            .collect()
    }
}

fn describe(spec: &Spec, container: &ContainerInspectResponse) -> Container {
    let none = HostConfig::default();
    let host = container.host_config.as_ref().unwrap_or(&none);
    let mut docker = spec.clone();
    let mut remarks = Vec::new();
    if let Some(name) = &container.name {
        // The caller may have used the container's id as its name.
        name.trim_start_matches('/').clone_into(&mut docker.container);
    }
    docker.image = container.config.as_ref().and_then(|config| config.image.clone());
    docker.network = match host.network_mode.as_deref() {
        Some("host") => Network::Host,
        Some("default" | "bridge") | None => Network::Bridge,
        Some(other) => {
            remarks.push(format!(
                "it is in the network {}: only those of the host and Docker's default bridge can \
                 be declared, so that `plan` notes a difference",
                quoted(other)
            ));
            Network::Bridge
        }
    };
    docker.ports = ports(host, docker.network, &mut remarks);
    docker.volumes = mounts(container);
    let others = container.mounts.iter().flatten().filter(|mount| {
        mount.destination.as_ref().is_some_and(|path| !docker.volumes.contains_key(path))
    });
    for mount in others {
        remarks.push(format!(
            "{} of the host is mounted at {}: that cannot be declared, and a new container would \
             not have it",
            quoted(mount.source.as_deref().unwrap_or_default()),
            quoted(mount.destination.as_deref().unwrap_or_default())
        ));
    }
    Container { docker, remarks }
}

/// The published ports that can be declared.
fn ports(host: &HostConfig, network: Network, remarks: &mut Vec<String>) -> Vec<PortMapping> {
    if network == Network::Host {
        if host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()) {
            remarks.push(
                "it publishes ports, which has no effect with the host's network; `plan` notes \
                 the difference"
                    .to_owned(),
            );
        }
        return Vec::new();
    }
    let other = host.port_bindings.iter().flatten().map(|(port, _)| port);
    let other: BTreeSet<&String> = other.filter(|port| !port.ends_with("/tcp")).collect();
    remarks.extend(other.into_iter().map(|port| {
        format!("the published port {} is left out: only TCP can be declared", quoted(port))
    }));
    let mut published = Vec::new();
    for (at, container_port) in bindings(host.port_bindings.as_ref(), "/tcp") {
        if at.port() == 0 {
            remarks.push(format!(
                "port {container_port} is published at a port that Docker chooses, which cannot be declared"
            ));
        } else {
            let (address, host_port) = (at.ip(), at.port());
            published.push(PortMapping { address, host_port, container_port });
        }
    }
    published
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use bollard::models::{ContainerConfig, MountPoint, PortBinding};

    use super::*;
    use crate::domain::spec::Recreate;

    fn spec() -> Spec {
        Spec {
            container: "4f".to_owned(),
            image: None,
            engine: "unix:///var/run/docker.sock".to_owned(),
            network: Network::Bridge,
            ports: Vec::new(),
            volumes: BTreeMap::new(),
            environment: BTreeMap::new(),
            config_path: None,
            recreate: Recreate::Never,
        }
    }

    fn binding(ip: &str, port: &str) -> Vec<PortBinding> {
        vec![PortBinding { host_ip: Some(ip.into()), host_port: Some(port.into()) }]
    }

    fn container(network: &str, ports: &[(&str, &str, &str)]) -> ContainerInspectResponse {
        let ports: HashMap<_, _> = ports
            .iter()
            .map(|(port, ip, at)| ((*port).to_owned(), Some(binding(ip, at))))
            .collect();
        let mount = |kind: &str, source: &str, at: &str| MountPoint {
            typ: Some(kind.to_owned()),
            name: Some(source.to_owned()),
            source: Some(source.to_owned()),
            destination: Some(at.to_owned()),
            ..Default::default()
        };
        ContainerInspectResponse {
            name: Some("/xmpp".to_owned()),
            config: Some(ContainerConfig { image: Some("e:1".to_owned()), ..Default::default() }),
            host_config: Some(HostConfig {
                network_mode: Some(network.to_owned()),
                port_bindings: Some(ports),
                ..Default::default()
            }),
            mounts: Some(vec![
                mount("volume", "db", "/home/ejabberd/database"),
                mount("bind", "/etc/e", "/home/ejabberd/conf"),
            ]),
            ..Default::default()
        }
    }

    #[test]
    fn a_description_declares_the_settings_with_a_field_and_remarks_on_the_others() {
        let ports = [
            ("5222/tcp", "", "5222"),
            ("5269/tcp", "::", "15269"),
            ("3478/udp", "0.0.0.0", "3478"),
            ("5280/tcp", "127.0.0.1", "0"),
        ];
        let Container { docker, remarks } = describe(&spec(), &container("default", &ports));
        assert_eq!(docker.container, "xmpp");
        assert_eq!(docker.image.as_deref(), Some("e:1"));
        let ports: Vec<String> = docker
            .ports
            .iter()
            .map(|port| format!("{} {} {}", port.address, port.host_port, port.container_port))
            .collect();
        assert_eq!(ports, ["0.0.0.0 5222 5222", ":: 15269 5269"]);
        assert_eq!(
            docker.volumes,
            BTreeMap::from([("/home/ejabberd/database".to_owned(), "db".to_owned())])
        );
        assert_eq!(remarks.len(), 3, "UDP, the random port and the directory: {remarks:?}");

        let Container { docker, remarks } =
            describe(&spec(), &container("host", &[("5222/tcp", "", "5222")]));
        assert_eq!((docker.network, docker.ports.len()), (Network::Host, 0));
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        let Container { docker, remarks } = describe(&spec(), &container("my-net", &[]));
        assert_eq!(docker.network, Network::Bridge);
        assert!(remarks[0].contains("my-net"), "{remarks:?}");
    }
}
