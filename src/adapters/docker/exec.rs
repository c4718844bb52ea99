//! Runs programs in the server's container, as `docker exec` does, without a shell or a terminal.

use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters as query;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use super::DockerRuntime;
use crate::domain::configuration::MAX_BYTES;
use crate::ejabberd::erlang::find::Files;
use crate::ejabberd::erlang::{
    CTL_SCRIPTS, CommandLine, Installation, ListedProcess, NodeAddress, find,
};
use crate::engine::{Complaints, Output, RuntimeError, Spawned, Spawner};

/// The maximum length of a program's standard output, and of its standard error, that the operator
/// keeps, in bytes. A whole configuration fits.
const MAX_OUTPUT_BYTES: usize = MAX_BYTES + (256 << 10);

/// The buffer size of one read from a program, in bytes; responses of a large server have
/// megabytes.
const STREAM_CAPACITY: usize = 64 << 10;

type Streams = (
    std::pin::Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
);

impl DockerRuntime {
    /// Starts `command` in `container`. The returned id identifies the program for its exit code.
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

    /// Runs `command` in `container` until the command ends, and returns its output. Fails after
    /// `deadline`.
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

    /// The first of `paths` that exists in `container`; `None` if none exists.
    pub(super) async fn first_existing(
        &self,
        container: &str,
        paths: Vec<String>,
    ) -> Result<Option<String>, RuntimeError> {
        for path in paths {
            if self.exists(container, &path).await? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The processes in the container, as the engine lists them; `columns` are the arguments of
    /// `ps`. The engine runs the host's `ps`, so the image needs no tools. The engine needs the
    /// column `PID` to select the container's processes.
    pub(super) async fn processes(&self, columns: &str) -> Result<Vec<Vec<String>>, RuntimeError> {
        let options = query::TopOptionsBuilder::default().ps_args(columns).build();
        let top = self.client().await?.top_processes(self.name(), Some(options)).await;
        let top = top.map_err(|e| self.error("list the processes of", &e))?;
        Ok(top.processes.unwrap_or_default())
    }

    /// The address of the server's node in the container; `None` if the server does not run.
    pub(super) async fn node(&self) -> Result<Option<NodeAddress>, RuntimeError> {
        let rows = self.processes("-eo uid,pid,args").await?;
        let mut listed = rows.into_iter().filter_map(|row| {
            let [user, _, command] = <[String; 3]>::try_from(row).ok()?;
            Some(ListedProcess { user, command })
        });
        Ok(listed.find_map(|process| process.server_node()))
    }

    /// Gives access to the files of `container`.
    pub(super) fn files<'a>(&'a self, container: &'a str) -> ContainerFiles<'a> {
        ContainerFiles { runtime: self, container }
    }
}

/// Access to the files of one container.
pub(super) struct ContainerFiles<'a> {
    runtime: &'a DockerRuntime,
    container: &'a str,
}

#[async_trait]
impl Files for ContainerFiles<'_> {
    type Error = RuntimeError;

    async fn exists(&self, path: &str) -> Result<bool, RuntimeError> {
        self.runtime.exists(self.container, path).await
    }

    async fn read(&self, path: &str) -> Result<Option<String>, RuntimeError> {
        let file = self.runtime.download(self.container, path).await?;
        Ok(file.map(|file| String::from_utf8_lossy(&file.content).into_owned()))
    }
}

#[async_trait]
impl Spawner for DockerRuntime {
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError> {
        let starting = |what: &str| {
            RuntimeError::Missing(format!("{what} in {}: it is starting or stopped", self.name()))
        };
        let node = self.node().await?.ok_or_else(|| starting("ejabberd's node"))?;
        let files = self.files(self.name());
        if !find::has_cookie(&files, &node).await? {
            return Err(starting("the cookie of ejabberd's node"));
        }
        // The command line of the VM usually contains the path of the installation. Read the
        // control scripts only if the path is missing.
        let mut found = find::installation(&files, Some(&node), &[]).await?;
        if found.is_none() {
            let scripts = find::control_scripts(&files, &CTL_SCRIPTS).await?;
            found = find::installation(&files, Some(&node), &scripts).await?;
        }
        let found = found.ok_or_else(|| RuntimeError::NoErlang(self.name().to_owned()))?;
        Ok((found, node))
    }

    async fn spawn(&self, command: CommandLine) -> Result<Spawned, RuntimeError> {
        let (_, (output, stdin)) = self.start_exec(self.name(), command, true).await?;
        let complaints = Complaints::default();
        let stderr = complaints.clone();
        let stdout = output.filter_map(move |piece| {
            let frame = match piece {
                Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => {
                    Some(Ok(message))
                }
                Ok(LogOutput::StdErr { message }) => {
                    tracing::debug!(text = %String::from_utf8_lossy(&message), "standard error of the session");
                    stderr.add(&message);
                    None
                }
                Ok(LogOutput::StdIn { .. }) => None,
                Err(e) => Some(Err(std::io::Error::other(e))),
            };
            std::future::ready(frame)
        });
        Ok(Spawned {
            stdin: Box::new(stdin),
            stdout: Box::new(StreamReader::new(Box::pin(stdout))),
            complaints,
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
