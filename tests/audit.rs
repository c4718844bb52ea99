//! The security checklist on real servers: the shipped variants, and
//! containers that an administrator started with unsafe options.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::host::{Host, eventually};
use support::real::{docker, ejabberd_version, image};
use support::shipped;

const ITEMS: usize = 20;

/// Runs the audit, and returns the items by name, each with its verdict and text.
fn audit(host: &Host, code: i32) -> BTreeMap<String, (String, String)> {
    let ran = host.run(&["audit", "--output", "json"]).expect(code);
    let report = ran.json();
    let text = |item: &serde_json::Value, name: &str| item[name].as_str().unwrap().to_owned();
    let items: BTreeMap<_, _> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, "check"), (text(item, "verdict"), text(item, "seen"))))
        .collect();
    assert_eq!(items.len(), ITEMS);
    assert_eq!(report["holds"], code == 0);
    items
}

fn with_verdict<'a>(items: &'a BTreeMap<String, (String, String)>, verdict: &str) -> Vec<&'a str> {
    let found = items.iter().filter(|(_, (found, _))| found == verdict);
    found.map(|(name, _)| name.as_str()).collect()
}

/// The faults of tokens are found in their content and on the disk.
#[test]
fn weak_tokens_are_found_newest() {
    let host = Host::new("newest");
    let client = |name: &str, act_as: &str, token: &str| {
        let path = host.path(name);
        fs::write(&path, token).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!(
            "      - {{ name: {name}, actAs: [{act_as}], tokenFrom: {{ file: {} }} }}\n",
            path.display()
        )
    };
    let long = "0123456789abcdef".repeat(4);
    let clients = [
        client("first", "bot", &long),
        client("short", "\"bot-*\"", "0123456789abcdef"),
        client("same", "bot", &long),
        client("open", "bot", &long.replace('0', "x")),
    ];
    fs::set_permissions(host.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
    host.declare(&format!("  messaging:\n    clients:\n{}", clients.concat()));
    host.run(&["apply"]).expect(0);
    let items = audit(&host, 2);
    let (verdict, seen) = &items["messaging_tokens"];
    assert_eq!(verdict, "fails");
    for words in [
        "`short`: the token has 16 characters",
        "`same`: `first` has the same token",
        "`open`: every account of this host can read",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    assert!(!seen.contains("0123456789"), "{seen}");
}

/// Audits both shipped variants, with the network of the host.
fn variants(version: &str) {
    let host = Host::new(version);
    let _alone = shipped::host_network();
    shipped::certificate(&host);
    // A rollout must not run the programs that print tokens. The audit needs the tokens.
    let ran = host.path("ran");
    let token = "0123456789abcdef".repeat(4);
    let program = format!("echo >>{}; echo {token}", ran.display());
    let client = format!(
        "  messaging:\n    clients:\n      - {{ name: agent, actAs: [bot], tokenFrom: {{ command: [/bin/sh, -c, \"{program}\"] }} }}\n"
    );
    shipped::declare(&host, "host", "hardened", &client);
    host.run(&["apply"]).expect(0);
    assert!(!ran.exists(), "the rollout read the token");
    let items = audit(&host, 0);
    assert!(ran.exists() && items["messaging_tokens"].1.contains("1 client"), "{items:#?}");
    assert_eq!(with_verdict(&items, "holds").len(), ITEMS, "{items:#?}");
    let text = host.run(&["audit"]).expect(0).stdout;
    assert_eq!(text.matches('✓').count(), ITEMS, "{text}");
    assert!(
        text.contains(&ejabberd_version(version)) && text.contains("All of the 20 items hold."),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colour without a terminal");
    // The audit changes nothing, also in the state directory.
    host.run(&["plan", "--detailed-exitcode"]).expect(0);

    // The permissive variant is declared and not yet in force.
    shipped::declare(&host, "host", "permissive", "");
    let items = audit(&host, 2);
    assert_eq!(with_verdict(&items, "fails"), ["variant_hardened"], "{items:#?}");

    host.run(&["apply"]).expect(0);
    let items = audit(&host, 2);
    let expected = [
        ("api_commands", "\"public commands\" lets everybody call register, create_room"),
        ("loopback_host", ":5222 (ejabberd_c2s)"),
        ("loopback_inside", ":5280 (ejabberd_http)"),
        ("rooms_members_only", "members_only: false"),
        ("starttls_file", "the ejabberd_c2s on port 5222 has neither"),
        ("starttls_wire", "127.0.0.1:5222: it offers TLS and does not demand it"),
        ("variant_hardened", "`permissive` is declared"),
        ("web_handlers", "/admin: ejabberd_web_admin in the ejabberd_http on port 5280"),
    ];
    assert_eq!(with_verdict(&items, "fails"), expected.map(|(name, _)| name), "{items:#?}");
    assert_eq!(with_verdict(&items, "unknown"), Vec::<&str>::new(), "{items:#?}");
    for (name, words) in expected {
        assert!(items[name].1.contains(words), "{name}: {}", items[name].1);
    }
    let text = host.run(&["audit"]).expect(2).stdout;
    for words in ["✗  web_handlers", "request_handlers", "12 of 20 items hold, 8 do not."] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
}

#[test]
fn variants_newest() {
    variants("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn variants_24_12() {
    variants("24.12");
}

#[test]
fn variants_ecs() {
    variants("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn variants_ghcr() {
    variants("newest-ghcr");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn variants_23_01() {
    variants("23.01");
}

/// Audits the items that depend only on the options of the container.
#[test]
fn the_options_of_the_container_decide_its_items() {
    let host = Host::new("newest");
    host.declare("");
    let items = audit(&host, 2);
    // Without a server, only the declared variant, the certificates and messaging are known.
    // Whether this host has an nginx decides `nginx_routes`.
    let mut known = with_verdict(&items, "holds");
    known.retain(|name| *name != "nginx_routes");
    let expected = ["certificates_current", "mcp_loopback", "messaging_act_as", "messaging_tokens"];
    assert_eq!(known, expected);
    assert_eq!(with_verdict(&items, "fails"), ["variant_hardened"], "the file alone decides it");
    assert_eq!(items["docker_socket"].1, "there is no server");

    let run = |options: &[&str]| {
        let _ =
            std::process::Command::new("docker").args(["rm", "-f", "-v", &host.container]).output();
        let image = image("newest");
        let mut args = vec!["run", "-d", "--name", &host.container];
        args.extend(options);
        args.push(&image);
        docker(&args);
        audit(&host, 2)
    };
    let own = ["loopback_published", "restart_policy", "docker_socket", "not_privileged"];
    for (options, item, words) in [
        (&[][..], "", ""),
        (&["-p", "127.0.0.1::5222"], "", ""),
        (&["-p", "5222"], "loopback_published", "0.0.0.0:"),
        (&["-P"], "loopback_published", "0.0.0.0:"),
        (&["--restart=always"], "restart_policy", "Docker's restart policy `always`"),
        (
            &["-v", "/var/run/docker.sock:/var/run/docker.sock:ro"],
            "docker_socket",
            "docker.sock of the host is mounted",
        ),
        (&["-v", "/var/run:/mnt:ro"], "docker_socket", "of the host is mounted"),
        (&["--privileged"], "not_privileged", "the rights of the host's root"),
        (&["--cap-add", "SYS_ADMIN"], "not_privileged", "the rights of the host's root"),
    ] {
        let items = run(options);
        for name in own {
            let (verdict, seen) = &items[name];
            let expected = if name == item { "fails" } else { "holds" };
            assert_eq!(verdict, expected, "{options:?}, {name}: {seen}");
        }
        assert!(item.is_empty() || items[item].1.contains(words), "{options:?}: {items:#?}");
        // A published port is a socket of the host as well.
        if item == "loopback_published" {
            assert_ne!(items["loopback_host"].0, "holds", "{items:#?}");
        }
    }

    // In a bridge network with the configuration of the image, other containers reach every
    // listener, so these items fail.
    run(&[]);
    eventually("an answer", std::time::Duration::from_mins(1), || {
        // `starttls_wire` stays unknown, because the server does not serve the declared host.
        with_verdict(&audit(&host, 2), "unknown") == ["starttls_wire"]
    });
    let items = audit(&host, 2);
    for (name, words) in [
        ("loopback_inside", "other containers reach it"),
        ("web_handlers", "/admin: ejabberd_web_admin"),
        ("distribution_local", "0.0.0.0:4369 (epmd)"),
        ("distribution_local", "Erlang's distribution"),
        ("variant_hardened", "`test` is declared"),
    ] {
        let (verdict, seen) = &items[name];
        assert!(verdict == "fails" && seen.contains(words), "{name}: {seen}");
    }

    docker(&["pause", &host.container]);
    let items = audit(&host, 2);
    docker(&["unpause", &host.container]);
    assert_eq!(items["starttls_wire"].1, "its container is paused");
    assert_eq!(items["restart_policy"].0, "holds", "the engine still answers");
}

/// Audits a server that has a listener with TLS from the first byte next to a listener with
/// STARTTLS.
fn tls_from_the_first_byte(version: &str) {
    let host = Host::new(version);
    shipped::certificate(&host);
    let text = fs::read_to_string(format!("{}/ejabberd-hardened.yml", shipped::MANIFESTS)).unwrap();
    let more = "listen:\n  - { port: 5223, ip: 127.0.0.1, module: ejabberd_c2s, tls: true }\n";
    fs::write(host.path("ejabberd.yml"), text.replacen("listen:\n", more, 1)).unwrap();
    let text =
        host.head().replace("variant: test", "variant: hardened").replace("test:", "hardened:");
    let text = text.replace("host: test.example", &format!("host: {}", shipped::DOMAIN));
    fs::write(host.file(), text + "    files: { server.pem: server.pem }\n").unwrap();
    host.run(&["apply"]).expect(0);
    let items = audit(&host, 0);
    assert_eq!(
        items["starttls_wire"].1,
        "127.0.0.1:5223: TLS from the first byte; 127.0.0.1:5222: <starttls/> is <required/>"
    );
    assert_eq!(items["loopback_published"].1, "none is published", "a bridge is no harm by itself");
}

#[test]
fn tls_from_the_first_byte_newest() {
    tls_from_the_first_byte("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn tls_from_the_first_byte_24_12() {
    tls_from_the_first_byte("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn tls_from_the_first_byte_23_01() {
    tls_from_the_first_byte("23.01");
}
