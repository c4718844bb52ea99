//! Checks of the resources that the server uses.

use std::collections::BTreeMap;

use super::parts::{judge_alive, judge_server};
use super::{
    Evidence, Judgement, Server, UsageSamples, Vm, does_not_apply, known, passes, problem, unknown,
};
use crate::domain::checks::text::{bytes, count, time};
use crate::domain::observed::{ProcessState, Reading};

/// The processor time, in percent of all cores, from which the check `cpu` fails.
const BUSY_PERCENT: f64 = 80.0;

/// The usage, in percent of a limit, from which a check fails.
const NEAR_PERCENT: u64 = 90;

/// The number of sessions of one account from which the check `sessions` fails, because one person
/// normally has fewer devices.
const MANY_SESSIONS: usize = 10;

/// The number of starts from which the check `restarts` fails. Starts before the last long healthy
/// time do not count.
const MANY_STARTS: u32 = 3;

/// The maximum number of waiting Erlang processes per scheduler. With more waiting processes, the
/// check `erlang` fails.
const JAM: i64 = 10;

/// Judges the usage of the server, and returns [`does_not_apply`] for a server that is declared
/// stopped and does not run.
fn judge_usage(e: &Evidence, judge: impl FnOnce(&Server, &UsageSamples) -> Judgement) -> Judgement {
    judge_server(e, |server| {
        let runs = matches!(server.process, Reading::Known(ProcessState::Running { .. }));
        if e.is_declared_stopped() && !runs {
            return does_not_apply("the server is stopped, as declared");
        }
        judge(server, known!(&server.load.usage))
    })
}

pub(super) fn cpu(e: &Evidence) -> Judgement {
    judge_usage(e, |server, usage| {
        let UsageSamples { before, after, elapsed } = usage;
        let cores = server.load.cores.max(1);
        let used =
            (after.cpu_seconds - before.cpu_seconds).max(0.0) / elapsed.as_secs_f64().max(0.001);
        let percent = used * 100.0;
        #[allow(clippy::cast_precision_loss, reason = "there are not 2^53 cores")]
        let share = percent / cores as f64;
        let usage = format!(
            "{percent:.0} % of one core over {:.1} s; the host has {cores}",
            elapsed.as_secs_f64()
        );
        if share < BUSY_PERCENT {
            return passes(usage);
        }
        problem(
            usage,
            "see `sessions`: a shaper (shaper_rules in the configuration) slows an account that sends too much, and `state: banned` stops it; a server that repairs its tables finishes in minutes",
        )
    })
}

pub(super) fn memory(e: &Evidence) -> Judgement {
    judge_usage(e, |server, usage| {
        let used = usage.after.memory_bytes;
        match server.diagnostics.known().and_then(|diagnostics| diagnostics.memory_limit) {
            None => passes(format!("it uses {}; there is no limit", bytes(used))),
            Some(limit) => {
                let usage = format!("it uses {} of {}", bytes(used), bytes(limit));
                if used.saturating_mul(100) < limit.saturating_mul(NEAR_PERCENT) {
                    return passes(usage);
                }
                problem(
                    format!("{usage}: the kernel kills it when it needs more"),
                    format!(
                        "`docker update --memory 1g --memory-swap 1g {}` gives it more at once; `sessions` and `erlang` show what needs it",
                        e.name()
                    ),
                )
            }
        }
    })
}

pub(super) fn erlang(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
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
                "its VM is near a limit, and soon refuses new connections",
                "raise ERL_PROCESSES or ERL_MAX_PORTS in ejabberdctl.cfg (spec.config.files) and restart; `sessions` shows accounts with many sessions",
            )
            .with(lines);
        }
        if run_queue > schedulers.max(1).saturating_mul(JAM) {
            return problem("its VM has more work than it can do", "see `cpu` and `sessions`")
                .with(lines);
        }
        passes("its VM is far from its limits").with(lines)
    })
}

pub(super) fn sessions(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
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
        let sessions = count(connected.len(), "session");
        match most.first() {
            Some((who, n)) if *n >= MANY_SESSIONS => problem(
                format!("{who} has {n} of {sessions}"),
                "if that is abuse, write `state: banned` for the account in the file, which ends its sessions; max_user_sessions (shaper_rules in the configuration) limits the sessions of every account",
            )
            .with(lines),
            _ => passes(sessions).with(lines),
        }
    })
}

pub(super) fn registered(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
        let mut lines = Vec::new();
        for (host, accounts) in &server.load.registered {
            let declared = e.desired.as_ref().and_then(|desired| desired.users.as_ref());
            let ours =
                declared.map_or(0, |users| users.keys().filter(|jid| jid.host == *host).count());
            lines.push(format!("{host}: {}, {ours} declared", count(*known!(accounts), "account")));
        }
        passes("accounts are counted").with(lines)
    })
}

pub(super) fn restarts(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let mut lines = Vec::new();
        if let Some(up) = server.response.known().and_then(|alive| alive.uptime) {
            lines.push(format!("up for {}", time(up)));
        }
        let by_docker = server.diagnostics.known().map_or(0, |diagnostics| diagnostics.restarts);
        if by_docker > 0 {
            lines.push(format!("Docker restarted it {by_docker} times"));
        }
        let supervision = e.status().and_then(|status| status.server.supervision.as_ref());
        let starts = supervision.map_or(0, |supervision| supervision.starts);
        if starts > 0 {
            lines.push(format!(
                "the operator started it {starts} times since it was last healthy for long"
            ));
        }
        lines.extend(
            supervision
                .and_then(|supervision| supervision.last_cause.as_ref())
                .map(|cause| format!("it last ended because: {cause}")),
        );
        if starts >= MANY_STARTS || by_docker >= u64::from(MANY_STARTS) {
            return problem(
                "it is restarted again and again",
                "`ejabberd-operator doctor --symptom start` shows why it ends",
            )
            .with(lines);
        }
        if server.process.known().is_none() {
            return unknown("the state of its process is unknown");
        }
        passes("it is not restarted again and again").with(lines)
    })
}
