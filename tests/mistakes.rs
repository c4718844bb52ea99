//! Tests mistakes of administrators: no object is lost, and the messages name the next step.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::host::{Host, Ran, eventually};
use support::real::{HOST, docker, python};
use support::shipped::{self, DOMAIN};

const SOON: Duration = Duration::from_secs(30);

/// Declares the accounts `u0` to `u11`, without the accounts whose numbers are in `but`.
fn users(but: std::ops::Range<usize>) -> String {
    let each = (0..12).filter(|n| !but.contains(n));
    let lines = each.map(|n| format!("    - {{ name: u{n}, password: secret-{n} }}\n"));
    format!("  users:\n{}", lines.collect::<String>())
}

const GROUP: &str = "  groups: [{ name: team, members: [u0, u1, u2] }]\n";

const ROOMS: &str = "  rooms:\n    - { name: hall, affiliations: { owner: [u0], member: [\"@team\"] } }\n    - { name: lab }\n";

fn all(users: &str) -> String {
    format!("{users}{GROUP}{ROOMS}")
}

/// Returns the number of affiliations of the room `hall`, of accounts, and of rooms. Checks that
/// every account has the declared password.
fn there(host: &Host, what: &str) -> [usize; 3] {
    let mut asked: Vec<String> =
        (0..12).map(|n| format!("check_password\tu{n}\t{HOST}\tsecret-{n}")).collect();
    asked.push("get_room_affiliations\thall\tconference.test.example".to_owned());
    asked.push(format!("registered_users\t{HOST}"));
    asked.push("muc_online_rooms\tglobal".to_owned());
    let answers = host.many(&asked);
    assert!(answers.iter().all(|(status, _)| *status == 0), "{what}: {answers:?}");
    [12, 13, 14].map(|n| answers[n].1.lines().count())
}

fn nothing_is_lost(host: &Host, what: &str) {
    assert_eq!(there(host, what), [3, 12, 2], "{what}");
}

fn says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(
            ran.stdout.contains(word) || ran.stderr.contains(word),
            "`{word}` is missing in\n{}\n{}",
            ran.stdout,
            ran.stderr
        );
    }
}

/// Tests mistakes in `desired-state.yaml`.
fn in_the_file(version: &str) {
    let host = Host::new(version);
    let right = all(&users(0..0));
    host.declare(&right);
    host.run(&["apply"]).expect(0);
    nothing_is_lost(&host, "at first");

    host.declare(&all("  users: []\n"));
    let ran = host.run(&["apply"]).expect(3);
    says(&ran, &["all 12 users on the server would be deleted", "needs an approval"]);
    says(&ran, &["Refused by the guard", "approve"]);
    nothing_is_lost(&host, "users: []");

    host.declare(&all("  users:\n"));
    let ran = host.run(&["apply"]).expect(0);
    says(&ran, &["`users` has no value, so the operator does not manage users"]);
    says(&ran, &["to declare that there are no users, write `users: []`"]);
    nothing_is_lost(&host, "users: with nothing below");

    host.declare(&all(&users(3..9)));
    let ran = host.run(&["apply"]).expect(3);
    says(&ran, &["6 users would be deleted, and 12 are owned", "approve the digest"]);
    nothing_is_lost(&host, "half of them dropped");

    // With two spaces less, the lines below are not in `spec`.
    host.declare(&all(&users(0..0)).replace("  users:\n", "users:\n"));
    let ran = host.run(&["apply"]).expect(1);
    says(&ran, &["this is not valid YAML", "nothing was changed"]);
    host.declare(&all("  users:\n  - name: u0\n  password: secret-0\n"));
    let ran = host.run(&["apply"]).expect(1);
    says(&ran, &["unknown field `password`", "known here: `host`", "nothing was changed"]);
    nothing_is_lost(&host, "a wrong indentation");

    fs::write(host.file(), "").unwrap();
    let ran = host.run(&["apply"]).expect(1);
    says(&ran, &["the file is empty", "begin with `apiVersion: ejabberd-operator/v1`"]);
    nothing_is_lost(&host, "an empty file");

    host.declare(&right);
    let renamed = fs::read_to_string(host.file()).unwrap();
    fs::write(host.file(), renamed.replace(&format!("host: {HOST}"), "host: chat.example"))
        .unwrap();
    let ran = host.run(&["apply"]).expect(1);
    says(&ran, &["the server does not serve chat.example: correct the name in the file"]);
    says(&ran, &["or add it to `hosts` in the server's configuration"]);
    assert!(!ran.stdout.contains("is not loaded") && !ran.stdout.contains("are mod_"));
    nothing_is_lost(&host, "a renamed host");

    // The administrator loses the state directory and half of the file.
    let with_made =
        format!("{}    - {{ name: made, passwordTo: {{ file: out/made }} }}\n", users(0..0));
    host.declare(&all(&with_made));
    host.run(&["apply"]).expect(0);
    let made = fs::read_to_string(host.path("out/made")).unwrap();
    fs::remove_dir_all(host.state()).unwrap();
    host.declare(&all(&users(3..9)));
    let ran = host.run(&["apply"]).expect(0);
    says(&ran, &["7 unmanaged"]);
    host.declare(&all(&with_made));
    host.run(&["apply"]).expect(0);
    host.ctl(&["check_password", "made", HOST, &made]);
    assert_eq!(fs::read_to_string(host.path("out/made")).unwrap(), made);
    host.declare(&format!("{right}  policy: {{ prune: none }}\n"));
    host.ctl(&["unregister", "made", HOST]);
    host.run(&["apply"]).expect(0);
    nothing_is_lost(&host, "the state directory lost");

    // An emptied group: its members leave the rooms of the group, the plan shows the change before,
    // and the members come back with the old file.
    let emptied = right.replace("members: [u0, u1, u2]", "members: []");
    host.declare(&emptied);
    let plan = host.run(&["plan", "--detailed-exitcode"]).expect(2);
    says(&plan, &["hall@conference.test.example/u1@test.example", "given by the operator"]);
    says(&plan, &["0 to add, 3 to remove"]);
    host.run(&["apply"]).expect(0);
    assert_eq!(there(&host, "a group emptied"), [1, 12, 2], "the direct listing stays");
    host.declare(&right);
    host.run(&["apply"]).expect(0);
    nothing_is_lost(&host, "a group emptied");
}

#[test]
fn mistakes_in_the_file_newest() {
    in_the_file("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn mistakes_in_the_file_24_12() {
    in_the_file("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn mistakes_in_the_file_23_01() {
    in_the_file("23.01");
}

/// An administrator restores an old backup: the operator applies the later declarations again, and
/// does not delete the restored objects.
fn an_old_database(version: &str) {
    let host = Host::new(version);
    let banned = "{ name: cleo, password: cleos, state: present }";
    let before = format!(
        "  users: [{{ name: ann, password: old }}, {{ name: bea, password: beas }}, {banned}]\n"
    );
    host.declare(&before);
    host.run(&["apply"]).expect(0);
    let backup = "/home/ejabberd/database/before.backup";
    host.ctl(&["backup", backup]);
    let banned = banned.replace("present", "banned, reason: spam");
    host.declare(&format!(
        "  users: [{{ name: ann, password: new }}, {banned}, {{ name: dora, password: doras }}]\n"
    ));
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann", "cleo", "dora"]);

    host.ctl(&["restore", backup]);
    host.many(&["clear_cache".to_owned()]);
    assert_eq!(host.users(), ["ann", "bea", "cleo", "dora"]);
    host.run(&["apply"]).expect(0);
    let asked = |user: &str, password: &str| {
        let command = format!("check_password\t{user}\t{HOST}\t{password}");
        host.many(&[command])[0].0 == 0
    };
    assert!(asked("ann", "new") && !asked("ann", "old"), "the password of now");
    assert!(!asked("cleo", "cleos"), "still banned");
    assert!(asked("dora", "doras"), "the later account exists");
    // The operator does not own the restored account until the file declares the account.
    let plan = host.run(&["plan", "--detailed-exitcode"]).expect(0);
    says(&plan, &["Nothing to do", "1 unmanaged"]);
    assert!(asked("bea", "beas"));
}

#[test]
fn an_old_database_newest() {
    an_old_database("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn an_old_database_24_12() {
    an_old_database("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn an_old_database_23_01() {
    an_old_database("23.01");
}

/// A client that reconnects repeatedly. Dropping the client ends its process.
struct Client {
    child: Child,
    log: std::path::PathBuf,
}

impl Client {
    fn new(host: &Host, user: &str, password: &str) -> Self {
        let secret = host.path(&format!("{user}.secret"));
        fs::write(&secret, password).unwrap();
        let log = host.path(&format!("{user}.log"));
        let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &host.container]);
        let child = Command::new("nsenter")
            .args(["-t", &pid, "-n", &python()])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/xmpp/stay.py"))
            .args(["--jid", &format!("{user}@{DOMAIN}"), "--password-file"])
            .arg(secret)
            .stdout(fs::File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Returns how often an event happened: `in` is a login, and `out` is a lost connection.
    fn count(&self, event: &str) -> usize {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| line.contains(&format!("\"event\": \"{event}\""))).count()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A banned or deleted account is disconnected at once and cannot log in again.
fn sessions_end(version: &str) {
    let host = Host::new(version);
    shipped::certificate(&host);
    let people = |ann: &str, more: &str| {
        let people = format!(
            "  users: [{{ name: keep, password: k }}, {{ name: ann, password: a{ann} }}{more}]\n"
        );
        shipped::declare(&host, "bridge", "hardened", &people);
        host.run(&["apply"]).expect(0);
    };
    people("", ", { name: bea, password: b }");
    let clients = [("keep", "k"), ("ann", "a"), ("bea", "b")];
    let [keep, ann, bea] = clients.map(|(user, password)| Client::new(&host, user, password));
    for client in [&keep, &ann, &bea] {
        eventually("in", SOON, || client.count("in") == 1);
    }
    people(", state: banned, reason: spam", "");
    for client in [&ann, &bea] {
        eventually("out", SOON, || client.count("out") > 0);
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((ann.count("in"), bea.count("in")), (1, 1), "banned and deleted accounts stay out");
    assert_eq!((keep.count("in"), keep.count("out")), (1, 0), "others stay");
    // After the ban, ann logs in with the old password.
    people("", "");
    eventually("in again", SOON, || ann.count("in") == 2);
    assert_eq!(bea.count("in"), 1);
}

#[test]
fn sessions_end_newest() {
    sessions_end("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn sessions_end_24_12() {
    sessions_end("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn sessions_end_23_01() {
    sessions_end("23.01");
}
