//! Programs next to the server: children of the operator that run as the server's user.

use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use super::config::HostFiles;
use super::{ProcessRuntime, ServerSetup, account, failed, processes, refused};
use crate::domain::configuration::MAX_BYTES;
use crate::ejabberd::erlang::{CommandLine, Installation, NodeAddress, find};
use crate::engine::{Complaints, Output, RuntimeError, Spawned, Spawner};

/// The maximum number of bytes that the operator keeps of a program's output. A complete
/// configuration is smaller than this limit.
const MAX_OUTPUT_BYTES: usize = MAX_BYTES + (256 << 10);

impl ServerSetup {
    fn spawn(&self, line: CommandLine, stdin: Stdio) -> Result<Child, RuntimeError> {
        // Ignore `user`: a program always runs as the server's user, because the node runs as that
        // user too.
        let CommandLine { argv, env, user: _ } = line;
        let (program, args) =
            argv.split_first().ok_or_else(|| refused("run nothing", "no program"))?;
        let mut command = self.command(program.as_ref(), args);
        command.envs(env).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Kill the program if the caller drops the future.
        command.kill_on_drop(true);
        account::start(command).map_err(|e| failed("run", program.as_ref(), &e))
    }
}

impl ProcessRuntime {
    /// Runs a program and waits for its end.
    pub(super) async fn run(
        &self,
        setup: &ServerSetup,
        line: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError> {
        let name = line.argv.first().cloned().unwrap_or_default();
        let mut child = setup.spawn(line, Stdio::null())?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = timeout(deadline, async { tokio::join!(keep(out), keep(err), child.wait()) });
        let (stdout, stderr, status) =
            ended.await.map_err(|_| RuntimeError::Timeout(format!("run {name}")))?;
        let status = status.map_err(|e| failed("wait for", name.as_ref(), &e))?;
        group.ended();
        Ok(Output { code: status.code().map(i64::from), stdout, stderr })
    }
}

/// The process group of a program with its children, such as a script and its VM. A drop before the
/// end of the program kills the group.
struct Group(Option<Pid>);

impl Group {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // The process group id cannot be reused while a process of the group exists.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Returns the first [`MAX_OUTPUT_BYTES`] of a program's output. Reads and discards the rest, so
/// that the program never blocks on a full pipe.
async fn keep(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    let mut piece = vec![0; 16 << 10];
    if let Some(mut stream) = stream {
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len());
            kept.extend(piece.iter().take(read.min(room)));
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Reads standard error to its end, so that the program never blocks on a full pipe.
async fn collect(stderr: Option<impl AsyncRead + Unpin>, complaints: Complaints) {
    let Some(mut stderr) = stderr else { return };
    let mut piece = vec![0; 4 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        let text = piece.get(..read).unwrap_or_default();
        tracing::debug!(text = %String::from_utf8_lossy(text), "standard error of the session");
        complaints.add(text);
    }
}

/// The output of a program. A drop kills the program, because a program that hangs does not end
/// when its input ends.
struct Held {
    stdout: ChildStdout,
    _child: Child,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

#[async_trait]
impl Spawner for ProcessRuntime {
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError> {
        let setup = self.setup()?;
        let starting =
            |what: &str| RuntimeError::Missing(format!("{what}: it is starting or stopped"));
        let vm = processes::find(&setup).vm;
        let node = vm.and_then(|vm| vm.node()).ok_or_else(|| starting("ejabberd's node"))?;
        if !find::has_cookie(&HostFiles, &node).await? {
            return Err(starting("the cookie of ejabberd's node"));
        }
        Ok((setup.installation(Some(&node)).await?, node))
    }

    async fn spawn(&self, command: CommandLine) -> Result<Spawned, RuntimeError> {
        let mut child = self.setup()?.spawn(command, Stdio::piped())?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(refused("run a program", "it has no pipes"));
        };
        let complaints = Complaints::default();
        tokio::spawn(collect(stderr, complaints.clone()));
        let stdout = Held { stdout, _child: child };
        Ok(Spawned { stdin: Box::new(stdin), stdout: Box::new(stdout), complaints })
    }

    async fn output(
        &self,
        command: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError> {
        self.run(&self.setup()?, command, deadline).await
    }
}
