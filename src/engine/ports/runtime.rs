//! The runtime of the server, and the files of its configuration.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::database::{Database, Location};
use crate::domain::observed::{
    Holder, ProcessState, RuntimeDiagnostics, RuntimeDrift, Space, Usage,
};
use crate::ejabberd::StartContext;
use crate::ejabberd::erlang::Verdict;
use crate::engine::error::RuntimeError;

/// The contents of the files of a configuration, by file name in the configuration directory. The
/// main file is `ejabberd.yml`.
pub type ConfigFiles = BTreeMap<String, Vec<u8>>;

/// The name of the main file in [`ConfigFiles`].
pub const MAIN_CONFIG: &str = "ejabberd.yml";

/// A line that the server logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The time of the line; a line without a time has the time of the previous line.
    pub time: Timestamp,
    /// The text, shortened by the runtime.
    pub text: String,
}

/// The lifecycle of the server: starts and stops the process, and watches the process.
#[async_trait]
pub trait Lifecycle: Send + Sync {
    /// Returns the state of the process.
    async fn inspect(&self) -> Result<ProcessState, RuntimeError>;

    /// Creates the container that [`start`](Self::start) starts. The caller must check first that
    /// no container exists.
    async fn create(&self) -> Result<(), RuntimeError>;

    /// Starts the server. Returns as soon as the process is started; the server may respond only
    /// later.
    async fn start(&self) -> Result<(), RuntimeError>;

    /// Stops the process. The caller has already asked ejabberd to stop.
    async fn stop(&self) -> Result<(), RuntimeError>;

    /// Removes the leftovers of killed operators. The caller must hold the lock of the state
    /// directory. Returns `false` if the runtime could not search every place; the caller then
    /// calls this function again later.
    async fn remove_leftovers(&self) -> Result<bool, RuntimeError> {
        Ok(true)
    }

    /// Disables the restart policy, so that only the operator restarts the server.
    async fn disable_restart_policy(&self) -> Result<(), RuntimeError>;

    /// Watches the process, and notifies `changed` whenever the process may have started or ended.
    /// Never returns; to end the watch, the caller drops the future.
    async fn watch(&self, changed: &tokio::sync::Notify);
}

/// Access to the files of the server's configuration.
#[async_trait]
pub trait ServerConfig: Send + Sync {
    /// Reads the files in `names` from the configuration directory. The result omits missing
    /// files.
    async fn read_config(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError>;

    /// Lets ejabberd check `files` offline, in the environment of the server. Each file is at the
    /// path where the server will read the file.
    async fn check_config(
        &self,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError>;

    /// Checks that [`write_config`](Self::write_config) would succeed. Fails if a permission or
    /// disk space is missing. Changes no file of the configuration.
    async fn try_to_write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError>;

    /// Writes `files` to the configuration directory. Keeps other files in the directory.
    async fn write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError>;
}

/// The replacement of the container by a new container on the same database, and the location of
/// the database.
#[async_trait]
pub trait Replacement: Send + Sync {
    /// Prepares a replacement while the old container still runs, for example pulls the image. A
    /// pull may take minutes or fail, and the server must not be stopped meanwhile. Fails if
    /// another container has the name that the old container would get.
    async fn prepare_replacement(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Returns the unique id of the container; `None` if no container exists, or if this runtime
    /// never replaces the server.
    async fn instance(&self) -> Result<Option<String>, RuntimeError> {
        Ok(None)
    }

    /// Renames the stopped container `old`, and creates a new container with the name of `old`. The
    /// new container keeps all settings of `old` that are not declared. The volumes are the most
    /// important of these settings. Fails and changes nothing if another container has the name.
    async fn replace(&self, old: &str) -> Result<(), RuntimeError>;

    /// Removes the new container, and restores `old`. Never removes a container that the
    /// operator did not create.
    async fn rollback_replacement(&self, old: &str) -> Result<(), RuntimeError>;

    /// Removes the renamed container `old`, and keeps the volumes of `old`.
    async fn commit_replacement(&self, old: &str) -> Result<(), RuntimeError>;

    /// Reads the operator's note, the file [`NOTE`], in a directory of the server. Returns `None`
    /// if the file does not exist, or if this runtime keeps no note.
    async fn read_note(&self, _directory: &str) -> Result<Option<Vec<u8>>, RuntimeError> {
        Ok(None)
    }

    /// Writes the operator's note, the file [`NOTE`], in a directory of the server. Does nothing if
    /// this runtime keeps no note.
    async fn write_note(&self, _directory: &str, _content: &[u8]) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Returns the location where a directory of the server is stored; `None` if no server exists,
    /// or if the runtime does not know the location.
    async fn location(&self, _directory: &str) -> Result<Option<Location>, RuntimeError> {
        Ok(None)
    }

    /// Returns why a new container would not have the `known` database or, without a known
    /// database, why it would have no database. `None` if the container would have the database.
    /// The caller calls this function only if no container exists. Does not start the server.
    async fn would_lose(&self, _known: Option<&Database>) -> Result<Option<String>, RuntimeError> {
        Ok(None)
    }
}

/// The inspection of the server from outside: settings, resource usage, log and host.
#[async_trait]
pub trait Introspection: Send + Sync {
    /// Returns where the server runs, and how the settings of the server differ from the declared
    /// settings; `None` if no server exists. `database` is the directory of the server's database;
    /// `None` if the directory is unknown.
    async fn drift(&self, database: Option<&str>) -> Result<Option<RuntimeDrift>, RuntimeError>;

    /// Returns the resource usage of the server; `None` if the server does not run.
    async fn usage(&self) -> Result<Option<Usage>, RuntimeError>;

    /// Reads the kernel's tables of the TCP sockets of this host, in the format of `/proc/net/tcp`
    /// and `/proc/net/tcp6`. Fails if the server runs on another host.
    async fn host_sockets(&self) -> Result<String, RuntimeError> {
        Err(unsupported("read the sockets of the host"))
    }

    /// Collects facts about the runtime for `doctor`, even if no server exists.
    async fn diagnostics(&self) -> Result<RuntimeDiagnostics, RuntimeError> {
        Err(unsupported("inspect the settings of the server"))
    }

    /// Returns the free space of the disks that hold the server's files.
    async fn space(&self) -> Result<Vec<Space>, RuntimeError> {
        Err(unsupported("read the free space of its disks"))
    }

    /// Returns the processes of this host that listen on one of the given ports.
    async fn holders(&self, _ports: &[u16]) -> Result<Vec<Holder>, RuntimeError> {
        Err(unsupported("read the sockets of the host"))
    }

    /// Returns the last lines that the server logged since `since`, at most `lines` lines, oldest
    /// first. Also works if the server is stopped.
    async fn log_lines(&self, since: Timestamp, lines: usize)
    -> Result<Vec<LogLine>, RuntimeError>;

    /// Returns the texts of [`log_lines`](Self::log_lines).
    async fn log(&self, since: Timestamp, lines: usize) -> Result<Vec<String>, RuntimeError> {
        let lines = self.log_lines(since, lines).await?;
        Ok(lines.into_iter().map(|line| line.text).collect())
    }
}

/// A runtime: the combination of all traits of a runtime.
pub trait Runtime: Lifecycle + ServerConfig + Replacement + Introspection {}

impl<T: Lifecycle + ServerConfig + Replacement + Introspection> Runtime for T {}

fn unsupported(operation: &str) -> RuntimeError {
    RuntimeError::Refused {
        operation: operation.to_owned(),
        cause: "the server runs on another host, or its runtime does not report this".to_owned(),
    }
}

/// The file name of the operator's note in the directory of a database. Mnesia ignores files that
/// Mnesia does not know, so the note is safe in this directory.
pub const NOTE: &str = "ejabberd-operator.json";
