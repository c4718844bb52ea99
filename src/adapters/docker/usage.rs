//! The resource usage of the container, and its log.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters as query;
use futures_util::StreamExt;
use jiff::Timestamp;

use super::{DockerRuntime, status};
use crate::domain::observed::{Usage, Work};
use crate::ejabberd::erlang::ListedProcess;
use crate::engine::{LogLine, RuntimeError};

/// The maximum length of a log line, in characters. A longer line is truncated. ejabberd logs
/// whole stanzas at `loglevel: debug`.
const MAX_LINE_CHARS: usize = 2000;

impl DockerRuntime {
    pub(super) async fn read_usage(&self) -> Result<Option<Usage>, RuntimeError> {
        let options = query::StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut stats = Box::pin(self.client().await?.stats(self.name(), Some(options)));
        let stats = match stats.next().await {
            Some(Ok(stats)) => stats,
            Some(Err(e)) if matches!(status(&e), Some(404 | 409)) => return Ok(None),
            Some(Err(e)) => return Err(self.error("measure the container", &e)),
            None => return Ok(None),
        };
        let nanos = stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage);
        let memory = stats.memory_stats.as_ref().and_then(|memory| memory.usage);
        let (Some(nanos), Some(memory_bytes)) = (nanos, memory) else {
            // For a stopped container, the engine responds only with the name.
            return Ok(None);
        };
        let disk_bytes = blocks(&stats);
        let work = self.vm_work().await?.map(|work| Work { disk_bytes, ..work });
        #[allow(clippy::cast_precision_loss, reason = "a hundred days are 2^53 nanoseconds")]
        let cpu_seconds = nanos as f64 / 1e9;
        Ok(Some(Usage { cpu_seconds, memory_bytes, work }))
    }

    /// The processor time and disk waits of the server's own VM; `None` if no VM runs. The totals
    /// of the container include the operator's programs in the container, which would make a dead
    /// server seem active.
    async fn vm_work(&self) -> Result<Option<Work>, RuntimeError> {
        // Request a row for each thread, because Erlang writes files in other threads than the main
        // thread.
        let rows = match self.processes("-eLo uid,pid,stat,cputimes,args").await {
            Ok(rows) => rows,
            // The container ended after the request for its statistics.
            Err(RuntimeError::Missing(_) | RuntimeError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(work_of(rows))
    }

    pub(super) async fn read_log(
        &self,
        since: Timestamp,
        lines: usize,
    ) -> Result<Vec<LogLine>, RuntimeError> {
        let options = query::LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .since(i32::try_from(since.as_second()).unwrap_or(0))
            .timestamps(true)
            .tail(&lines.to_string())
            .build();
        let mut log = Box::pin(self.client().await?.logs(self.name(), Some(options)));
        let mut found: VecDeque<LogLine> = VecDeque::new();
        let mut last = since;
        while let Some(piece) = log.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(e) if status(&e) == Some(404) => break,
                Err(e) => return Err(self.error("read the log of", &e)),
            };
            let (LogOutput::StdOut { message }
            | LogOutput::StdErr { message }
            | LogOutput::Console { message }) = piece
            else {
                continue;
            };
            let text = String::from_utf8_lossy(&message);
            for line in text.lines() {
                // The query has whole seconds, so the engine also sends earlier lines of the same
                // second. Each line begins with its time in fractions of a second.
                let Some((time, rest)) = line.split_once(' ') else { continue };
                last = time.parse().unwrap_or(last);
                if last < since {
                    continue;
                }
                if found.len() == lines {
                    found.pop_front();
                }
                let text = rest.chars().take(MAX_LINE_CHARS).collect();
                found.push_back(LogLine { time: last, text });
            }
        }
        Ok(found.into())
    }
}

/// The work of the threads of the server's VM among `rows`; `None` if no row belongs to the VM. A
/// row has user, process, state, processor seconds and command line.
fn work_of(rows: Vec<Vec<String>>) -> Option<Work> {
    let threads = rows.into_iter().filter_map(|row| {
        let [user, _, state, seconds, command] = <[String; 5]>::try_from(row).ok()?;
        ListedProcess { user, command }.server_node()?;
        Some((state.starts_with('D'), seconds.parse::<u64>().unwrap_or(0)))
    });
    threads.fold(None, |sum: Option<Work>, (waits, seconds)| {
        let Work { cpu_seconds, waits_for_disk, .. } = sum.unwrap_or_default();
        Some(Work {
            cpu_seconds: cpu_seconds.saturating_add(seconds),
            waits_for_disk: waits_for_disk || waits,
            disk_bytes: 0,
        })
    })
}

/// The number of bytes that were read from and written to disks. Zero if the host does not count
/// them.
fn blocks(stats: &ContainerStatsResponse) -> u64 {
    let counted = stats.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    counted.into_iter().flatten().filter_map(|entry| entry.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_threads_of_the_servers_vm_count() {
        let row = |state: &str, seconds: &str, command: &str| {
            ["995", "7", state, seconds, command].map(str::to_owned).to_vec()
        };
        let vm = "/usr/lib/erlang/erts-17/bin/beam.smp -- -sname ejabberd@localhost -s ejabberd";
        let ours =
            "/usr/lib/erlang/erts-17/bin/beam.smp -- -ejabberd_operator helper -sname undefined";
        let rows = vec![row("Sl", "3", vm), row("Dl", "2", vm), row("Rl", "90", ours)];
        let work = work_of(rows).unwrap();
        assert_eq!((work.cpu_seconds, work.waits_for_disk), (5, true));
        assert_eq!(work_of(vec![row("Dl", "9", ours)]), None);
    }
}
