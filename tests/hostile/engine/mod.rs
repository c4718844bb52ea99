//! Attacks on every request to the Docker engine.

mod answers;
mod fake;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ejabberd_operator::adapters::docker::DockerRuntime;
use ejabberd_operator::domain::spec::{Docker, Network, Recreate};
use ejabberd_operator::ejabberd::erlang::CommandLine;
use ejabberd_operator::engine::{Introspection, Lifecycle, Replacement, ServerConfig, Spawner};
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::peak_mebibytes;
use answers::{Answer, End, answers};
use fake::FakeEngine;

/// The maximum time that an operation may wait for the engine; pulls have ten minutes.
const LONGEST: Duration = Duration::from_secs(700);

/// The maximum memory of the test process, in MiB. A decoded list of 1 MiB takes 210 MiB.
const MOST_MEBIBYTES: u64 = 512;

/// The maximum length of the error of an operation, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

fn runtime(engine: &FakeEngine) -> DockerRuntime {
    DockerRuntime::new(Docker {
        container: "ejabberd".to_owned(),
        image: Some("ejabberd/ecs:25.10".to_owned()),
        engine: engine.host(),
        network: Network::Bridge,
        ports: Vec::new(),
        volumes: std::collections::BTreeMap::new(),
        environment: std::collections::BTreeMap::new(),
        config_path: None,
        recreate: Recreate::Never,
    })
}

fn program() -> CommandLine {
    CommandLine { argv: vec!["true".to_owned()], env: Vec::new(), user: None }
}

fn judge<T: Debug, E: std::fmt::Display>(what: &str, answer: &str, message: Result<T, E>) {
    let message = message.map_or_else(|error| error.to_string(), |_| String::new());
    let count = message.chars().count();
    assert!(count <= MAX_MESSAGE_CHARS, "{what} prints {count} characters of {answer}");
    assert!(!message.contains('\u{1b}'), "{what} prints an escape of {answer}");
}

/// Calls every operation that reads a response of the engine.
async fn ask_everything(docker: &DockerRuntime, name: &str) {
    macro_rules! ask {
        ($what:literal, $future:expr) => {
            match tokio::time::timeout(LONGEST, $future).await {
                Ok(result) => judge($what, name, result),
                Err(_) => panic!("{}: no end to {name}", $what),
            }
        };
    }
    ask!("inspect", docker.inspect());
    ask!("instance", docker.instance());
    ask!("create", docker.create());
    ask!("start", docker.start());
    ask!("stop", docker.stop());
    ask!("read_config", docker.read_config(&["ejabberd.yml".to_owned()]));
    ask!("location", docker.location("/home/ejabberd/database"));
    ask!("would_lose", docker.would_lose(None));
    ask!("usage", docker.usage());
    ask!("diagnostics", docker.diagnostics());
    ask!("log", docker.log(Timestamp::UNIX_EPOCH, 100));
    ask!("locate", async { docker.locate().await.map(|(_, node)| node.name) });
    ask!("output", docker.output(program(), Duration::from_mins(1)));
    ask!("leftovers", docker.remove_leftovers());
    ask!("replace", docker.replace("1"));
    ask!("disable_restart_policy", docker.disable_restart_policy());
}

#[tokio::test(start_paused = true)]
async fn a_false_response_costs_bounded_memory_and_time() {
    for answer in answers() {
        let name = answer.name.clone();
        let engine = FakeEngine::start(answer);
        ask_everything(&runtime(&engine), &name).await;
        let peak = peak_mebibytes();
        assert!(peak < MOST_MEBIBYTES, "{name}: {peak} MiB");
    }
}

/// A removal that failed half-way leaves a container that cannot be started. The operator finishes
/// the removal, and does not touch a container that the engine is still removing.
#[tokio::test]
async fn a_removal_that_failed_half_way_is_finished() {
    for (state, removals) in [("dead", 1), ("removing", 0), ("exited", 0)] {
        let removed = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&removed);
        let engine = FakeEngine::scripted(move |method, path| match (method, path) {
            ("DELETE", path) if path.ends_with("/containers/4d05") => {
                counter.fetch_add(1, Ordering::Relaxed);
                (204, String::new())
            }
            ("GET", _) => (200, format!(r#"{{"Id":"4d05","State":{{"Status":"{state}"}}}}"#)),
            _ => (409, r#"{"message":"container is marked for removal"}"#.to_owned()),
        });
        let error = runtime(&engine).start().await.unwrap_err().to_string();
        assert!(error.contains("marked for removal"), "{error}");
        assert_eq!(removed.load(Ordering::Relaxed), removals, "{state}");
    }
}

/// The session with the server has no deadline, but each of its frames has a limit.
#[tokio::test(start_paused = true)]
async fn a_program_with_an_endless_frame_is_dropped() {
    let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let endless: [(&str, &[u8]); 3] = [
        ("four gigabytes", b"\x01\0\0\0\xff\xff\xff\xff"),
        ("a frame above the limit", b"\x01\0\0\0\x00\x10\x00\x01"),
        ("no frame", b"{\"message\": \"none"),
    ];
    for (name, frame) in endless {
        let bytes = [head.as_bytes(), frame].concat();
        let end = End::Forever(vec![b'x'; 1 << 16]);
        let engine = FakeEngine::start(Answer { name: name.to_owned(), bytes, end });
        let error = match runtime(&engine).spawn(program()).await {
            Ok(mut spawned) => {
                spawned.stdout.read_to_end(&mut Vec::new()).await.expect_err(name).to_string()
            }
            // The first frame came with the head.
            Err(error) => error.to_string(),
        };
        assert!(error.contains("the engine"), "{name}: {error}");
    }
    let peak = peak_mebibytes();
    assert!(peak < 128, "{peak} MiB");
}

/// A session may read more than any limit if each frame is short.
#[tokio::test]
async fn a_long_session_is_not_limited() {
    let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let frame = [&b"\x01\0\0\0\0\x01\0\0"[..], &vec![b'x'; 1 << 16]].concat();
    let bytes = head.as_bytes().to_vec();
    let answer = Answer { name: "long".to_owned(), bytes, end: End::Forever(frame) };
    let engine = FakeEngine::start(answer);
    let mut spawned = runtime(&engine).spawn(program()).await.unwrap();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..200 {
        spawned.stdout.read_exact(&mut piece).await.unwrap();
        assert!(piece.iter().all(|byte| *byte == b'x'));
    }
}

/// The operator reopens a stream of events with an endless line, and checks the container.
#[tokio::test(start_paused = true)]
async fn an_endless_event_stream_is_reopened() {
    let bytes =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Action\": \"".to_vec();
    let end = End::Forever(vec![b'x'; 1 << 16]);
    let engine = FakeEngine::start(Answer { name: "events".to_owned(), bytes, end });
    let docker = runtime(&engine);
    let changed = Notify::new();
    tokio::select! {
        () = docker.watch(&changed) => unreachable!(),
        () = async {
            for _ in 0..3 {
                changed.notified().await;
            }
        } => {}
    }
    let peak = peak_mebibytes();
    assert!(peak < 128, "{peak} MiB");
}
