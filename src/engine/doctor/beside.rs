//! What can be seen of a server that need not answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{BESIDE, FIRST, asked, nothing, within};
use crate::audit;
use crate::doctor::{Checked, Port, Server, Symptom};
use crate::engine::Engine;
use crate::engine::error::RuntimeError;
use crate::engine::gate::tells_of_failure;
use crate::engine::ports::{ConfigFiles, MAIN_CONFIG};
use crate::erlang::Verdict;
use crate::observed::{Circumstances, ProcessState, Reading, Usage};
use crate::rollout;
use crate::spec::{Config, DesiredState, Network, PortMapping, Runtime};
use crate::supervision::{Cause, Ending, words_of};

/// So many lines of the log are read, from so far back; and so many are shown.
const LINES: usize = 400;
const LOG_SINCE: Duration = Duration::from_secs(3600);
const SHOWN: usize = 5;

/// One that ran for longer had come up, and what its log says of starting is old.
const CAME_UP: Duration = Duration::from_secs(120);

/// Between two measurements.
const BETWEEN: Duration = Duration::from_secs(1);

fn unknown<T>(why: &str) -> Reading<T> {
    Reading::Unknown(why.to_owned())
}

fn told<T>(answer: Result<T, RuntimeError>) -> Result<T, String> {
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
        let circumstances =
            asked(away, FIRST, async { told(self.runtime.circumstances().await) }).await;
        let (surroundings, log, (declared, live, text), space) = tokio::join!(
            asked(away, BESIDE, async {
                let found = told(self.runtime.surroundings().await)?;
                found.ok_or_else(|| "there is no server".to_owned())
            }),
            asked(away, BESIDE, self.log_of(process, &circumstances, start)),
            self.configurations(desired, process, away, start),
            asked(away, BESIDE, async { told(self.runtime.space().await) }),
        );
        let cause = cause(process, &circumstances, &log);
        let log = match log {
            Reading::Known(log) => Reading::Known(telling(&log, cause.is_some())),
            unknown => unknown,
        };
        let ports =
            asked(away, FIRST, self.ports_of(desired, process, &circumstances, &text)).await;
        let (delivery, load) = nothing("it was not asked");
        Server {
            process: process.clone(),
            circumstances,
            surroundings,
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
        circumstances: &Reading<Circumstances>,
        wanted: bool,
    ) -> Result<Vec<String>, String> {
        if !wanted || matches!(process, Reading::Known(ProcessState::Absent)) {
            return Ok(Vec::new());
        }
        // What it said before its last start is old; of one that runs for long, so
        // is what it said then.
        let started = circumstances.known().and_then(|around| around.started);
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

    /// What ejabberd says of the declared configuration and of that on the
    /// server, where that is another; and the text of the latter.
    async fn configurations(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        away: Option<&str>,
        wanted: bool,
    ) -> (Option<Reading<Checked>>, Option<Reading<Checked>>, Reading<String>) {
        if let Some(why) = away {
            return (
                desired.config.as_ref().map(|_| unknown(why)),
                Some(unknown(why)),
                unknown(why),
            );
        }
        let paused = super::silence(process)
            .filter(|_| matches!(process, Reading::Known(ProcessState::Running { .. })));
        let until = Instant::now() + BESIDE;
        let declared_files = match &desired.config {
            None => None,
            Some(config) => Some(self.declared_config(config).await),
        };
        let mut names: BTreeSet<String> = BTreeSet::from([MAIN_CONFIG.to_owned()]);
        if let Some(Ok(files)) = &declared_files {
            names.extend(files.keys().cloned());
        }
        let names: Vec<String> = names.into_iter().collect();
        let absent = matches!(process, Reading::Known(ProcessState::Absent));
        let live_files = if absent {
            Reading::Known(ConfigFiles::new())
        } else {
            within(FIRST, async { told(self.runtime.read_config(&names).await) }).await
        };
        let text = match &live_files {
            Reading::Known(files) => match files.get(MAIN_CONFIG) {
                Some(text) => Reading::Known(String::from_utf8_lossy(text).into_owned()),
                None => unknown("there is no configuration on the server"),
            },
            Reading::Unknown(why) => unknown(why),
        };
        let declared = match (&declared_files, &desired.config) {
            (Some(Ok(files)), Some(config)) => {
                let path = file_of(config);
                Some(self.checked((paused.as_deref(), until), wanted, path, files).await)
            }
            (Some(Err(e)), _) => Some(unknown(&format!("failed to {e}"))),
            _ => None,
        };
        let differs = match (&live_files, &declared_files) {
            (Reading::Known(live), Some(Ok(files))) if !absent => {
                let changes = rollout::difference(live, files);
                changes.into_iter().map(|change| change.name).collect()
            }
            _ => Vec::new(),
        };
        let same = desired.config.is_some() && differs.is_empty();
        let live = match live_files {
            Reading::Known(files) if same || files.is_empty() => {
                // Of one that could not be compared nothing is known.
                let unread = matches!(declared_files, Some(Err(_)));
                (unread && !files.is_empty()).then(|| unknown("the declared one cannot be read"))
            }
            Reading::Known(files) => {
                let path = "ejabberd.yml".to_owned();
                let checked = self.checked((paused.as_deref(), until), wanted, path, &files).await;
                Some(match checked {
                    Reading::Known(checked) => Reading::Known(Checked { differs, ..checked }),
                    unknown => unknown,
                })
            }
            Reading::Unknown(why) => Some(unknown(&why)),
        };
        (declared, live, text)
    }

    async fn checked(
        &self,
        (silent, until): (Option<&str>, Instant),
        wanted: bool,
        path: String,
        files: &ConfigFiles,
    ) -> Reading<Checked> {
        let silent = if wanted { silent } else { Some("it was not asked") };
        // Both checks together have the time of one part.
        let left = until.saturating_duration_since(Instant::now());
        asked(silent, left, async {
            match told(self.runtime.check_config(files).await)? {
                Verdict::Accepted => Ok(Checked { path, refused: None, differs: Vec::new() }),
                Verdict::Refused(why) => {
                    Ok(Checked { path, refused: Some(why), differs: Vec::new() })
                }
                Verdict::Unable(why) => Err(format!("ejabberd could not be asked: {why}")),
            }
        })
        .await
    }

    /// Where the server listens, as others on this host see it, and who else does.
    async fn ports_of(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        circumstances: &Reading<Circumstances>,
        text: &Reading<String>,
    ) -> Result<Vec<Port>, String> {
        let declared = match text {
            Reading::Known(text) => audit::declared_listeners(text),
            // Where nothing is on the server yet, what would be.
            Reading::Unknown(why) => match &desired.config {
                Some(config) => match self.declared_config(config).await {
                    Ok(files) => {
                        let main = files.get(MAIN_CONFIG).map(Vec::as_slice).unwrap_or_default();
                        audit::declared_listeners(&String::from_utf8_lossy(main))
                    }
                    Err(e) => Err(format!("failed to {e}")),
                },
                None => Err(why.clone()),
            },
        };
        let bridge: Option<Vec<(SocketAddr, u16)>> = match &desired.server.runtime {
            Runtime::Docker(docker) if docker.network == Network::Bridge => {
                let there = !matches!(process, Reading::Known(ProcessState::Absent));
                Some(match circumstances.known().filter(|_| there) {
                    Some(around) => around.published.clone(),
                    None => {
                        let ports = docker.ports.iter();
                        let at = |p: &PortMapping| SocketAddr::new(p.address, p.host_port);
                        ports.map(|port| (at(port), port.container_port)).collect()
                    }
                })
            }
            _ => None,
        };
        let wanted: Vec<(SocketAddr, String)> = match bridge {
            Some(published) => {
                let module = |port: u16| {
                    let found = declared.iter().flatten().find(|listener| {
                        !listener.udp && listener.at.is_some_and(|at| at.port() == port)
                    });
                    found.map_or_else(|| "published".to_owned(), |listener| listener.module.clone())
                };
                published.into_iter().map(|(at, port)| (at, module(port))).collect()
            }
            None => declared?
                .into_iter()
                .filter(|listener| !listener.udp)
                .filter_map(|listener| Some((listener.at?, listener.module)))
                .collect(),
        };
        let numbers: Vec<u16> = wanted.iter().map(|(at, _)| at.port()).collect();
        let holders = told(self.runtime.holders(&numbers).await)?;
        let ports = wanted.into_iter().map(|(at, module)| {
            let holders = holders.iter().filter(|holder| clash(holder.at, at)).cloned().collect();
            Port { at, module, open: None, holders }
        });
        Ok(ports.collect())
    }
}

/// Whether two cannot listen at these places at once.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

fn file_of(config: &Config) -> String {
    let path = config.variants.get(&config.variant);
    path.map_or_else(|| config.variant.clone(), |path| path.display().to_string())
}

/// Why it ended, if it has.
fn cause(
    process: &Reading<ProcessState>,
    circumstances: &Reading<Circumstances>,
    log: &Reading<Vec<String>>,
) -> Option<Cause> {
    let Reading::Known(ProcessState::Stopped { exit_code, oom_killed }) = process else {
        return None;
    };
    let around = circumstances.known();
    let ran = around.and_then(|around| Some(around.ended?.duration_since(around.started?)));
    let was_up = ran.is_some_and(|ran| Duration::try_from(ran).is_ok_and(|ran| ran > CAME_UP));
    let started = around.and_then(|around| around.started);
    let ending = Ending {
        exit_code: *exit_code,
        oom_killed: *oom_killed,
        not_started: around.and_then(|around| around.error.clone()),
        log: log.known().cloned().unwrap_or_default(),
    };
    // A first start that failed has no times at all.
    Some(Cause::of(&ending, was_up && started.is_some()))
}

/// The lines that matter, without time and process: of one that has ended
/// also the last ones, whatever they say.
fn telling(log: &[String], ended: bool) -> Vec<String> {
    let grave = |line: &&String| {
        tells_of_failure(line)
            || ["[critical]", "[emergency]", "[alert]"].iter().any(|word| line.contains(word))
            || (ended && line.contains("[error]"))
    };
    let mut lines: Vec<String> = Vec::new();
    for line in log.iter().filter(grave).map(|line| words_of(line)) {
        // One that crashes again and again says the same each time.
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() && ended {
        let last = log.iter().rev().map(|line| words_of(line)).filter(|line| !line.is_empty());
        lines = last.take(SHOWN).collect();
        lines.reverse();
    }
    lines.split_off(lines.len().saturating_sub(SHOWN))
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
    fn places_clash_on_the_same_port_alone() {
        let at = |text: &str| text.parse().unwrap();
        assert!(clash(at("0.0.0.0:5222"), at("127.0.0.1:5222")));
        assert!(clash(at("127.0.0.1:5222"), at("[::]:5222")));
        assert!(clash(at("127.0.0.1:5222"), at("127.0.0.1:5222")));
        assert!(!clash(at("127.0.0.2:5222"), at("127.0.0.1:5222")));
        assert!(!clash(at("0.0.0.0:5223"), at("127.0.0.1:5222")));
    }

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
        assert_eq!(telling(&log, false).len(), 1, "{:?}", telling(&log, false));
        assert_eq!(telling(&log, true).len(), 2);
        let quiet = [line("info", "hello"), String::new()];
        assert!(telling(&quiet, false).is_empty());
        assert_eq!(telling(&quiet, true).len(), 1);
    }

    #[test]
    fn the_memory_of_this_host_is_read() {
        let (available, total) = host_memory().unwrap();
        assert!(0 < available && available <= total);
    }
}
