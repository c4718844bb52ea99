//! The search for the server among the processes of this host. The operator uses no pid file. The
//! operator reads the processes in `/proc`, so the operator also finds a server that another
//! program started, and does not confuse a reused pid with the server.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ServerSetup;
use crate::ejabberd::erlang;
use crate::ejabberd::erlang::NodeAddress;

/// A process in `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) uid: u32,
    pub(super) argv: Vec<String>,
    /// The start time in clock ticks since the start of the host. The pid alone does not identify a
    /// process, because the kernel reuses pids; the pid with the start time does.
    started: u64,
}

/// The processes of one server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The Erlang VM.
    pub(super) vm: Option<Process>,
    /// The control script that started the VM and waits for its end.
    pub(super) script: Option<Process>,
}

impl Found {
    pub(super) fn any(&self) -> bool {
        self.vm.is_some() || self.script.is_some()
    }

    /// Opens a handle for each process that still exists.
    pub(super) fn handles(&self) -> Vec<Handle> {
        [&self.vm, &self.script].into_iter().flatten().filter_map(Handle::open).collect()
    }
}

impl Process {
    fn read(pid: Pid) -> Option<Self> {
        let directory = format!("/proc/{}", pid.as_raw_nonzero());
        let cmdline = fs::read(format!("{directory}/cmdline")).ok()?;
        if cmdline.is_empty() {
            // An empty command line belongs to a kernel thread or a zombie.
            return None;
        }
        let argv = cmdline.strip_suffix(b"\0").unwrap_or(&cmdline).split(|byte| *byte == 0);
        let argv = argv.map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        let status = fs::read_to_string(format!("{directory}/status")).ok()?;
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        let uid = uids.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { pid, uid, argv, started: stat(pid)?.started })
    }

    /// Returns whether a signal such as SIGSTOP has paused the process.
    pub(super) fn is_stopped(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.state == 'T')
    }

    /// Returns the address of the node in this VM. `None` if the process is not the VM of an
    /// ejabberd.
    pub(super) fn node(&self) -> Option<NodeAddress> {
        erlang::server_node(&self.uid.to_string(), &self.argv)
    }

    /// Returns whether this process is the VM of `setup`: an ejabberd of the same user with the
    /// same node name or the same database.
    fn is_vm_of(&self, setup: &ServerSetup) -> bool {
        let has = |pair: [&str; 2]| self.argv.windows(2).any(|words| *words == pair);
        if self.node().is_none() || self.uid != setup.account.uid {
            return false;
        }
        let node = |name: &String| has(["-sname", name]) || has(["-name", name]);
        let database = self.argv.windows(3).find_map(|words| match words {
            [mnesia, dir, path] if mnesia == "-mnesia" && dir == "dir" => Some(path),
            _ => None,
        });
        let database = database.map(|path| path.trim_matches('"'));
        setup.node.as_ref().is_some_and(node)
            || database.is_some_and(|path| same(Path::new(path), &setup.layout.spool))
    }

    /// Returns whether this process is the control script with the arguments that start `setup`.
    /// `ours` is the command line of the start.
    fn is_script_of(&self, setup: &ServerSetup, ours: &[String]) -> bool {
        (self.uid == setup.account.uid || self.uid == 0) && self.argv.ends_with(ours)
    }
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

struct Stat {
    state: char,
    started: u64,
}

/// Returns the fields of `/proc/PID/stat` after the name. The name may contain any character, so
/// the function splits at the last `)`.
pub(super) fn stat_fields(pid: Pid) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn stat(pid: Pid) -> Option<Stat> {
    let fields = stat_fields(pid)?;
    Some(Stat { state: fields.first()?.chars().next()?, started: fields.get(19)?.parse().ok()? })
}

/// Searches `/proc` for the processes of `setup`.
pub(super) fn find(setup: &ServerSetup) -> Found {
    let mut found = Found::default();
    let Ok(entries) = fs::read_dir("/proc") else { return found };
    let ours = setup.start_line();
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        let Some(process) = Process::read(pid) else { continue };
        if process.is_vm_of(setup) && on_this_host(pid) {
            found.vm = Some(process);
        } else if process.is_script_of(setup, &ours) && on_this_host(pid) {
            found.script = Some(process);
        }
    }
    found
}

/// Returns whether the process has the same pid namespace as the operator. A container on this host
/// may have an ejabberd with the same paths. `true` if the namespace is unreadable.
fn on_this_host(pid: Pid) -> bool {
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let theirs = space(&pid.as_raw_nonzero().to_string());
    theirs.is_none() || theirs == space("self")
}

/// A handle to one process (a pidfd). The process may have another parent. The handle stays valid
/// for this process if the kernel reuses the pid.
pub(super) struct Handle(AsyncFd<std::os::fd::OwnedFd>);

impl Handle {
    pub(super) fn open(process: &Process) -> Option<Self> {
        let fd = pidfd_open(process.pid, PidfdFlags::empty()).ok()?;
        // The kernel may have reused the pid since the operator read the process.
        if stat(process.pid)?.started != process.started {
            return None;
        }
        #[allow(
            deprecated,
            reason = "its replacement is unsafe, for types that may change their descriptor; an OwnedFd keeps it"
        )]
        AsyncFd::with_interest(fd, Interest::READABLE).ok().map(Self)
    }

    /// Returns when the process ends. Cancel-safe.
    pub(super) async fn ended(&self) {
        // Ignore the error: the wait fails only when the Tokio runtime shuts down.
        let _ = self.0.readable().await;
    }

    /// Sends a signal. Succeeds if the process has already ended.
    pub(super) fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        match pidfd_send_signal(self.0.get_ref(), signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::super::layout::Layout;
    use super::*;

    fn setup(directory: Option<&str>) -> ServerSetup {
        let directory = directory.map(Path::new);
        ServerSetup {
            program: "/usr/sbin/ejabberdctl".into(),
            account: Account { name: "x".into(), uid: 995, gid: 995, home: "/home/x".into() },
            layout: Layout::new(directory, ""),
            directory: directory.map(Path::to_owned),
            node: directory.map(|_| "ejabberd-1@localhost".to_owned()),
        }
    }

    fn process(argv: &[&str]) -> Process {
        let argv = argv.iter().map(|arg| (*arg).to_owned()).collect();
        Process { pid: Pid::from_raw(7).unwrap(), uid: 995, argv, started: 1 }
    }

    #[test]
    fn a_vm_belongs_to_the_server_on_its_database() {
        let beam = |node, database, start| {
            process(&[
                "/usr/lib/erlang/erts-17/bin/beam.smp",
                "--",
                "-root",
                "/usr/lib/erlang",
                "--",
                "-home",
                "/srv/a b/home",
                "--",
                "-sname",
                node,
                "-mnesia",
                "dir",
                database,
                "-s",
                start,
            ])
        };
        let (own, installed) = (setup(Some("/srv/x")), setup(None));
        let vm = beam("ejabberd@localhost", "\"/var/lib/ejabberd\"", "ejabberd");
        assert!(vm.is_vm_of(&installed) && !vm.is_vm_of(&own));
        let vm = beam("ejabberd-1@localhost", "\"/srv/x/database\"", "ejabberd");
        assert!(vm.is_vm_of(&own) && !vm.is_vm_of(&installed));
        let node = vm.node().unwrap();
        assert_eq!(
            (node.name.as_str(), node.home.as_deref()),
            ("ejabberd-1@localhost", Some("/srv/a b/home"))
        );
        let ctl = beam("undefined", "\"/srv/x/database\"", "ejabberd_ctl");
        assert!(!ctl.is_vm_of(&own), "a program that asks the server is not the server");
        let stranger = Process { uid: 1000, ..vm };
        assert!(!stranger.is_vm_of(&own), "another account can start a similar process");
    }

    #[test]
    fn only_a_start_command_of_the_same_server_is_its_script() {
        let (own, installed) = (setup(Some("/srv/x")), setup(None));
        let start = process(&["/bin/bash", "/usr/sbin/ejabberdctl", "foreground-quiet"]);
        assert!(start.is_script_of(&installed, &installed.start_line()));
        assert!(!start.is_script_of(&own, &own.start_line()));
        let status = process(&["/bin/bash", "/usr/sbin/ejabberdctl", "status"]);
        assert!(!status.is_script_of(&installed, &installed.start_line()));
    }

    #[tokio::test]
    async fn the_end_of_any_process_is_reported_at_once() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut seen = Process::read(pid);
        while seen.as_ref().is_none_or(|process| process.argv[0] != "sleep") {
            seen = Process::read(pid);
        }
        let seen = seen.unwrap();
        assert_eq!(seen.argv, ["sleep", "60"]);
        let handle = Handle::open(&seen).unwrap();
        let reused = Process { started: seen.started + 1, ..seen };
        assert!(Handle::open(&reused).is_none(), "a number that was reused");
        handle.signal(Signal::KILL).unwrap();
        handle.ended().await;
        child.wait().unwrap();
        handle.signal(Signal::KILL).unwrap();
    }
}
