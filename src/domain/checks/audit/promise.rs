//! What a configuration that is called `hardened` promises, judged before it is in force.

use std::net::SocketAddr;

use super::{Answer, CHECKS, Evidence, Verdict, access, fails, file, holds, unknown};
use crate::domain::configuration::{Configuration, Transport, Value};

type Judge = fn(&Configuration) -> Answer;

/// What a configuration alone can break, and how it is judged without a server. The names are
/// those of the checklist.
const PROMISES: [(&str, Judge); 5] = [
    ("loopback_inside", loopback),
    ("api_commands", access::api_commands),
    ("web_handlers", file::handlers),
    ("starttls_file", file::starttls),
    ("rooms_members_only", file::members_only),
];

/// The module that opens a port without an entry of `listen`.
const PROXY: &str = "mod_proxy65";

/// The first item of the checklist that a server with this configuration would fail for sure, and
/// the fault. The health gate judges the items that only a running server shows.
#[must_use]
pub fn broken_promise(config: &Configuration) -> Option<(&'static str, String)> {
    PROMISES.iter().find_map(|(name, judge)| match judge(config) {
        (Verdict::Fails, seen) => Some((*name, seen)),
        _ => None,
    })
}

/// Items that no configuration can satisfy, so the operator checks them before a
/// rollout. The restart policy is not among them, because it exposes no data.
const AROUND: [&str; 4] =
    ["loopback_published", "distribution_local", "docker_socket", "not_privileged"];

/// The first item that fails because of the container or host, and the finding.
#[must_use]
pub fn broken_around(evidence: &Evidence) -> Option<(&'static str, String)> {
    let items = CHECKS.iter().filter(|check| AROUND.contains(&check.name));
    items.map(|check| (check.name, (check.look)(evidence))).find_map(|(name, answer)| {
        let (verdict, seen) = answer;
        (verdict == Verdict::Fails).then_some((name, seen))
    })
}

/// Whether the server would listen on loopback alone.
fn loopback(config: &Configuration) -> Answer {
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
        // Without `ip`, the address that the name of the machine has (`mod_proxy65:get_my_ip/0`).
        let ip = proxy.get("ip").and_then(Value::text).and_then(|ip| ip.parse().ok());
        if !ip.is_some_and(|ip: std::net::IpAddr| ip.is_loopback()) {
            wrong.push(format!("{PROXY} of {host} has no `ip` on loopback"));
        }
    }
    if wrong.is_empty() { holds("every listener is on loopback") } else { fails(wrong.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Option<(&'static str, String)> {
        broken_promise(&Configuration::from_dump(text.as_bytes()).unwrap())
    }

    /// As the shipped variants, in which there is nothing to expand.
    const HARDENED: &str = include_str!("../../../../manifests/ejabberd/ejabberd-hardened.yml");
    const PERMISSIVE: &str = include_str!("../../../../manifests/ejabberd/ejabberd-permissive.yml");

    #[test]
    fn a_promise_is_judged_before_the_server_has_the_configuration() {
        assert_eq!(broken(HARDENED), None);
        assert_eq!(broken(PERMISSIVE).map(|(check, _)| check), Some("loopback_inside"));
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
            let (check, seen) = found.unwrap_or_else(|| panic!("{from} → {to}: nothing is broken"));
            assert_eq!(check, name, "{seen}");
            assert!(seen.contains(words), "{seen}");
        }
    }
}
