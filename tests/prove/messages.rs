//! `scripts/prove messages`: kills the MCP server, the operator and ejabberd while programs send
//! messages. Checks the archive at the end: each message with the answer `delivered` or
//! `stored_offline` is there, and no message is there twice. The archive is in `SQLite`.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::chaos::Dice;
use super::support::client::Client;
use super::support::mcp::McpClient;
use super::support::messaging::{OBJECTS, Rig};
use super::support::real::{ARCHIVE_IN_SQL, CONFIG, HOST, SQLITE, docker};

/// The number of kills of each process.
const KILLS: usize = 20;

/// The messages to each account in the time of one kill of each process.
const MESSAGES: usize = 150;

/// The time for which a program repeats a message without a final answer, in seconds. The operator
/// remembers an id for ten minutes.
const RETRY: &str = "240";

const RECIPIENTS: [&str; 2] = ["bob", "carl"];

/// Returns a summary. Panics if an answer does not agree with the archive.
pub fn on(version: &'static str, dice: &mut Dice) -> String {
    let fields = format!(
        "actAs: [messenger, bob, carl], tools: [xmpp_send_message, xmpp_get_messages], to: [\"*@{HOST}\"], \
         rate: {{ perMinute: 60000, burst: 10000 }}"
    );
    // Mnesia can lose messages that `dets:sync` wrote when ejabberd is killed: the repair of the
    // file loses them (seen on 26.07 without the operator).
    let config = format!("{SQLITE}{CONFIG}  {ARCHIVE_IN_SQL}\n");
    let mut rig = Rig::with_config(version, &config, &[("nexus", &fields)], OBJECTS);
    let bob = Client::with(&rig.host, &format!("bob@{HOST}"), "secret-bob", &["--unencrypted"]);
    for round in 0..KILLS {
        let loads: Vec<Child> = RECIPIENTS.iter().map(|to| load(&rig, to, round)).collect();
        for victim in [Victim::Mcp, Victim::Operator, Victim::Server] {
            std::thread::sleep(Duration::from_millis(300) + dice.millis(2000));
            victim.kill(&mut rig);
        }
        for load in loads {
            let output = load.wait_with_output().unwrap();
            assert!(output.status.success(), "the load of round {round} fails");
        }
    }
    drop(bob);
    let mut client = rig.http("2026-07-28", "nexus");
    let checked = RECIPIENTS.map(|to| checked(&rig, &mut client, to));
    format!("{KILLS} kills each of MCP server, operator and ejabberd; {}", checked.join("; "))
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Mcp,
    Operator,
    Server,
}

impl Victim {
    /// Kills the process with SIGKILL, and starts it again. The operator starts the server.
    fn kill(self, rig: &mut Rig) {
        match self {
            Self::Mcp => {
                let mut mcp = rig.http.take().unwrap();
                mcp.kill().unwrap();
                mcp.wait().unwrap();
                rig.start_http();
            }
            Self::Operator => {
                drop(rig.operator.take());
                rig.start_operator();
            }
            Self::Server => drop(docker(&["kill", "-s", "KILL", &rig.host.container])),
        }
    }
}

fn answers(rig: &Rig, to: &str) -> std::path::PathBuf {
    rig.host.path(&format!("answers-{to}"))
}

fn load(rig: &Rig, to: &str, round: usize) -> Child {
    let url = format!("http://127.0.0.1:{}/mcp", rig.port);
    let mut command = rig.load(&url, to, MESSAGES);
    command.args(["--connections", "4", "--retry", RETRY, "--ids", &format!("{to}-{round}")]);
    command.arg("--answers").arg(answers(rig, to)).stdout(Stdio::piped()).spawn().unwrap()
}

/// Compares the answers with the archive of a recipient.
fn checked(rig: &Rig, client: &mut McpClient, to: &str) -> String {
    let mut archived: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = Value::Null;
    loop {
        let mut arguments = json!({ "account": to, "limit": 100 });
        if cursor.is_string() {
            arguments["cursor"] = cursor.clone();
        }
        let page = client.call("xmpp_get_messages", &arguments);
        for message in page["messages"].as_array().unwrap() {
            *archived.entry(message["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        cursor = page["older"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let twice: Vec<&String> = archived.iter().filter(|(_, n)| **n > 1).map(|(id, _)| id).collect();
    assert_eq!(twice, Vec::<&String>::new(), "messages to {to} that are archived twice");
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut missing = Vec::new();
    for line in fs::read_to_string(answers(rig, to)).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let answer = &line["answer"];
        let kind = ["result", "code", "error"].iter().find_map(|key| answer[key].as_str());
        let kind = kind.unwrap_or("?").to_owned();
        let id = line["id"].as_str().unwrap().to_owned();
        if ["delivered", "stored_offline"].contains(&&*kind) && !archived.contains_key(&id) {
            missing.push(line.to_string());
        }
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(missing, Vec::<String>::new(), "confirmed messages to {to} without an archive");
    format!("to {to}: answers {kinds:?}, {} archived", archived.len())
}
