//! Compares the settings of the container with the declared settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use bollard::models::{ContainerInspectResponse, HostConfig, PortMap, RestartPolicyNameEnum};

use super::DockerRuntime;
use super::replace::is_managed;
use crate::domain::observed::{RuntimeDrift, RuntimeKind};
use crate::domain::spec::{Docker as Spec, Network, PortMapping};
use crate::engine::RuntimeError;

impl DockerRuntime {
    pub(super) async fn read_drift(
        &self,
        database: Option<&str>,
    ) -> Result<Option<RuntimeDrift>, RuntimeError> {
        let Some(container) = self.container().await? else { return Ok(None) };
        let host = container.host_config.clone().unwrap_or_default();
        let mounted = container.mounts.iter().flatten().filter_map(|mount| mount.source.as_deref());
        let differences = differences(&self.spec, &container, &host);
        // Search only if there is a difference: the engine walks through the container's files,
        // which is slow.
        let impact = if differences.is_empty() {
            Vec::new()
        } else {
            self.replacement_impact(&container, database).await?
        };
        let unattached = match database {
            Some(directory) => self.not_attached(&container, directory).await?,
            None => None,
        };
        let socket = mounted.into_iter().find(|source| self.shows_engine(source));
        Ok(Some(RuntimeDrift {
            runtime: RuntimeKind::Docker,
            ours: is_managed(&container),
            differences,
            replacement_impact: impact,
            unattached,
            removed_by: (host.auto_remove == Some(true)).then_some("--rm"),
            restarted_by: restarted_by(&host),
            published: published(&container, &host),
            ports: super::published::ports(&container),
            host_network: host.network_mode.as_deref() == Some("host"),
            privileged: host.privileged == Some(true) || has_capabilities_of_root(&host),
            engine_socket: socket.map(str::to_owned),
        }))
    }

    /// Whether the engine's socket is `source`, or is below the directory `source`.
    fn shows_engine(&self, source: &str) -> bool {
        let declared = self.spec.engine.strip_prefix("unix://");
        let usual = ["/var/run/docker.sock", "/run/docker.sock"];
        let within = |socket| !source.is_empty() && Path::new(socket).starts_with(source);
        usual.into_iter().chain(declared).any(within)
    }

    /// The text of the kernel's TCP socket tables. Fails if the engine is on another host. A
    /// missing table counts as empty, because a host may have no IPv6.
    pub(super) async fn read_host_sockets(&self) -> Result<String, RuntimeError> {
        let refused = |cause: String| RuntimeError::Refused {
            operation: "look at the sockets of the host".to_owned(),
            cause,
        };
        if !self.spec.engine.starts_with("unix://") {
            return Err(refused(format!("the engine at {} is elsewhere", self.spec.engine)));
        }
        let mut tables = String::new();
        for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            match tokio::fs::read_to_string(table).await {
                Ok(text) => tables += &text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(refused(format!("{table}: {e}"))),
            }
        }
        Ok(tables)
    }
}

fn restarted_by(host: &HostConfig) -> Option<String> {
    use RestartPolicyNameEnum as Name;
    let name = host.restart_policy.as_ref()?.name.as_ref()?;
    (!matches!(name, Name::NO | Name::EMPTY)).then(|| format!("Docker's restart policy `{name}`"))
}

/// Whether the container has a capability that is enough to become root on the host.
fn has_capabilities_of_root(host: &HostConfig) -> bool {
    let added = host.cap_add.iter().flatten().map(|name| name.trim_start_matches("CAP_"));
    added.into_iter().any(|name| matches!(name, "ALL" | "SYS_ADMIN" | "SYS_MODULE" | "SYS_PTRACE"))
}

/// The addresses on the host at which the container's ports are open: the ports from the
/// container's creation and, while the container runs, the actual ports, because the engine chooses
/// the port for `-P` and `-p 5222`.
fn published(container: &ContainerInspectResponse, host: &HostConfig) -> Vec<SocketAddr> {
    if host.network_mode.as_deref() == Some("host") {
        // With the host's network, the engine stores published ports and ignores them.
        return Vec::new();
    }
    let now = container.network_settings.as_ref().and_then(|network| network.ports.as_ref());
    let all = bindings(host.port_bindings.as_ref(), "").into_iter().chain(bindings(now, ""));
    let all: BTreeSet<SocketAddr> = all.map(|(at, _)| at).filter(|at| at.port() != 0).collect();
    all.into_iter().collect()
}

/// The addresses on the host, each with the container's port behind the address. `kind` is the end
/// of the port's name: `/tcp`, `/udp`, or an empty string for all ports.
pub(super) fn bindings(ports: Option<&PortMap>, kind: &str) -> Vec<(SocketAddr, u16)> {
    let published = ports.into_iter().flatten().filter(|(port, _)| port.ends_with(kind));
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

/// The declared fields that differ in the container. Compares image references, not images: a moved
/// `latest` tag is no difference.
fn differences(
    spec: &Spec,
    container: &ContainerInspectResponse,
    host: &HostConfig,
) -> Vec<String> {
    // The pattern names every field, so that a new field of `Spec` does not compile until this
    // function handles the field.
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
    // Only TCP ports can be declared.
    let published = bindings(host.port_bindings.as_ref(), "/tcp");
    differs("ports", &port_list(&declared_sorted), &port_list(&published));
    let mounts = mounts(container);
    for (path, name) in volumes {
        differs(&format!("volumes.{path}"), name, mounts.get(path).map_or("none", String::as_str));
    }
    // Compare the values, but never show them: a value may be a secret.
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

/// Named volumes by mount path.
pub(super) fn mounts(container: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let mounts = container.mounts.iter().flatten();
    mounts
        .filter(|mount| mount.typ.as_deref() == Some("volume"))
        .filter_map(|mount| Some((mount.destination.clone()?, mount.name.clone()?)))
        .collect()
}
