//! The commands of the operator, as an administrator uses them, against a real ejabberd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::time::Duration;

use support::host::{Host, eventually, get, replace};
use support::real::{HOST, docker};

const SOON: Duration = Duration::from_mins(1);

/// Creates a server, waits until the server matches the file, and then makes every kind of change.
fn lifecycle(version: &str) {
    let host = Host::new(version);
    fs::write(host.path("pw"), "from a file\n").unwrap();
    host.declare(
        "  users:\n    - { name: ann, passwordFrom: { file: pw } }\n    - { name: bob, password: inline }\n    - { name: gen }\n  \
         rooms:\n    - { name: hall, title: Hall, options: { members_only: true } }\n    - { name: lab }\n",
    );
    let plan = host.run(&["plan", "--output", "json", "--detailed-exitcode"]).expect(2).json();
    assert_eq!(plan["steps"][0]["kind"], "server");
    assert!(host.run(&["plan"]).expect(0).stdout.contains("+  server"));
    assert!(!host.state().exists(), "a plan changes nothing");

    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    assert_eq!(host.rooms(), ["hall", "lab"]);
    let plan = host.run(&["plan", "--output", "json", "--detailed-exitcode"]).expect(0).json();
    assert_eq!(plan["steps"], serde_json::json!([]));
    assert_eq!(plan["summary"]["unchanged"], 7, "server, config, three users, two rooms: {plan}");
    assert!(host.run(&["plan"]).expect(0).stdout.contains("Nothing to do"));
    assert!(host.ctl(&["check_password", "ann", HOST, "from a file"]).is_empty());

    // Objects of other programs stay, removed entries are deleted, and differences are repaired.
    host.ctl(&["register", "other", HOST, "x"]);
    host.ctl(&["change_room_option", "hall", &format!("conference.{HOST}"), "title", "Defaced"]);
    fs::write(host.path("pw"), "rotated\n").unwrap();
    host.declare(
        "  users:\n    - { name: ann, passwordFrom: { file: pw } }\n    - { name: gen }\n    - { name: eve, password: new }\n  \
         rooms:\n    - { name: hall, title: Hall, options: { members_only: false } }\n    - { name: lab }\n",
    );
    let applied = host.run(&["apply", "--output", "json"]).expect(0).json();
    assert_eq!(applied["converged"], true);
    assert_eq!(host.users(), ["ann", "eve", "gen", "other"]);
    assert!(host.ctl(&["check_password", "ann", HOST, "rotated"]).is_empty());
    let options = host.ctl(&["get_room_options", "hall", &format!("conference.{HOST}")]);
    assert!(
        options.contains("title\tHall") && options.contains("members_only\tfalse"),
        "{options}"
    );

    // Explicit deletions, ignored names, and kinds that are not managed.
    host.ctl(&["register", "guest-1", HOST, "x"]);
    host.declare(
        "  users:\n    - { name: ann }\n    - { name: gen }\n    - { name: eve, password: new }\n    \
         - { name: other, state: absent }\n    - { name: guest-1, state: absent }\n  policy: { ignore: [\"guest-*\"] }\n",
    );
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann", "eve", "gen", "guest-1"], "an ignored name is never touched");
    assert_eq!(host.rooms(), ["hall", "lab"], "an absent key means not managed");

    for hold in ["  suspend: true\n", "  policy: { mode: report }\n"] {
        host.declare(&format!(
            "  users: [{{ name: ann }}, {{ name: gen }}, {{ name: zoe }}]\n{hold}"
        ));
        let out = host.run(&["apply"]).expect(1).stdout;
        assert!(out.contains("Nothing was changed"), "{out}");
        assert_eq!(host.users(), ["ann", "eve", "gen", "guest-1"]);
    }
    no_secret_is_shown(&host, &["from a file", "rotated"]);
}

/// Checks that neither the output of commands nor the server's log contains a secret.
fn no_secret_is_shown(host: &Host, secrets: &[&str]) {
    for command in [&["plan"][..], &["plan", "--output", "json"], &["status", "--output", "json"]] {
        let ran = host.run(command);
        for secret in secrets {
            assert!(
                !ran.stdout.contains(secret) && !ran.stderr.contains(secret),
                "{command:?} shows {secret}"
            );
        }
    }
    let log = docker(&["logs", &host.container]);
    for secret in secrets {
        assert!(!log.contains(secret), "the server's log shows {secret}");
    }
}

#[test]
fn lifecycle_newest() {
    lifecycle("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn lifecycle_24_12() {
    lifecycle("24.12");
}

#[test]
fn lifecycle_ecs() {
    lifecycle("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn lifecycle_ghcr() {
    lifecycle("newest-ghcr");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn lifecycle_23_01() {
    lifecycle("23.01");
}

/// The guard refuses to delete six of twelve accounts until an administrator approves the digest.
fn the_guard_refuses_mass_deletions(version: &str) {
    let host = Host::new(version);
    host.declare_many(12, 1);
    host.run(&["apply"]).expect(0);
    let users = |count: usize, more: &str| {
        let list: Vec<String> = (0..count).map(|n| format!("{{ name: u{n} }}")).collect();
        host.declare(&format!("  users: [{}{more}]\n", list.join(", ")));
    };
    users(6, ", { name: fresh }");
    let plan = host.run(&["plan", "--output", "json", "--detailed-exitcode"]).expect(2).json();
    assert_eq!(plan["blocked"]["deletions"].as_array().unwrap().len(), 6);
    let digest = plan["digest"].as_str().unwrap().to_owned();
    let out = host.run(&["apply"]).expect(3).stdout;
    assert!(out.contains(&digest) && out.contains("Refused by the guard"), "{out}");
    assert_eq!(host.users().len(), 13, "nothing was deleted, and the harmless step was done");
    let wrong = host.run(&["apply", "--approve", "0123456789abcdef"]).expect(3).stderr;
    assert!(wrong.contains("names other deletions") && wrong.contains(&digest), "{wrong}");
    assert_eq!(host.users().len(), 13);
    host.run(&["apply", "--approve", &digest]).expect(0);
    assert_eq!(host.users().len(), 7);

    // The removal of all entries is always refused. An approval may also be in the file.
    host.declare("  users: []\n");
    host.run(&["apply"]).expect(3);
    let digest = host.run(&["plan", "--output", "json"]).expect(0).json()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    host.declare(&format!("  users: []\n  policy: {{ guard: {{ approve: {digest} }} }}\n"));
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), Vec::<String>::new());

    // The guard allows two deletions. Without its state, the operator deletes nothing.
    host.declare_many(6, 0);
    host.run(&["apply"]).expect(0);
    users(4, "");
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users().len(), 4);
    fs::remove_dir_all(host.state()).unwrap();
    users(2, "");
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users().len(), 4, "an account outside of the inventory is not deleted");
}

#[test]
fn the_guard_refuses_mass_deletions_newest() {
    the_guard_refuses_mass_deletions("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn the_guard_refuses_mass_deletions_24_12() {
    the_guard_refuses_mass_deletions("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn the_guard_refuses_mass_deletions_23_01() {
    the_guard_refuses_mass_deletions("23.01");
}

/// Every event makes the running operator reconcile.
fn events_cause_reconciliations(version: &str) {
    let host = Host::new(version);
    host.declare("  users: [{ name: ann, password: one }]\n  rooms: [{ name: hall }]\n");
    // With a resync of an hour, only an event can cause a reconciliation.
    let mut operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1h"], "run.log");
    eventually("an endpoint", SOON, || host.state().join("endpoint").exists());
    let address = host.endpoint();
    eventually("ready", SOON, || get(&address, "/readyz").is_some_and(|(code, _)| code == 200));
    eventually("converged", SOON, || host.run(&["status"]).code == Some(0));
    assert_eq!(host.users(), ["ann"]);
    assert_eq!(get(&address, "/livez").unwrap().0, 200);
    assert!(
        host.run(&["apply"]).expect(1).stderr.contains("another operator"),
        "one operator per directory"
    );
    assert!(host.run(&["plan"]).expect(0).stdout.contains("Nothing to do"), "a plan needs no lock");

    // A file that is replaced by rename, and a link to a directory that changes its target.
    let with =
        |users: &str| format!("{}  users: [{users}]\n  rooms: [{{ name: hall }}]\n", host.head());
    replace(&host.file(), &with("{ name: ann, password: one }, { name: bea, password: two }"));
    eventually("bea", SOON, || host.users().contains(&"bea".to_owned()));
    for (revision, users) in [
        ("v1", "{ name: ann }, { name: bea }, { name: cleo }"),
        ("v2", "{ name: ann }, { name: bea }, { name: cleo }, { name: dora }"),
    ] {
        fs::create_dir(host.path(revision)).unwrap();
        fs::write(
            host.path(revision).join("desired-state.yaml"),
            with(users).replace("ejabberd.yml", "../ejabberd.yml"),
        )
        .unwrap();
        std::os::unix::fs::symlink(revision, host.path("..new")).unwrap();
        fs::rename(host.path("..new"), host.path("..data")).unwrap();
        if revision == "v1" {
            let link = host.path("link");
            std::os::unix::fs::symlink("..data/desired-state.yaml", &link).unwrap();
            fs::rename(link, host.file()).unwrap();
        }
        let newest = if revision == "v1" { "cleo" } else { "dora" };
        eventually(newest, SOON, || host.users().contains(&newest.to_owned()));
    }

    // A broken file changes nothing but the status.
    replace(&host.file(), "spec: [broken");
    eventually("stalled", SOON, || {
        let status = host.run(&["status", "--output", "json"]).json();
        condition(&status, "Stalled") == "True"
    });
    assert_eq!(host.users().len(), 4);
    replace(&host.file(), &with("{ name: ann }, { name: bea }, { name: cleo }"));
    eventually("dora is gone", SOON, || host.users() == ["ann", "bea", "cleo"]);

    // Another program ends the server in two ways.
    docker(&["kill", &host.container]);
    eventually("back after a kill", SOON, || host.run(&["status"]).code == Some(0) && up(&host));
    docker(&["stop", &host.container]);
    eventually("back after a stop", SOON, || host.run(&["status"]).code == Some(0) && up(&host));
    assert_eq!(host.users(), ["ann", "bea", "cleo"]);

    let metrics = get(&address, "/metrics").unwrap().1;
    for line in [
        "ejabberd_up 1",
        "ejabberd_registered_users{host=\"test.example\"} 3",
        "ejabberd_operator_condition{status=\"True\",type=\"Ready\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains("cleo"), "no account's name is a label");

    operator.signal("TERM");
    assert_eq!(operator.wait(SOON), Some(0), "{}", operator.log());
    assert!(up(&host), "ejabberd keeps running");
    let status = host.run(&["status", "--output", "json"]).expect(1);
    assert_eq!(
        condition(&status.json(), "Ready"),
        "Unknown",
        "what is only remembered never reads Ready"
    );
}

fn up(host: &Host) -> bool {
    docker(&["inspect", "-f", "{{.State.Running}}", &host.container]) == "true"
}

fn condition(status: &serde_json::Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|c| c["type"] == kind).unwrap()["status"].as_str().unwrap().to_owned()
}

#[test]
fn events_cause_reconciliations_newest() {
    events_cause_reconciliations("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn events_cause_reconciliations_24_12() {
    events_cause_reconciliations("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn events_cause_reconciliations_23_01() {
    events_cause_reconciliations("23.01");
}

/// A deletion by another program is repaired at the next resync.
#[test]
fn drift_is_repaired() {
    let host = Host::new("newest");
    host.declare("  users: [{ name: ann }, { name: bea }]\n  rooms: [{ name: hall }]\n");
    let operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1s"], "run.log");
    eventually("converged", SOON, || host.run(&["status"]).code == Some(0));
    host.ctl(&["unregister", "bea", HOST]);
    host.ctl(&["destroy_room", "hall", &format!("conference.{HOST}")]);
    eventually("repaired", SOON, || host.users() == ["ann", "bea"] && host.rooms() == ["hall"]);
    drop(operator);
}

/// The operator carries out a removal only if the revision is two seconds old and is still the
/// content of the file. A file that breaks in the meantime cancels the removal.
#[test]
fn a_half_done_checkout_deletes_nothing() {
    let host = Host::new("newest");
    let with = |users: &str| format!("{}  users: [{users}]\n", host.head());
    replace(&host.file(), &with("{ name: ann }, { name: bea }, { name: cleo }"));
    let operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1s"], "run.log");
    eventually("converged", SOON, || host.run(&["status"]).code == Some(0));
    replace(&host.file(), &with("{ name: ann }, { name: bea }"));
    std::thread::sleep(Duration::from_millis(700));
    replace(&host.file(), "half: [");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(host.users(), ["ann", "bea", "cleo"], "{}", operator.log());
    let status = host.run(&["status", "--output", "json"]).expect(1).json();
    assert_eq!(condition(&status, "Stalled"), "True", "it stays so while rounds go on");
    replace(&host.file(), &with("{ name: ann }, { name: bea }"));
    eventually("cleo is gone", SOON, || host.users() == ["ann", "bea"]);
    // `apply` also waits and reads the file again, even if `apply` must start the server first.
    drop(operator);
    docker(&["stop", &host.container]);
    replace(&host.file(), &with("{ name: ann }"));
    let mut apply = host.start(&["apply"], "apply.log");
    std::thread::sleep(Duration::from_millis(600));
    replace(&host.file(), &with("{ name: ann }, { name: bea }"));
    assert_eq!(apply.wait(SOON), Some(1), "{}", apply.log());
    assert_eq!(host.users(), ["ann", "bea"]);
}

/// Two servers on one database would destroy the database.
#[test]
fn a_renamed_container_is_not_created_again_on_its_volumes() {
    let host = Host::new("newest");
    host.declare("  users: [{ name: ann }]\n");
    host.run(&["apply"]).expect(0);
    let renamed = format!("{}-old", host.container);
    docker(&["rename", &host.container, &renamed]);
    let ran = host.run(&["apply"]).expect(1);
    docker(&["rename", &renamed, &host.container]);
    assert!(ran.stdout.contains(&renamed) && ran.stdout.contains("volume"), "{}", ran.stdout);
    host.run(&["apply"]).expect(0);
}

/// The operator sets a declared password again after another program changed the password.
#[test]
fn a_password_changed_by_others_is_set_again() {
    let host = Host::new("newest");
    host.declare("  users:\n    - { name: ann, password: declared }\n    - { name: free, password: first, passwordPolicy: initial }\n");
    host.run(&["apply"]).expect(0);
    host.ctl(&["change_password", "ann", HOST, "hacked"]);
    host.ctl(&["change_password", "free", HOST, "my own"]);
    host.run(&["apply"]).expect(0);
    host.ctl(&["check_password", "ann", HOST, "declared"]);
    host.ctl(&["check_password", "free", HOST, "my own"]);
    // The operator writes the file of a generated password again after another program removed the
    // file.
    host.declare("  users: [{ name: ann, password: declared }, { name: made, passwordTo: { file: out/made } }]\n");
    host.run(&["apply"]).expect(0);
    let left = fs::read_to_string(host.path("out/made")).unwrap();
    host.ctl(&["check_password", "made", HOST, &left]);
    fs::remove_file(host.path("out/made")).unwrap();
    host.run(&["apply"]).expect(0);
    assert_eq!(fs::read_to_string(host.path("out/made")).unwrap(), left);
}

/// After a kill of `apply` at any moment, the next `apply` reaches the declared state.
fn killed_operators_resume(version: &str) {
    const ACCOUNTS: usize = 150;
    const ROOMS: usize = 50;
    let host = Host::new(version);
    host.declare("  users: [{ name: keep }]\n");
    host.run(&["apply"]).expect(0);
    host.ctl(&["register", "other", HOST, "x"]);
    host.declare_many(ACCOUNTS, ROOMS);
    let text = fs::read_to_string(host.file())
        .unwrap()
        .replace("  users:\n", "  users:\n    - { name: keep }\n");
    fs::write(host.file(), text).unwrap();
    for round in 0..10_u64 {
        let mut operator = host.start(&["apply"], "apply.log");
        // The kills are spread over all phases: start, observe, apply, verify.
        std::thread::sleep(Duration::from_millis(40 + 97 * round));
        operator.signal("KILL");
        operator.wait(SOON);
    }
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users().len(), ACCOUNTS + 2, "none is lost, and the others' is there");
    assert_eq!(host.rooms().len(), ROOMS);
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
    // Every account is owned, so removing all of them is refused with exactly those deletions.
    host.declare("  users: [{ name: keep }]\n  rooms: []\n");
    let plan = host.run(&["plan", "--output", "json"]).expect(0).json();
    assert_eq!(plan["blocked"]["deletions"].as_array().unwrap().len(), ACCOUNTS + ROOMS);
    assert_eq!(plan["summary"]["unmanaged"], 1);
    let log = docker(&["logs", &host.container]);
    assert!(!log.contains("secret-1"), "no password in the server's log");
}

#[test]
fn killed_operators_resume_newest() {
    killed_operators_resume("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn killed_operators_resume_24_12() {
    killed_operators_resume("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn killed_operators_resume_23_01() {
    killed_operators_resume("23.01");
}

/// A container may have no IPv6, while the image's configuration listens at `[::]`, which also
/// accepts IPv4.
#[test]
fn a_listener_at_all_addresses_is_found_without_ipv6() {
    let host = Host::new("newest");
    let config = fs::read_to_string(host.path("ejabberd.yml")).unwrap();
    let everywhere = config.replace("ip: 127.0.0.1", "ip: \"::\"");
    assert_ne!(config, everywhere);
    fs::write(host.path("ejabberd.yml"), everywhere).unwrap();
    host.declare("  users: [{ name: ann }]\n");
    let _operator = host.start(&["run", "--listen", "127.0.0.1:0"], "log");
    eventually("ready", SOON, || host.run(&["status"]).code == Some(0));
    let name = host.container.as_str();
    let known = docker(&["exec", name, "cat", "/proc/net/if_inet6"]);
    assert_eq!(known.trim(), "", "this container has IPv6, and proves nothing");
}
