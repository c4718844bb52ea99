//! Collects the evidence that needs no response of the server.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::configurations::Configurations;
use super::{FIRST, NOT_ASKED, RUNTIME, explained, no_delivery, no_load, unknown, unless};
use crate::domain::checks::doctor::{HostMemory, Server, Symptom, UsageSamples};
use crate::domain::observed::{ProcessState, Reading, RuntimeDiagnostics};
use crate::domain::spec::DesiredState;
use crate::domain::supervision::{Cause, EndedWhile, Ending, Level, LogEntry, entries};
use crate::engine::diagnostics::Diagnostics;
use crate::engine::rollout::failure_log::reports_failure;

/// The maximum number of lines to read from the log.
const LINES: usize = 500;

/// The maximum age of the lines to read from the log of a running server.
const LOG_SINCE: Duration = Duration::from_hours(1);

/// The maximum number of entries of the log in the evidence.
const SHOWN: usize = 5;

/// The run time above which a stopped server counts as a server that had started. The log of such a
/// server does not show a failed start.
const CAME_UP: Duration = Duration::from_mins(2);

/// The time between two measurements of the usage.
const SAMPLE: Duration = Duration::from_secs(1);

impl Diagnostics {
    /// Collects the evidence that needs no response of the server. The other fields of [`Server`]
    /// stay unknown.
    pub(super) async fn runtime_evidence(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        symptoms: &[Symptom],
    ) -> Server {
        // If the engine does not respond, send no further queries to the engine. Otherwise each
        // query waits for its deadline.
        let skip = match process {
            Reading::Known(_) => None,
            Reading::Unknown(why) => Some(why.as_str()),
        };
        let diagnostics =
            unless(skip, FIRST, async { explained(self.runtime.diagnostics().await) }).await;
        let (drift, log, configurations, space) = tokio::join!(
            unless(skip, RUNTIME, self.probe.known_drift()),
            unless(skip, RUNTIME, self.log(process, &diagnostics, symptoms)),
            self.configurations(desired, process, skip, symptoms),
            unless(skip, RUNTIME, async { explained(self.runtime.space().await) }),
        );
        let Configurations { declared, live, in_force } = configurations;
        let ended = ended(process, &diagnostics, &log);
        let log = match log {
            Reading::Known(log) => Reading::Known(relevant(&log, ended.as_ref())),
            Reading::Unknown(why) => Reading::Unknown(why),
        };
        let cause = ended.map(|ended| ended.cause);
        let ports =
            unless(skip, FIRST, self.ports(desired, process, &diagnostics, &in_force)).await;
        Server {
            process: process.clone(),
            diagnostics,
            drift,
            log,
            cause,
            declared,
            live,
            ports,
            space,
            memory: host_memory(),
            response: unknown(NOT_ASKED),
            api: unknown(NOT_ASKED),
            delivery: no_delivery(),
            load: no_load(),
        }
    }

    /// Reads the lines of the log since the last start; of a running server, only lines within
    /// [`LOG_SINCE`]. Only [`Symptom::Start`] needs the log.
    async fn log(
        &self,
        process: &Reading<ProcessState>,
        diagnostics: &Reading<RuntimeDiagnostics>,
        symptoms: &[Symptom],
    ) -> Result<Vec<String>, String> {
        let needed = symptoms.contains(&Symptom::Start);
        if !needed || matches!(process, Reading::Known(ProcessState::Absent)) {
            return Ok(Vec::new());
        }
        // Skip old lines: the lines from before the last start, and the lines of the start if the
        // server has run for a long time.
        let started = diagnostics.known().and_then(|around| around.started);
        let recent = Timestamp::now().checked_sub(LOG_SINCE).unwrap_or_default();
        let since = match process {
            Reading::Known(ProcessState::Running { .. }) => {
                started.map_or(recent, |started| started.max(recent))
            }
            _ => started.unwrap_or_default(),
        };
        explained(self.runtime.log(since, LINES).await)
    }

    /// Measures the usage of processor and memory twice, with [`SAMPLE`] between the measurements.
    pub(super) async fn usage_samples(&self) -> Result<UsageSamples, String> {
        let measure = || async {
            let usage = explained(self.runtime.usage().await)?;
            let now = Instant::now();
            Ok::<_, String>((usage.ok_or_else(|| "it does not run".to_owned())?, now))
        };
        let (before, began) = measure().await?;
        sleep(SAMPLE).await;
        let (after, ended) = measure().await?;
        Ok(UsageSamples { before, after, elapsed: ended.duration_since(began) })
    }
}

/// The cause of a stop.
struct Ended {
    cause: Cause,
    /// Whether the server had started before the stop.
    was_up: bool,
}

/// Returns the cause of the stop; `None` if the server has not stopped.
fn ended(
    process: &Reading<ProcessState>,
    diagnostics: &Reading<RuntimeDiagnostics>,
    log: &Reading<Vec<String>>,
) -> Option<Ended> {
    let Reading::Known(ProcessState::Stopped { exit_code, oom_killed }) = process else {
        return None;
    };
    let around = diagnostics.known();
    let ran = around.and_then(|around| Some(around.ended?.duration_since(around.started?)));
    // If the first start fails, the engine records no times, so `ran` is `None` and the server had
    // not started.
    let was_up = ran.is_some_and(|ran| Duration::try_from(ran).is_ok_and(|ran| ran > CAME_UP));
    let ending = Ending {
        exit_code: *exit_code,
        oom_killed: *oom_killed,
        not_started: around.and_then(|around| around.error.clone()),
        log: log.known().cloned().unwrap_or_default(),
    };
    let ended = if was_up { EndedWhile::Up } else { EndedWhile::Starting };
    Some(Ended { cause: Cause::of(&ending, ended), was_up })
}

/// Returns the relevant entries of a log, each on one line without the time and the process id:
/// after a failed start the first entries, otherwise the last entries. If the server stopped and
/// logged no relevant entry, the function returns the end of the log.
fn relevant(log: &[String], ended: Option<&Ended>) -> Vec<String> {
    let log = entries(log);
    let grave = |entry: &&LogEntry| {
        reports_failure(entry) || (ended.is_some() && entry.level == Some(Level::Error))
    };
    let mut shown: Vec<String> = Vec::new();
    for line in log.iter().filter(grave).map(LogEntry::words) {
        // Show equal entries once, because a server that crashes repeatedly logs the same entry
        // each time.
        if !line.is_empty() && !shown.contains(&line) {
            shown.push(line);
        }
    }
    if shown.is_empty() && ended.is_some() {
        shown = log.iter().map(LogEntry::words).filter(|line| !line.is_empty()).collect();
    } else if ended.is_some_and(|ended| !ended.was_up) {
        shown.truncate(SHOWN);
    }
    shown.split_off(shown.len().saturating_sub(SHOWN))
}

/// Returns the memory of this host; `None` if the kernel does not report the memory.
fn host_memory() -> Option<HostMemory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let read = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(HostMemory { available: read("MemAvailable:")?, total: read("MemTotal:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_relevant_lines_are_shown_once() {
        let line = |level: &str, text: &str| {
            format!("2026-07-01 10:00:00.000000+00:00 [{level}] <0.1.0>@x:y/1:9 {text}")
        };
        let log = [
            line("info", "hello"),
            line("critical", "it broke"),
            line("critical", "it broke"),
            line("error", "a crash of a module"),
        ];
        assert_eq!(relevant(&log, None), ["it broke"]);
        assert_eq!(relevant(&log, Some(&came_up(true))).len(), 2);
        let quiet = [line("info", "hello"), String::new()];
        assert!(relevant(&quiet, None).is_empty());
        assert_eq!(relevant(&quiet, Some(&came_up(true))), ["hello"]);
    }

    fn came_up(was_up: bool) -> Ended {
        Ended { cause: Cause::unresponsive(), was_up }
    }

    #[test]
    fn a_failed_start_shows_its_first_entries_each_on_one_line() {
        let term = |n: usize| {
            let first = format!("2026-07-01 10:00:00.000000+00:00 [error] number {n}: {{:error,");
            [first, "  :no}".to_owned()]
        };
        let log: Vec<String> = (0..9).flat_map(term).collect();
        let first = relevant(&log, Some(&came_up(false)));
        assert_eq!((first.len(), first[0].as_str()), (SHOWN, "number 0: {:error, :no}"));
        let last = relevant(&log, Some(&came_up(true)));
        assert_eq!((last.len(), last[4].as_str()), (SHOWN, "number 8: {:error, :no}"));
    }

    #[test]
    fn the_memory_of_this_host_is_read() {
        let HostMemory { available, total } = host_memory().unwrap();
        assert!(0 < available && available <= total);
    }
}
