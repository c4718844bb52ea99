//! What it uses.

use std::collections::BTreeMap;

use super::api::of_alive;
use super::delivery::known;
use super::start::of_server;
use super::words::{bytes, count, time};
use super::{Answer, Evidence, Vm, fine, no_matter, problem, unknown};
use crate::domain::observed::{ProcessState, Reading};

/// More of all cores than this, in percent, is a lot.
const BUSY_PERCENT: f64 = 80.0;

/// More of a limit than this, in percent, is near it.
const NEAR_PERCENT: u64 = 90;

/// So many sessions of one account are more than one person's devices.
const MANY_SESSIONS: usize = 10;

/// So many starts without a long time of health in between are a loop.
const MANY_STARTS: u32 = 3;

/// So many processes that wait for each scheduler are a jam.
const JAM: i64 = 10;

pub(super) fn cpu(e: &Evidence) -> Answer {
    of_server(e, |server| {
        if e.shall_stop() && !matches!(server.process, Reading::Known(ProcessState::Running { .. }))
        {
            return no_matter("the server is stopped, as declared");
        }
        let (before, after, between) = known!(&server.load.usage);
        let cores = server.load.cores.max(1);
        let used =
            (after.cpu_seconds - before.cpu_seconds).max(0.0) / between.as_secs_f64().max(0.001);
        let percent = used * 100.0;
        #[allow(clippy::cast_precision_loss, reason = "there are not 2^53 cores")]
        let share = percent / cores as f64;
        let said = format!(
            "{percent:.0} % of one core over {:.1} s; the host has {cores}",
            between.as_secs_f64()
        );
        if share < BUSY_PERCENT {
            return fine(said);
        }
        problem(
            said,
            "see `sessions`: one account that sends too much is held back by a shaper (shaper_rules in the configuration) or `state: banned`; a server that repairs its tables is done in minutes",
        )
    })
}

pub(super) fn memory(e: &Evidence) -> Answer {
    of_server(e, |server| {
        if e.shall_stop() && !matches!(server.process, Reading::Known(ProcessState::Running { .. }))
        {
            return no_matter("the server is stopped, as declared");
        }
        let used = known!(&server.load.usage).1.memory_bytes;
        match server.diagnostics.known().and_then(|around| around.memory_limit) {
            None => fine(format!("it has {}; there is no limit", bytes(used))),
            Some(limit) => {
                let said = format!("it has {} of {}", bytes(used), bytes(limit));
                if used.saturating_mul(100) < limit.saturating_mul(NEAR_PERCENT) {
                    return fine(said);
                }
                problem(
                    format!("{said}: the kernel kills it when it needs more"),
                    format!(
                        "`docker update --memory 1g --memory-swap 1g {}` gives it more at once; see `sessions` and `erlang` for who needs it",
                        e.name()
                    ),
                )
            }
        }
    })
}

pub(super) fn erlang(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let Vm { processes, process_limit, ports, port_limit, memory, run_queue, schedulers } =
            *known!(&server.load.vm);
        let lines = [
            format!("processes: {processes} of {process_limit}"),
            format!("ports (sockets and files): {ports} of {port_limit}"),
            format!("memory: {}", bytes(u64::try_from(memory).unwrap_or(0))),
            format!(
                "waiting for a processor: {run_queue}, with {}",
                count(schedulers, "scheduler")
            ),
        ];
        let near = |used: i64, limit: i64| {
            limit > 0
                && used.saturating_mul(100) >= limit.saturating_mul(NEAR_PERCENT.cast_signed())
        };
        if near(processes, process_limit) || near(ports, port_limit) {
            return problem(
                "its VM is near a limit: new connections are refused soon",
                "raise ERL_PROCESSES or ERL_MAX_PORTS in ejabberdctl.cfg (spec.config.files) and restart; and see `sessions` for who has so many",
            )
            .with(lines);
        }
        if run_queue > schedulers.max(1).saturating_mul(JAM) {
            return problem("its VM has more to do than it gets done", "see `cpu` and `sessions`")
                .with(lines);
        }
        fine("its VM is far from its limits").with(lines)
    })
}

pub(super) fn sessions(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let connected = known!(&server.delivery.connected);
        let mut by_account: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_host: BTreeMap<&str, usize> = BTreeMap::new();
        for full in connected {
            let bare = full.split('/').next().unwrap_or_default();
            *by_account.entry(bare).or_default() += 1;
            *by_host.entry(bare.split_once('@').map_or(bare, |(_, host)| host)).or_default() += 1;
        }
        let mut lines: Vec<String> =
            by_host.iter().map(|(host, n)| format!("{host}: {}", count(*n, "session"))).collect();
        let mut most: Vec<(&str, usize)> = by_account.into_iter().collect();
        most.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        lines
            .extend(most.iter().take(3).map(|(who, n)| format!("{who}: {}", count(*n, "session"))));
        let said = count(connected.len(), "session");
        match most.first() {
            Some((who, n)) if *n >= MANY_SESSIONS => problem(
                format!("{who} has {n} of {said}"),
                "if that is abuse, write `state: banned` for it in the file, which ends its sessions; max_user_sessions (shaper_rules in the configuration) bounds everybody's",
            )
            .with(lines),
            _ => fine(said).with(lines),
        }
    })
}

pub(super) fn registered(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let mut lines = Vec::new();
        for (host, accounts) in &server.load.registered {
            let declared = e.desired.as_ref().and_then(|desired| desired.users.as_ref());
            let ours =
                declared.map_or(0, |users| users.keys().filter(|jid| jid.host == *host).count());
            lines.push(format!("{host}: {}, {ours} declared", count(*known!(accounts), "account")));
        }
        fine("accounts are counted").with(lines)
    })
}

pub(super) fn restarts(e: &Evidence) -> Answer {
    of_server(e, |server| {
        let mut lines = Vec::new();
        if let Some(up) = server.answer.known().and_then(|alive| alive.uptime) {
            lines.push(format!("up for {}", time(up)));
        }
        let by_docker = server.diagnostics.known().map_or(0, |around| around.restarts);
        if by_docker > 0 {
            lines.push(format!("Docker started it again {by_docker} times"));
        }
        let fares = e.status().and_then(|status| status.server.supervision.as_ref());
        let starts = fares.map_or(0, |fares| fares.starts);
        if starts > 0 {
            lines.push(format!(
                "the operator started it {starts} times since it was last well for long"
            ));
        }
        lines.extend(
            fares
                .and_then(|fares| fares.last_cause.as_ref())
                .map(|cause| format!("it last ended because: {cause}")),
        );
        if starts >= MANY_STARTS || by_docker >= u64::from(MANY_STARTS) {
            return problem("it is started again and again", "see --symptom start for why it ends")
                .with(lines);
        }
        if server.process.known().is_none() {
            return unknown("nothing is known of its process");
        }
        fine("it is not started again and again").with(lines)
    })
}
