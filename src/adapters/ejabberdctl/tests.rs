use std::collections::VecDeque;

use super::*;
use crate::domain::model::Secret;
use crate::ejabberd::erlang::{Installation, NodeAddress};
use crate::engine::Spawned;

/// A spawner that responds to `status` like a server of `version`, and to other commands in order.
struct Fake {
    version: &'static str,
    responses: std::sync::Mutex<VecDeque<Result<Output, RuntimeError>>>,
    asked: std::sync::Mutex<Vec<CommandLine>>,
}

fn output(code: i64, stdout: &str) -> Output {
    Output { code: Some(code), stdout: stdout.to_owned(), stderr: String::new() }
}

#[async_trait]
impl Spawner for Fake {
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError> {
        Err(RuntimeError::Missing("erl".into()))
    }

    async fn spawn(&self, _: CommandLine) -> Result<Spawned, RuntimeError> {
        Err(RuntimeError::Missing("erl".into()))
    }

    async fn output(&self, command: CommandLine, _: Duration) -> Result<Output, RuntimeError> {
        let status = command.argv.get(1).is_some_and(|word| word == STATUS);
        self.asked.lock().unwrap().push(command);
        if status {
            return Ok(output(
                0,
                &format!(
                    "The node ejabberd@localhost is started with status: started\n\
                     ejabberd {} is running in that node\n",
                    self.version
                ),
            ));
        }
        // If two calls ran at the same time, one could take the response of the other.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.responses.lock().unwrap().pop_front().unwrap()
    }
}

fn fake(
    version: &'static str,
    responses: Vec<Result<Output, RuntimeError>>,
) -> (Arc<Fake>, Ejabberdctl) {
    let fake = Arc::new(Fake {
        version,
        responses: std::sync::Mutex::new(responses.into()),
        asked: std::sync::Mutex::default(),
    });
    let control =
        Ejabberdctl::new(Arc::clone(&fake) as Arc<dyn Spawner>, vec!["ejabberdctl".into()]);
    (fake, control)
}

async fn answered(shape: Shape, code: i64, stdout: &str) -> Result<Value, ControlError> {
    let (_, control) = fake("26.07", vec![Ok(output(code, stdout))]);
    control.call(Call::command("c", shape, vec![]), Duration::from_secs(1)).await
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn pair(one: Value, two: Value) -> Value {
    Value::Tuple(vec![one, two])
}

fn atom(name: &str) -> Value {
    Value::Atom(name.into())
}

#[tokio::test]
async fn each_argument_is_one_word_and_the_api_version_is_fixed() {
    for (version, api) in [("24.12-3+b1", "3"), ("23.01-1", "0")] {
        let (fake, control) = fake(version, vec![Ok(output(0, "")), Ok(output(0, ""))]);
        for _ in 0..2 {
            let args = vec!["--node".into(), "a\nb; c".into(), Arg::Int(7), Arg::Atom("x")];
            let call = Call::command("set", Shape::Rescode, args);
            assert!(control.call(call, Duration::from_secs(1)).await.unwrap().is_ok());
        }
        let asked = fake.asked.lock().unwrap();
        assert_eq!(asked.len(), 3, "the version is asked for once");
        assert_eq!(
            asked[1].argv,
            ["ejabberdctl", "--version", api, "set", "--node", "a\nb; c", "7", "x"]
        );
        assert_eq!(asked[1].env, [("LC_ALL".to_owned(), "C.UTF-8".to_owned())]);
    }
}

#[tokio::test]
async fn secrets_and_functions_never_reach_a_command_line() {
    let (fake, control) = fake("26.07", vec![]);
    let secret = Secret::new("hunter2".into());
    for call in [
        Call::command("register", Shape::Restuple, vec!["a".into(), (&secret).into()]),
        Call::command(
            "c",
            Shape::Rescode,
            vec![Arg::Pairs(vec![("password".into(), secret.clone())])],
        ),
        Call::function("mnesia", "sync_log", vec![]),
        Call::function("ejabberd_sql", "sql_query", vec!["a".into(), "b".into()]),
        Call::Inside { function: "subject", args: vec![] },
        Call::Beside { function: "login", args: vec!["a".into(), (&secret).into()] },
        room(&[("password", "hunter2")]),
        room(&[("subject", "hunter2: a, b")]),
        Call::command("c", Shape::Rescode, vec!["a\0b".into()]),
    ] {
        let error = control.call(call, Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error, ControlError::Unsupported { .. }), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    assert!(fake.asked.lock().unwrap().is_empty());
}

fn room(options: &[(&str, &str)]) -> Call {
    let pairs = options.iter().map(|(name, value)| ((*name).into(), Secret::new((*value).into())));
    let args = vec!["hall".into(), "conf.h".into(), "h".into(), Arg::Pairs(pairs.collect())];
    Call::command("create_room_with_opts", Shape::Rescode, args)
}

/// The arguments after the script, its version option, and the API version.
fn commands(fake: &Fake) -> Vec<Vec<String>> {
    let asked = fake.asked.lock().unwrap();
    asked.iter().skip(1).map(|line| line.argv.iter().skip(3).cloned().collect()).collect()
}

#[tokio::test]
async fn options_that_a_list_cannot_contain_are_set_after_creation() {
    let options = [
        ("title", "a, b: c"),
        ("members_only", "true"),
        ("password", ""),
        ("subject", "hello"),
        ("affiliations", "owner:ann@h,member:bob@h"),
    ];
    let done = || Ok(output(0, ""));
    let (new, control) = fake("26.07", vec![done(), done(), done(), done(), done()]);
    assert!(control.call(room(&options), Duration::from_secs(1)).await.unwrap().is_ok());
    assert_eq!(
        commands(&new),
        [
            vec!["create_room_with_opts", "hall", "conf.h", "h", "members_only:true,subject:hello"],
            vec!["change_room_option", "hall", "conf.h", "title", "a, b: c"],
            vec!["change_room_option", "hall", "conf.h", "password", ""],
            vec!["set_room_affiliation", "hall", "conf.h", "ann", "h", "owner"],
            vec!["set_room_affiliation", "hall", "conf.h", "bob", "h", "member"],
        ]
    );
    let (old, control) = fake("23.01", vec![done(), done(), done()]);
    control.call(room(&options), Duration::from_secs(1)).await.unwrap();
    let json = r#"[{"name":"title","value":"a, b: c"},{"name":"members_only","value":"true"},{"name":"password","value":""},{"name":"subject","value":"hello"}]"#;
    assert_eq!(commands(&old)[0], ["create_room_with_opts", "hall", "conf.h", "h", json]);
    assert_eq!(commands(&old)[1][3..], ["ann@h", "owner"]);
    // If the room exists already, the channel changes no option.
    let exists = Ok(output(1, "{error,\"Room already exists\"}\n"));
    let (there, control) = fake("26.07", vec![exists]);
    let error = control.call(room(&options), Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(commands(&there).len(), 1);
}

#[tokio::test]
async fn functions_are_replaced_by_commands() {
    async fn of(call: Call, code: i64, stdout: &str) -> (Vec<String>, Value) {
        let (fake, control) = fake("26.07", vec![Ok(output(code, stdout))]);
        let value = control.call(call, Duration::from_secs(1)).await.unwrap();
        (commands(&fake).remove(0), value)
    }
    let group =
        |function| Call::function("mod_shared_roster", function, vec!["h".into(), "team".into()]);
    let info = "label\tZw\u{c3}\u{b6}lf\nlines\ndisplayed_groups\t[\"team\",\"other\"]\ndescription\t[]\n\
                all_users\ttrue\n";
    let (line, options) = of(group("get_group_opts"), 0, info).await;
    assert_eq!(line, ["srg_get_info", "team", "h"]);
    assert_eq!(
        options,
        Value::List(vec![
            pair(atom("label"), text("Zwölf\nlines")),
            pair(atom("displayed_groups"), Value::List(vec![text("team"), text("other")])),
            pair(atom("description"), text("")),
            pair(atom("all_users"), atom("true")),
        ])
    );
    assert_eq!(of(group("get_group_opts"), 0, "").await.1, atom("error"), "there is no such group");
    let (_, members) = of(group("get_group_explicit_users"), 0, "a,b@h\nbob@far\n").await;
    assert_eq!(
        members,
        Value::List(vec![pair(text("a,b"), text("h")), pair(text("bob"), text("far"))])
    );
    let stored = vec![Arg::Atom("passwd"), Arg::Atom("storage_type")];
    let (line, value) = of(
        Call::function("mnesia", "table_info", stored),
        0,
        "[{size,2},\n {storage_type,disc_copies}]\n",
    )
    .await;
    assert_eq!(
        (line, value),
        (vec!["mnesia_table_info".into(), "passwd".into()], atom("disc_copies"))
    );
    let hosts = Call::function("ejabberd_option", "hosts", vec![]);
    let (line, value) = of(hosts, 0, "h\nother\n").await;
    assert_eq!(line, ["registered_vhosts"]);
    assert_eq!(value, Value::List(vec![text("h"), text("other")]));
}

#[tokio::test]
async fn the_configuration_is_read_once_for_many_calls() {
    let dumped = || Ok(output(0, "modules: \n  mod_last: []\n"));
    let (fake, control) = fake("26.07", vec![dumped(), Ok(output(0, "")), dumped()]);
    let loaded =
        |module| Call::function("gen_mod", "is_loaded", vec!["h".into(), Arg::Atom(module)]);
    let ask = |call| control.call(call, Duration::from_secs(1));
    assert_eq!(ask(loaded("mod_last")).await, Ok(atom("true")));
    assert_eq!(ask(loaded("mod_muc")).await, Ok(atom("false")));
    assert_eq!(fake.asked.lock().unwrap().len(), 1);
    ask(Call::command("reload_config", Shape::Rescode, vec![])).await.unwrap();
    assert_eq!(ask(loaded("mod_last")).await, Ok(atom("true")));
    assert!(fake.responses.lock().unwrap().is_empty(), "it is read again after a reload");
}

#[tokio::test]
async fn responses_are_parsed_by_their_shape() {
    let reports = "=ERROR REPORT==== 22-Nov-2026::16:54:15.882976 ===\ninet_config: file not \
                   found\n\n";
    let twice = format!("{reports}{reports}ann\nbób\n");
    for (shape, code, stdout, value) in [
        (Shape::Rescode, 0, "", atom("ok")),
        (Shape::Rescode, 0, reports, atom("ok")),
        (Shape::Rescode, 1, "Error: false\n", atom("false")),
        (Shape::Rescode, 1, "Error: account_does_not_exist\n", atom("account_does_not_exist")),
        (
            Shape::Restuple,
            0,
            "User a@h successfully registered\n",
            pair(atom("ok"), text("User a@h successfully registered")),
        ),
        (
            Shape::Restuple,
            1,
            "Error: conflict: User a@h already registered\n",
            pair(atom("error"), text("conflict: User a@h already registered")),
        ),
        (Shape::Text, 0, "177\n", text("177")),
        (Shape::Text, 0, "-x\ny\n", text("-x\ny")),
        (Shape::Lines, 0, "", Value::List(vec![])),
        (Shape::Lines, 0, &twice, Value::List(vec![text("ann"), text("bób")])),
        (
            Shape::Pairs,
            0,
            "title\t\ndescription\tone\ntwo\npublic\ttrue\n",
            Value::List(vec![
                pair(text("title"), text("")),
                pair(text("description"), text("one\ntwo")),
                pair(text("public"), text("true")),
            ]),
        ),
    ] {
        assert_eq!(answered(shape, code, stdout).await, Ok(value), "{stdout:?}");
    }
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let crash = "Unhandled exception occurred executing the command:\n\
                 ** exception error: no case clause matching hunter\n   \
                 in function  mod_muc_admin:change_option/3 (mod_muc_admin.erl:2068)\n   \
                 in call from mod_muc_admin:change_room_option/3 (mod_muc_admin.erl:1889)\n";
    let route = "Unhandled exception occurred executing the command:\n\
                 ** exception error: {unregistered_route,<<\"hunter\">>}\n   \
                 in function  ejabberd_router:host_of_route/1 (ejabberd_router.erl, line 280)\n";
    let long = "user\n".repeat(60_000);
    for (shape, code, stdout, category, shown) in [
        (
            Shape::Rescode,
            1,
            "Error: unknown command 'x'. Did you mean 'y'?\n",
            "unknown_command",
            "mod_admin_extra",
        ),
        (Shape::Rescode, 1, "{error,\"Room already exists\"}\n", "refused", "Room already exists"),
        (
            Shape::Lines,
            1,
            "{error,<<\"Unknown host passed\">>}\n",
            "refused",
            "Unknown host passed",
        ),
        (Shape::Restuple, 1, "{error,\"The room does not exist.\"}\n", "refused", "does not exist"),
        (
            Shape::Lines,
            1,
            "Error: error\nError: \"Unknown virtual host\"\n",
            "refused",
            ": Unknown virtual host",
        ),
        (Shape::Text, 1, "error_no_value_found_in_vcard\n", "refused", "error_no_value_found"),
        (
            Shape::Rescode,
            1,
            "  Command Name: c\n\n  Arguments: user::binary\n",
            "refused",
            "other arguments",
        ),
        (Shape::Rescode, 2, "  Command Name: c\n", "refused", "other arguments"),
        (Shape::Rescode, 1, crash, "crashed", "(no case clause in mod_muc_admin:change_option/3)"),
        (
            Shape::Lines,
            1,
            route,
            "crashed",
            "(unregistered_route in ejabberd_router:host_of_route/1)",
        ),
        (
            Shape::Rescode,
            3,
            "Failed RPC connection to the node n@h: nodedown\n",
            "unreachable",
            "node",
        ),
        (
            Shape::Rescode,
            7,
            "\nThis script must be run as ejabberd\n",
            "refused",
            "ended with 7: This script",
        ),
        (Shape::Lines, 0, &long, "unsupported", "too long"),
    ] {
        let error = answered(shape, code, stdout).await.unwrap_err();
        assert_eq!(error.category(), category, "{stdout}");
        let message = error.to_string();
        assert!(message.contains(shown) && !message.contains("hunter"), "{message}");
    }
}

#[tokio::test]
async fn a_failure_of_the_spawner_is_an_outage() {
    let call = || Call::command("c", Shape::Rescode, vec![]);
    let killed = Output { code: None, stdout: String::new(), stderr: String::new() };
    let (fake, control) = fake(
        "26.07",
        vec![
            Err(RuntimeError::Timeout("run".into())),
            Err(RuntimeError::Missing("the container x".into())),
            Ok(killed),
            // The engine reports this exit code if the container ended during the call.
            Ok(output(137, "")),
            Ok(output(0, "")),
        ],
    );
    for category in ["timeout", "unreachable", "broken", "broken"] {
        let error = control.call(call(), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!((error.category(), error.is_outage()), (category, true));
    }
    control.call(call(), Duration::from_secs(1)).await.unwrap();
    // After each outage the channel requests the version again.
    assert_eq!(fake.asked.lock().unwrap().len(), 10);
}

#[tokio::test]
async fn calls_run_one_at_a_time() {
    let responses = (0..8).map(|n| Ok(output(0, &format!("{n}\n")))).collect();
    let (_, control) = fake("26.07", responses);
    let calls = (0..8)
        .map(|_| control.call(Call::command("c", Shape::Text, vec![]), Duration::from_secs(5)));
    let got = futures_util::future::join_all(calls).await;
    let wanted: Vec<_> = (0..8).map(|n| Ok(text(&n.to_string()))).collect();
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn the_status_does_not_wait_for_queued_calls() {
    let responses = (0..50).map(|n| Ok(output(0, &format!("{n}\n")))).collect();
    let (fake, control) = fake("26.07", responses);
    let call =
        |name| control.call(Call::command(name, Shape::Restuple, vec![]), Duration::from_secs(5));
    let many = futures_util::future::join_all((0..50).map(|_| call("c")));
    let status = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        call(STATUS).await.unwrap();
        fake.responses.lock().unwrap().len()
    };
    let (_, left) = tokio::join!(many, status);
    assert!(left > 10, "{left} calls were left when the status was there");
}

#[tokio::test]
async fn the_version_is_that_of_the_running_server() {
    let (_, control) = fake("24.12-3+b1", vec![]);
    assert_eq!(control.version().await.unwrap().to_string(), "24.12");
    let starting = "The node n@h is started with status: starting\nejabberd is not running in \
                    that node\nCheck for error messages: /log\n";
    assert_eq!(response::version(starting), None);
}
