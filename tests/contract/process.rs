//! Runs the contract against a server that is a process of the same host. A container is this host,
//! so the test runs its own binary again in the container.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ejabberd_operator::adapters::ejabberdctl::Ejabberdctl;
use ejabberd_operator::adapters::process::ProcessRuntime;
use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::domain::observed::{PAUSED, ProcessState, RuntimeKind};
use ejabberd_operator::domain::spec;
use ejabberd_operator::ejabberd::{Control, EjabberdClient};
use ejabberd_operator::engine::{ConfigFiles, Introspection, Lifecycle, ServerConfig, Spawner};
use jiff::Timestamp;

use super::support::inside::{DIRECTORY, Inside};
use super::support::real::{CONFIG, ejabberd_version};
use super::{Rig, contract, faults};

/// The environment variable with the version that the test expects in the container.
const INSIDE: &str = "EJABBERD_OPERATOR_TEST_INSIDE";

struct ProcessRig {
    runtime: Arc<ProcessRuntime>,
    server: EjabberdClient,
}

impl ProcessRig {
    fn new() -> Self {
        let runtime = Arc::new(ProcessRuntime::new(spec::Process {
            ejabberdctl: "/usr/sbin/ejabberdctl".into(),
            directory: Some(DIRECTORY.into()),
        }));
        let spawner = Arc::clone(&runtime) as Arc<dyn Spawner>;
        let server = EjabberdClient::new(Arc::new(Session::new(spawner)));
        Self { runtime, server }
    }

    async fn wait_until_up(&self) {
        for _ in 0..300 {
            if matches!(self.server.is_started().await, Ok(true)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("not up: {:?}", self.runtime.log(Timestamp::MIN, 40).await);
    }
}

/// Sends a signal to the only server in the container.
fn signal(name: &str) {
    let pkill = ["--signal", name, "-f", "beam.smp .* -s ejabberd( |$)"];
    assert!(Command::new("pkill").args(pkill).status().unwrap().success());
}

#[async_trait]
impl Rig for ProcessRig {
    fn server(&self) -> &EjabberdClient {
        &self.server
    }
    async fn stop(&self) {
        let orderly = Self::new();
        let _ = orderly.server.stop().await;
        orderly.server.close().await;
        self.runtime.stop().await.unwrap();
    }
    async fn start(&self) {
        self.runtime.start().await.unwrap();
    }
    async fn freeze(&self) {
        signal("STOP");
        // The process has many threads, and each thread stops separately.
        let paused = ProcessState::Running { health: Some(PAUSED.to_owned()) };
        for _ in 0..100 {
            if self.runtime.inspect().await.unwrap() == paused {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a frozen server reads as running");
    }
    async fn thaw(&self) {
        signal("CONT");
    }
}

/// Checks what the runtime reads at each stage of the server: absent, created, ended, running and
/// killed.
async fn life(rig: &ProcessRig) {
    let runtime = &rig.runtime;
    assert_eq!(runtime.inspect().await.unwrap(), ProcessState::Absent);
    assert_eq!(runtime.drift(None).await.unwrap(), None);
    runtime.create().await.unwrap();
    assert_eq!(runtime.inspect().await.unwrap(), ProcessState::Created);
    assert_eq!(runtime.usage().await.unwrap(), None);

    let began = Timestamp::now();
    let broken = ConfigFiles::from([("ejabberd.yml".to_owned(), b"hosts: 5".to_vec())]);
    runtime.write_config(&broken).await.unwrap();
    runtime.start().await.unwrap();
    ends(runtime, |code| code != 0).await;
    let log = runtime.log(began, 20).await.unwrap().join("\n");
    assert!(log.contains("hosts"), "the log names the cause: {log}");
    assert_eq!(runtime.log(Timestamp::now(), 20).await.unwrap(), Vec::<String>::new());

    let files = ConfigFiles::from([("ejabberd.yml".to_owned(), CONFIG.as_bytes().to_vec())]);
    runtime.write_config(&files).await.unwrap();
    let names = ["ejabberd.yml", "no-such-file"].map(str::to_owned);
    assert_eq!(runtime.read_config(&names).await.unwrap(), files);
    runtime.start().await.unwrap();
    runtime.start().await.unwrap();
    rig.wait_until_up().await;
    let drift = runtime.drift(None).await.unwrap().unwrap();
    assert!(drift.ours && drift.host_network && !drift.privileged);
    assert_eq!((drift.runtime, drift.restarted_by), (RuntimeKind::Process, None));
    let usage = runtime.usage().await.unwrap().unwrap();
    assert!(usage.cpu_seconds > 0.1 && usage.memory_bytes > 10 << 20, "{usage:?}");

    signal("KILL");
    ends(runtime, |code| code == 137).await;
    assert_eq!(runtime.read_config(&names).await.unwrap(), files, "no file is lost");
    runtime.start().await.unwrap();
    rig.wait_until_up().await;
}

async fn ends(runtime: &ProcessRuntime, how: impl Fn(i64) -> bool) {
    for _ in 0..200 {
        match runtime.inspect().await.unwrap() {
            ProcessState::Stopped { exit_code: Some(code), .. } => {
                assert!(how(code), "exit code {code}");
                return;
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("it did not end: {:?}", runtime.log(Timestamp::MIN, 40).await);
}

/// The part of the test that runs in the container. Outside of the container, this function does
/// nothing.
#[tokio::test]
async fn inside_the_container() {
    let Ok(version) = std::env::var(INSIDE) else { return };
    let rig = ProcessRig::new();
    life(&rig).await;
    assert_eq!(rig.server.version().await.unwrap().to_string(), version);
    let spawner = Arc::clone(&rig.runtime) as Arc<dyn Spawner>;
    let fallback = Ejabberdctl::new(spawner, rig.runtime.control_script());
    assert_eq!(fallback.version().await.unwrap().to_string(), version);
    contract(&rig.server).await;
    faults(&rig).await;
    rig.stop().await;
}

fn process(version: &str) {
    let inside = Inside::new(version, &[("contract", std::env::current_exe().unwrap())]);
    // The container has no Docker to read the version of the image from.
    let setting = format!("{INSIDE}={}", ejabberd_version(version));
    let test = "process::inside_the_container";
    let run = ["env", &setting, "contract", "--exact", test, "--nocapture"];
    let ran = inside.exec("root", &run).expect(0);
    assert!(ran.stdout.contains("1 passed"), "{}", ran.stdout);
}

#[test]
fn process_26_07_keeps_the_contract() {
    process("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn process_24_12_keeps_the_contract() {
    process("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn process_23_01_keeps_the_contract() {
    process("23.01");
}
