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

/// The groups that run, for [`end_all`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// How often the operator checks a program on a kernel before 5.3, which cannot report the end of a
/// program.
const POLL: Duration = Duration::from_millis(20);

/// The process group of a program that leads it. Killed when dropped.
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
            reason = "the replacement is unsafe, for types that can change their descriptor; an OwnedFd keeps its descriptor"
        )]
        let end = end.and_then(|end| AsyncFd::with_interest(end, Interest::READABLE).ok());
        Self { leader, end }
    }

    /// Returns when the leader ends, and does not reap the leader: until then no other process and
    /// no other group can get its number. Cancel-safe.
    pub(super) async fn leader_ended(&self) {
        if let Some(end) = &self.end {
            // An error means that the runtime ends, and the program with the runtime.
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
        // The group may be empty, or its processes may belong to another user.
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

/// Kills all running groups. For the end of the operator, which may not drop its futures.
pub(super) fn end_all() {
    running(|groups| {
        for leader in groups.iter() {
            let _ = kill_process_group(*leader, Signal::KILL);
        }
    });
}
