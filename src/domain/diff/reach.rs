//! Finds published ports that clients cannot reach.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::ChangeSet;
use crate::domain::observed::{ListenerPort, ObservedState, Published, Reading};
use crate::domain::spec::{DesiredState, Network, Runtime};

/// Adds a note for each published port that clients cannot reach. Docker forwards a published port
/// to the container's address, not to the loopback inside the container (tested with Docker 20 to
/// 29).
pub(super) fn notes(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let Some(Reading::Known(listeners)) = &observed.listeners else { return };
    for port in published(desired, observed) {
        let behind: Vec<&ListenerPort> =
            listeners.iter().filter(|l| l.udp == port.udp && l.at.port() == port.inside).collect();
        if behind.is_empty() {
            set.notes.push(format!(
                "the port {port} is published, and no listener in the configuration uses the port, \
                 so clients cannot connect; ignore this note if a module, such as mod_proxy65, \
                 opens the port; otherwise add a listener"
            ));
        } else if behind.iter().all(|l| l.at.ip().is_loopback()) {
            let modules: BTreeSet<&str> = behind.iter().map(|l| l.module.as_str()).collect();
            let modules: Vec<&str> = modules.into_iter().collect();
            let listen = if modules.len() == 1 { "listens" } else { "listen" };
            set.notes.push(format!(
                "the port {port} is published, and clients cannot reach it: {} {listen} on {}, and \
                 Docker does not forward to the loopback inside the container; set the `ip` of the \
                 listener to 0.0.0.0 and publish the port on 127.0.0.1, or use `network: host`",
                modules.join(" and "),
                behind.first().map_or_else(String::new, |l| l.at.ip().to_string()),
            ));
        }
    }
}

/// Returns the ports that the container publishes, or that a new container will publish.
pub(super) fn published(desired: &DesiredState, observed: &ObservedState) -> Vec<Published> {
    match &observed.drift {
        Reading::Known(Some(found)) if found.host_network => Vec::new(),
        Reading::Known(Some(found)) => found.ports.clone(),
        _ => match &desired.server.runtime {
            Runtime::Docker(docker) if docker.network == Network::Bridge => docker
                .ports
                .iter()
                .map(|port| Published {
                    outside: SocketAddr::new(port.address, port.host_port),
                    inside: port.container_port,
                    udp: false,
                })
                .collect(),
            _ => Vec::new(),
        },
    }
}
