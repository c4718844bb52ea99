//! What runs the server, and the host around it.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What runs a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuntimeKind {
    /// A container of a Docker engine.
    #[default]
    Docker,
    /// A process of this host.
    Process,
}

/// Where a server runs, as far as its safety and its replacement depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeDrift {
    /// What runs the server.
    pub runtime: RuntimeKind,
    /// Whether this program made it.
    pub ours: bool,
    /// What is declared and is otherwise in what runs: the field, declared and
    /// found, for people. Environment variables by name only.
    pub differences: Vec<String>,
    /// What would be lost if it were replaced. Only looked for where that is
    /// declared.
    pub losses: Vec<String>,
    /// Why a new one would not have its database, once this one is gone, if so.
    pub unattached: Option<String>,
    /// What removes it as soon as it stops, if anything does: `docker run --rm`.
    pub removed_by: Option<&'static str>,
    /// Who else starts it again when it ends: Docker's restart policy, if not `no`.
    pub restarted_by: Option<String>,
    /// Addresses of the host at which its ports are published.
    pub published: Vec<SocketAddr>,
    /// Ports of the host with those of the server behind them, TCP and UDP.
    pub ports: Vec<Published>,
    /// Whether it sees the host's network as its own.
    pub host_network: bool,
    /// Whether it may do what root of the host may.
    pub privileged: bool,
    /// Where it sees the engine's own socket, if it does.
    pub engine_socket: Option<String>,
}

/// What a server has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Processor time of everything in it since it was started, in seconds.
    pub cpu_seconds: f64,
    /// Memory now, in bytes.
    pub memory_bytes: u64,
    /// What shows whether the server itself does something; `None` where no VM
    /// of a server runs.
    pub work: Option<Work>,
}

/// What a server has done so far: two measurements show whether it works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Processor time of its VM, in whole seconds.
    pub cpu_seconds: u64,
    /// Bytes that were read from and written to disks. Zero where nobody counts
    /// them.
    pub disk_bytes: u64,
    /// Whether a thread of it waits for a disk right now, without a byte moved.
    pub waits_for_disk: bool,
}

impl Work {
    /// The share of a core, in hundredths, that a VM uses which only answers
    /// our probes and runs its own timers.
    const IDLE_PERCENT: u64 = 2;

    /// Whether the server has worked in the time `passed` since `before`. What
    /// our own probes make its VM do does not count.
    #[must_use]
    pub fn since(&self, before: &Self, passed: Duration) -> bool {
        let cpu = self.cpu_seconds.saturating_sub(before.cpu_seconds);
        // Whole seconds: the first one may have been almost full before.
        let idle = 1 + passed.as_secs().saturating_mul(Self::IDLE_PERCENT) / 100;
        self.waits_for_disk || self.disk_bytes != before.disk_bytes || cpu > idle
    }
}

/// More of where a server runs, for whoever looks for a fault. What is not known
/// is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeDiagnostics {
    /// What it is made from, and whether that is there; where it is made from anything.
    pub image: Option<(String, bool)>,
    /// When it was last started.
    pub started: Option<Timestamp>,
    /// When it last ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// How often it was started again by who else does so.
    pub restarts: u64,
    /// Why it could not be started, in its runtime's words.
    pub error: Option<String>,
    /// The memory that it may have, in bytes.
    pub memory_limit: Option<u64>,
    /// Directories and files of the host that it uses and that are not there.
    pub gone: Vec<String>,
    /// Those and the volumes that are: where it sees them, and what they are.
    pub mounts: Vec<(String, String)>,
    /// Ports of the host, and those of the server behind them.
    pub published: Vec<(SocketAddr, u16)>,
    /// Ports of the host that its engine holds open for it right now, TCP and UDP.
    pub bound: Vec<Published>,
}

/// A port of the host that leads to a port of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The address and port on the host.
    pub outside: SocketAddr,
    /// The port in the server's own network.
    pub inside: u16,
    /// Whether it is UDP.
    pub udp: bool,
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { outside, inside, udp } = self;
        write!(f, "{outside} -> {inside}{}", if *udp { "/udp" } else { "" })
    }
}

/// A listener, as far as it matters whether others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerPort {
    /// Where it is bound.
    pub at: SocketAddr,
    /// Whether it is UDP.
    pub udp: bool,
    /// What answers there, e.g. `ejabberd_c2s`.
    pub module: String,
}

/// Room on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// What is kept there.
    pub what: String,
    /// Where that is.
    pub path: String,
    /// What is free for others than root, in bytes.
    pub free: u64,
    /// All of it.
    pub total: u64,
    /// Whether no more files can be made there, however small.
    pub no_inodes: bool,
}

/// A socket of the host that listens, and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Where it listens.
    pub at: SocketAddr,
    /// The user that it belongs to, as a number.
    pub user: u32,
    /// The program and its process; only root sees that of others.
    pub program: Option<(String, i32)>,
    /// Whether it belongs to the server itself, or to its engine on its behalf,
    /// where that can be told.
    pub own: bool,
}
