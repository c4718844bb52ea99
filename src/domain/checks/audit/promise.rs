//! Judges, before a rollout, the items that a configuration with the name `hardened` must pass.

use std::net::SocketAddr;

use super::{CHECKS, Evidence, Judgement, Verdict, access, fails, file, passes, unknown};
use crate::domain::configuration::{Configuration, Transport, Value};

type Judge = fn(&Configuration) -> Judgement;

/// The items of the checklist that depend on the configuration alone, each with the function that
/// judges the item without a server.
const PROMISES: [(&str, Judge); 5] = [
    ("loopback_inside", loopback),
    ("api_commands", access::api_commands),
    ("web_handlers", file::handlers),
    ("starttls_file", file::starttls),
    ("rooms_members_only", file::members_only),
];

/// The name of the module that opens a port without an entry in `listen`.
const PROXY: &str = "mod_proxy65";

/// An item of the checklist that fails.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokenItem {
    /// The name of the item.
    pub check: &'static str,
    /// The observation in one sentence.
    pub seen: String,
}

/// Returns the first item that every server with this configuration fails; `None` if the
/// configuration breaks no item. The health gate judges the items that need a running server.
#[must_use]
pub fn broken_promise(config: &Configuration) -> Option<BrokenItem> {
    PROMISES.iter().find_map(|(check, judge)| {
        let Judgement { verdict, seen, .. } = judge(config);
        (verdict == Verdict::Fails).then_some(BrokenItem { check, seen })
    })
}

/// The item of a configuration that only a running server shows.
const ON_THE_WIRE: &str = "starttls_wire";

/// Returns the first item that the server fails because of its configuration; `None` if no such
/// item fails. An unknown item is no failure.
#[must_use]
pub fn broken_on_server(evidence: &Evidence) -> Option<BrokenItem> {
    let promised =
        |name: &str| name == ON_THE_WIRE || PROMISES.iter().any(|(check, _)| *check == name);
    first_broken(evidence, promised)
}

/// The items that depend on the container or the host. No change of the configuration can fix these
/// items, so the operator judges the items before a rollout. The item about the restart policy is
/// not in this list, because a restart policy exposes no data.
const AROUND: [&str; 4] =
    ["loopback_published", "distribution_local", "docker_socket", "not_privileged"];

/// Returns the first item that fails because of the container or the host; `None` if no such item
/// fails.
#[must_use]
pub fn broken_around(evidence: &Evidence) -> Option<BrokenItem> {
    first_broken(evidence, |name| AROUND.contains(&name))
}

/// Returns the first item of the checklist that fails, among those that `counts` names.
fn first_broken(evidence: &Evidence, counts: impl Fn(&str) -> bool) -> Option<BrokenItem> {
    let items = CHECKS.iter().filter(|check| counts(check.name));
    let mut findings = items.map(|check| check.run(evidence));
    let broken = findings.find(|finding| finding.verdict == Verdict::Fails)?;
    Some(BrokenItem { check: broken.check, seen: broken.seen })
}

/// Judges whether a server with this configuration listens on loopback only.
fn loopback(config: &Configuration) -> Judgement {
    let listeners = match config.listeners() {
        Ok(listeners) => listeners,
        Err(why) => return unknown(why),
    };
    let open = |at: &SocketAddr| !at.ip().is_loopback();
    let mut wrong: Vec<String> = listeners
        .iter()
        .filter_map(|listener| {
            let at = listener.at().filter(open)?;
            let udp = if listener.transport == Transport::Udp { " (UDP)" } else { "" };
            Some(format!("{} would listen at {at}{udp}", listener.module))
        })
        .collect();
    for host in config.hosts() {
        let Some(proxy) = config.module(&host, PROXY) else { continue };
        // If `ip` is not set, the module listens on the address of the host's name
        // (`mod_proxy65:get_my_ip/0`).
        let ip = proxy.get("ip").and_then(Value::text).and_then(|ip| ip.parse().ok());
        if !ip.is_some_and(|ip: std::net::IpAddr| ip.is_loopback()) {
            wrong.push(format!("{PROXY} of {host} has no `ip` on loopback"));
        }
    }
    if wrong.is_empty() { passes("every listener is on loopback") } else { fails(wrong.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Option<BrokenItem> {
        broken_promise(&Configuration::from_dump(text.as_bytes()).unwrap())
    }

    /// The shipped variants have no macros, so the content of the file is the expanded
    /// configuration.
    const HARDENED: &str = include_str!("../../../../manifests/ejabberd/ejabberd-hardened.yml");
    const PERMISSIVE: &str = include_str!("../../../../manifests/ejabberd/ejabberd-permissive.yml");

    #[test]
    fn a_configuration_is_judged_without_a_server() {
        assert_eq!(broken(HARDENED), None);
        assert_eq!(broken(PERMISSIVE).map(|broken| broken.check), Some("loopback_inside"));
        for (from, to, name, words) in [
            (
                "    ip: 127.0.0.1\n",
                "    ip: \"::\"\n",
                "loopback_inside",
                "ejabberd_c2s would listen at [::]:5222",
            ),
            ("    ip: 127.0.0.1\n", "", "loopback_inside", "0.0.0.0:5222"),
            ("modules:\n", "modules:\n  mod_proxy65: {}\n", "loopback_inside", "mod_proxy65 of"),
            ("starttls_required: true", "starttls_required: off", "starttls_file", "5222"),
            ("members_only: true", "members_only: off", "rooms_members_only", "false"),
            ("/api: mod_http_api", "/x: mod_bosh", "web_handlers", "mod_bosh"),
            ("/api: mod_http_api", "/x: ejabberd_ctl", "web_handlers", "ejabberd_ctl"),
        ] {
            assert!(HARDENED.contains(from), "{from}");
            let found = broken(&HARDENED.replacen(from, to, 1));
            let BrokenItem { check, seen } =
                found.unwrap_or_else(|| panic!("{from} → {to}: nothing is broken"));
            assert_eq!(check, name, "{seen}");
            assert!(seen.contains(words), "{seen}");
        }
    }
}
