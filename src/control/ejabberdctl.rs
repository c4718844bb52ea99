//! The control channel where no `erl` can be found: `ejabberdctl`, a whole
//! Erlang node for each call, one call at a time.
//!
//! Calls that carry secrets are refused: arguments stand in the process list
//! and in the engine's events.

mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::engine::{
    Arg, Call, Control, ControlError, Output, RuntimeError, Shape, Spawner, Value,
};
use crate::erlang::CommandLine;
use crate::model::ServerVersion;

/// How long asking for the version may take; a frozen server takes seven seconds.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// The command whose answer tells the version. Every API version has it.
const STATUS: &str = "status";

/// The server, by the control script beside it.
pub struct Ejabberdctl {
    spawner: Arc<dyn Spawner>,
    script: Vec<String>,
    /// The version of the server, once it was asked for. The lock is held
    /// during each call: concurrent ones run out of ports in some images.
    version: Mutex<Option<ServerVersion>>,
}

impl Ejabberdctl {
    /// Runs `script`, the control script with its own options, by `spawner`.
    #[must_use]
    pub fn new(spawner: Arc<dyn Spawner>, script: Vec<String>) -> Self {
        Self { spawner, script, version: Mutex::new(None) }
    }

    async fn run(
        &self,
        command: &'static str,
        api: Option<u8>,
        args: Vec<String>,
        deadline: Duration,
    ) -> Result<Output, ControlError> {
        let mut line = self.script.clone();
        // The script reads options only before the command, so that an
        // argument that begins with a dash is an argument.
        if let Some(api) = api {
            line.extend(["--version".to_owned(), api.to_string()]);
        }
        line.push(command.to_owned());
        line.extend(args);
        // In a POSIX locale names beyond ASCII are spoiled.
        let env = vec![("LC_ALL".to_owned(), "C.UTF-8".to_owned())];
        self.spawner.output(CommandLine { argv: line, env, user: None }, deadline).await.map_err(
            |error| match error {
                RuntimeError::Timeout(_) => ControlError::Timeout(command),
                other => ControlError::Unreachable(other.to_string()),
            },
        )
    }

    /// The version; asks for it where it is not known yet.
    async fn ask_version(
        &self,
        known: &mut Option<ServerVersion>,
        deadline: Duration,
    ) -> Result<ServerVersion, ControlError> {
        if let Some(version) = *known {
            return Ok(version);
        }
        let output = self.run(STATUS, None, Vec::new(), deadline).await?;
        let status = answer::read(STATUS, Shape::Restuple, &output)?;
        let version = answer::version(&output.stdout).ok_or_else(|| {
            if status.is_ok() {
                ControlError::Malformed(STATUS)
            } else {
                ControlError::Unreachable("ejabberd has not started in its node".to_owned())
            }
        })?;
        *known = Some(version);
        Ok(version)
    }
}

#[async_trait]
impl Control for Ejabberdctl {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        let (command, shape, args) = words(call)?;
        let end = Instant::now() + deadline;
        // Waiting for other calls counts as well.
        let mut known = timeout_at(end, self.version.lock())
            .await
            .map_err(|_| ControlError::Timeout(command))?;
        let left = || end.saturating_duration_since(Instant::now());
        let answer = async {
            let api = if command == STATUS {
                None
            } else {
                Some(self.ask_version(&mut known, left()).await?.api().0)
            };
            let output = self.run(command, api, args, left()).await?;
            answer::read(command, shape, &output)
        };
        let answer = timeout_at(end, answer).await.unwrap_or(Err(ControlError::Timeout(command)));
        if answer.as_ref().is_err_and(ControlError::is_outage) {
            // What comes back may be another version.
            *known = None;
        }
        answer
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        let end = Instant::now() + VERSION_DEADLINE;
        let mut known = timeout_at(end, self.version.lock())
            .await
            .map_err(|_| ControlError::Timeout(STATUS))?;
        // Whether the server is still there is asked by asking for its version.
        *known = None;
        timeout_at(end, self.ask_version(&mut known, VERSION_DEADLINE))
            .await
            .unwrap_or(Err(ControlError::Timeout(STATUS)))
    }

    async fn close(&self) {
        *self.version.lock().await = None;
    }
}

/// The call as words of a command line, if it can stand there.
fn words(call: Call) -> Result<(&'static str, Shape, Vec<String>), ControlError> {
    let (command, args, shape) = match call {
        Call::Command { name, args, shape } => (name, args, shape),
        Call::Function { function, .. }
        | Call::Inside { function, .. }
        | Call::Beside { function, .. } => {
            let why = "it runs commands only, not functions of the server";
            return Err(ControlError::Unsupported { command: function, why });
        }
    };
    let unsupported = |why| ControlError::Unsupported { command, why };
    let args = args
        .into_iter()
        .map(|arg| match arg {
            Arg::Text(text) | Arg::Characters(text) if text.contains('\0') => {
                Err(unsupported("an argument has a NUL"))
            }
            Arg::Text(text) | Arg::Characters(text) => Ok(text),
            Arg::Int(number) => Ok(number.to_string()),
            Arg::Atom(name) => Ok(name.to_owned()),
            Arg::Node(name) => Ok(name),
            Arg::Secret(_) | Arg::Pairs(_) => {
                Err(unsupported("an argument is secret and would stand in the process list"))
            }
        })
        .collect::<Result<_, _>>()?;
    Ok((command, shape, args))
}
