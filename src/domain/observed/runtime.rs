//! The runtime of the server, and its host.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of a runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuntimeKind {
    /// A container of a Docker engine.
    #[default]
    Docker,
    /// A process of this host.
    Process,
}

/// The differences between a runtime and its declaration, and the properties on which the security
/// and the replacement of the server depend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeDrift {
    /// The kind of the runtime.
    pub runtime: RuntimeKind,
    /// Whether the operator created the container.
    pub ours: bool,
    /// The differences from the declaration, for people: the field, the declared and the found
    /// value. Environment variables are listed by name only.
    pub differences: Vec<String>,
    /// The data that a replacement of the container would delete. Empty unless the replacement is
    /// declared.
    pub replacement_impact: Vec<String>,
    /// Why a new container would not have the database after this container is removed; `None` if
    /// the new container would have the database.
    pub unattached: Option<String>,
    /// The option that removes the container when it stops: `docker run --rm`.
    pub removed_by: Option<&'static str>,
    /// What else restarts the server: Docker's restart policy, unless it is `no`.
    pub restarted_by: Option<String>,
    /// The addresses of the host at which the ports of the server are published.
    pub published: Vec<SocketAddr>,
    /// The published ports, TCP and UDP.
    pub ports: Vec<Published>,
    /// Whether the server is in the network of the host.
    pub host_network: bool,
    /// Whether the container has the rights of the host's root.
    pub privileged: bool,
    /// The path of the engine's socket in the container, if the socket is mounted.
    pub engine_socket: Option<String>,
}

/// The resources that a server has used since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// The processor time of all processes of the server, in seconds.
    pub cpu_seconds: f64,
    /// The memory in use now, in bytes.
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
    /// The number of bytes that were read from and written to disks. Zero where the kernel does
    /// not count them.
    pub disk_bytes: u64,
    /// Whether a thread of the VM waits for a disk now.
    pub waits_for_disk: bool,
}

impl Work {
    /// The share of a core, in percent, that an idle VM uses for the probes of the operator and
    /// for its own timers.
    const IDLE_PERCENT: u64 = 2;

    /// Whether the VM has worked in the time `passed` since `before`. The work for the probes of
    /// the operator does not count.
    #[must_use]
    pub fn since(&self, before: &Self, passed: Duration) -> bool {
        let cpu = self.cpu_seconds.saturating_sub(before.cpu_seconds);
        // The counter has whole seconds, so one second may be only partly used.
        let idle = 1 + passed.as_secs().saturating_mul(Self::IDLE_PERCENT) / 100;
        self.waits_for_disk || self.disk_bytes != before.disk_bytes || cpu > idle
    }
}

/// The diagnostics of a runtime. Unknown values are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeDiagnostics {
    /// The image, and whether the image exists; `None` without an image.
    pub image: Option<(String, bool)>,
    /// The time of the last start.
    pub started: Option<Timestamp>,
    /// The time of the last end; `None` while the server runs.
    pub ended: Option<Timestamp>,
    /// The number of restarts by the engine.
    pub restarts: u64,
    /// The error of the runtime at the last start.
    pub error: Option<String>,
    /// The memory limit, in bytes.
    pub memory_limit: Option<u64>,
    /// The mounted directories and files of the host that no longer exist.
    pub gone: Vec<String>,
    /// The existing mounts: the path in the container, and the source.
    pub mounts: Vec<(String, String)>,
    /// The published ports: the address on the host, and the port of the server.
    pub published: Vec<(SocketAddr, u16)>,
    /// The ports of the host that the engine holds open for the server now, TCP and UDP.
    pub bound: Vec<Published>,
}

/// A port of the host that leads to a port of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The address and port on the host.
    pub outside: SocketAddr,
    /// The port in the network of the server.
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

/// A listener that other machines may reach.
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
    /// The use of the disk, such as the database.
    pub what: String,
    /// The path.
    pub path: String,
    /// The free space for users other than root, in bytes.
    pub free: u64,
    /// The whole space, in bytes.
    pub total: u64,
    /// Whether the disk has no free inodes, so that no file can be created.
    pub no_inodes: bool,
}

/// A listening socket of the host, with its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address.
    pub at: SocketAddr,
    /// The numeric id of the owner.
    pub user: u32,
    /// The program and its process id. Only root can read the program and the id of another user's
    /// process.
    pub program: Option<(String, i32)>,
    /// Whether the socket is known to belong to the server, or to the engine on behalf of the
    /// server.
    pub own: bool,
}
