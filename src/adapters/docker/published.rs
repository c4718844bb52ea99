//! The ports of the host that Docker publishes for the container.

use std::fs;
use std::io::Read;
use std::net::IpAddr;

use bollard::models::{ContainerInspectResponse, PortMap};

use super::drift::bindings;
use crate::domain::observed::Published;

/// The maximum number of bytes to read of a command line. The command line of a proxy is shorter.
const MOST_BYTES: u64 = 4096;

/// The published ports: the ports from the container's creation and, while the container runs, the
/// actual ports, because the engine chooses the port for `-P` and `-p 5222`. A range such as
/// `-p 8000-8010:8000-8010` publishes eleven ports. Empty with the host's network.
pub(super) fn ports(container: &ContainerInspectResponse) -> Vec<Published> {
    let host = container.host_config.as_ref();
    if host.and_then(|host| host.network_mode.as_deref()) == Some("host") {
        return Vec::new();
    }
    let mut ports = of(host.and_then(|host| host.port_bindings.as_ref()));
    ports.extend(bound(container));
    ports.retain(|port| port.outside.port() != 0);
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The ports that the engine holds open for the container now.
pub(super) fn bound(container: &ContainerInspectResponse) -> Vec<Published> {
    of(container.network_settings.as_ref().and_then(|network| network.ports.as_ref()))
}

fn of(map: Option<&PortMap>) -> Vec<Published> {
    let kinds = [("/tcp", false), ("/udp", true)];
    let all = kinds.into_iter().flat_map(|(kind, udp)| {
        let pairs = bindings(map, kind).into_iter();
        pairs.map(move |(outside, inside)| Published { outside, inside, udp })
    });
    all.collect()
}

/// The addresses of the container in its networks.
pub(super) fn addresses(container: &ContainerInspectResponse) -> Vec<IpAddr> {
    let networks = container.network_settings.as_ref().and_then(|n| n.networks.as_ref());
    let networks = networks.into_iter().flatten().map(|(_, network)| network);
    let texts = networks.flat_map(|network| {
        let six = network.global_ipv6_address.as_deref();
        [network.ip_address.as_deref(), six].into_iter().flatten().map(str::to_owned)
    });
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Whether the process `pid` is a `docker-proxy` that forwards to one of `addresses`: its command
/// line has `-container-ip ADDRESS`.
pub(super) fn is_proxy(pid: i32, addresses: &[IpAddr]) -> bool {
    let mut line = Vec::new();
    let read = fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut line));
    read.is_ok() && proxies(&line, addresses)
}

fn proxies(command_line: &[u8], addresses: &[IpAddr]) -> bool {
    let arguments: Vec<&str> = command_line
        .split(|byte| *byte == 0)
        .filter_map(|argument| str::from_utf8(argument).ok())
        .collect();
    let named = |argument: &&str| argument.rsplit('/').next() == Some("docker-proxy");
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let to = pairs.filter(|(flag, _)| flag.trim_start_matches('-') == "container-ip");
    arguments.first().is_some_and(named)
        && to.filter_map(|(_, address)| address.parse().ok()).any(|to| addresses.contains(&to))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{EndpointSettings, HostConfig, NetworkSettings, PortBinding};

    use super::*;

    fn map(ports: &[(&str, &str, &str)]) -> PortMap {
        let mut map: PortMap = HashMap::new();
        for (inside, ip, outside) in ports {
            let binding = PortBinding {
                host_ip: Some((*ip).to_owned()),
                host_port: Some((*outside).to_owned()),
            };
            map.entry((*inside).to_owned()).or_default().get_or_insert_default().push(binding);
        }
        map
    }

    fn container(network: &str, asked: PortMap, now: PortMap) -> ContainerInspectResponse {
        let endpoint =
            EndpointSettings { ip_address: Some("172.17.0.5".into()), ..Default::default() };
        ContainerInspectResponse {
            host_config: Some(HostConfig {
                network_mode: Some(network.to_owned()),
                port_bindings: Some(asked),
                ..Default::default()
            }),
            network_settings: Some(NetworkSettings {
                ports: Some(now),
                networks: Some(HashMap::from([("bridge".to_owned(), endpoint)])),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn every_published_port_is_seen_with_its_protocol() {
        let asked = map(&[
            ("5222/tcp", "127.0.0.1", "5222"),
            ("3478/udp", "", "3478"),
            ("80/tcp", "", "0"),
        ]);
        let now = map(&[
            ("5222/tcp", "127.0.0.1", "5222"),
            ("80/tcp", "0.0.0.0", "49153"),
            ("80/tcp", "::", "49153"),
        ]);
        let found = container("bridge", asked.clone(), now.clone());
        let shown: Vec<String> = ports(&found).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0:3478 -> 3478/udp",
                "0.0.0.0:49153 -> 80",
                "127.0.0.1:5222 -> 5222",
                "[::]:49153 -> 80"
            ]
        );
        assert_eq!(bound(&found).len(), 3);
        assert_eq!(addresses(&found), ["172.17.0.5".parse::<IpAddr>().unwrap()]);
        assert_eq!(ports(&container("host", asked, now)), []);
    }

    #[test]
    fn a_proxy_belongs_to_the_container_that_receives_its_traffic() {
        let line = |ip: &str| {
            format!(
                "/usr/bin/docker-proxy\0-proto\0tcp\0-host-ip\x000.0.0.0\0-container-ip\0{ip}\0-container-port\x005222\0"
            )
        };
        let ours = ["172.17.0.5".parse().unwrap()];
        assert!(proxies(line("172.17.0.5").as_bytes(), &ours));
        assert!(!proxies(line("172.17.0.6").as_bytes(), &ours));
        assert!(!proxies(line("172.17.0.5").as_bytes(), &[]));
        assert!(!proxies(line("172.17.0.5").replace("docker-proxy", "nc").as_bytes(), &ours));
        assert!(!proxies(b"", &ours) && !proxies(&[0xff, 0, 0xff], &ours));
        assert!(!is_proxy(i32::try_from(std::process::id()).unwrap(), &ours));
    }
}
