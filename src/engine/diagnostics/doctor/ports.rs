//! Collects the ports of the configured listeners, and the programs that occupy the ports.

use std::net::SocketAddr;

use super::explained;
use crate::domain::checks::doctor::Port;
use crate::domain::configuration::{Configuration, Listener, Transport};
use crate::domain::observed::{ProcessState, Reading, RuntimeDiagnostics};
use crate::domain::spec::{DesiredState, Docker, Network, PortMapping, Runtime};
use crate::engine::diagnostics::Diagnostics;

/// An address on this host at which clients must reach the server.
struct Wanted {
    at: SocketAddr,
    module: String,
}

impl Diagnostics {
    /// Returns the TCP ports of the server on this host, each with the sockets that occupy the
    /// port.
    pub(super) async fn ports(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        diagnostics: &Reading<RuntimeDiagnostics>,
        in_force: &Reading<Configuration>,
    ) -> Result<Vec<Port>, String> {
        let listeners = match in_force {
            Reading::Known(configuration) => configuration.listeners(),
            Reading::Unknown(why) => Err(why.clone()),
        };
        let wanted = match &desired.server.runtime {
            Runtime::Docker(docker) if docker.network == Network::Bridge => {
                let exists = !matches!(process, Reading::Known(ProcessState::Absent));
                let diagnostics = diagnostics.known().filter(|_| exists);
                // If the configuration is unknown, the published ports have no module.
                published(docker, diagnostics, &listeners.unwrap_or_default())
            }
            Runtime::Docker(_) | Runtime::Process(_) | Runtime::External(_) => {
                declared(&listeners?)
            }
        };
        let numbers: Vec<u16> = wanted.iter().map(|wanted| wanted.at.port()).collect();
        let holders = explained(self.runtime.holders(&numbers).await)?;
        let ports = wanted.into_iter().map(|Wanted { at, module }| {
            let holders = holders.iter().filter(|holder| clash(holder.at, at)).cloned().collect();
            Port { at, module, open: None, holders }
        });
        Ok(ports.collect())
    }
}

/// Returns the published ports of a container in a bridge network: the ports of the existing
/// container or, if there is no container, the declared ports.
fn published(
    docker: &Docker,
    diagnostics: Option<&RuntimeDiagnostics>,
    listeners: &[Listener<'_>],
) -> Vec<Wanted> {
    let ports: Vec<(SocketAddr, u16)> = match diagnostics {
        Some(diagnostics) => diagnostics.published.clone(),
        None => {
            let at = |port: &PortMapping| SocketAddr::new(port.address, port.host_port);
            docker.ports.iter().map(|port| (at(port), port.container_port)).collect()
        }
    };
    let module = |port: u16| {
        let found = tcp(listeners).find(|(at, _)| at.port() == port);
        found.map_or("published", |(_, module)| module).to_owned()
    };
    ports.into_iter().map(|(at, port)| Wanted { at, module: module(port) }).collect()
}

/// Returns the ports of the configured listeners of a server in the network of this host.
fn declared(listeners: &[Listener<'_>]) -> Vec<Wanted> {
    tcp(listeners).map(|(at, module)| Wanted { at, module: module.to_owned() }).collect()
}

/// Returns the addresses and modules of the TCP listeners.
fn tcp<'l>(listeners: &'l [Listener<'_>]) -> impl Iterator<Item = (SocketAddr, &'l str)> {
    let tcp = listeners.iter().filter(|listener| listener.transport == Transport::Tcp);
    tcp.filter_map(|listener| Some((listener.at()?, listener.module)))
}

/// Whether two sockets cannot listen at these addresses at the same time.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_clash_only_on_the_same_port() {
        let at = |text: &str| text.parse().unwrap();
        assert!(clash(at("0.0.0.0:5222"), at("127.0.0.1:5222")));
        assert!(clash(at("127.0.0.1:5222"), at("[::]:5222")));
        assert!(clash(at("127.0.0.1:5222"), at("127.0.0.1:5222")));
        assert!(!clash(at("127.0.0.2:5222"), at("127.0.0.1:5222")));
        assert!(!clash(at("0.0.0.0:5223"), at("127.0.0.1:5222")));
    }
}
