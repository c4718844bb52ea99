//! Checks of the host: ports, mounts, disks and memory.

use super::parts::judge_server;
use super::{
    Evidence, HostMemory, Judgement, Port, does_not_apply, known, listed, passes, problem, unknown,
};
use crate::domain::checks::text::bytes;
use crate::domain::observed::{Holder, ProcessState, Reading, Space};

/// The free space, in bytes, below which a disk counts as full. The limit applies only to disks of
/// at least this size.
const FULL_BYTES: u64 = 64 << 20;

/// The free space, in thousandths of the whole space, below which a disk counts as full.
const FULL_PERMILLE: u64 = 5;

/// The available memory of the host, in bytes, below which the check fails, because the kernel may
/// soon kill a process.
const LOW_MEMORY: u64 = 64 << 20;

/// Whether a disk counts as full: the disk has little free space, or no free inodes.
pub(super) fn is_full(space: &Space) -> bool {
    let few = space.free < FULL_BYTES && space.total >= FULL_BYTES;
    let part = space.free.saturating_mul(1000) < space.total.saturating_mul(FULL_PERMILLE);
    few || part || space.no_inodes
}

/// Describes the program that occupies a port.
fn program(holder: &Holder) -> String {
    match &holder.program {
        Some((program, pid)) => format!("{program} (process {pid}, user {})", holder.user),
        None => format!("a program of user {}", holder.user),
    }
}

/// Formats the address and the module of a port.
fn label(port: &Port) -> String {
    format!("{} ({})", port.at, port.module)
}

pub(super) fn ports(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let ports = known!(&server.ports);
        if ports.is_empty() {
            return does_not_apply(
                "its configuration has no port that another program could occupy",
            );
        }
        let taken: Vec<&Port> = ports
            .iter()
            .filter(|port| port.open != Some(true) && port.holders.iter().any(|holder| !holder.own))
            .collect();
        let lines = taken.iter().flat_map(|port| {
            let others = port.holders.iter().filter(|holder| !holder.own);
            others.map(|holder| {
                format!("{}: {} listens at {}", label(port), program(holder), holder.at)
            })
        });
        if let Some(first) = taken.first() {
            let number = first.at.port();
            let what = listed(taken.iter().map(|port| label(port)));
            return problem(
                format!("another program has the port: {what}"),
                format!(
                    "end that program (`ss -tlnp 'sport = :{number}'`; if it is the package's own ejabberd: \
                     `systemctl disable --now ejabberd`), or give the listener another port in the \
                     configuration (spec.server.docker.ports for a published one)"
                ),
            )
            .with(lines);
        }
        let closed: Vec<&Port> = ports.iter().filter(|port| port.open == Some(false)).collect();
        let runs = matches!(server.process, Reading::Known(ProcessState::Running { .. }));
        if !closed.is_empty() && runs {
            return problem(
                format!(
                    "the server runs and does not listen where its configuration says: {}",
                    listed(closed.iter().map(|port| label(port)))
                ),
                format!(
                    "its log shows why it could not open the port; fix that, then run `{} reload_config`",
                    e.ejabberdctl()
                ),
            );
        }
        let held = ports.iter().filter(|port| port.open == Some(true)).count();
        if held == ports.len() {
            passes(format!(
                "it listens where its configuration says: {}",
                listed(ports.iter().map(label))
            ))
        } else if held == 0 && ports.iter().all(|port| port.holders.is_empty()) {
            passes(format!("no other program has the ports: {}", listed(ports.iter().map(label))))
        } else {
            passes(format!("no other program is in the way: {}", listed(ports.iter().map(label))))
        }
    })
}

pub(super) fn mounts(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        if e.docker().is_none() {
            return does_not_apply("an installed ejabberd has no mounts");
        }
        let diagnostics = known!(&server.diagnostics);
        if !diagnostics.gone.is_empty() {
            return problem(
                format!(
                    "the container mounts paths that no longer exist: {}",
                    listed(&diagnostics.gone)
                ),
                "restore the path, or recreate the container without it (spec.server.docker.recreate: whenChanged)",
            );
        }
        if matches!(known!(&server.process), ProcessState::Absent) {
            return does_not_apply("there is no container yet");
        }
        let drift = known!(&server.drift);
        let shown: Vec<String> =
            diagnostics.mounts.iter().map(|(at, what)| format!("{at}: {what}")).collect();
        let differs: Vec<String> = drift
            .differences
            .iter()
            .filter(|difference| difference.starts_with("volumes."))
            .cloned()
            .collect();
        if differs.is_empty() {
            return passes("the container has the declared volumes").with(shown);
        }
        problem(
            "the container does not have the declared volumes",
            "correct spec.server.docker.volumes, or let the operator replace the container: spec.server.docker.recreate: whenChanged",
        )
        .with(differs)
    })
}

pub(super) fn disk(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let spaces = match &server.space {
            Reading::Known(spaces) if spaces.is_empty() => {
                return unknown("no disk of the server could be measured");
            }
            Reading::Known(spaces) => spaces,
            Reading::Unknown(why) => return unknown(why.clone()),
        };
        let line = |space: &Space| {
            let Space { what, path, free, total, no_inodes } = space;
            let inodes = if *no_inodes { ", and no more files can be created there" } else { "" };
            format!("{what}, {path}: {} of {} are free{inodes}", bytes(*free), bytes(*total))
        };
        let lines: Vec<String> = spaces.iter().map(line).collect();
        let full: Vec<&Space> = spaces.iter().filter(|space| is_full(space)).collect();
        if full.is_empty() {
            return passes("its disks have free space").with(lines);
        }
        problem(
            format!("the disk is full: {}", listed(full.iter().map(|space| &space.path))),
            format!("free space: `docker system df` and `du -xh --max-depth=2` on that path show what uses it; `{} delete_old_mam_messages all 90` deletes archived messages older than 90 days", e.ejabberdctl()),
        )
        .with(lines)
    })
}

pub(super) fn memory(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let limit = server.diagnostics.known().and_then(|diagnostics| diagnostics.memory_limit);
        if matches!(server.process, Reading::Known(ProcessState::Stopped { oom_killed: true, .. }))
        {
            let limit =
                limit.map(|limit| format!("the limit of its container is {}", bytes(limit)));
            return problem(
                "the kernel killed it because memory was exhausted",
                format!("give the container more, e.g. `docker update --memory 1g --memory-swap 1g {}`, or find out what uses it (`ejabberd-operator doctor --symptom load`)", e.name()),
            )
            .with(limit);
        }
        match server.memory {
            None => unknown("the memory of the host could not be read"),
            Some(HostMemory { available, total }) => {
                let line = format!("{} of {} are available", bytes(available), bytes(total));
                if available < LOW_MEMORY {
                    problem(
                        format!("the host has hardly any memory left: {line}"),
                        "find out which program uses it: `ps --sort -rss -eo rss,pid,args | head`",
                    )
                } else {
                    passes(format!("on the host, {line}"))
                }
            }
        }
    })
}
