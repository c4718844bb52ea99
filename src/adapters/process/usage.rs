//! Reads the server's resource usage from the counters of the kernel.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use super::processes::{Process, stat_fields};
use crate::domain::observed::{Usage, Work};

/// The maximum number of threads of one process that the operator reads.
const MAX_THREADS: usize = 1024;

/// Returns the resource usage of a VM. `None` if the VM has ended.
pub(super) fn of(vm: &Process) -> Option<Usage> {
    let fields = stat_fields(vm.pid)?;
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(11)?.saturating_add(field(12)?);
    let pid = vm.pid.as_raw_nonzero();
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let per_second = clock_ticks_per_second();
    let work = Work {
        cpu_seconds: ticks / per_second.max(1),
        disk_bytes: blocks(pid.get()),
        waits_for_disk: waits_for_disk(pid.get()),
    };
    #[allow(clippy::cast_precision_loss, reason = "a thousand years are 2^53 ticks")]
    let cpu_seconds = ticks as f64 / per_second as f64;
    let memory_bytes = pages.saturating_mul(page_size() as u64);
    Some(Usage { cpu_seconds, memory_bytes, work: Some(work) })
}

/// Returns whether a thread of the process waits for a disk (state D). The function reads all
/// threads, because Erlang does not write files in the main thread.
fn waits_for_disk(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.take(MAX_THREADS).any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state may contain any character.
        stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('D'))
    })
}

/// Returns the number of bytes that the process read from and wrote to disks. 0 if the operator
/// cannot read the counters.
fn blocks(pid: i32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let counted = io.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        matches!(name, "read_bytes" | "write_bytes").then(|| value.parse::<u64>().ok())?
    });
    counted.sum()
}
