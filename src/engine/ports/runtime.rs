//! What runs the server, and the files of its configuration.

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

/// Files of a configuration, by the name that they have beside the server's
/// configuration file; that file itself is `ejabberd.yml`.
pub type ConfigFiles = BTreeMap<String, Vec<u8>>;

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

/// Starts and stops the server, and watches its process.
#[async_trait]
pub trait Lifecycle: Send + Sync {
    /// What is there.
    async fn inspect(&self) -> Result<ProcessState, RuntimeError>;

    /// Makes what [`start`](Self::start) starts; only where there is nothing.
    async fn create(&self) -> Result<(), RuntimeError>;

    /// Starts it. Returns when it was started, not when it answers.
    async fn start(&self) -> Result<(), RuntimeError>;

    /// Stops the process. The server itself was asked to stop before.
    async fn stop(&self) -> Result<(), RuntimeError>;

    /// Removes the leftovers of killed operators. The caller must hold the lock of the
    /// state directory. Returns whether everything could be looked
    /// at; else it is to be called again later.
    async fn remove_leftovers(&self) -> Result<bool, RuntimeError> {
        Ok(true)
    }

    /// Has nobody else start the server again when it ends.
    async fn disable_restart_policy(&self) -> Result<(), RuntimeError>;

    /// Says so on `changed` whenever the process may have begun or ended.
    /// Never returns; the caller drops the future.
    async fn watch(&self, changed: &tokio::sync::Notify);
}

/// The files of the server's configuration.
#[async_trait]
pub trait ServerConfig: Send + Sync {
    /// The files of the configuration directory that `names` lists. A name
    /// that is not there is left out.
    async fn read_config(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError>;

    /// Lets ejabberd itself check `files` offline, each at the path where the
    /// server will read it, with the surroundings that the server has.
    async fn check_config(
        &self,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError>;

    /// Fails where [`write_config`](Self::write_config) would for want of a
    /// permission or of room, and changes nothing.
    async fn try_to_write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError>;

    /// Puts `files` where the server reads its configuration. Others that are
    /// there stay.
    async fn write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError>;
}

/// Replaces the server by a new one on the same database, and knows where that database is.
#[async_trait]
pub trait Replacement: Send + Sync {
    /// Gets what a replacement is made of, while the old one still runs: an
    /// image may take minutes, and may not be there at all. Fails where another
    /// container has the name that the old container would get.
    async fn prepare_replacement(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// The unique id of the container. `None` where there is no container, or where
    /// this runtime never replaces the server.
    async fn instance(&self) -> Result<Option<String>, RuntimeError> {
        Ok(None)
    }

    /// Puts `old`, which was stopped, aside, and makes a new one in its place
    /// that has everything of it which is not declared, volumes first of all.
    /// Fails, and changes nothing, where another has that place.
    async fn replace(&self, old: &str) -> Result<(), RuntimeError>;

    /// Removes what took the place of `old`, and brings that back. Never removes
    /// what the operator did not create.
    async fn rollback_replacement(&self, old: &str) -> Result<(), RuntimeError>;

    /// Removes `old`, which was put aside, but for its volumes.
    async fn commit_replacement(&self, old: &str) -> Result<(), RuntimeError>;

    /// The operator's note in a directory of the server: a small file, [`NOTE`].
    /// `None` where there is none, or where this runtime keeps none.
    async fn read_note(&self, _directory: &str) -> Result<Option<Vec<u8>>, RuntimeError> {
        Ok(None)
    }

    /// Writes that note.
    async fn write_note(&self, _directory: &str, _content: &[u8]) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Where a directory of the server is stored. `None` where there is no server,
    /// or where the runtime cannot tell.
    async fn location(&self, _directory: &str) -> Result<Option<Location>, RuntimeError> {
        Ok(None)
    }

    /// Why what [`create`](Self::create) makes would not have the database that
    /// is `known`; where none is known, why it would have none. Only asked where
    /// there is nothing. Starts nothing.
    async fn would_lose(&self, _known: Option<&Database>) -> Result<Option<String>, RuntimeError> {
        Ok(None)
    }
}

/// What can be seen of the server from outside: its settings, its use, its log, its host.
#[async_trait]
pub trait Introspection: Send + Sync {
    /// Where it runs, and how that differs from what is declared. `database` is
    /// the directory of its database, where the server was asked for it. `None`
    /// where there is nothing.
    async fn drift(&self, database: Option<&str>) -> Result<Option<RuntimeDrift>, RuntimeError>;

    /// What it has used. `None` where it does not run.
    async fn usage(&self) -> Result<Option<Usage>, RuntimeError>;

    /// The kernel's tables of this host's TCP sockets, as `/proc/net/tcp` and
    /// `tcp6` print them. Only where the server runs on this host.
    async fn host_sockets(&self) -> Result<String, RuntimeError> {
        Err(unsupported("look at the sockets of the host"))
    }

    /// More evidence about where the server runs, for `doctor`; also where no server exists.
    async fn diagnostics(&self) -> Result<RuntimeDiagnostics, RuntimeError> {
        Err(unsupported("look at how it is set up"))
    }

    /// The room on the disks that hold its files.
    async fn space(&self) -> Result<Vec<Space>, RuntimeError> {
        Err(unsupported("look at its disks"))
    }

    /// Who listens at one of these ports of this host.
    async fn holders(&self, _ports: &[u16]) -> Result<Vec<Holder>, RuntimeError> {
        Err(unsupported("look at the sockets of the host"))
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
}

/// Everything that a runtime does.
pub trait Runtime: Lifecycle + ServerConfig + Replacement + Introspection {}

impl<T: Lifecycle + ServerConfig + Replacement + Introspection> Runtime for T {}

fn unsupported(operation: &str) -> RuntimeError {
    RuntimeError::Refused {
        operation: operation.to_owned(),
        cause: "the server runs elsewhere, or in a way that does not tell".to_owned(),
    }
}

/// The name of the operator's note beside a database. Mnesia leaves files alone
/// that it does not know.
pub const NOTE: &str = "ejabberd-operator.json";
