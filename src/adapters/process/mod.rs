//! The runtime of an installed ejabberd as a process on the operator's host, for hosts without
//! Docker.
//!
//! With a `directory`, all files of the server are below the directory, and the server has a
//! separate node name. So the server does not interfere with another ejabberd on the same host.
//! Without a `directory`, the server uses the files of the installed package.
//!
//! When the operator ends, the server continues. The next operator finds the server among the
//! processes of the host, and supervises the server.

mod account;
mod config;
mod console;
mod create;
mod database;
mod drift;
mod exec;
mod files;
mod layout;
mod leftovers;
mod lifecycle;
mod processes;
mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use self::account::Account;
use self::layout::Layout;
use super::host::{disks, holders};
use crate::domain::database::{Database, Location};
use crate::domain::observed::{
    Holder, PAUSED, ProcessState, RuntimeDiagnostics, RuntimeDrift, Space, Usage,
};
use crate::domain::spec::Process as Spec;
use crate::ejabberd::StartContext;
use crate::ejabberd::erlang::Verdict;
use crate::engine::{
    ConfigFiles, Introspection, Lifecycle, LogLine, Replacement, RuntimeError, ServerConfig,
};

/// The file in a server's directory that marks the directory as created by the operator.
const MARK: &str = "managed-by-ejabberd-operator";

/// The exit code of a server that the operator started; `None` while the server runs.
type Ending = watch::Receiver<Option<i64>>;

/// The runtime of an installed ejabberd. See the documentation of the module.
pub struct ProcessRuntime {
    program: PathBuf,
    directory: Option<PathBuf>,
    /// The exit of the server that this operator started; `None` if another program started the
    /// server, because that exit code is unknown.
    own: Mutex<Option<Ending>>,
    /// Notified after each start of the server by this operator.
    began: Notify,
}

/// The settings of a server, which the operator reads before the search for the server's processes.
#[derive(Debug)]
struct ServerSetup {
    /// The control script.
    program: PathBuf,
    account: Account,
    layout: Layout,
    directory: Option<PathBuf>,
    /// The name of the node; `None` if the server has no separate directory.
    node: Option<String>,
}

impl ProcessRuntime {
    /// Creates a runtime for the server in `spec`. Reads no file.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        let Spec { ejabberdctl, directory } = spec;
        // Make the paths absolute, because the control script changes its working directory before
        // the script reads the options.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            program: absolute(ejabberdctl),
            directory: directory.map(absolute),
            own: Mutex::default(),
            began: Notify::new(),
        }
    }

    /// Returns the control script with the options that select this server.
    #[must_use]
    pub fn control_script(&self) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        let options = self.setup().map(|setup| setup.options()).unwrap_or_default();
        [vec![program], options].concat()
    }

    /// Reads the settings from the control script and its configuration file. Each call reads the
    /// files again, because the files may change.
    fn setup(&self) -> Result<ServerSetup, RuntimeError> {
        let script = fs::read(&self.program).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RuntimeError::Missing(format!(
                "{}: is ejabberd installed (`apt-get install ejabberd`), and \
                 spec.server.process.ejabberdctl right?",
                self.program.display()
            )),
            _ => failed("read", &self.program, &error),
        })?;
        let script = String::from_utf8_lossy(&script).into_owned();
        let passwd = Path::new("/etc/passwd");
        let users = fs::read_to_string(passwd).map_err(|e| failed("read", passwd, &e))?;
        let account = Account::of_script(&script, &self.program, &users)?;
        let directory = self.directory.as_deref();
        let settings = files::read(&layout::config_dir(directory).join("ejabberdctl.cfg"));
        let settings = settings.ok().flatten().unwrap_or_default();
        let layout = Layout::new(directory, &String::from_utf8_lossy(&settings));
        let node = directory.map(|directory| {
            let written = files::read(&layout.spool.join(layout::NODE_FILE)).ok().flatten();
            let written = written.map(|name| String::from_utf8_lossy(&name).into_owned());
            layout::node_name(directory, written.as_deref())
        });
        let (program, directory) = (self.program.clone(), self.directory.clone());
        Ok(ServerSetup { program, account, layout, directory, node })
    }
}

impl ServerSetup {
    /// Returns whether a server exists that the operator can start.
    fn exists(&self) -> bool {
        self.directory.as_ref().is_none_or(|directory| directory.join(MARK).exists())
    }
}

fn refused(operation: &str, cause: &str) -> RuntimeError {
    RuntimeError::Refused { operation: operation.to_owned(), cause: cause.to_owned() }
}

/// Converts the error of a file operation. A full disk is a temporary error; a missing permission
/// needs an action of the administrator.
fn failed(verb: &str, path: &Path, error: &io::Error) -> RuntimeError {
    use io::ErrorKind as Kind;
    let operation = format!("{verb} {}", path.display());
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::Interrupted | Kind::OutOfMemory => {
            RuntimeError::Engine {
                what: format!("the disk, to {operation}"),
                cause: error.to_string(),
            }
        }
        _ => RuntimeError::Refused { operation, cause: error.to_string() },
    }
}

/// Runs `work` on a thread for blocking work, because `work` waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(refused("complete the operation", &error.to_string())))
}

/// Returns the error of an operation that exists only for containers.
fn not_for_processes(what: &str) -> RuntimeError {
    refused(what, "an installed ejabberd is changed by its package, not by the operator")
}

#[async_trait]
impl Lifecycle for ProcessRuntime {
    async fn inspect(&self) -> Result<ProcessState, RuntimeError> {
        let setup = match self.setup() {
            Err(RuntimeError::Missing(_)) => return Ok(ProcessState::Absent),
            setup => setup?,
        };
        let found = processes::find(&setup);
        let own = self.own.lock().clone().map(|ending| *ending.borrow());
        if let Some(vm) = found.vm {
            if let Some(Some(_)) = own {
                // Another program started this server after the operator's server ended, so the
                // stored exit code belongs to an earlier server.
                *self.own.lock() = None;
            }
            let health = vm.is_stopped().then(|| PAUSED.to_owned());
            return Ok(ProcessState::Running { health });
        }
        if found.script.is_some() || own == Some(None) {
            return Ok(ProcessState::Running { health: None });
        }
        if !setup.exists() {
            return Ok(ProcessState::Absent);
        }
        match own {
            Some(exit_code) => Ok(ProcessState::Stopped { exit_code, oom_killed: false }),
            None if console::exists(&setup) || setup.directory.is_none() => {
                Ok(ProcessState::Stopped { exit_code: None, oom_killed: false })
            }
            None => Ok(ProcessState::Created),
        }
    }

    async fn create(&self) -> Result<(), RuntimeError> {
        self.create_directory().await
    }

    async fn start(&self) -> Result<(), RuntimeError> {
        self.start_server()
    }

    async fn stop(&self) -> Result<(), RuntimeError> {
        self.stop_server().await
    }

    async fn disable_restart_policy(&self) -> Result<(), RuntimeError> {
        Err(not_for_processes("change its system service"))
    }

    async fn remove_leftovers(&self) -> Result<bool, RuntimeError> {
        let setup = self.setup()?;
        blocking(move || {
            leftovers::remove(&setup);
            Ok(true)
        })
        .await
    }

    async fn watch(&self, changed: &Notify) {
        self.watch_processes(changed).await;
    }
}

#[async_trait]
impl ServerConfig for ProcessRuntime {
    async fn read_config(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError> {
        self.read_config_files(names)
    }

    async fn check_config(
        &self,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        self.check_config_files(files, context).await
    }

    async fn try_to_write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        self.try_to_write_config_files(files).await
    }

    async fn write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        self.write_config_files(files).await
    }
}

#[async_trait]
impl Replacement for ProcessRuntime {
    async fn replace(&self, _: &str) -> Result<(), RuntimeError> {
        Err(not_for_processes("replace it"))
    }

    async fn rollback_replacement(&self, _: &str) -> Result<(), RuntimeError> {
        Err(not_for_processes("restore it"))
    }

    async fn commit_replacement(&self, _: &str) -> Result<(), RuntimeError> {
        Err(not_for_processes("remove one"))
    }

    async fn read_note(&self, directory: &str) -> Result<Option<Vec<u8>>, RuntimeError> {
        let (setup, directory) = (self.setup()?, directory.to_owned());
        blocking(move || leftovers::read_note(&setup, &directory)).await
    }

    async fn write_note(&self, directory: &str, content: &[u8]) -> Result<(), RuntimeError> {
        let (setup, directory, content) = (self.setup()?, directory.to_owned(), content.to_vec());
        blocking(move || leftovers::write_note(&setup, &directory, &content)).await
    }

    async fn location(&self, directory: &str) -> Result<Option<Location>, RuntimeError> {
        let directory = PathBuf::from(directory);
        blocking(move || Ok(Some(Location::Host(database::canonical(&directory))))).await
    }

    async fn would_lose(&self, known: Option<&Database>) -> Result<Option<String>, RuntimeError> {
        let (spool, known) = (self.setup()?.layout.spool, known.cloned());
        blocking(move || database::would_lose(&spool, known.as_ref())).await
    }
}

#[async_trait]
impl Introspection for ProcessRuntime {
    async fn drift(&self, _database: Option<&str>) -> Result<Option<RuntimeDrift>, RuntimeError> {
        self.read_drift().await
    }

    async fn usage(&self) -> Result<Option<Usage>, RuntimeError> {
        Ok(processes::find(&self.setup()?).vm.as_ref().and_then(usage::of))
    }

    async fn diagnostics(&self) -> Result<RuntimeDiagnostics, RuntimeError> {
        Ok(RuntimeDiagnostics::default())
    }

    async fn space(&self) -> Result<Vec<Space>, RuntimeError> {
        let layout = self.setup()?.layout;
        blocking(move || {
            let directories = [("the database", &layout.spool), ("the logs", &layout.logs)];
            let known = directories.iter().filter_map(|(what, path)| disks::of(what, path));
            Ok(known.collect())
        })
        .await
    }

    async fn holders(&self, ports: &[u16]) -> Result<Vec<Holder>, RuntimeError> {
        let setup = self.setup()?;
        let ports = ports.to_vec();
        blocking(move || {
            let own = processes::find(&setup).vm.map(|vm| vm.pid.as_raw_nonzero().get());
            Ok(holders::of(&ports, |pid, _| Some(pid) == own))
        })
        .await
    }

    async fn log_lines(
        &self,
        since: Timestamp,
        lines: usize,
    ) -> Result<Vec<LogLine>, RuntimeError> {
        let setup = self.setup()?;
        blocking(move || console::lines_since(&setup, since, lines)).await
    }
}
