//! Start, stop, and detection of the server's end.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use rustix::process::Signal;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::processes::Handle;
use super::{ProcessRuntime, ServerSetup, account, console, failed, layout, processes, refused};
use crate::engine::RuntimeError;

/// The time between SIGTERM and the kill of the VM. The operator first stops ejabberd inside of the
/// VM, so this time matters only if that stop failed.
const GRACE: Duration = Duration::from_secs(10);

/// The time limit for the end of a killed process.
const REAP: Duration = Duration::from_secs(5);

/// The interval between two checks for a server that another program started. The kernel reports
/// the end of the server, so the end needs no check.
const POLL: Duration = Duration::from_secs(5);

/// The time limit for the end of the script after the end of its VM. The script needs only
/// milliseconds.
const SETTLE: Duration = Duration::from_millis(500);

/// The interval between two checks of the console's size.
const TRIM: Duration = Duration::from_mins(1);

/// The script's command that runs the server in the foreground. With this command the console does
/// not repeat the messages of the log.
const START: &str = "foreground-quiet";

impl ServerSetup {
    /// Returns the control script with the arguments for a start.
    pub(super) fn start_line(&self) -> Vec<String> {
        let mut line = vec![self.program.to_string_lossy().into_owned()];
        line.extend(self.options());
        line.push(START.to_owned());
        line
    }
}

impl ProcessRuntime {
    pub(super) fn start_server(&self) -> Result<(), RuntimeError> {
        let setup = self.setup()?;
        if processes::find(&setup).any()
            || self.own.lock().as_ref().is_some_and(|own| own.borrow().is_none())
        {
            return Ok(());
        }
        setup.refuse_strange_paths()?;
        let console = console::open(&setup)?;
        let errors = console.try_clone().map_err(|e| failed("open", &setup.layout.logs, &e))?;
        let line = setup.start_line();
        let mut command = setup.command(&setup.program, line.get(1..).unwrap_or_default());
        command.stdin(Stdio::null()).stdout(console).stderr(errors);
        let child = account::start(command);
        let mut child = child.map_err(|e| failed("start", &setup.program, &e))?;
        let (ended, ending) = watch::channel(None);
        *self.own.lock() = Some(ending);
        // The task continues after a drop of this runtime, because a child without a waiting parent
        // becomes a zombie.
        tokio::spawn(async move {
            let code = child.wait().await.map_or(-1, code);
            tracing::debug!(code, "the server's process ended");
            ended.send_replace(Some(code));
        });
        self.began.notify_waiters();
        Ok(())
    }

    pub(super) async fn stop_server(&self) -> Result<(), RuntimeError> {
        let setup = self.setup()?;
        // While the server starts, only the script exists, so the VM may appear during the stop.
        // Repeat the stop in that case.
        for _ in 0..3 {
            let found = processes::find(&setup);
            if !found.any() {
                break;
            }
            // End the VM and not the script: the script ends after its VM, with the exit code of
            // the VM.
            let ends = if found.vm.is_some() { found.vm.as_ref() } else { found.script.as_ref() };
            if let Some(handle) = ends.and_then(Handle::open) {
                end(&handle).await?;
            }
            if let Some(script) = found.script.as_ref().and_then(Handle::open)
                && timeout(REAP, script.ended()).await.is_err()
            {
                end(&script).await?;
            }
        }
        let own = self.own.lock().clone();
        if let Some(mut own) = own {
            let _ = timeout(REAP, own.wait_for(Option::is_some)).await;
        }
        if processes::find(&setup).any() {
            return Err(refused("stop the server", "it is started again as soon as it ends"));
        }
        Ok(())
    }

    /// Notifies `changed` when the server ends or starts. Never returns.
    pub(super) async fn watch_processes(&self, changed: &Notify) {
        loop {
            let mut began = std::pin::pin!(self.began.notified());
            // Subscribe before the search. Otherwise a start between the search and the
            // subscription is missed.
            began.as_mut().enable();
            let handles = self.handles();
            if handles.is_empty() {
                tokio::select! {
                    () = began => {}
                    () = sleep(POLL) => if self.handles().is_empty() { continue },
                }
            } else {
                let ends = || handles.iter().map(|handle| Box::pin(handle.ended()));
                tokio::select! {
                    _ = select_all(ends()) => tracing::debug!("a process of the server ended"),
                    () = self.trim_console() => {}
                }
                // Wait for both processes, because a script without its VM looks like a start of
                // the server.
                let _ = timeout(SETTLE, join_all(ends())).await;
            }
            changed.notify_one();
        }
    }

    fn handles(&self) -> Vec<Handle> {
        self.setup().map(|setup| processes::find(&setup).handles()).unwrap_or_default()
    }

    /// Truncates the console at each interval if the console is too large. Never returns.
    async fn trim_console(&self) {
        loop {
            if let Ok(setup) = self.setup()
                && let Err(error) = console::trim(&setup)
            {
                tracing::debug!(%error, "the console could not be cut");
            }
            sleep(TRIM).await;
        }
    }
}

impl ServerSetup {
    /// Fails for a path with a character that the control script cannot handle, such as a blank.
    pub(super) fn refuse_strange_paths(&self) -> Result<(), RuntimeError> {
        let mut paths = self.directory.iter().chain([&self.program]);
        paths.find(|path| !layout::is_plain(path)).map_or(Ok(()), |path| {
            let operation = format!("use {} under spec.server.process", path.display());
            Err(refused(&operation, "ejabberd's script takes only letters, digits and /._-+@:,=~"))
        })
    }
}

/// Sends SIGTERM to a process, and kills the process after [`GRACE`].
async fn end(handle: &Handle) -> Result<(), RuntimeError> {
    let refuse = |e: rustix::io::Errno| refused("stop the server", &e.to_string());
    handle.signal(Signal::TERM).map_err(refuse)?;
    if timeout(GRACE, handle.ended()).await.is_ok() {
        return Ok(());
    }
    tracing::warn!("the server's process did not end within {GRACE:?} and is killed");
    handle.signal(Signal::KILL).map_err(refuse)?;
    timeout(REAP, handle.ended())
        .await
        .map_err(|_| RuntimeError::Timeout("stop the server's process".to_owned()))
}

/// Returns the exit code. After a signal the code is 128 plus the number of the signal, as in a
/// shell.
fn code(status: ExitStatus) -> i64 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.unwrap_or(-1).into()
}
