//! The control channel for an image without `erl`: the script `ejabberdctl`, which starts an Erlang
//! node for each call. The channel carries one call at a time.
//!
//! This channel refuses calls with secrets, because arguments are visible in the process list and
//! in the engine's events. Where possible, the channel replaces a function of the server with
//! commands and programs that have the same result. `tests/contract/ejabberdctl.tsv` lists the
//! calls that work and the calls that are refused.

mod config;
mod functions;
mod response;
mod rooms;
mod term;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use self::config::Config;
use self::functions::Function;
use self::rooms::NewRoom;
use crate::domain::model::{ApiVersion, ServerVersion};
use crate::ejabberd::erlang::CommandLine;
use crate::ejabberd::{Arg, Call, Control, ControlError, Shape, Value};
use crate::engine::{Output, RuntimeError, Spawner};

/// The time limit to request the version; with a frozen server, the request takes seven seconds.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// The command whose response contains the version. All API versions have this command.
const STATUS: &str = "status";

/// The command that changes the configuration.
const RELOAD: &str = "reload_config";

/// The time for which the configuration in force is cached. A reconciliation needs the
/// configuration many times, and each request takes a quarter of a second.
const CONFIG_AGE: Duration = Duration::from_secs(5);

/// Why this channel refuses a call with a secret.
const SECRET: &str =
    "a password would be visible in the process list; use an image that has an `erl`";

/// The control channel through the script `ejabberdctl` beside the server.
pub struct Ejabberdctl {
    spawner: Arc<dyn Spawner>,
    script: Vec<String>,
    /// The lock that each call except `status` holds. Concurrent calls run out of ports in some
    /// images.
    queue: Mutex<()>,
    /// The lock that the call `status` holds. `status` can run beside another call: a probe has two
    /// seconds for `status`, and a reconciliation has dozens of calls in the queue.
    status_queue: Mutex<()>,
    /// The cached facts about the server.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The version of the server; `None` if the version was not requested yet.
    version: Option<ServerVersion>,
    /// The time of the last request of the configuration in force, and that configuration.
    config: Option<(Instant, Config)>,
}

impl Ejabberdctl {
    /// A channel that runs `script`, the control script with its options, through `spawner`.
    #[must_use]
    pub fn new(spawner: Arc<dyn Spawner>, script: Vec<String>) -> Self {
        Self {
            spawner,
            script,
            queue: Mutex::default(),
            status_queue: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Waits for earlier calls, and then runs `work` within the rest of `deadline`.
    async fn in_turn<T>(
        &self,
        name: &'static str,
        deadline: Duration,
        work: impl AsyncFnOnce(&Turn<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let end = Instant::now() + deadline;
        let late = |_| ControlError::Timeout(name);
        let queue = if name == STATUS { &self.status_queue } else { &self.queue };
        let _guard = timeout_at(end, queue.lock()).await.map_err(late)?;
        let turn = Turn { control: self, end };
        let response = timeout_at(end, work(&turn)).await.map_err(late).flatten();
        if response.as_ref().is_err_and(ControlError::is_outage) {
            // After an outage, the server may have another version.
            self.forget().await;
        }
        response
    }

    async fn forget(&self) {
        *self.state.lock().await = State::default();
    }
}

/// One call that holds its lock, and the deadline of the call.
struct Turn<'c> {
    control: &'c Ejabberdctl,
    end: Instant,
}

impl Turn<'_> {
    /// Runs a program beside the server to its end, while no other program runs.
    async fn program(&self, name: &'static str, argv: Vec<String>) -> Result<Output, ControlError> {
        let _alone = self.control.state.lock().await;
        self.run(name, argv).await
    }

    async fn run(&self, name: &'static str, argv: Vec<String>) -> Result<Output, ControlError> {
        // A POSIX locale would damage names with characters beyond ASCII.
        let env = vec![("LC_ALL".to_owned(), "C.UTF-8".to_owned())];
        let left = self.end.saturating_duration_since(Instant::now());
        let line = CommandLine { argv, env, user: None };
        self.control.spawner.output(line, left).await.map_err(|error| match error {
            RuntimeError::Timeout(_) => ControlError::Timeout(name),
            other => ControlError::Unreachable(other.to_string()),
        })
    }

    /// The command line of a command.
    async fn command_line(
        &self,
        command: &'static str,
        args: Vec<String>,
    ) -> Result<Vec<String>, ControlError> {
        let mut line = self.control.script.clone();
        // The script reads options only before the command, so that an
        // argument that begins with a dash is an argument.
        if command != STATUS {
            let api = self.version().await?.api();
            line.extend(["--version".to_owned(), api.0.to_string()]);
        }
        line.push(command.to_owned());
        line.extend(args);
        Ok(line)
    }

    async fn command(
        &self,
        command: &'static str,
        shape: Shape,
        args: Vec<String>,
    ) -> Result<Value, ControlError> {
        if command == RELOAD {
            self.control.state.lock().await.config = None;
        }
        let line = self.command_line(command, args).await?;
        let output = self.program(command, line).await?;
        response::read(command, shape, &output)
    }

    /// The version; requests the version if it is not cached.
    async fn version(&self) -> Result<ServerVersion, ControlError> {
        if let Some(version) = self.control.state.lock().await.version {
            return Ok(version);
        }
        let mut line = self.control.script.clone();
        line.push(STATUS.to_owned());
        let output = self.program(STATUS, line).await?;
        let status = response::read(STATUS, Shape::Restuple, &output)?;
        let version = response::version(&output.stdout).ok_or_else(|| {
            if status.is_ok() {
                ControlError::Malformed(STATUS)
            } else {
                ControlError::Unreachable("ejabberd has not started in its node".to_owned())
            }
        })?;
        self.control.state.lock().await.version = Some(version);
        Ok(version)
    }

    async fn api(&self) -> Result<ApiVersion, ControlError> {
        Ok(self.version().await?.api())
    }
}

/// A call that this channel supports.
enum Work {
    Command { command: &'static str, shape: Shape, args: Vec<String> },
    Room(NewRoom),
    Function(Function),
}

impl Work {
    fn of(call: Call) -> Result<Self, ControlError> {
        match call {
            Call::Command { name: rooms::CREATE, args, .. } => NewRoom::of(args).map(Self::Room),
            Call::Command { name, args, shape } => {
                Ok(Self::Command { command: name, shape, args: words(name, args)? })
            }
            Call::Function { module, function, args } => {
                Function::of(module, function, args).map(Self::Function)
            }
            Call::Beside { function, .. } => Function::beside(function).map(Self::Function),
            Call::Inside { function, .. } => Function::inside(function).map(Self::Function),
        }
    }
}

#[async_trait]
impl Control for Ejabberdctl {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        let name = call.name();
        let work = Work::of(call)?;
        self.in_turn(name, deadline, async |turn| match work {
            Work::Command { command, shape, args } => turn.command(command, shape, args).await,
            Work::Room(room) => turn.create_room(room).await,
            Work::Function(function) => turn.function(name, function).await,
        })
        .await
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        self.in_turn(STATUS, VERSION_DEADLINE, async |turn| {
            // Request the version even if it is cached, because the request shows whether the
            // server is reachable.
            self.state.lock().await.version = None;
            turn.version().await
        })
        .await
    }

    async fn close(&self) {
        self.forget().await;
    }
}

/// Converts `args` to arguments of a command line. Fails for secrets, because the process list
/// shows arguments, and for strings with a NUL.
fn words(command: &'static str, args: Vec<Arg>) -> Result<Vec<String>, ControlError> {
    let unsupported = |why| ControlError::Unsupported { command, why };
    args.into_iter()
        .map(|arg| match arg {
            Arg::Text(text) | Arg::Characters(text) if text.contains('\0') => {
                Err(unsupported("an argument has a NUL"))
            }
            Arg::Text(text) | Arg::Characters(text) => Ok(text),
            Arg::Int(number) => Ok(number.to_string()),
            Arg::Atom(name) => Ok(name.to_owned()),
            Arg::Node(name) => Ok(name),
            Arg::Secret(_) | Arg::Pairs(_) => Err(unsupported(SECRET)),
        })
        .collect()
}
