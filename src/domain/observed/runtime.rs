//! The observed state of the server's runtime and of the host.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of a runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuntimeKind {
    /// The server runs in a container of a Docker engine.
    #[default]
    Docker,
    /// The server is a process of this host.
    Process,
}

/// The differences between a runtime and its declaration, and the properties of the runtime that
/// the security checklist and the replacement of the container depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeDrift {
    /// The kind of the runtime.
    pub runtime: RuntimeKind,
    /// Whether the operator created the container.
    pub ours: bool,
    /// The differences from the declaration, for messages: each string has the field, the declared
    /// value and the found value. For an environment variable, the string has only the name.
    pub differences: Vec<String>,
    /// The data that a replacement of the container would delete. Empty if the declaration does not
    /// allow the replacement.
    pub replacement_impact: Vec<String>,
    /// The reason why a new container would not have the database after the removal of this
    /// container; `None` if a new container would have the database.
    pub unattached: Option<String>,
    /// The option that makes Docker remove the container when the container stops (`docker run
    /// --rm`); `None` if the container does not have this option.
    pub removed_by: Option<&'static str>,
    /// The other program that restarts the server, such as Docker with a restart policy other than
    /// `no`; `None` if only the operator restarts the server.
    pub restarted_by: Option<String>,
    /// The addresses and ports of the host at which the ports of the server are published.
    pub published: Vec<SocketAddr>,
    /// The published ports, TCP and UDP.
    pub ports: Vec<Published>,
    /// Whether the server uses the network of the host.
    pub host_network: bool,
    /// Whether the container has the rights of the host's root.
    pub privileged: bool,
    /// The path of the engine's socket in the container; `None` if the socket is not mounted.
    pub engine_socket: Option<String>,
}

/// The resource usage of a server: the processor time and the work since the start, and the current
/// memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// The processor time of all processes of the server, in seconds.
    pub cpu_seconds: f64,
    /// The memory that the server uses now, in bytes.
    pub memory_bytes: u64,
    /// The work of the Erlang VM; `None` if no VM runs.
    pub work: Option<Work>,
}

/// The work of an Erlang VM since its start. Two measurements show whether the VM works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// The processor time of the VM, in whole seconds.
    pub cpu_seconds: u64,
    /// The number of bytes that the VM has read from and written to disks; zero if the kernel does
    /// not count these bytes.
    pub disk_bytes: u64,
    /// Whether a thread of the VM waits for a disk at the time of the measurement.
    pub waits_for_disk: bool,
}

impl Work {
    /// The processor time that an idle VM uses for the probes of the operator and for the VM's
    /// timers, in percent of one core.
    const IDLE_PERCENT: u64 = 2;

    /// Whether the VM has worked in the time `passed` since `before`. The work for the probes of
    /// the operator does not count.
    #[must_use]
    pub fn since(&self, before: &Self, passed: Duration) -> bool {
        let cpu = self.cpu_seconds.saturating_sub(before.cpu_seconds);
        // The counter has whole seconds, so an increase of one second can be the result of a
        // shorter time.
        let idle = 1 + passed.as_secs().saturating_mul(Self::IDLE_PERCENT) / 100;
        self.waits_for_disk || self.disk_bytes != before.disk_bytes || cpu > idle
    }
}

/// The diagnostics of a runtime. An unknown value is `None`, zero or an empty list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeDiagnostics {
    /// The name of the image, and whether the image exists; `None` if there is no image.
    pub image: Option<(String, bool)>,
    /// The time of the last start.
    pub started: Option<Timestamp>,
    /// The time of the last end; `None` while the server runs.
    pub ended: Option<Timestamp>,
    /// The number of times that the engine has restarted the container.
    pub restarts: u64,
    /// The error that the runtime reported at the last start; `None` if the runtime reported no
    /// error.
    pub error: Option<String>,
    /// The memory limit, in bytes; `None` if there is no limit, or if the limit is unknown.
    pub memory_limit: Option<u64>,
    /// The paths of mounted directories and files of the host that no longer exist.
    pub gone: Vec<String>,
    /// The existing mounts, each with the path in the container and the source.
    pub mounts: Vec<(String, String)>,
    /// The published TCP ports, each with the address on the host and the port of the server.
    pub published: Vec<(SocketAddr, u16)>,
    /// The TCP and UDP ports of the host that the engine holds open for the server at this time.
    pub bound: Vec<Published>,
}

/// A port of the host that leads to a port of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The address and port on the host.
    pub outside: SocketAddr,
    /// The port of the server in the network of the container.
    pub inside: u16,
    /// Whether the port is for UDP.
    pub udp: bool,
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { outside, inside, udp } = self;
        write!(f, "{outside} -> {inside}{}", if *udp { "/udp" } else { "" })
    }
}

/// A listener of a configuration with an IP address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerPort {
    /// The address.
    pub at: SocketAddr,
    /// Whether the listener is for UDP.
    pub udp: bool,
    /// The module, such as `ejabberd_c2s`.
    pub module: String,
}

/// The space on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// The purpose of the disk, such as the database.
    pub what: String,
    /// A path on the disk.
    pub path: String,
    /// The free space that users other than root can use, in bytes.
    pub free: u64,
    /// The whole space, in bytes.
    pub total: u64,
    /// Whether the disk has no free inodes. Without free inodes, no program can create a file on
    /// the disk.
    pub no_inodes: bool,
}

/// A listening socket of the host, with the user and the program that own the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address.
    pub at: SocketAddr,
    /// The numeric id of the owner.
    pub user: u32,
    /// The name and the process id of the program; `None` if both are unknown. Only root can read
    /// the name and the process id for a socket of another user.
    pub program: Option<(String, i32)>,
    /// Whether the socket belongs to the server, or to the engine on behalf of the server; `false`
    /// if the owner is unknown.
    pub own: bool,
}
