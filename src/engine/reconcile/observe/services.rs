//! Observes the services that the server offers to declared objects, and the listeners of the
//! server.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::configuration::{Configuration, Transport};
use crate::domain::model::Vhost;
use crate::domain::observed::{ConfigReading, HostServices, ListenerPort, Reading, RuntimeDrift};
use crate::domain::spec::{Config, DesiredState, Network, Runtime};
use crate::engine::ports::MAIN_CONFIG;
use crate::engine::reconcile::round::Reconciler;

/// The maximum number of vhosts that the operator searches for a service that no declared vhost
/// has.
const MOST_HOSTS: usize = 50;

/// The response of the server to the operator, or the lack of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reachability {
    Responds,
    Silent,
}

impl Reconciler {
    /// Reads the services of the vhosts that have declared rooms and groups. The result omits
    /// vhosts that the operator fails to read, and the plan then has no statement about these
    /// vhosts.
    pub(super) async fn services(&self, desired: &DesiredState) -> BTreeMap<Vhost, HostServices> {
        let mut found = BTreeMap::new();
        let wanted: BTreeSet<&Vhost> = desired
            .rooms
            .iter()
            .flatten()
            .filter(|(_, room)| room.present)
            .map(|(jid, _)| &jid.service)
            .collect();
        let owner = |service: &&Vhost| desired.host_of(service).unwrap_or(&desired.host).clone();
        let mut hosts: BTreeSet<Vhost> = wanted.iter().map(owner).collect();
        if desired.groups.iter().flatten().any(|(_, group)| group.roster) {
            hosts.insert(desired.host.clone());
        }
        if hosts.is_empty() {
            return found;
        }
        // Skip declared hosts that the server lacks.
        let Ok(names) = self.server.hosts().await else { return found };
        hosts.retain(|host| names.iter().any(|name| name == host.as_str()));
        for host in hosts {
            if let Ok(services) = self.server.host_services(&host).await {
                found.insert(host, services);
            }
        }
        let known = |found: &BTreeMap<Vhost, HostServices>, service: &Vhost| {
            found.values().any(|host| host.rooms.contains(service))
        };
        if wanted.iter().all(|service| known(&found, service)) {
            return found;
        }
        // A vhost of the server that the file does not list may have the service.
        let others = names.iter().take(MOST_HOSTS).filter_map(|name| Vhost::new(name).ok());
        for host in others {
            if found.contains_key(&host) {
                continue;
            }
            if let Ok(services) = self.server.host_services(&host).await {
                found.insert(host, services);
            }
        }
        found
    }

    /// Reads the listeners to compare with the published ports; `None` if no ports are published,
    /// or if the operator has no configuration to read. Reads the listeners of the declared
    /// configuration if that configuration is not in force, because the plan puts that
    /// configuration in force.
    pub(super) async fn listeners_behind(
        &self,
        desired: &DesiredState,
        drift: &Reading<Option<RuntimeDrift>>,
        config: Option<&Reading<ConfigReading>>,
        reachability: Reachability,
    ) -> Option<Reading<Vec<ListenerPort>>> {
        let published = match (drift, &desired.server.runtime) {
            (Reading::Known(Some(found)), _) => !found.host_network && !found.ports.is_empty(),
            (_, Runtime::Docker(docker)) => {
                docker.network == Network::Bridge && !docker.ports.is_empty()
            }
            (_, Runtime::Process(_) | Runtime::External(_)) => false,
        };
        if !published {
            return None;
        }
        let in_force = match config {
            Some(Reading::Known(reading)) => reading.declared == reading.in_force,
            Some(Reading::Unknown(_)) => false,
            None => true,
        };
        let listeners = match &desired.config {
            _ if in_force && reachability == Reachability::Responds => {
                self.listeners_in_force().await
            }
            Some(config) => self.listeners_declared(desired, config, reachability).await,
            None => return None,
        };
        Some(match listeners {
            Ok(listeners) => Reading::Known(listeners),
            Err(why) => Reading::Unknown(why),
        })
    }

    /// Reads the listeners of the declared configuration. If the server responds, ejabberd parses
    /// the files; otherwise the operator reads the main file as plain YAML. Fails if neither is
    /// possible.
    async fn listeners_declared(
        &self,
        desired: &DesiredState,
        config: &Config,
        reachability: Reachability,
    ) -> Result<Vec<ListenerPort>, String> {
        let files =
            self.configs.declared_config(config).await.map_err(|e| format!("failed to {e}"))?;
        if reachability == Reachability::Responds {
            let judged = self.configs.judge(Some(desired), &files).await;
            return declared(&*judged.map_err(|failure| failure.message)?);
        }
        let main = files.get(MAIN_CONFIG).map(Vec::as_slice).unwrap_or_default();
        let plain = Configuration::of_plain_text(main);
        declared(&plain.ok_or(
            "the listeners of the declared configuration can be read only when the server runs",
        )?)
    }

    async fn listeners_in_force(&self) -> Result<Vec<ListenerPort>, String> {
        use crate::ejabberd::client::ListenAddress;
        let all = self.server.all_listeners().await.map_err(|e| format!("failed to {e}"))?;
        let ports = all.into_iter().filter_map(|listener| match listener.address {
            ListenAddress::Net(at) => {
                Some(ListenerPort { at, udp: listener.udp, module: listener.module })
            }
            ListenAddress::Unix(_) => None,
        });
        Ok(ports.collect())
    }
}

fn declared(configuration: &Configuration) -> Result<Vec<ListenerPort>, String> {
    let ports = configuration.listeners()?.into_iter().filter_map(|listener| {
        let udp = listener.transport == Transport::Udp;
        Some(ListenerPort { at: listener.at()?, udp, module: listener.module.to_owned() })
    });
    Ok(ports.collect())
}
