//! Tests each item with evidence that passes, evidence that fails and missing evidence, and tests
//! the two shipped variants.

mod api;
mod chain;
mod file;
mod network;
mod published;

use super::*;
use crate::domain::configuration::Configuration;
use crate::domain::model::ServerVersion;
use crate::domain::observed::{Reading, RuntimeDrift};
use Verdict::{Fails, Passes, Unknown};

const HARDENED: &str = include_str!("../../../../../manifests/ejabberd/ejabberd-hardened.yml");
const PERMISSIVE: &str = include_str!("../../../../../manifests/ejabberd/ejabberd-permissive.yml");

const REQUIRED: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
const OFFERED: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms><required/></mechanisms></stream:features>";

fn sockets(of: &[(&str, u32)]) -> Vec<Socket> {
    of.iter().map(|(at, user)| Socket { at: at.parse().unwrap(), user: *user }).collect()
}

fn wire(at: &str, tls: bool, features: &str) -> Reading<Vec<Wire>> {
    let listener = ClientListener { at: at.parse().unwrap(), tls, proxied: false };
    Reading::Known(vec![Wire { listener, features: Reading::Known(features.to_owned()) }])
}

fn distribution(port: Option<u16>) -> Reading<Distribution> {
    Reading::Known(Distribution { port, mapper: 4369 })
}

/// Returns the evidence of a server that passes every item. The server has the host's network.
fn good() -> Evidence {
    let own = sockets(&[
        ("127.0.0.1:4369", 995),
        ("127.0.0.1:5222", 995),
        ("127.0.0.1:5280", 995),
        ("127.0.0.1:38237", 995),
        ("0.0.0.0:22", 0),
    ]);
    Evidence {
        variant: Some(Variant { name: "hardened".into(), in_force: Reading::Known(true) }),
        configuration: read(HARDENED),
        inside: Reading::Known(Inside { user: 995, tcp: own.clone(), udp: Vec::new() }),
        distribution: distribution(Some(38237)),
        host: Reading::Known(own),
        drift: Reading::Known(RuntimeDrift { host_network: true, ..RuntimeDrift::default() }),
        wire: wire("127.0.0.1:5222", false, REQUIRED),
        version: Reading::Known(ServerVersion { year: 26, month: 7 }),
        certificates: Reading::Known(Vec::new()),
        clients: Vec::new(),
        nginx: Reading::Known(None),
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn no<T>() -> Reading<T> {
    Reading::Unknown("it hid".into())
}

/// Returns the configuration in `text`, which must contain no macros.
fn read(text: &str) -> Reading<Configuration> {
    Reading::Known(Configuration::from_dump(text.as_bytes()).unwrap())
}

fn config(e: &mut Evidence, from: &str, to: &str) {
    assert!(HARDENED.contains(from), "{from} is not in the file");
    text(e, &HARDENED.replacen(from, to, 1));
}

fn text(e: &mut Evidence, text: &str) {
    e.configuration = read(text);
}

fn inside(e: &mut Evidence, own: &[(&str, u32)]) {
    e.inside = Reading::Known(Inside { user: 995, tcp: sockets(own), udp: Vec::new() });
}

fn around(e: &mut Evidence, change: impl Fn(&mut RuntimeDrift)) {
    let Reading::Known(drift) = &mut e.drift else { panic!("no drift") };
    change(drift);
}

fn bridge(e: &mut Evidence, published: &[&str], host: &[(&str, u32)]) {
    let published: Vec<_> = published.iter().map(|at| at.parse().unwrap()).collect();
    around(e, |s| {
        s.host_network = false;
        s.published.clone_from(&published);
    });
    e.host = Reading::Known(sockets(host));
}

fn permissions(e: &mut Evidence, rule: &str) {
    text(e, &format!("api_permissions:\n  \"r\": {rule}\n"));
}

fn handlers(e: &mut Evidence, more: &str) {
    text(e, &format!("listen:\n  - {{ port: 5280, module: ejabberd_http, {more} }}\n"));
}

fn clients(e: &mut Evidence, more: &str) {
    text(e, &format!("listen:\n  - {{ port: 5222, module: ejabberd_c2s{more} }}\n"));
}

/// A change of the evidence, the name of an item, the expected verdict of the item, and a part of
/// the expected message.
type Case = (fn(&mut Evidence), &'static str, Verdict, &'static str);

fn finding(e: &Evidence, name: &str) -> Finding {
    check(e).into_iter().find(|finding| finding.check == name).unwrap()
}

fn table(cases: &[Case]) {
    for (n, (change, name, verdict, words)) in cases.iter().enumerate() {
        let mut evidence = good();
        change(&mut evidence);
        let Finding { verdict: found, seen, .. } = finding(&evidence, name);
        assert_eq!(found, *verdict, "case {n}, {name}: {seen}");
        assert!(seen.contains(words), "case {n}, {name}: {seen:?} lacks {words:?}");
    }
}

#[test]
fn a_hardened_server_passes_every_item() {
    for finding in check(&good()) {
        assert_eq!(finding.verdict, Passes, "{finding:?}");
    }
}

#[test]
fn the_permissive_variant_fails_the_items_about_its_content() {
    let mut evidence = good();
    text(&mut evidence, PERMISSIVE);
    let failing: Vec<&str> =
        check(&evidence).iter().filter(|f| f.verdict == Fails).map(|f| f.check).collect();
    assert_eq!(failing, ["api_commands", "web_handlers", "starttls_file", "rooms_members_only"]);
    let seen = finding(&evidence, "api_commands").seen;
    for words in [
        "\"administration\" lets the callers in its `who` call everything but stop, start, through every channel",
        "\"public commands\" lets everybody call register, create_room, through mod_http_api",
    ] {
        assert!(seen.contains(words), "{seen}");
    }
    let seen = finding(&evidence, "web_handlers").seen;
    for words in ["/admin: ejabberd_web_admin", "/bosh: mod_bosh", "/ws: ejabberd_http_ws"] {
        assert!(seen.contains(words), "{seen}");
    }
    assert!(!seen.contains("/api"), "{seen}");
}

#[test]
fn missing_evidence_never_passes() {
    let evidence = Evidence {
        variant: Some(Variant { name: "hardened".into(), in_force: no() }),
        configuration: no(),
        inside: no(),
        distribution: no(),
        host: no(),
        drift: no(),
        wire: no(),
        version: no(),
        certificates: no(),
        clients: vec![ClientEvidence { name: "nexus".into(), act_as: Vec::new(), token: no() }],
        nginx: no(),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    // The file itself is the evidence of `messaging_act_as`.
    for finding in check(&evidence).iter().filter(|finding| finding.check != "messaging_act_as") {
        assert!(finding.verdict == Unknown && finding.seen.contains("it hid"), "{finding:?}");
        assert_eq!(finding.verdict.passed(), None);
    }
}

#[test]
fn names_are_unique_and_each_item_has_a_title_a_reason_and_a_cure() {
    let names: std::collections::BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), CHECKS.len());
    for check in CHECKS {
        assert!(check.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", check.name);
        assert!(!check.topic.title.is_empty() && check.topic.why.ends_with('.'), "{}", check.name);
        assert!(check.cure.is_some_and(|cure| !cure.is_empty()), "{}", check.name);
    }
}

#[test]
fn version_variant_and_container_are_judged() {
    table(&[
        (|e| e.variant = None, "variant_hardened", Fails, "spec.config is missing"),
        (
            |e| e.variant.as_mut().unwrap().name = "permissive".into(),
            "variant_hardened",
            Fails,
            "`permissive` is declared",
        ),
        (
            |e| e.variant.as_mut().unwrap().in_force = Reading::Known(false),
            "variant_hardened",
            Fails,
            "the files on the server differ",
        ),
        (
            |e| e.version = Reading::Known(ServerVersion { year: 23, month: 1 }),
            "version_floor",
            Passes,
            "ejabberd 23.01",
        ),
        (
            |e| e.version = Reading::Known(ServerVersion { year: 22, month: 10 }),
            "version_floor",
            Fails,
            "22.10, older than 23.01",
        ),
        (
            |e| around(e, |s| s.restarted_by = Some("Docker's restart policy `always`".into())),
            "restart_policy",
            Fails,
            "`always`",
        ),
        (
            |e| around(e, |s| s.engine_socket = Some("/var/run".into())),
            "docker_socket",
            Fails,
            "/var/run of the host is mounted",
        ),
        (
            |e| around(e, |s| s.privileged = true),
            "not_privileged",
            Fails,
            "the rights of the host's root",
        ),
    ]);
}
