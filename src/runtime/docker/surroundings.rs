//! How the container is set up, beside how it is declared.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bollard::models::{ContainerInspectResponse, HostConfig, RestartPolicyNameEnum};

use super::create::{self, Layout};
use super::{DockerRuntime, MANAGED_LABEL};
use crate::engine::RuntimeError;
use crate::observed::Surroundings;
use crate::spec::{Docker as Spec, Network, PortMapping};

impl DockerRuntime {
    pub(super) async fn read_surroundings(&self) -> Result<Option<Surroundings>, RuntimeError> {
        let Some(container) = self.container().await? else { return Ok(None) };
        let host = container.host_config.clone().unwrap_or_default();
        let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
        let binds = container.mounts.iter().flatten();
        let socket = binds
            .filter_map(|mount| mount.source.as_deref())
            .find(|source| source.ends_with("docker.sock"));
        Ok(Some(Surroundings {
            runtime: "docker",
            ours: labels.is_some_and(|labels| labels.contains_key(MANAGED_LABEL)),
            differences: differences(&self.spec, &container, &host),
            irreplaceable: irreplaceable(&self.spec, &container),
            restarted_by: restarted_by(&host),
            published: bindings(&host).into_iter().map(|(at, _)| at).collect(),
            host_network: host.network_mode.as_deref() == Some("host"),
            privileged: host.privileged == Some(true),
            engine_socket: socket.map(str::to_owned),
            uid: self.uid_of_vm().await,
        }))
    }

    async fn uid_of_vm(&self) -> Option<u32> {
        let (_, node) = crate::engine::Spawner::locate(self).await.ok()?;
        node.user?.parse().ok()
    }
}

fn restarted_by(host: &HostConfig) -> Option<String> {
    use RestartPolicyNameEnum as Name;
    let name = host.restart_policy.as_ref()?.name.as_ref()?;
    (!matches!(name, Name::NO | Name::EMPTY)).then(|| format!("Docker's restart policy `{name}`"))
}

/// Addresses on the host and the container's ports behind them.
fn bindings(host: &HostConfig) -> Vec<(SocketAddr, u16)> {
    let published = host.port_bindings.iter().flatten();
    let pairs = published.flat_map(|(port, bindings)| {
        let inside = port.split('/').next().and_then(|port| port.parse::<u16>().ok());
        bindings.iter().flatten().filter_map(move |binding| {
            let address = binding.host_ip.as_deref().filter(|ip| !ip.is_empty());
            let address = address.unwrap_or("0.0.0.0").parse().ok()?;
            let port = binding.host_port.as_deref()?.parse().ok()?;
            Some((SocketAddr::new(address, port), inside?))
        })
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

/// The declared fields that are otherwise in the container. Image references
/// are compared, not images: a `latest` that moved elsewhere is no difference.
fn differences(
    spec: &Spec,
    container: &ContainerInspectResponse,
    host: &HostConfig,
) -> Vec<String> {
    // A new field must be compared as well.
    let Spec {
        container: _,
        image,
        engine: _,
        network,
        ports,
        volumes,
        environment,
        config_path: _,
        recreate: _,
    } = spec;
    let mut found = Vec::new();
    let mut differs = |field: &str, declared: &str, is: &str| {
        if declared != is {
            found.push(format!("{field}: {declared} is declared, {is} is what runs"));
        }
    };
    let config = container.config.clone().unwrap_or_default();
    if let Some(image) = image {
        differs("image", image, config.image.as_deref().unwrap_or("none"));
    }
    let mode = host.network_mode.as_deref().unwrap_or("default");
    match network {
        Network::Host => differs("network", "host", mode),
        Network::Bridge if matches!(mode, "default" | "bridge") => {}
        Network::Bridge => differs("network", "bridge", mode),
    }
    let declared: Vec<_> = ports.iter().map(pair).collect();
    let mut declared_sorted = declared;
    declared_sorted.sort();
    differs("ports", &port_list(&declared_sorted), &port_list(&bindings(host)));
    let mounts = mounts(container);
    for (path, name) in volumes {
        differs(&format!("volumes.{path}"), name, mounts.get(path).map_or("none", String::as_str));
    }
    // Of values only whether they are the same: somebody may have put a secret there.
    let env = config.env.unwrap_or_default();
    let set: BTreeMap<&str, &str> = env.iter().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in environment {
        match set.get(name.as_str()) {
            Some(found) if found == value => {}
            Some(_) => differs(&format!("environment.{name}"), "one value", "another"),
            None => differs(&format!("environment.{name}"), "a value", "nothing"),
        }
    }
    found
}

fn pair(port: &PortMapping) -> (SocketAddr, u16) {
    (SocketAddr::new(port.address, port.host_port), port.container_port)
}

fn port_list(ports: &[(SocketAddr, u16)]) -> String {
    if ports.is_empty() {
        return "none".to_owned();
    }
    ports.iter().map(|(at, to)| format!("{at}:{to}")).collect::<Vec<_>>().join(", ")
}

/// Named volumes by the path that they are mounted at.
fn mounts(container: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let mounts = container.mounts.iter().flatten();
    mounts
        .filter(|mount| mount.typ.as_deref() == Some("volume"))
        .filter_map(|mount| Some((mount.destination.clone()?, mount.name.clone()?)))
        .collect()
}

/// A container is replaced only if its database comes back with the new one:
/// on a volume whose name is declared, or which we would give it again.
fn irreplaceable(spec: &Spec, container: &ContainerInspectResponse) -> Option<String> {
    let config = container.config.clone().unwrap_or_default();
    let layout = Layout::new(config.env.as_deref(), config.working_dir.as_deref());
    let again = create::volumes(spec, &layout);
    let mounts = mounts(container);
    let path = layout.database;
    match (mounts.get(&path), again.get(&path)) {
        (Some(now), Some(then)) if now == then => None,
        (Some(now), Some(then)) => Some(format!(
            "its database at {path} is on the volume {now}, and a new container would get {then}; \
             declare `{path}: {now}` under spec.server.docker.volumes"
        )),
        (None, _) => Some(format!(
            "its database at {path} is not on a named volume, and would be lost with it"
        )),
        (Some(_), None) => Some(format!("no volume is declared for its database at {path}")),
    }
}
