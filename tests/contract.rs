//! Tests the contract of the control channel. The same cases run against the double and against
//! real servers, so that the double stays equal to a real server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "contract/fallback.rs"]
mod fallback;
#[path = "contract/log.rs"]
mod log;
#[path = "contract/objects.rs"]
mod objects;
#[path = "contract/process.rs"]
mod process;
mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use ejabberd_operator::domain::model::{Jid, RoomJid, Secret, Vhost};
use ejabberd_operator::domain::spec::{AffiliationKind, OptionValue};
use ejabberd_operator::ejabberd::{Class, Control, ControlError, Created, EjabberdClient, NewRoom};
use ejabberd_operator::engine::Lifecycle;
use support::double::Double;
use support::real::{CONFIG, Container, HOST, docker, ejabberd_version};

/// Passwords with characters that a shell, Erlang, XML or YAML might misread.
const HOSTILE: [&str; 16] = [
    "$(touch /tmp/owned)",
    "`id`",
    "a'b\"c",
    "a;b|c&d",
    "a b  c",
    "--help",
    "-n",
    "\\\\n\\0",
    "*?[x]",
    "<a/>&amp;",
    "'; drop table users; --",
    "ünïcödé ✓ 密码",
    "%s%n~p~s",
    "{tuple,[1]}",
    "a,b,c",
    "[]",
];

/// Passwords that ejabberd refuses: empty, with control characters, or with characters that
/// stringprep (Unicode 3.2) does not know or forbids.
const REFUSED: [&str; 5] = ["", "tab\there", "line\nbreak", "🐘", "\u{202e}evil"];

/// Names that ejabberd accepts and a shell would misread.
const HOSTILE_NAMES: [&str; 10] =
    ["$(id)", "`id`", "a;b", "a|b", "-n", "--help", "a,b", "bób", "*", "a\\b"];

fn jid(local: &str) -> Jid {
    format!("{local}@{HOST}").parse().unwrap()
}

fn room(name: &str) -> RoomJid {
    format!("{name}@conference.{HOST}").parse().unwrap()
}

fn host() -> Vhost {
    Vhost::new(HOST).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Runs every case of the contract, on a server without accounts and rooms.
async fn contract(server: &EjabberdClient) {
    accounts(server).await;
    hostile_accounts(server).await;
    refusals(server).await;
    rooms(server).await;
    hostile_rooms(server).await;
    pipelined(server).await;
    objects::groups(server).await;
    objects::affiliations(server, objects::Subjects::Known).await;
    objects::stored_rooms(server).await;
    objects::bans(server).await;
    objects::vcards(server).await;
    objects::storage(server).await;
}

async fn accounts(server: &EjabberdClient) {
    let ann = jid("ann");
    assert!(server.registered_users(&host()).await.unwrap().is_empty());
    assert!(!server.account_exists(&ann).await.unwrap());
    assert_eq!(server.count_users(&host()).await.unwrap(), 0);
    assert!(!server.unregister(&ann).await.unwrap(), "there was nothing to delete");
    assert_eq!(server.count_users(&host()).await.unwrap(), 0, "the statistics stay right");

    assert_eq!(server.register(&ann, &secret("one")).await.unwrap(), Created::Now);
    assert_eq!(server.register(&ann, &secret("two")).await.unwrap(), Created::Before);
    assert!(
        server.password_is(&ann, &secret("one")).await.unwrap(),
        "the second order changed nothing"
    );
    assert!(server.account_exists(&ann).await.unwrap());
    assert_eq!(server.registered_users(&host()).await.unwrap(), [ann.local.clone()].into());
    assert_eq!(server.count_users(&host()).await.unwrap(), 1);

    server.change_password(&ann, &secret("three")).await.unwrap();
    assert!(server.password_is(&ann, &secret("three")).await.unwrap());
    assert!(!server.password_is(&ann, &secret("one")).await.unwrap());
    assert!(!server.password_is(&jid("missing"), &secret("x")).await.unwrap());
    let error = server.change_password(&jid("missing"), &secret("hunter2")).await.unwrap_err();
    assert!(
        matches!(error, ControlError::Refused { .. }) && !error.to_string().contains("hunter2"),
        "{error}"
    );

    assert!(server.unregister(&ann).await.unwrap());
    assert!(!server.account_exists(&ann).await.unwrap());
    assert!(server.registered_users(&host()).await.unwrap().is_empty());
}

async fn hostile_accounts(server: &EjabberdClient) {
    let long = "x".repeat(1023);
    let kilobyte = "p".repeat(1000);
    let passwords = HOSTILE.iter().copied().chain([kilobyte.as_str()]);
    let user = jid("hostile");
    server.register(&user, &secret("start")).await.unwrap();
    for password in passwords {
        server
            .change_password(&user, &secret(password))
            .await
            .unwrap_or_else(|e| panic!("{password:?}: {e}"));
        assert!(server.password_is(&user, &secret(password)).await.unwrap(), "{password:?}");
    }
    assert!(server.unregister(&user).await.unwrap());
    for name in HOSTILE_NAMES.iter().copied().chain([long.as_str()]) {
        let user = jid(name);
        assert_eq!(server.register(&user, &secret(name)).await.unwrap(), Created::Now, "{name:?}");
        assert!(server.registered_users(&host()).await.unwrap().contains(&user.local), "{name:?}");
        assert!(server.password_is(&user, &secret(name)).await.unwrap(), "{name:?}");
        assert!(server.unregister(&user).await.unwrap(), "{name:?}");
        assert!(!server.account_exists(&user).await.unwrap(), "{name:?}");
    }
}

async fn refusals(server: &EjabberdClient) {
    let elsewhere: Jid = "ann@elsewhere.example".parse().unwrap();
    let error = server.register(&elsewhere, &secret("hunter2")).await.unwrap_err();
    assert_eq!(error.class(), Class::Terminal, "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = server.registered_users(&elsewhere.host).await.unwrap_err();
    assert!(!error.is_outage(), "an unknown host is no outage: {error}");
    for password in REFUSED {
        let error = server.register(&jid("refused"), &secret(password)).await.unwrap_err();
        assert_eq!(error.class(), Class::Terminal, "{password:?}: {error}");
        assert!(password.is_empty() || !error.to_string().contains(password), "{error}");
        assert!(
            !server.account_exists(&jid("refused")).await.unwrap(),
            "a refusal changes nothing"
        );
    }
}

fn options(pairs: &[(&str, OptionValue)]) -> BTreeMap<String, OptionValue> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Returns a new room with `options`, without affiliations and without a subject.
fn plain(options: &BTreeMap<String, OptionValue>) -> NewRoom<'_> {
    static NOBODY: BTreeMap<Jid, AffiliationKind> = BTreeMap::new();
    NewRoom { options, affiliations: &NOBODY, subject: None }
}

async fn rooms(server: &EjabberdClient) {
    let hall = room("hall");
    assert!(server.online_rooms().await.unwrap().is_empty());
    assert_eq!(server.room_options(&hall).await.unwrap(), None);
    assert!(!server.destroy_room(&hall).await.unwrap());
    let wanted = options(&[
        ("persistent", OptionValue::Bool(true)),
        ("members_only", OptionValue::Bool(true)),
        ("title", OptionValue::Text("Große Halle; $(id) 'x' \"y\"".into())),
        ("max_users", OptionValue::Int(50)),
    ]);
    assert_eq!(server.create_room(&hall, &host(), &plain(&wanted)).await.unwrap(), Created::Now);
    assert_eq!(server.create_room(&hall, &host(), &plain(&wanted)).await.unwrap(), Created::Before);
    assert_eq!(server.online_rooms().await.unwrap(), [hall.clone()].into());
    let seen = server.room_options(&hall).await.unwrap().unwrap();
    for (name, value) in [
        ("persistent", "true"),
        ("members_only", "true"),
        ("max_users", "50"),
        ("title", "Große Halle; $(id) 'x' \"y\""),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
    for (name, value, printed) in [
        ("title", OptionValue::Text(String::new()), ""),
        ("title", OptionValue::Text("two\nlines".into()), "two\nlines"),
        ("description", OptionValue::Text("✓ 密".into()), "✓ 密"),
        ("public", OptionValue::Bool(false), "false"),
        ("max_users", OptionValue::Int(20), "20"),
        (
            "presence_broadcast",
            OptionValue::List(vec!["moderator".into(), "participant".into()]),
            "[moderator,participant]",
        ),
    ] {
        server
            .change_room_option(&hall, name, &value)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let seen = server.room_options(&hall).await.unwrap().unwrap();
        assert_eq!(seen.get(name).map(String::as_str), Some(printed), "{name}");
    }
    assert!(server.destroy_room(&hall).await.unwrap());
    gone(server, &hall).await;
    let nowhere: RoomJid = "x@conference.elsewhere.example".parse().unwrap();
    let error = server.create_room(&nowhere, &host(), &plain(&wanted)).await.unwrap_err();
    assert!(!error.is_outage(), "{error}");
}

/// Waits until a destroyed room is gone. The server removes the room a little after its response.
async fn gone(server: &EjabberdClient, room: &RoomJid) {
    for _ in 0..50 {
        if server.room_options(room).await.unwrap().is_none() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{room} is still there");
}

async fn hostile_rooms(server: &EjabberdClient) {
    for name in HOSTILE_NAMES {
        let there = room(name);
        let wanted = options(&[
            ("persistent", OptionValue::Bool(true)),
            ("title", OptionValue::Text(name.into())),
        ]);
        assert_eq!(
            server.create_room(&there, &host(), &plain(&wanted)).await.unwrap(),
            Created::Now,
            "{name:?}"
        );
        let seen = server.room_options(&there).await.unwrap().unwrap();
        assert_eq!(seen.get("title").map(String::as_str), Some(name));
        assert!(server.online_rooms().await.unwrap().contains(&there), "{name:?}");
        assert!(server.destroy_room(&there).await.unwrap(), "{name:?}");
        gone(server, &there).await;
    }
}

/// Each of many concurrent calls gets its own response.
async fn pipelined(server: &EjabberdClient) {
    let users: Vec<Jid> = (0..200).map(|n| jid(&format!("many{n}"))).collect();
    let made = futures_util::future::join_all(
        users.iter().map(|user| server.register(user, user_secret(user))),
    )
    .await;
    assert!(made.iter().all(|made| *made.as_ref().unwrap() == Created::Now));
    let checks = futures_util::future::join_all(users.iter().enumerate().map(|(n, user)| {
        let asked = if n % 2 == 0 { user_secret(user) } else { user_secret(&users[0]) };
        server.password_is(user, asked)
    }))
    .await;
    for (n, check) in checks.into_iter().enumerate() {
        assert_eq!(check.unwrap(), n % 2 == 0, "response {n} went to another caller");
    }
    let deleted =
        futures_util::future::join_all(users.iter().map(|user| server.unregister(user))).await;
    assert!(deleted.into_iter().all(|deleted| deleted.unwrap()));
}

fn user_secret(user: &Jid) -> &'static Secret {
    Box::leak(Box::new(secret(&format!("pw-{user}"))))
}

/// Controls a server, real or double, for fault tests.
#[async_trait]
trait Rig: Sync {
    fn server(&self) -> &EjabberdClient;
    /// Stops the server and its process.
    async fn stop(&self);
    /// Starts the server, without waiting until it responds.
    async fn start(&self);
    /// Freezes the process, so that the process stays alive and does not respond.
    async fn freeze(&self);
    async fn thaw(&self);
}

/// Runs every fault, on a server without accounts. After each fault, the same channel reports the
/// same state as before the fault.
async fn faults(rig: &impl Rig) {
    let server = &rig.server().clone().with_deadline(Duration::from_secs(2));
    let ann = jid("ann");
    server.register(&ann, &secret("one")).await.unwrap();
    crashes(server).await;

    rig.freeze().await;
    let began = Instant::now();
    let error = server.account_exists(&ann).await.unwrap_err();
    assert!(error.is_outage() && error.class() == Class::Transient, "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "a frozen server took {:?} to notice",
        began.elapsed()
    );
    rig.thaw().await;
    answers_again(server, &ann).await;

    rig.stop().await;
    let error = server.account_exists(&ann).await.unwrap_err();
    assert!(
        error.is_outage(),
        "a server that is down is an outage, not an absent account: {error}"
    );
    let error = server.registered_users(&host()).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    rig.start().await;
    // While the server starts, no reading may report an object as missing.
    let began = Instant::now();
    loop {
        match server.account_exists(&ann).await {
            Ok(there) => {
                assert!(there, "a starting server must not read as a server without accounts");
                break;
            }
            Err(error) => assert!(!matches!(error, ControlError::Refused { .. }), "{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(90), "not up again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers_again(server, &ann).await;
    restarted_in_the_middle(rig, server).await;
    assert!(server.unregister(&ann).await.unwrap());
}

async fn answers_again(server: &EjabberdClient, ann: &Jid) {
    let began = Instant::now();
    while !matches!(server.is_started().await, Ok(true)) {
        assert!(began.elapsed() < Duration::from_secs(90), "does not respond again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.account_exists(ann).await.unwrap());
}

/// A command that crashes does not affect other commands, and its error shows no argument.
async fn crashes(server: &EjabberdClient) {
    let lab = room("lab");
    server
        .create_room(&lab, &host(), &plain(&options(&[("persistent", OptionValue::Bool(true))])))
        .await
        .unwrap();
    let value = OptionValue::Text("hunter2".into());
    let error = server.change_room_option(&lab, "no_such_option", &value).await.unwrap_err();
    assert!(
        matches!(error, ControlError::Crashed { .. } | ControlError::Refused { .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(server.is_started().await.unwrap(), "the channel lives on");
    assert!(server.destroy_room(&lab).await.unwrap());
}

/// Calls in flight during a stop of the server end with a response or an outage, and each account
/// exists completely or not at all.
async fn restarted_in_the_middle(rig: &impl Rig, server: &EjabberdClient) {
    let users: Vec<Jid> = (0..400).map(|n| jid(&format!("middle{n}"))).collect();
    let orders = futures_util::future::join_all(
        users.iter().map(|user| server.register(user, user_secret(user))),
    );
    let fault = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        rig.stop().await;
        rig.start().await;
    };
    let (made, ()) = tokio::join!(orders, fault);
    let ann = jid("ann");
    answers_again(server, &ann).await;
    for (user, made) in users.iter().zip(made) {
        let there = server.account_exists(user).await.unwrap();
        match made {
            Ok(_) => assert!(there, "{user} was reported as created, and does not exist"),
            // While the server stops, a command may crash, be refused or be unknown. Any error is
            // right here, unless the error shows the password.
            Err(error) => assert!(!error.to_string().contains("pw-"), "{user}: {error}"),
        }
        if there {
            assert!(server.password_is(user, user_secret(user)).await.unwrap(), "{user}");
            assert!(server.unregister(user).await.unwrap());
        }
    }
}

/// A server without a module reports the missing module, and not an empty list.
async fn missing_modules(server: &EjabberdClient) {
    let error = server.account_exists(&jid("ann")).await.unwrap_err();
    assert!(matches!(error, ControlError::UnknownCommand { .. }), "{error:?}");
    assert!(error.to_string().contains("mod"), "the error names the module: {error}");
    let error = server.online_rooms().await.unwrap_err();
    assert!(matches!(error, ControlError::UnknownCommand { .. }), "{error:?}");
    let error = server.room_options(&room("x")).await.unwrap_err();
    assert!(matches!(error, ControlError::UnknownCommand { .. }), "{error:?}");
    assert!(server.registered_users(&host()).await.is_ok(), "what needs no module works");
}

struct DoubleRig {
    double: Arc<Double>,
    server: EjabberdClient,
}

#[async_trait]
impl Rig for DoubleRig {
    fn server(&self) -> &EjabberdClient {
        &self.server
    }
    async fn stop(&self) {
        self.double.world.lock().unwrap().down = true;
    }
    async fn start(&self) {
        self.double.world.lock().unwrap().down = false;
    }
    async fn freeze(&self) {
        self.double.world.lock().unwrap().frozen = true;
    }
    async fn thaw(&self) {
        self.double.world.lock().unwrap().frozen = false;
    }
}

struct RealRig {
    container: Container,
    server: EjabberdClient,
}

#[async_trait]
impl Rig for RealRig {
    fn server(&self) -> &EjabberdClient {
        &self.server
    }
    async fn stop(&self) {
        // Stops ejabberd before the container, as the operator does, so that no data is lost.
        let orderly = self.container.server();
        let _ = orderly.stop().await;
        orderly.close().await;
        self.container.runtime.stop().await.unwrap();
    }
    async fn start(&self) {
        self.container.runtime.start().await.unwrap();
    }
    async fn freeze(&self) {
        // On a busy machine, the kernel sometimes does not freeze the processes in time
        // (`unable to freeze`, seen with Docker 20.10).
        for _ in 0..5 {
            let paused = Command::new("docker").args(["pause", &self.container.name]).output();
            if paused.expect("docker is needed").status.success() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        docker(&["pause", &self.container.name]);
    }
    async fn thaw(&self) {
        docker(&["unpause", &self.container.name]);
    }
}

#[tokio::test]
async fn double_keeps_the_contract() {
    let double = Arc::new(Double::new(HOST));
    let server = EjabberdClient::new(Arc::clone(&double) as Arc<dyn Control>);
    contract(&server).await;
    faults(&DoubleRig { double: Arc::clone(&double), server: server.clone() }).await;
    double.world.lock().unwrap().missing.extend([
        "check_account",
        "muc_online_rooms",
        "get_room_options",
    ]);
    missing_modules(&server).await;
}

/// Runs the contract against a real server of `version`.
async fn real(version: &str) {
    let (container, server) = Container::started(version, CONFIG).await;
    assert_eq!(server.version().await.unwrap().to_string(), ejabberd_version(version));
    contract(&server).await;
    let rig = RealRig { container, server };
    faults(&rig).await;
    rig.server.close().await;
    drop(rig);
    let bare: Vec<&str> = CONFIG.lines().filter(|line| !line.contains("admin")).collect();
    let bare = bare.join("\n");
    let (container, server) = Container::started(version, &bare).await;
    missing_modules(&server).await;
    server.close().await;
    drop(container);
}

#[tokio::test]
async fn real_26_07_keeps_the_contract() {
    real("newest").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn real_24_12_keeps_the_contract() {
    real("24.12").await;
}

#[tokio::test]
async fn real_ecs_keeps_the_contract() {
    real("24.12-ecs").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn real_ghcr_keeps_the_contract() {
    real("newest-ghcr").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn real_23_01_keeps_the_contract() {
    real("23.01").await;
}
