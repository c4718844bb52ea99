//! Tests the export of a server that was created and filled by hand. `plan` and `apply` with the
//! exported file do not change the server.

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
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use ejabberd_operator::adapters::docker::DockerRuntime;
use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::domain::model::{Jid, Localpart, RoomJid, Secret, Vhost};
use ejabberd_operator::domain::spec;
use ejabberd_operator::domain::spec::{
    AffiliationKind, DesiredState, OptionValue, SourceFile, UserState,
};
use ejabberd_operator::ejabberd::{Created, EjabberdClient, NewRoom};
use ejabberd_operator::engine::Spawner;
use support::host::{Host, Ran, eventually};
use support::real::{CONFIG, Container, HOST, docker, image};

const ACCOUNTS: [&str; 10] =
    ["ann", "bob", "bób", "a,b", "$(id)", "true", "007", "-dash", "mallory", "eve"];
const OTHER: &str = "other.example";
const SUBJECT: &str = "\"Hello\", she said: #1\n- and left <you> & me";
const REASON: &str = "spam: \"all day\"";

/// Runs the program on `file`, with a state directory beside it.
fn operator(file: &Path, args: &[&str]) -> Ran {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"))
        .arg("--desired-state")
        .arg(file)
        .arg("--state-dir")
        .arg(file.with_file_name("state"))
        .args(args)
        .output()
        .unwrap();
    Ran {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Returns a configuration with a second host whose rooms hibernate at once.
fn config() -> String {
    let modules = CONFIG.split_once("modules:\n").unwrap().1;
    let asleep = modules.replace("max_users: 200", "max_users: 200, hibernation_timeout: 1");
    let indented = asleep.trim_end().replace('\n', "\n    ");
    let both = CONFIG.replace("hosts: [test.example]", "hosts: [other.example, test.example]");
    let both =
        both.replace("max_users: 200", "max_users: 200, default_room_options: { mam: true }");
    format!("{both}host_config:\n  {OTHER}:\n    modules:\n    {indented}\n")
}

/// Creates a container as administrators do.
fn container(host: &Host) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    docker(&[
        "create",
        "--restart=unless-stopped",
        "--name",
        &host.container,
        "-e",
        "SOMEBODYS=secret",
        "-p",
        &format!("127.0.0.1:{port}:5222"),
        "-p",
        &format!("127.0.0.1:{port}:3478/udp"),
        "-v",
        &format!("{}-database:/home/ejabberd/database", host.container),
        &image(&host.version),
    ]);
    fs::write(host.path("ejabberd.yml"), config()).unwrap();
    let from = host.path("ejabberd.yml");
    fs::set_permissions(&from, fs::Permissions::from_mode(0o644)).unwrap();
    let to = format!("{}:/home/ejabberd/conf/ejabberd.yml", host.container);
    docker(&["cp", "-q", from.to_str().unwrap(), &to]);
    docker(&["start", &host.container]);
}

fn server(host: &Host) -> EjabberdClient {
    let runtime = DockerRuntime::new(Container::spec(&host.container, &host.version));
    EjabberdClient::new(Arc::new(Session::new(Arc::new(runtime) as Arc<dyn Spawner>)))
}

fn jid(name: &str) -> Jid {
    Jid::parse(name, &Vhost::new(HOST).unwrap()).unwrap()
}

fn room(name: &str) -> RoomJid {
    name.parse().unwrap()
}

async fn make_room(
    server: &EjabberdClient,
    name: &str,
    options: &[(&str, OptionValue)],
    affiliations: &[(&str, AffiliationKind)],
    subject: Option<&str>,
) {
    let options: BTreeMap<_, _> =
        options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let affiliations = affiliations.iter().map(|(name, kind)| (jid(name), *kind)).collect();
    let new = NewRoom { options: &options, affiliations: &affiliations, subject };
    let room = room(name);
    let host = room.service.as_str().strip_prefix("conference.").unwrap();
    let made = server.create_room(&room, &Vhost::new(host).unwrap(), &new).await.unwrap();
    assert_eq!(made, Created::Now);
}

/// Creates many kinds of objects on the server.
async fn fill(host: &Host, server: &EjabberdClient) {
    use AffiliationKind::{Admin, Member, Outcast, Owner};
    let flag = OptionValue::Bool;
    for name in ACCOUNTS {
        server.register(&jid(name), &Secret::new("secret".into())).await.unwrap();
    }
    server.register(&jid("zoe@other.example"), &Secret::new("secret".into())).await.unwrap();
    let home = Vhost::new(HOST).unwrap();
    let team = Localpart::new("team").unwrap();
    server.write_group(&home, &team, Some("Grüße: \"team\""), Some("@all of us")).await.unwrap();
    for name in ["ann", "a,b", "zoe@other.example"] {
        server.add_member(&home, &team, &jid(name)).await.unwrap();
    }
    host.ctl(&["srg_create", "everyone", HOST, "everyone", "everyone", "everyone"]);
    host.ctl(&["srg_user_add", "@all@", HOST, "everyone", HOST]);
    host.ctl(&["srg_create", "quiet", HOST, "quiet", "quiet", "everyone"]);
    let persistent = ("persistent", flag(true));
    make_room(
        server,
        "hall@conference.test.example",
        &[
            persistent.clone(),
            ("title", OptionValue::Text("true".into())),
            ("description", OptionValue::Text("Für alle: 'x'\n#2".into())),
            ("presence_broadcast", OptionValue::List(vec!["visitor".into(), "moderator".into()])),
            ("password_protected", flag(true)),
            ("password", OptionValue::Text("hunter2".into())),
            ("max_users", OptionValue::Int(17)),
            ("lang", OptionValue::Text("no".into())),
        ],
        &[
            ("ann", Owner),
            ("bób", Admin),
            ("a,b", Member),
            ("guest@far.example", Member),
            ("mallory", Outcast),
            ("eve", Member),
        ],
        None,
    )
    .await;
    let nonce = ejabberd_operator::domain::model::Secret::new("4dV9xT0qLw8ZrB2n".to_owned());
    server
        .set_subject(&home, &room("hall@conference.test.example"), SUBJECT, &nonce)
        .await
        .unwrap();
    make_room(
        server,
        "plain@conference.test.example",
        std::slice::from_ref(&persistent),
        &[],
        None,
    )
    .await;
    make_room(server, "brief@conference.test.example", &[], &[], None).await;
    let new = [persistent, ("members_only", flag(true))];
    make_room(
        server,
        "asleep@conference.other.example",
        &new,
        &[("zoe@other.example", Owner)],
        None,
    )
    .await;
    if server.remembers_bans().await.unwrap() {
        server.ban(&jid("mallory"), REASON).await.unwrap();
        server.ban(&jid("eve"), "").await.unwrap();
    }
    eventually("the room to sleep", Duration::from_secs(20), || {
        !host.rooms().contains(&"asleep".to_owned())
    });
}

fn read(file: &Path) -> (String, DesiredState) {
    let text = fs::read_to_string(file).unwrap();
    let source = SourceFile { path: file.to_owned(), text: text.clone() };
    (text, spec::validate(&[source]).unwrap().desired)
}

fn check_objects(text: &str, desired: &DesiredState, remembers: bool) {
    assert_eq!(desired.host.as_str(), HOST, "the host with most accounts");
    let users = desired.users.as_ref().unwrap();
    let mut names: Vec<Jid> = ACCOUNTS.into_iter().map(jid).collect();
    names.push(jid("zoe@other.example"));
    names.sort();
    assert_eq!(users.keys().cloned().collect::<Vec<_>>(), names);
    let banned: Vec<_> =
        users.iter().filter(|(_, user)| user.state != UserState::Present).collect();
    if remembers {
        assert_eq!(banned.len(), 1, "{text}");
        assert_eq!(
            users[&jid("mallory")].state,
            UserState::Banned { reason: Some(REASON.to_owned()) }
        );
        assert!(text.contains("# Banned, and still in a group or a room below."), "{text}");
    } else {
        assert!(banned.is_empty() && text.contains("does not remember who is banned"), "{text}");
    }

    let groups = desired.groups.as_ref().unwrap();
    assert_eq!(groups.keys().map(Localpart::as_str).collect::<Vec<_>>(), ["team"]);
    let team = &groups[&Localpart::new("team").unwrap()];
    assert_eq!(team.display_name.as_deref(), Some("Grüße: \"team\""));
    assert_eq!(team.description.as_deref(), Some("@all of us"));
    assert_eq!(team.members.as_ref().unwrap().len(), 3);
    assert!(text.contains("# The group \"everyone\" is left out: @all@ is in it"), "{text}");
    assert!(text.contains("# The group \"quiet\" is left out"), "{text}");

    let rooms = desired.rooms.as_ref().unwrap();
    let names: Vec<String> = rooms.keys().map(ToString::to_string).collect();
    let expected = [
        "asleep@conference.other.example",
        "hall@conference.test.example",
        "plain@conference.test.example",
    ];
    assert_eq!(names, expected);
    let hall = &rooms[&room("hall@conference.test.example")];
    assert_eq!(hall.subject.as_deref(), Some(SUBJECT));
    let options: Vec<(&str, String)> =
        hall.options.iter().map(|(name, value)| (name.as_str(), format!("{value:?}"))).collect();
    assert_eq!(
        options,
        [
            ("description", "Text(\"Für alle: 'x'\\n#2\")".to_owned()),
            ("lang", "Text(\"no\")".to_owned()),
            ("max_users", "Int(17)".to_owned()),
            ("password_protected", "Bool(true)".to_owned()),
            ("persistent", "Bool(true)".to_owned()),
            ("presence_broadcast", "List([\"visitor\", \"moderator\"])".to_owned()),
            ("title", "Text(\"true\")".to_owned()),
        ]
    );
    let who = desired.affiliations_of(hall).unwrap();
    let kind = |name: &str| who.get(&jid(name)).map(|kind| kind.as_str());
    assert_eq!(kind("guest@far.example"), Some("member"));
    assert_eq!((kind("mallory"), kind("bób")), (Some("outcast"), Some("admin")));
    assert_eq!(who.len(), 6);
    assert!(
        !text.contains("hunter2") && text.contains("# The password of the room is left out"),
        "{text}"
    );
    let plain = &rooms[&room("plain@conference.test.example")];
    assert_eq!(plain.options.len(), 1, "as every new room: {:?}", plain.options);
    let asleep = &rooms[&room("asleep@conference.other.example")];
    let options: Vec<&str> = asleep.options.keys().map(String::as_str).collect();
    assert_eq!(options, ["members_only", "persistent"], "compared with new rooms of the same host");
    assert!(text.contains("# The room \"brief@conference.test.example\" is left out"), "{text}");
}

async fn written_down(version: &str) {
    let host = Host::new(version);
    container(&host);
    let server = server(&host);
    eventually("the server to start", Duration::from_secs(90), || {
        let status = ["exec", host.container.as_str(), "ejabberdctl", "status"];
        Command::new("docker").args(status).output().unwrap().status.success()
    });
    fill(&host, &server).await;
    let remembers = server.remembers_bans().await.unwrap();

    let directory = host.path("written down");
    let export = |directory: &Path| {
        let output = directory.to_str().unwrap();
        operator(&host.file(), &["export", "--container", &host.container, "--output", output])
    };
    let stdout = export(&directory).expect(0).stdout;
    assert!(stdout.contains("2 hosts, 11 accounts"), "{stdout}");
    assert!(stdout.contains(&format!("'{}' plan", directory.join("desired-state.yaml").display())));
    assert!(!host.rooms().contains(&"asleep".to_owned()), "the export wakes no room");
    let config = directory.join("ejabberd.yml");
    assert_eq!(fs::read_to_string(&config).unwrap(), self::config());
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    let file = directory.join("desired-state.yaml");
    let (text, desired) = read(&file);
    check_objects(&text, &desired, remembers);
    assert!(text.contains("\"SOMEBODYS\"") && text.contains("\"3478/udp\""), "{text}");

    let plan = operator(&file, &["plan", "--detailed-exitcode"]).expect(0);
    assert!(!plan.stdout.contains("differs"), "{}", plan.stdout);
    assert_eq!(plan.stderr, "", "a file without warnings");
    let applied = operator(&file, &["apply", "--output", "json"]).expect(0).json();
    assert_eq!(applied["steps"], serde_json::json!([]), "{applied}");
    operator(&file, &["plan", "--detailed-exitcode"]).expect(0);
    let again = host.path("again");
    export(&again).expect(0);
    assert_eq!(read(&again.join("desired-state.yaml")).0, text, "nothing has changed");

    let refused = export(&directory).expect(1);
    assert!(refused.stderr.contains("is there already, and is not overwritten"), "{refused:?}");
    assert_eq!(read(&file).0, text);
    docker(&["stop", "-t", "1", &host.container]);
    let refused = export(&host.path("third")).expect(1);
    assert!(refused.stderr.contains("it does not run; try `docker start"), "{refused:?}");
    assert!(!host.path("third").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_newest() {
    written_down("newest").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/test --all runs it"]
async fn on_24_12() {
    written_down("24.12").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ecs() {
    written_down("24.12-ecs").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/test --all runs it"]
async fn on_ghcr() {
    written_down("newest-ghcr").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/test --all runs it"]
async fn on_23_01() {
    written_down("23.01").await;
}

#[test]
fn a_missing_container_is_reported() {
    let host = Host::new("newest");
    let output = host.path("out");
    let args = ["export", "--container", "eo-does-not-exist", "--output", output.to_str().unwrap()];
    let stderr = operator(&host.file(), &args).expect(1).stderr;
    let expected = "error: failed to find a container eo-does-not-exist; `docker ps` lists the running containers\n";
    assert_eq!(stderr, expected);
    assert!(!output.exists());
}
