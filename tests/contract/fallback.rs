//! Tests of the control channel `ejabberdctl`: the table of its calls, and the part of the contract
//! that applies to this channel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ejabberd_operator::adapters::ejabberdctl::Ejabberdctl;
use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::domain::model::{Secret, ServerVersion};
use ejabberd_operator::domain::spec::OptionValue;
use ejabberd_operator::ejabberd::{
    Arg, Call, Control, ControlError, EjabberdClient, NewRoom, Shape, Value,
};
use ejabberd_operator::engine::Spawner;

use super::objects::Subjects;
use super::support::real::{CONFIG, Container, HOST};
use super::{host, hostile_rooms, jid, objects, options, room, rooms, secret};

const DEADLINE: Duration = Duration::from_secs(30);

/// A row of `ejabberdctl.tsv`.
struct Row {
    kind: String,
    name: String,
    works: bool,
    /// The mechanism that carries the call, or the message of the error.
    by: String,
}

fn table() -> Vec<Row> {
    include_str!("ejabberdctl.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [kind, name, result, by] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("not four cells: {line}")
            };
            assert!(["works", "refused"].contains(&result), "{line}");
            Row {
                kind: kind.to_owned(),
                name: name.to_owned(),
                works: result == "works",
                by: by.to_owned(),
            }
        })
        .collect()
}

/// The call sites at which the name of the call is a variable: the file, the kind of the call, the
/// words in the source, and the possible names. A call site without names forwards the name from
/// its caller.
const VARIABLES: [(&str, &str, &str, &[&str]); 14] = [
    ("groups.rs", "command", "command", &["srg_user_add", "srg_user_del"]),
    ("health.rs", "function", "module, function", &[]),
    (
        "health.rs",
        "function",
        "\"erlang\", function",
        &["erlang:system_info", "erlang:memory", "erlang:statistics"],
    ),
    ("listeners.rs", "beside", "function", &["stream", "websocket", "bosh", "get"]),
    ("mod.rs", "command", "name", &[]),
    ("mod.rs", "beside", "function", &[]),
    ("mod.rs", "function", "module, function", &["application:stop", "mnesia:stop"]),
    ("phase.rs", "function", "module, function", &["init:get_status", "application:info"]),
    ("storage.rs", "command", "name", &["get_offline_count", "get_mam_count"]),
    ("vcards.rs", "command", "name", &["set_vcard", "set_vcard2", "get_vcard", "get_vcard2"]),
    ("mod.rs", "inside", "function", &[]),
    ("mod.rs", "beside", "tables", &["tables"]),
    ("mod.rs", "beside", "status", &["status"]),
    ("mod.rs", "beside", "login", &["login"]),
];

/// The forms of a call in the source: the text at which the call begins, the kind of the call, and
/// the number of names after that text.
const CALLS: [(&str, &str, usize); 8] = [
    ("self.command(", "command", 1),
    ("Call::command(", "command", 1),
    ("Call::function(", "function", 2),
    ("self.function(", "function", 2),
    ("self.beside(", "beside", 1),
    ("self.kernel_file(", "beside", 1),
    ("Call::Beside { function: ", "beside", 1),
    ("Call::Inside { function: ", "inside", 1),
];

/// Returns the calls in a source file, each as `kind name`.
fn calls(file: &str, source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line.trim(), " "])
        .collect::<String>()
        .replace(" .", ".");
    let mut found = BTreeSet::new();
    for (start, kind, names) in CALLS {
        for (at, _) in code.match_indices(start) {
            let rest = code[at + start.len()..].trim_start();
            let words: Vec<&str> = rest.split([',', ')', '}']).take(names).map(str::trim).collect();
            let resolved: Option<Vec<String>> =
                words.iter().map(|word| resolve(&code[..at], word)).collect();
            if let Some(names) = resolved {
                found.insert(format!("{kind} {}", names.join(":")));
                continue;
            }
            let words = words.join(", ");
            let known = VARIABLES.iter().find(|(f, k, w, _)| (*f, *k, *w) == (file, kind, &*words));
            let (_, _, _, names) = known.unwrap_or_else(|| {
                panic!("{file}: what does `{start}{words}` call? say it in VARIABLES")
            });
            found.extend(names.iter().map(|name| format!("{kind} {name}")));
        }
    }
    found
}

/// Returns the string of a literal, or of the constant `word` that is defined last in `before`.
/// `None` if `word` is neither a literal nor such a constant.
fn resolve(before: &str, word: &str) -> Option<String> {
    if let Some(literal) = word.strip_prefix('"') {
        return literal.strip_suffix('"').map(str::to_owned);
    }
    let definition = format!("const {word}: &str = \"");
    let (_, value) = before.rsplit_once(&definition)?;
    value.split_once('"').map(|(value, _)| value.to_owned())
}

#[test]
fn the_table_names_every_call_of_the_source() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ejabberd/client");
    let mut used = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        used.extend(calls(path.file_name().unwrap().to_str().unwrap(), &source));
    }
    let listed: BTreeSet<String> =
        table().into_iter().map(|row| format!("{} {}", row.kind, row.name)).collect();
    let missing: Vec<_> = used.difference(&listed).collect();
    assert!(missing.is_empty(), "without a row in ejabberdctl.tsv: {missing:?}");
    let unused: Vec<_> = listed.difference(&used).collect();
    assert!(unused.is_empty(), "nothing calls these rows of ejabberdctl.tsv: {unused:?}");
}

#[test]
fn every_form_of_a_call_is_found_in_the_source() {
    let found = calls(
        "x.rs",
        "const MODULE: &str = \"m\";\nasync fn a() { const NAME: &str = \"one\";\n self\n.command(NAME,\n\
         x)\n} fn b() { const NAME: &str = \"two\"; Call::function(MODULE, NAME, y);\n\
         // self.command(\"comment\")\n Call::Beside { function: \"three\", args } }\n\
         #[cfg(test)] mod tests { self.command(\"test\") }",
    );
    let expected = ["command one", "function m:two", "beside three"].map(str::to_owned);
    assert_eq!(found, expected.into());
}

/// A control channel over `ejabberdctl`, with a session for the calls that carry passwords.
struct Mixed {
    session: Session,
    fallback: Ejabberdctl,
}

#[async_trait]
impl Control for Mixed {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        // Only these calls carry passwords, and `ejabberdctl` refuses calls with a password.
        match call.name() {
            "register" | "check_password" | "change_password" => {
                self.session.call(call, deadline).await
            }
            _ => self.fallback.call(call, deadline).await,
        }
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        self.fallback.version().await
    }

    async fn close(&self) {
        self.session.close().await;
        self.fallback.close().await;
    }
}

fn fallback(container: &Container) -> Ejabberdctl {
    Ejabberdctl::new(
        Arc::clone(&container.runtime) as Arc<dyn Spawner>,
        vec!["ejabberdctl".to_owned()],
    )
}

/// Starts a server of `version`. Returns the container, a client over `ejabberdctl`, and a client
/// over a session.
async fn both(version: &str) -> (Container, EjabberdClient, EjabberdClient) {
    let (container, session) = Container::started(version, CONFIG).await;
    let mixed = Mixed { session: container.session(), fallback: fallback(&container) };
    let server = EjabberdClient::new(Arc::new(mixed)).with_deadline(DEADLINE);
    assert_eq!(server.version().await, session.version().await);
    (container, server, session)
}

async fn real(version: &str) {
    let (_container, server, session) = both(version).await;
    rooms(&server).await;
    objects::groups(&server).await;
    objects::affiliations(&server, Subjects::Unknown).await;
    objects::stored_rooms(&server).await;
    reads(&server, &session).await;
    server.close().await;
    session.close().await;
}

/// Runs the parts of the contract with hundreds of calls. A separate test runs these parts, because
/// each call starts a VM.
async fn long(version: &str) {
    let (_container, server, session) = both(version).await;
    hostile_rooms(&server).await;
    objects::bans(&server).await;
    objects::vcards(&server).await;
    server.close().await;
    session.close().await;
}

/// Checks that `ejabberdctl` and the session read the same values.
async fn reads(server: &EjabberdClient, session: &EjabberdClient) {
    let host = host();
    assert_eq!(server.hosts().await, session.hosts().await);
    assert_eq!(server.config_path().await, session.config_path().await);
    assert_eq!(server.listeners().await, session.listeners().await);
    assert_eq!(server.listeners().await.unwrap().len(), 1);
    assert_eq!(server.accounts_table().await, session.accounts_table().await);
    let database = server.database(&[&host]).await;
    assert_eq!(database, session.database(&[&host]).await);
    assert!(database.unwrap().directory.ends_with("/database"));
    assert_eq!(server.accounts_elsewhere(&host).await, session.accounts_elsewhere(&host).await);
    assert_eq!(server.accounts_can_be_read(&host).await, Ok(true));
    assert_eq!(server.new_room_options(&host).await, session.new_room_options(&host).await);
    assert_eq!(server.archive_default(&host).await, session.archive_default(&host).await);
    assert_eq!(server.archive_table().await, session.archive_table().await);
    for module in ["mod_muc", "mod_admin_extra", "mod_mam"] {
        let found = server.has_module(&host, module).await;
        assert_eq!(found, session.has_module(&host, module).await, "{module}");
    }
    let path = session.config_path().await.unwrap();
    let text = server.read_file(&path).await.unwrap().unwrap();
    assert_eq!(text, CONFIG.as_bytes());
    assert_eq!(server.read_file("/no/such/file").await, Ok(None));
    assert!(server.is_started().await.unwrap());
    assert!(server.process_status().await.unwrap().contains("Uid:"));
    assert!(server.tcp_tables().await.unwrap().contains("local_address"));
    assert!(server.uptime_seconds().await.is_ok());
    assert!(server.back_up().await.unwrap().ends_with(".backup"));
}

#[tokio::test]
async fn ejabberdctl_newest_keeps_the_contract_of_rooms_groups_and_reads() {
    real("newest").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn ejabberdctl_24_12_keeps_the_contract_of_rooms_groups_and_reads() {
    real("24.12").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn ejabberdctl_23_01_keeps_the_contract_of_rooms_groups_and_reads() {
    real("23.01").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn ejabberdctl_newest_keeps_the_contract_of_names_bans_and_vcards() {
    long("newest").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn ejabberdctl_24_12_keeps_the_contract_of_names_bans_and_vcards() {
    long("24.12").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn ejabberdctl_23_01_keeps_the_contract_of_names_bans_and_vcards() {
    long("23.01").await;
}

/// Returns valid arguments of a call, for a server with an account `ann`, a room `hall` and a group
/// `team`.
fn arguments(name: &str) -> Vec<Arg> {
    let texts = |texts: &[&str]| texts.iter().map(|text| Arg::from(*text)).collect();
    let service = format!("conference.{HOST}");
    let ann = ["ann", HOST];
    let hall = ["hall", service.as_str()];
    let with = |first: &[&str], more: &[&str]| texts(&[first, more].concat());
    match name {
        "ban_account" => with(&ann, &["abuse"]),
        "register" | "change_password" | "check_password" => {
            let mut args: Vec<Arg> = texts(&ann);
            args.push((&secret("hunter2")).into());
            args
        }
        "check_account" | "get_ban_details" | "get_last" | "get_mam_count"
        | "get_offline_count" | "unban_account" | "unregister" | "user_sessions_info" => {
            texts(&ann)
        }
        "connected_users_vhost"
        | "list_banned"
        | "registered_users"
        | "srg_list"
        | "mod_mam_opt:default"
        | "mod_muc_opt:default_room_options"
        | "ejabberd_option:auth_method" => texts(&[HOST]),
        "change_room_option" => with(&hall, &["title", "Hall"]),
        "create_room_with_opts" => {
            let pairs = vec![("persistent".to_owned(), Secret::new("true".to_owned()))];
            let mut args: Vec<Arg> = texts(&["other", service.as_str(), HOST]);
            args.push(Arg::Pairs(pairs));
            args
        }
        "destroy_room" => texts(&["other", service.as_str()]),
        "get_room_affiliations" | "get_room_options" => texts(&hall),
        "set_room_affiliation" => with(&hall, &["ann", HOST, "owner"]),
        "muc_online_rooms" => texts(&["global"]),
        "rooms_unused_list" => vec!["global".into(), Arg::Int(0)],
        "get_vcard" => with(&ann, &["FN"]),
        "get_vcard2" => with(&ann, &["N", "GIVEN"]),
        "set_vcard" => with(&ann, &["FN", "Ann"]),
        "set_vcard2" => with(&ann, &["N", "GIVEN", "Ann"]),
        "send_message" => texts(&["headline", HOST, "ann@test.example", "", "hello"]),
        "srg_create" => texts(&["other", HOST, "Other", "", ""]),
        "srg_delete" => texts(&["other", HOST]),
        "srg_user_add" | "srg_user_del" => with(&ann, &["team", HOST]),
        "stats" => texts(&["uptimeseconds"]),
        "stats_host" => texts(&["registeredusers", HOST]),
        "backup" => vec![Arg::Characters("/home/ejabberd/database/x.backup".into())],
        "application:stop" => vec![Arg::Atom("ejabberd")],
        "gen_mod:is_loaded" => vec![HOST.into(), Arg::Atom("mod_muc")],
        "mnesia:system_info" => vec![Arg::Atom("directory")],
        "mnesia:table_info" => vec![Arg::Atom("passwd"), Arg::Atom("size")],
        "mod_shared_roster:get_group_opts" | "mod_shared_roster:get_group_explicit_users" => {
            texts(&[HOST, "team"])
        }
        "file:read_file" => texts(&["/etc/passwd"]),
        _ => Vec::new(),
    }
}

fn call(row: &Row) -> Call {
    let name: &'static str = Box::leak(row.name.clone().into_boxed_str());
    let args = arguments(name);
    let shape = match name {
        "status" | "backup" | "unregister" | "register" => Shape::Restuple,
        "stats" | "stats_host" | "get_last" | "get_offline_count" | "get_mam_count"
        | "get_vcard" | "get_vcard2" => Shape::Text,
        "get_ban_details" | "get_room_options" | "get_room_affiliations" => Shape::Pairs,
        name if name.contains("list") || name.contains("users") || name.contains("sessions") => {
            Shape::Lines
        }
        "muc_online_rooms" => Shape::Lines,
        _ => Shape::Rescode,
    };
    match (row.kind.as_str(), name.split_once(':')) {
        ("command", _) => Call::command(name, shape, args),
        ("function", Some((module, function))) => Call::function(module, function, args),
        ("beside", _) => Call::Beside { function: name, args },
        ("inside", _) => Call::Inside { function: name, args },
        other => panic!("{other:?}"),
    }
}

/// Returns the position of a row in the test. Calls that delete objects or stop the server come
/// last.
fn order(row: &Row) -> usize {
    let last = ["unban_account", "destroy_room", "srg_delete", "unregister", "reload_config"];
    let end = ["application:stop", "mnesia:stop"];
    let at = |names: &[&str]| names.iter().position(|name| *name == row.name);
    at(&last).map_or_else(|| at(&end).map_or(0, |at| 100 + at), |at| 1 + at)
}

#[tokio::test]
async fn each_row_of_the_table_holds_on_a_real_server() {
    let config = CONFIG.replace("  mod_last: {}", "  mod_last: {}\n  mod_mam: {}");
    let (container, session) = Container::started("newest", &config).await;
    session.register(&jid("ann"), &secret("one")).await.unwrap();
    let persistent = options(&[("persistent", OptionValue::Bool(true))]);
    let new = NewRoom { options: &persistent, affiliations: &BTreeMap::new(), subject: None };
    session.create_room(&room("hall"), &host(), &new).await.unwrap();
    let team = ejabberd_operator::domain::model::Localpart::new("team").unwrap();
    session.write_group(&host(), &team, Some("Team"), None).await.unwrap();
    session.close().await;
    let control = fallback(&container);
    let mut rows = table();
    // `set_vcard` comes before `get_vcard`, because the account has no vCard at first.
    rows.sort_by_key(|row| (order(row), !row.name.starts_with("set_vcard")));
    for row in rows {
        let answer = control.call(call(&row), DEADLINE).await;
        match (row.works, answer) {
            (true, answer) => {
                let answer = answer.unwrap_or_else(|e| panic!("{} {}: {e}", row.kind, row.name));
                let refused = Value::Atom("error".to_owned());
                assert_ne!(answer, refused, "{} {}", row.kind, row.name);
            }
            (false, Err(ControlError::Unsupported { why, .. })) => {
                assert_eq!(why, row.by, "{} {}", row.kind, row.name);
            }
            (false, answer) => panic!("{} {} is not refused: {answer:?}", row.kind, row.name),
        }
    }
}
