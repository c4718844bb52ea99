//! What can be seen of a server that need not answer.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::configured::Configurations;
use super::{BESIDE, FIRST, asked, nothing};
use crate::domain::checks::doctor::{Server, Symptom};
use crate::domain::observed::{ProcessState, Reading, RuntimeDiagnostics, Usage};
use crate::domain::spec::DesiredState;
use crate::domain::supervision::{Cause, Ending, Level, LogEntry, entries};
use crate::engine::Engine;
use crate::engine::error::RuntimeError;
use crate::engine::rollout::failure_log::tells_of_failure;

/// So many lines of the log are read, from so far back; and so many are shown.
const LINES: usize = 500;
const LOG_SINCE: Duration = Duration::from_hours(1);
const SHOWN: usize = 5;

/// One that ran for longer had come up, and what its log says of starting is old.
const CAME_UP: Duration = Duration::from_mins(2);

/// Between two measurements.
const BETWEEN: Duration = Duration::from_secs(1);

pub(super) fn unknown<T>(why: &str) -> Reading<T> {
    Reading::Unknown(why.to_owned())
}

pub(super) fn told<T>(answer: Result<T, RuntimeError>) -> Result<T, String> {
    answer.map_err(|e| format!("failed to {e}"))
}

impl Engine {
    /// Everything that does not need the server to answer.
    pub(super) async fn beside(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        symptoms: &[Symptom],
    ) -> Server {
        // An engine that does not answer is not asked ten times.
        let away = match process {
            Reading::Known(_) => None,
            Reading::Unknown(why) => Some(why.as_str()),
        };
        let start = symptoms.contains(&Symptom::Start);
        let diagnostics =
            asked(away, FIRST, async { told(self.runtime.diagnostics().await) }).await;
        let (drift, log, configurations, space) = tokio::join!(
            asked(away, BESIDE, async {
                let found = told(self.runtime.drift(self.directory().as_deref()).await)?;
                found.ok_or_else(|| "there is no server".to_owned())
            }),
            asked(away, BESIDE, self.log_of(process, &diagnostics, start)),
            self.configurations(desired, process, away, start),
            asked(away, BESIDE, async { told(self.runtime.space().await) }),
        );
        let Configurations { declared, live, read } = configurations;
        let ended = ended(process, &diagnostics, &log);
        let log = match log {
            Reading::Known(log) => Reading::Known(telling(&log, ended.as_ref())),
            Reading::Unknown(why) => unknown(&why),
        };
        let cause = ended.map(|ended| ended.cause);
        let ports = asked(away, FIRST, self.ports_of(desired, process, &diagnostics, &read)).await;
        let (delivery, load) = nothing("it was not asked");
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
            answer: Reading::Unknown("it was not asked".to_owned()),
            api: Reading::Unknown("it was not asked".to_owned()),
            delivery,
            load,
        }
    }

    async fn log_of(
        &self,
        process: &Reading<ProcessState>,
        diagnostics: &Reading<RuntimeDiagnostics>,
        wanted: bool,
    ) -> Result<Vec<String>, String> {
        if !wanted || matches!(process, Reading::Known(ProcessState::Absent)) {
            return Ok(Vec::new());
        }
        // What it said before its last start is old; of one that runs for long, so
        // is what it said then.
        let started = diagnostics.known().and_then(|around| around.started);
        let recent = Timestamp::now().checked_sub(LOG_SINCE).unwrap_or_default();
        let since = match process {
            Reading::Known(ProcessState::Running { .. }) => {
                started.map_or(recent, |started| started.max(recent))
            }
            _ => started.unwrap_or_default(),
        };
        told(self.runtime.log(since, LINES).await)
    }

    pub(super) async fn usage_twice(
        &self,
        wanted: bool,
    ) -> Result<(Usage, Usage, Duration), String> {
        if !wanted {
            return Err("it was not asked".to_owned());
        }
        let measure = || async {
            let usage = told(self.runtime.usage().await)?;
            let now = Instant::now();
            Ok::<_, String>((usage.ok_or_else(|| "it does not run".to_owned())?, now))
        };
        let (before, began) = measure().await?;
        sleep(BETWEEN).await;
        let (after, ended) = measure().await?;
        Ok((before, after, ended.duration_since(began)))
    }
}

/// Why it ended, if it has.
struct Ended {
    cause: Cause,
    /// Whether it had come up before.
    was_up: bool,
}

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
    // A first start that failed has no times at all.
    let was_up = ran.is_some_and(|ran| Duration::try_from(ran).is_ok_and(|ran| ran > CAME_UP));
    let ending = Ending {
        exit_code: *exit_code,
        oom_killed: *oom_killed,
        not_started: around.and_then(|around| around.error.clone()),
        log: log.known().cloned().unwrap_or_default(),
    };
    Some(Ended { cause: Cause::of(&ending, was_up), was_up })
}

/// The entries that matter, each on one line without time and process: the first
/// ones of a failed start, else the last ones. A server that has ended and logged
/// nothing that matters has the end of its log here.
fn telling(log: &[String], ended: Option<&Ended>) -> Vec<String> {
    let log = entries(log);
    let grave = |entry: &&LogEntry| {
        tells_of_failure(entry) || (ended.is_some() && entry.level == Some(Level::Error))
    };
    let mut shown: Vec<String> = Vec::new();
    for words in log.iter().filter(grave).map(LogEntry::words) {
        // A server that crashes again and again says the same each time.
        if !words.is_empty() && !shown.contains(&words) {
            shown.push(words);
        }
    }
    if shown.is_empty() && ended.is_some() {
        shown = log.iter().map(LogEntry::words).filter(|words| !words.is_empty()).collect();
    } else if ended.is_some_and(|ended| !ended.was_up) {
        shown.truncate(SHOWN);
    }
    shown.split_off(shown.len().saturating_sub(SHOWN))
}

/// Memory of this host: what is available, and all of it.
fn host_memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let read = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((read("MemAvailable:")?, read("MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_matter_are_shown_once() {
        let line = |level: &str, text: &str| {
            format!("2026-07-01 10:00:00.000000+00:00 [{level}] <0.1.0>@x:y/1:9 {text}")
        };
        let log = [
            line("info", "hello"),
            line("critical", "it broke"),
            line("critical", "it broke"),
            line("error", "a crash of somebody"),
        ];
        assert_eq!(telling(&log, None), ["it broke"]);
        assert_eq!(telling(&log, Some(&came_up(true))).len(), 2);
        let quiet = [line("info", "hello"), String::new()];
        assert!(telling(&quiet, None).is_empty());
        assert_eq!(telling(&quiet, Some(&came_up(true))), ["hello"]);
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
        let first = telling(&log, Some(&came_up(false)));
        assert_eq!((first.len(), first[0].as_str()), (SHOWN, "number 0: {:error, :no}"));
        let last = telling(&log, Some(&came_up(true)));
        assert_eq!((last.len(), last[4].as_str()), (SHOWN, "number 8: {:error, :no}"));
    }

    #[test]
    fn the_memory_of_this_host_is_read() {
        let (available, total) = host_memory().unwrap();
        assert!(0 < available && available <= total);
    }
}
