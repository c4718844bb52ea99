//! Programs beside the server: `docker exec` without a shell or a terminal.

use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters as query;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use super::DockerRuntime;
use crate::engine::{Output, RuntimeError, Spawned, Spawner};
use crate::erlang::{self, CommandLine, NodeAddress};

/// The most that is kept of what a program prints.
const MAX_OUTPUT_BYTES: usize = 256 << 10;

/// Room for one read of the session; answers of a large server are megabytes.
const STREAM_CAPACITY: usize = 64 << 10;

type Streams = (
    std::pin::Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
);

impl DockerRuntime {
    /// Starts `command` in `container`; the id is for asking how it ended.
    async fn start_exec(
        &self,
        container: &str,
        command: CommandLine,
        stdin: bool,
    ) -> Result<(String, Streams), RuntimeError> {
        let CommandLine { argv, env, user } = command;
        let options = CreateExecOptions {
            attach_stdin: Some(stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            env: Some(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
            cmd: Some(argv),
            user,
            ..Default::default()
        };
        let client = self.client().await?;
        let exec = client
            .create_exec(container, options)
            .await
            .map_err(|e| self.error("run a program in", &e))?;
        let start =
            StartExecOptions { output_capacity: Some(STREAM_CAPACITY), ..Default::default() };
        match client
            .start_exec(&exec.id, Some(start))
            .await
            .map_err(|e| self.error("run a program in", &e))?
        {
            StartExecResults::Attached { output, input } => Ok((exec.id, (output, input))),
            StartExecResults::Detached => Err(RuntimeError::Refused {
                operation: "run a program".to_owned(),
                cause: "the engine detached it".to_owned(),
            }),
        }
    }

    /// Runs `command` in `container` to its end.
    pub(super) async fn output_in(
        &self,
        container: &str,
        command: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError> {
        let run = async {
            let (id, (mut output, input)) = self.start_exec(container, command, false).await?;
            drop(input);
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(piece) = output.next().await {
                let (to, bytes) =
                    match piece.map_err(|e| self.error("read from a program in", &e))? {
                        LogOutput::StdErr { message } => (&mut stderr, message),
                        LogOutput::StdOut { message } | LogOutput::Console { message } => {
                            (&mut stdout, message)
                        }
                        LogOutput::StdIn { .. } => continue,
                    };
                let room = MAX_OUTPUT_BYTES.saturating_sub(to.len());
                to.extend(bytes.into_iter().take(room));
            }
            let ended = self
                .client()
                .await?
                .inspect_exec(&id)
                .await
                .map_err(|e| self.error("inspect a program in", &e))?;
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            Ok(Output { code: ended.exit_code, stdout: text(stdout), stderr: text(stderr) })
        };
        timeout(deadline, run)
            .await
            .map_err(|_| RuntimeError::Timeout(format!("run a program in {container}")))?
    }

    /// The first place of `places` that exists in `container`.
    pub(super) async fn first_existing(
        &self,
        container: &str,
        places: Vec<String>,
    ) -> Result<Option<String>, RuntimeError> {
        for place in places {
            if self.exists(container, &place).await? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The text of the image's `ejabberdctl`, wherever it is.
    pub(super) async fn ctl_script(&self, container: &str) -> Result<Option<String>, RuntimeError> {
        for place in erlang::CTL_SCRIPTS {
            if let Some(file) = self.download(container, place).await? {
                return Ok(Some(String::from_utf8_lossy(&file.content).into_owned()));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Spawner for DockerRuntime {
    async fn locate(&self) -> Result<(String, NodeAddress), RuntimeError> {
        // Columns by name: `ps` on the host prints them, whatever the image has.
        let options = query::TopOptionsBuilder::default().ps_args("-eo uid,pid,args").build();
        let top = self.client().await?.top_processes(self.name(), Some(options)).await;
        let top = top.map_err(|e| self.error("list the processes of", &e))?;
        let processes: Vec<(String, String)> = top
            .processes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|row| Some((row.first()?.clone(), row.get(2)?.clone())))
            .collect();
        let starting = |what: &str| {
            RuntimeError::Missing(format!("{what} in {}: it is starting or stopped", self.name()))
        };
        let node = erlang::find_node(&processes).ok_or_else(|| starting("ejabberd's node"))?;
        if let (None, Some(home)) = (&node.cookie, &node.home) {
            // Whoever comes before the server has made its cookie makes one
            // itself, and the server dies of it (seen on 24.12).
            if !self.exists(self.name(), &format!("{home}/.erlang.cookie")).await? {
                return Err(starting("the cookie of ejabberd's node"));
            }
        }
        let candidates = erlang::erl_candidates(None, Some(&node));
        if let Some(erl) = self.first_existing(self.name(), candidates).await? {
            return Ok((erl, node));
        }
        let script = self.ctl_script(self.name()).await?;
        let erl = self
            .first_existing(self.name(), erlang::erl_candidates(script.as_deref(), Some(&node)))
            .await?;
        let erl = erl.ok_or_else(|| RuntimeError::NoErlang(self.name().to_owned()))?;
        Ok((erl, node))
    }

    async fn spawn(&self, command: CommandLine) -> Result<Spawned, RuntimeError> {
        let (_, (output, stdin)) = self.start_exec(self.name(), command, true).await?;
        let stdout = output.filter_map(|piece| async move {
            match piece {
                Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => Some(Ok(message)),
                Ok(LogOutput::StdErr { message }) => {
                    tracing::debug!(text = %String::from_utf8_lossy(&message), "the session's standard error");
                    None
                }
                Ok(LogOutput::StdIn { .. }) => None,
                Err(e) => Some(Err(std::io::Error::other(e))),
            }
        });
        Ok(Spawned {
            stdin: Box::new(stdin),
            stdout: Box::new(StreamReader::new(Box::pin(stdout))),
        })
    }

    async fn output(
        &self,
        command: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError> {
        self.output_in(self.name(), command, deadline).await
    }
}
