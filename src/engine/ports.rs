//! The ports: everything that the engine needs of the world.
//!
//! Adapters implement these on floor 4, test doubles in the tests; the same
//! contract suite runs against both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

use super::command::{Call, Value};
use super::error::{ControlError, RuntimeError, SecretError, SourceError, StoreError};
use crate::erlang::{CommandLine, Installation, NodeAddress, Verdict};
use crate::inventory::{Fingerprint, Inventory, Owned};
use crate::model::{Digest, Jid, ObjectKey, Revision, Secret, ServerVersion};
use crate::observed::{Circumstances, Holder, ProcessState, Space, Surroundings, Usage};
use crate::status::Event;

/// The control channel: carries calls to one server, many at once.
#[async_trait]
pub trait Control: Send + Sync {
    /// Carries one call. Ends within `deadline`.
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError>;

    /// The version of the server at the other end.
    async fn version(&self) -> Result<ServerVersion, ControlError>;

    /// Ends the channel. The next call opens it again.
    async fn close(&self);
}

/// A program that runs beside the server.
pub struct Spawned {
    /// Its standard input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What it complains of.
    pub complaints: Complaints,
}

/// The first 4,000 bytes that a program writes to its standard error, or as
/// text in the place of frames. Shared between the task that reads the text and
/// the task that reports an error.
#[derive(Debug, Clone, Default)]
pub struct Complaints(Arc<Mutex<String>>);

impl Complaints {
    /// The most that is kept, in bytes.
    const MAX_BYTES: usize = 4000;

    /// Adds a piece, as far as there is room.
    pub fn add(&self, piece: &[u8]) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::MAX_BYTES.saturating_sub(text.len());
        let piece = piece.get(..room.min(piece.len())).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(piece));
    }

    /// The first line that says something.
    #[must_use]
    pub fn first_line(&self) -> Option<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
        let lines = text.lines().map(plain).filter(|line| !line.trim().is_empty());
        // An error report of Erlang begins with a heading and the time.
        lines.map(|line| line.trim().to_owned()).find(|line| !line.starts_with('='))
    }
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; `None` if it was killed.
    pub code: Option<i64>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs programs where the server runs.
#[async_trait]
pub trait Spawner: Send + Sync {
    /// The installation that runs the server right now, and the address of
    /// its node.
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError>;

    /// Starts a program with pipes. It ends when its input does.
    async fn spawn(&self, command: CommandLine) -> Result<Spawned, RuntimeError>;

    /// Runs a program to its end, within `deadline`.
    async fn output(
        &self,
        command: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError>;
}

/// Files of a configuration, by the name that they have beside the server's
/// configuration file; that file itself is `ejabberd.yml`.
pub type ConfigFiles = BTreeMap<String, Vec<u8>>;

/// So many good configurations are kept.
pub const GOOD_CONFIGS: usize = 5;

/// So many events are kept.
pub const KEPT_EVENTS: usize = 1000;

/// The configuration file's own name among [`ConfigFiles`].
pub const MAIN_CONFIG: &str = "ejabberd.yml";

/// A line that the server logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When; a line that says no time has that of the one before it.
    pub time: Timestamp,
    /// What it says, cut at some length.
    pub text: String,
}

/// Runs the server.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// What is there.
    async fn inspect(&self) -> Result<ProcessState, RuntimeError>;

    /// Makes what [`start`](Self::start) starts; only where there is nothing.
    /// Where a replacement was interrupted, brings back what it had set aside.
    async fn create(&self) -> Result<(), RuntimeError>;

    /// Starts it. Returns when it was started, not when it answers.
    async fn start(&self) -> Result<(), RuntimeError>;

    /// Stops the process. The server itself was asked to stop before.
    async fn stop(&self) -> Result<(), RuntimeError>;

    /// The files of the configuration directory that `names` lists. A name
    /// that is not there is left out.
    async fn read_config(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError>;

    /// Lets ejabberd itself check `files` offline, with the surroundings that
    /// the server has.
    async fn check_config(&self, files: &ConfigFiles) -> Result<Verdict, RuntimeError>;

    /// Puts `files` where the server reads its configuration. Others that are
    /// there stay.
    async fn write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError>;

    /// Gets what a replacement is made of, while the old one still runs: an
    /// image may take minutes, and may not be there at all.
    async fn prepare_replacement(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Puts what was stopped aside, and makes a new one in its place, on the
    /// same volumes.
    async fn replace(&self) -> Result<(), RuntimeError>;

    /// Removes what took the place of what was set aside, and brings that back.
    async fn bring_back(&self) -> Result<(), RuntimeError>;

    /// Removes what was set aside, but for its volumes.
    async fn drop_aside(&self) -> Result<(), RuntimeError>;

    /// Has nobody else start the server again when it ends.
    async fn own_restarts(&self) -> Result<(), RuntimeError>;

    /// Where it runs, and how that differs from what is declared. `None`
    /// where there is nothing.
    async fn surroundings(&self) -> Result<Option<Surroundings>, RuntimeError>;

    /// What it has used. `None` where it does not run.
    async fn usage(&self) -> Result<Option<Usage>, RuntimeError>;

    /// The kernel's tables of this host's TCP sockets, as `/proc/net/tcp` and
    /// `tcp6` print them. Only where the server runs on this host.
    async fn host_sockets(&self) -> Result<String, RuntimeError> {
        Err(untold("look at the sockets of the host"))
    }

    /// More of where it runs, for whoever looks for a fault; also where there is nothing yet.
    async fn circumstances(&self) -> Result<Circumstances, RuntimeError> {
        Err(untold("look at how it is set up"))
    }

    /// The room on the disks that hold its files.
    async fn space(&self) -> Result<Vec<Space>, RuntimeError> {
        Err(untold("look at its disks"))
    }

    /// Who listens at one of these ports of this host.
    async fn holders(&self, _ports: &[u16]) -> Result<Vec<Holder>, RuntimeError> {
        Err(untold("look at the sockets of the host"))
    }

    /// The last lines that it logged since `since`, oldest first; at most
    /// `lines`. Also of a server that has ended.
    async fn log_lines(&self, since: Timestamp, lines: usize)
    -> Result<Vec<LogLine>, RuntimeError>;

    /// [`log_lines`](Self::log_lines) without their times.
    async fn log(&self, since: Timestamp, lines: usize) -> Result<Vec<String>, RuntimeError> {
        let lines = self.log_lines(since, lines).await?;
        Ok(lines.into_iter().map(|line| line.text).collect())
    }

    /// Says so on `changed` whenever the process may have begun or ended.
    /// Never returns; whoever started it drops it.
    async fn watch(&self, changed: &tokio::sync::Notify);
}

fn untold(operation: &str) -> RuntimeError {
    RuntimeError::Refused {
        operation: operation.to_owned(),
        cause: "the server runs elsewhere, or in a way that does not tell".to_owned(),
    }
}

/// What is remembered as one text each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memo {
    /// How the server fares: starts, backoff.
    Supervision,
    /// The rollout that is under way.
    Rollout,
    /// The configuration that is not to be tried again.
    Latch,
    /// The differences of a container whose replacement failed: it is not
    /// tried again until they are others.
    FailedReplacement,
    /// That a replacement has not proved itself yet.
    Replacement,
    /// Which server all of this is about.
    Server,
    /// Who made the container, and since when it is gone.
    Origin,
}

impl Memo {
    /// Its key in the memory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supervision => "supervision",
            Self::Rollout => "rollout",
            Self::Latch => "latch",
            Self::FailedReplacement => "failed-replacement",
            Self::Replacement => "replacement",
            Self::Server => "server",
            Self::Origin => "origin",
        }
    }
}

/// A configuration that proved good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GoodConfig {
    /// The hash of its files.
    pub digest: Digest,
    /// The variant that it was declared as.
    pub variant: String,
    /// The revision that declared it.
    pub revision: Revision,
    /// Since when it is, or was, in force.
    pub since: Timestamp,
}

/// The operator's memory.
pub trait Store: Send + Sync {
    /// The inventory as it is remembered.
    fn inventory(&self) -> Result<Inventory, StoreError>;

    /// Remembers, in one transaction, what is now owned and what no longer is.
    fn record(
        &self,
        owned: &[(ObjectKey, Owned)],
        forgotten: &[ObjectKey],
    ) -> Result<(), StoreError>;

    /// The keyed hash under which a password is remembered.
    fn fingerprint(&self, password: &Secret) -> Fingerprint;

    /// The password that was generated for an account, if one was.
    fn generated(&self, account: &Jid) -> Result<Option<Secret>, StoreError>;

    /// Keeps the passwords generated for accounts, before they are set.
    fn keep_generated(&self, passwords: &[(Jid, Secret)]) -> Result<(), StoreError>;

    /// What was remembered last under `memo`.
    fn memo(&self, memo: Memo) -> Result<Option<String>, StoreError>;

    /// Remembers a text under `memo`, or forgets it.
    fn remember(&self, memo: Memo, text: Option<&str>) -> Result<(), StoreError>;

    /// Keeps the files of a configuration until it is neither among the good
    /// ones nor needed by a rollout.
    fn keep_config(&self, digest: &Digest, files: &ConfigFiles) -> Result<(), StoreError>;

    /// The files that were kept.
    fn kept_config(&self, digest: &Digest) -> Result<Option<ConfigFiles>, StoreError>;

    /// Notes that a configuration is in force and good. Only the last
    /// [`GOOD_CONFIGS`] are kept, with their files; other files are dropped.
    fn record_good(&self, good: &GoodConfig) -> Result<(), StoreError>;

    /// The good configurations, the latest first.
    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError>;

    /// Keeps events; one that is kept already is replaced. Only the last
    /// [`KEPT_EVENTS`] are kept.
    fn record_events(&self, events: &[Event]) -> Result<(), StoreError>;

    /// The latest events, at most so many, newest last.
    fn events(&self, most: usize) -> Result<Vec<Event>, StoreError>;

    /// Remembers the status, for who asks when no operator answers.
    fn save_status(&self, status: &str) -> Result<(), StoreError>;
}

/// Reads and writes passwords outside the server and the store.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Reads a secret from where the file says.
    async fn read(&self, source: &crate::spec::SecretSource) -> Result<Secret, SecretError>;

    /// A new random password.
    fn generate(&self) -> Result<Secret, SecretError>;

    /// Writes a password where others find it.
    async fn publish(
        &self,
        sink: &crate::spec::SecretSink,
        secret: &Secret,
    ) -> Result<(), SecretError>;

    /// Reads a file that the desired state names, as it is now.
    async fn read_file(&self, path: &std::path::Path) -> Result<Vec<u8>, SecretError>;
}

/// Where the desired state comes from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads the files of the desired state, as they are now.
    async fn load(&self) -> Result<Vec<crate::spec::SourceFile>, SourceError>;

    /// From now on, notices changes of `paths` as well: what the desired state
    /// names. Replaces what an earlier call said.
    fn watch(&self, paths: &[std::path::PathBuf]);

    /// Waits until something that is watched may have changed since the last
    /// time. Cancel-safe. Never ends when watching is impossible.
    async fn changed(&self);
}

/// What the engine tells about itself; nothing of it can fail. Whoever listens
/// takes what concerns it.
pub trait Telemetry: Send + Sync {
    /// Steps are about to be carried out.
    fn begin(&self, _plan: &crate::plan::Plan) {}
    /// A step was tried.
    fn step(&self, _outcome: &super::report::StepOutcome) {}
    /// A round is over.
    fn round(&self, _report: &super::report::RoundReport) {}
    /// The status changed.
    fn status(&self, _status: &crate::status::Status) {}
    /// The server was started again, and why, in one of a few words.
    fn restarted(&self, _reason: &str) {}
    /// The security checklist was gone through.
    fn audited(&self, _findings: &[crate::audit::Finding]) {}
    /// How long the server waits to be started again; zero if it does not.
    fn backoff(&self, _wait: Duration) {}
    /// A configuration was put in force by `method`, or not.
    fn rollout(&self, _method: &'static str, _result: &'static str) {}
}
