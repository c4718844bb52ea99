//! A process group: a program with all its children.

use std::os::fd::OwnedFd;

use parking_lot::Mutex;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::time::{Duration, sleep};

/// The process groups that still run, for [`end_all`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The interval between two checks of the leader. Used only on kernels before 5.3, which have no
/// pidfd.
const POLL: Duration = Duration::from_millis(20);

/// The process group that a program leads. Dropping a `Group` kills all processes of the group.
pub(super) struct Group {
    leader: Option<Pid>,
    end: Option<AsyncFd<OwnedFd>>,
}

impl Group {
    /// Creates the group of `child`. `child` must be the leader of the group and must not be
    /// reaped.
    pub(super) fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        running(|groups| groups.extend(leader));
        let end = leader.and_then(|leader| pidfd_open(leader, PidfdFlags::empty()).ok());
        #[allow(
            deprecated,
            reason = "the replacement is an unsafe function; the deprecated function is sound here, because the descriptor of an OwnedFd never changes"
        )]
        let end = end.and_then(|end| AsyncFd::with_interest(end, Interest::READABLE).ok());
        Self { leader, end }
    }

    /// Returns when the leader ends. Does not reap the leader: the kernel reuses the process id
    /// only after the caller reaps the leader. Cancel-safe.
    pub(super) async fn leader_ended(&self) {
        if let Some(end) = &self.end {
            // Ignore the error. The error occurs only when the Tokio runtime shuts down, and then
            // the drop of the group kills the program.
            let _ = end.readable().await;
            return;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Some(leader) = self.leader
            && matches!(waitid(WaitId::Pid(leader), options), Ok(None))
        {
            sleep(POLL).await;
        }
    }

    /// Kills every process of the group. Must be called before `wait` on the leader.
    pub(super) fn end(&mut self) {
        let Some(leader) = self.leader.take() else { return };
        running(|groups| groups.retain(|group| *group != leader));
        // Ignore the error: the group may be empty, or its processes may belong to another user.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

fn running<T>(work: impl FnOnce(&mut Vec<Pid>) -> T) -> T {
    work(&mut RUNNING.lock())
}

/// Kills all running groups. The operator calls this function before it exits, because an exit does
/// not always drop the futures.
pub(super) fn end_all() {
    running(|groups| {
        for leader in groups.iter() {
            let _ = kill_process_group(*leader, Signal::KILL);
        }
    });
}
