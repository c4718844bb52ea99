//! Properties of a real ejabberd that must not mislead the operator: hibernated rooms, accounts in
//! another store, and another program that changes the same objects.

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

use support::host::{Host, eventually};
use support::real::{CONFIG, HOST};

const SOON: Duration = Duration::from_mins(1);

fn service() -> String {
    format!("conference.{HOST}")
}

/// Hibernated rooms are not in the list of online rooms. The operator neither creates them again,
/// nor deletes them, nor loads them.
fn asleep(version: &str) {
    let host = Host::new(version);
    let config =
        CONFIG.replace("mod_muc: { max_users: 200 }", "mod_muc: { hibernation_timeout: 1 }");
    fs::write(host.path("ejabberd.yml"), config).unwrap();
    let objects = "  users: [{ name: ann }]\n  rooms:\n    - { name: hall, title: Hall, subject: Quiet, affiliations: { owner: [ann] } }\n    \
                   - { name: attic }\n    - { name: yard }\n";
    host.declare(objects);
    host.run(&["apply"]).expect(0);
    eventually("the rooms sleep", SOON, || host.rooms().is_empty());
    let plan = host.run(&["plan", "--output", "json", "--detailed-exitcode"]).expect(0).json();
    assert_eq!(plan["unknown"], serde_json::Value::Null, "{plan}");
    host.run(&["apply"]).expect(0);
    assert!(host.rooms().is_empty(), "an observation loads no room");

    // The operator changes one hibernated room and deletes another; the third stays hibernated.
    host.declare(&objects.replace("Hall,", "Aula,").replace("    - { name: attic }\n", ""));
    host.run(&["apply"]).expect(0);
    let options = host.ctl(&["get_room_options", "hall", &service()]);
    assert!(options.contains("title\tAula"), "{options}");
    let left = host.ctl(&["rooms_unused_list", &service(), "0"]);
    assert!(left.contains("yard@") && !left.contains("attic@"), "{left}");
    host.run(&["plan", "--detailed-exitcode"]).expect(0);

    // With `prune: all`, the operator also finds a hibernated room of another program.
    host.ctl(&["create_room", "strange", &service(), HOST]);
    host.ctl(&["change_room_option", "strange", &service(), "persistent", "true"]);
    eventually("it sleeps", SOON, || host.rooms().is_empty());
    let pruned = objects.replace("    - { name: attic }\n", "") + "  policy: { prune: all }\n";
    host.declare(&pruned);
    host.run(&["apply"]).expect(0);
    let left = host.ctl(&["rooms_unused_list", &service(), "0"]);
    assert!(left.contains("yard@") && !left.contains("strange@"), "{left}");
}

/// The operator observes accounts in another store, and does not change them.
fn kept_elsewhere(version: &str) {
    let host = Host::new(version);
    let key = r#"{"kty":"oct","k":"c2VjcmV0LWtleS1mb3ItdGVzdHMtb25seS0xMjM0NTY3OA"}"#;
    fs::write(host.path("jwt.key"), key).unwrap();
    let files = "    files: { jwt.key: jwt.key }\n";
    // ejabberd checks that the key exists, so the file is declared before the option.
    host.declare(files);
    host.run(&["apply"]).expect(0);
    let config = format!("{CONFIG}auth_method: jwt\njwt_key: /home/ejabberd/conf/jwt.key\n");
    fs::write(host.path("ejabberd.yml"), config).unwrap();
    host.declare(&format!(
        "{files}  users: [{{ name: ann, password: secret-1, nickname: Ann }}, {{ name: eve, state: absent }}]\n  \
         rooms: [{{ name: hall, affiliations: {{ owner: [ann] }} }}]\n"
    ));
    let applied = host.run(&["apply", "--output", "json"]).expect(0).json();
    assert_eq!(applied["converged"], true, "{applied}");
    assert!(applied.to_string().contains("come from jwt: the operator only observes"), "{applied}");
    assert!(host.ctl(&["get_room_affiliations", "hall", &service()]).contains("ann"));
    assert!(!host.run(&["inventory"]).expect(0).stdout.contains("user"), "no account is ours");
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
}

/// A plan lists the data that a deletion removes.
fn what_goes(version: &str) {
    let host = Host::new(version);
    host.declare("  users: [{ name: ann }, { name: bob }, { name: eve }]\n  rooms: [{ name: hall }, { name: lab }]\n");
    host.run(&["apply"]).expect(0);
    let bob = format!("bob@{HOST}");
    for _ in 0..2 {
        let from = format!("ann@{HOST}");
        host.ctl(&["send_message", "chat", &from, &bob, "subject", "body"]);
    }
    host.declare("  users: [{ name: ann }, { name: eve }]\n  rooms: [{ name: hall }]\n");
    let plan = host.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("2 messages for when it is online"), "{plan}");
    assert!(plan.contains("its history, subject and affiliations are deleted too"), "{plan}");
}

#[test]
fn a_plan_lists_the_data_of_a_deletion() {
    what_goes("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn a_plan_lists_the_data_of_a_deletion_on_24_12_and_23_01() {
    what_goes("24.12");
    what_goes("23.01");
}

/// If another program keeps changing an object back, the operator reports the contention and
/// corrects the object at longer intervals. The operator continues with the other objects.
#[test]
fn contention_is_reported_and_slows_the_corrections() {
    let host = Host::new("newest");
    host.declare("  users: [{ name: ann }]\n  rooms: [{ name: hall, title: Ours }]\n");
    host.run(&["apply"]).expect(0);
    let operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1s"], "log");
    eventually("it is slowed down", SOON, || {
        host.ctl(&["change_room_option", "hall", &service(), "title", "Theirs"]);
        operator.log().contains("is changed back repeatedly")
    });
    let status = host.run(&["status", "--output", "json"]).expect(1).json();
    let degraded =
        status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Degraded").unwrap();
    assert_eq!(degraded["reason"], "Contested", "{status}");
    let done = operator.log().matches("update room").count();
    // A foreign change during a correction may count with that correction or as the next.
    assert!((4..=5).contains(&done), "{done}: {}", operator.log());
    host.declare(
        "  users: [{ name: ann }, { name: bob }]\n  rooms: [{ name: hall, title: Ours }]\n",
    );
    eventually("everything else goes on", SOON, || host.users() == ["ann", "bob"]);
    let title = || host.ctl(&["get_room_options", "hall", &service()]);
    eventually("and a new revision is tried at once", SOON, || title().contains("title\tOurs"));
}

#[test]
fn hibernated_rooms_stay_hibernated() {
    asleep("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn hibernated_rooms_stay_hibernated_on_24_12_and_23_01() {
    asleep("24.12");
    asleep("23.01");
}

#[test]
fn accounts_in_another_store_are_only_observed() {
    kept_elsewhere("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn accounts_in_another_store_are_only_observed_on_24_12_and_23_01() {
    kept_elsewhere("24.12");
    kept_elsewhere("23.01");
}
