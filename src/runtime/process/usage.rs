//! What the server has used, as the kernel counts it.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use super::found::{Process, stat_fields};
use crate::observed::Usage;

/// The usage of a VM; nothing if it has just ended.
pub(super) fn of(vm: &Process) -> Option<Usage> {
    let fields = stat_fields(vm.pid)?;
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(11)?.saturating_add(field(12)?);
    let pid = vm.pid.as_raw_nonzero();
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let per_second = clock_ticks_per_second();
    // Whole seconds: an idle VM uses a little all the time.
    let work = (ticks / per_second.max(1)).saturating_add(blocks(pid.get()));
    #[allow(clippy::cast_precision_loss, reason = "a thousand years are 2^53 ticks")]
    let cpu_seconds = ticks as f64 / per_second as f64;
    Some(Usage { cpu_seconds, memory_bytes: pages.saturating_mul(page_size() as u64), work })
}

/// Bytes that were read from and written to disks. Zero where we may not know.
fn blocks(pid: i32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let counted = io.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        matches!(name, "read_bytes" | "write_bytes").then(|| value.parse::<u64>().ok())?
    });
    counted.sum()
}
