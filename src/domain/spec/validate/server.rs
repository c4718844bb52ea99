//! Validates `spec.server`.

use super::secrets::Generation;
use super::{Scope, secrets};
use crate::domain::spec::decode::decode;
use crate::domain::spec::desired::{
    Announce, Backoff, Docker, External, Maintenance, Network, PortMapping, Probe, Process,
    Recreate, Runtime, Server, ServerState, TableStorage, Window,
};
use crate::domain::spec::document::Port;
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::{document, mask, suggest};

const RUNTIMES: [&str; 3] = ["docker", "process", "external"];

pub(super) fn check(node: &Node, scope: &mut Scope<'_, '_>) -> Option<Server> {
    let written = decode::<document::Server>(node, &[], scope.report)?;
    let document::Server {
        docker,
        process,
        external,
        state,
        accounts_table,
        probe,
        backoff,
        maintenance,
        announce,
    } = written;

    // Count the keys in the file, not the decoded values, because a runtime with a decoding error
    // is also a choice.
    let given: Vec<&str> = RUNTIMES.into_iter().filter(|key| node.get(key).is_some()).collect();
    if given.len() != 1 {
        let message = match given.as_slice() {
            [] => "`server` does not say how the server runs".to_owned(),
            [..] => format!(
                "`server` allows one way to run the server, and here are {}",
                suggest::listed(given.iter().copied())
            ),
        };
        let last = given.last().and_then(|key| node.entry(key));
        scope.report.error(last.map_or(node.span, |entry| entry.key_span), message).help =
            Some(format!("give exactly one of {}", suggest::listed(RUNTIMES)));
    }
    let docker =
        docker.zip(node.get("docker")).map(|(docker, node)| check_docker(docker, node, scope));
    let process = process
        .zip(node.get("process"))
        .and_then(|(process, node)| check_process(process, node, scope));
    let external = external
        .zip(node.get("external"))
        .and_then(|(external, node)| check_external(external, node, scope));
    let runtime = docker
        .map(Runtime::Docker)
        .or(process.map(Runtime::Process))
        .or(external.map(Runtime::External));

    if matches!(accounts_table, Some(document::TableStorage::RamCopies)) {
        let span = node.get("accountsTable").map_or(node.span, |value| value.span);
        scope
            .report
            .warning(
                span,
                "`ram_copies` keeps accounts only in memory: a restart loses all accounts",
            )
            .help = Some("`disc_copies` is as fast, and keeps the accounts on disk too".to_owned());
    }
    Some(Server {
        state: match state {
            document::ServerState::Running => ServerState::Running,
            document::ServerState::Stopped => ServerState::Stopped,
        },
        accounts_table: accounts_table.map(|table| match table {
            document::TableStorage::DiscOnlyCopies => TableStorage::DiscOnlyCopies,
            document::TableStorage::DiscCopies => TableStorage::DiscCopies,
            document::TableStorage::RamCopies => TableStorage::RamCopies,
        }),
        probe: check_probe(&probe, node.get("probe"), scope),
        backoff: check_backoff(&backoff, node.get("backoff"), scope),
        maintenance: check_maintenance(maintenance, node.get("maintenance"), scope),
        announce: announce
            .map(|document::Announce { delay, text }| Announce { delay: delay.0, text }),
        runtime: runtime?,
    })
}

fn check_docker(docker: document::Docker, node: &Node, scope: &mut Scope<'_, '_>) -> Docker {
    let document::Docker {
        container,
        image,
        engine,
        network,
        ports,
        volumes,
        environment,
        config_path,
        recreate,
    } = docker;
    let span_of = |key| super::objects::field(node, key);

    docker_name("a container", &container, span_of("container"), scope);
    if image.as_ref().is_some_and(|image| image.is_empty() || image.contains(char::is_whitespace)) {
        scope.report.error(span_of("image"), "this cannot be an image");
    }
    if engine.strip_prefix("unix://").is_none_or(str::is_empty) {
        scope
            .report
            .error(
                span_of("engine"),
                format!("{} is not the socket of a Docker engine", mask::quoted(&engine)),
            )
            .help = Some("use the engine of this host: `unix:///var/run/docker.sock`".into());
    }
    if network == document::Network::Host && !ports.is_empty() {
        let span = node.entry("ports").map_or(node.span, |entry| entry.key_span);
        scope
            .report
            .error(span, "a container in the network of the host publishes no ports")
            .help = Some("remove `ports`, or write `network: bridge`".into());
    }
    check_volumes(node.get("volumes"), scope);
    check_environment(node.get("environment"), scope);
    if config_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        scope.report.error(span_of("configPath"), "a path in the container begins with `/`");
    }
    Docker {
        container,
        image,
        engine,
        network: match network {
            document::Network::Host => Network::Host,
            document::Network::Bridge => Network::Bridge,
        },
        ports: check_ports(&ports, node.get("ports"), scope),
        volumes,
        environment,
        config_path,
        recreate: match recreate {
            document::Recreate::Never => Recreate::Never,
            document::Recreate::WhenChanged => Recreate::WhenChanged,
        },
    }
}

fn check_ports(ports: &[Port], node: Option<&Node>, scope: &mut Scope<'_, '_>) -> Vec<PortMapping> {
    let mut published = std::collections::HashSet::new();
    let spans = super::spans(node, ports.len());
    ports
        .iter()
        .zip(spans)
        .map(|(&Port { address, host, container }, span)| {
            if let Some(span) = span
                && !published.insert((address, host))
            {
                scope.report.error(span, format!("port {host} of {address} is published twice"));
            }
            PortMapping { address, host_port: host, container_port: container }
        })
        .collect()
}

fn check_volumes(node: Option<&Node>, scope: &mut Scope<'_, '_>) {
    for entry in node.map(Node::entries).unwrap_or_default() {
        if !entry.key.starts_with('/') {
            let message = format!("{} is not a path in the container", mask::quoted(&entry.key));
            scope.report.error(entry.key_span, message).help =
                Some("write a volume as `/path/in/the/container: name`".into());
        }
        if let Some(name) = entry.value.text() {
            docker_name("a volume", name, entry.value.span, scope);
        }
    }
}

fn check_environment(node: Option<&Node>, scope: &mut Scope<'_, '_>) {
    for entry in node.map(Node::entries).unwrap_or_default() {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            let message = format!("{} cannot be the name of a variable", mask::quoted(&entry.key));
            scope.report.error(entry.key_span, message);
        } else if mask::names_a_secret(&entry.key) {
            let message = format!(
                "{} looks like a secret, and `docker inspect` shows it",
                mask::quoted(&entry.key)
            );
            scope.report.warning(entry.key_span, message);
        }
    }
}

/// Reports a name that breaks Docker's rule for names.
fn docker_name(what: &str, name: &str, span: Span, scope: &mut Scope<'_, '_>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let valid = name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed);
    if !valid {
        let message = format!("{} cannot be the name of {what}", mask::quoted(name));
        scope.report.error(span, message).help = Some(
            "Docker accepts names of two or more letters, digits, `_`, `.` and `-` that begin with a letter or digit".into(),
        );
    }
}

fn check_process(
    process: document::Process,
    node: &Node,
    scope: &mut Scope<'_, '_>,
) -> Option<Process> {
    let document::Process { ejabberdctl, directory } = process;
    let ejabberdctl =
        secrets::path(&ejabberdctl, super::objects::field(node, "ejabberdctl"), scope);
    let directory = match directory {
        Some(directory) => {
            Some(secrets::path(&directory, super::objects::field(node, "directory"), scope)?)
        }
        None => None,
    };
    Some(Process { ejabberdctl: ejabberdctl?, directory })
}

fn check_external(
    external: document::External,
    node: &Node,
    scope: &mut Scope<'_, '_>,
) -> Option<External> {
    let document::External { url, token_from } = external;
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| {
        host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace)
    }) {
        let message = format!("{} is not the address of an HTTP server", mask::quoted(&url));
        scope.report.error(super::objects::field(node, "url"), message).help =
            Some("write the address as `https://xmpp.example.org:5443/api`".into());
    } else if host.is_some_and(|host| host.split('/').next().is_some_and(|host| host.contains('@')))
    {
        scope.report.add_secret(super::objects::field(node, "url"));
        scope
            .report
            .error(
                super::objects::field(node, "url"),
                "an address must not hold a name and a password",
            )
            .help = Some("use `tokenFrom`".into());
    }
    let token = match token_from.zip(node.get("tokenFrom")) {
        Some((from, node)) => Some(secrets::source(from, node, Generation::Forbidden, scope)?),
        None => None,
    };
    Some(External { url, token })
}

fn check_probe(probe: &document::Probe, node: Option<&Node>, scope: &mut Scope<'_, '_>) -> Probe {
    if probe.failures == 0
        && let Some(node) = node.and_then(|node| node.get("failures"))
    {
        scope.report.error(node.span, "`failures` must be at least 1");
    }
    Probe {
        interval: probe.interval.0,
        failures: probe.failures,
        start_deadline: probe.start_deadline.0,
    }
}

fn check_backoff(
    backoff: &document::Backoff,
    node: Option<&Node>,
    scope: &mut Scope<'_, '_>,
) -> Backoff {
    if backoff.initial.0 > backoff.max.0
        && let Some(node) = node
    {
        let message = format!(
            "the first wait ({}) is longer than the longest ({})",
            backoff.initial, backoff.max
        );
        let at = node.get("initial").or(node.get("max")).unwrap_or(node);
        scope.report.error(at.span, message);
    }
    Backoff { initial: backoff.initial.0, max: backoff.max.0, reset_after: backoff.reset_after.0 }
}

fn check_maintenance(
    maintenance: document::Maintenance,
    node: Option<&Node>,
    scope: &mut Scope<'_, '_>,
) -> Maintenance {
    let document::Maintenance { windows, timezone } = maintenance;
    // The validation checks only the form, because the time zones on the host of the operator are
    // unknown here.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '+' | '-');
    let valid =
        timezone.starts_with(|c: char| c.is_ascii_alphabetic()) && timezone.chars().all(allowed);
    if !valid && let Some(node) = node.and_then(|node| node.get("timezone")) {
        scope
            .report
            .error(node.span, format!("{} is not a time zone", mask::quoted(&timezone)))
            .help = Some("write the name of a zone, such as `UTC` or `Europe/Berlin`".into());
    }
    Maintenance {
        windows: windows
            .into_iter()
            .map(|window| Window { start: window.0, end: window.1 })
            .collect(),
        timezone,
    }
}
