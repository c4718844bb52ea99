//! What the container has used, and what it has logged.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters as query;
use futures_util::StreamExt;
use jiff::Timestamp;

use super::{DockerRuntime, status};
use crate::engine::{LogLine, RuntimeError};
use crate::erlang;
use crate::observed::Usage;

/// The longest line that is kept. ejabberd logs whole stanzas in `debug`.
const MAX_LINE_BYTES: usize = 2000;

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
            // It does not run: the engine answers with nothing but the name.
            return Ok(None);
        };
        let work = self.vm_seconds().await?.saturating_add(blocks(&stats));
        #[allow(clippy::cast_precision_loss, reason = "a hundred days are 2^53 nanoseconds")]
        let cpu_seconds = nanos as f64 / 1e9;
        Ok(Some(Usage { cpu_seconds, memory_bytes, work }))
    }

    /// Processor seconds of the server's own VM. Those of the container hold
    /// our own programs in it, and would look like life in a dead server.
    async fn vm_seconds(&self) -> Result<u64, RuntimeError> {
        let options =
            query::TopOptionsBuilder::default().ps_args("-eo uid,pid,cputimes,args").build();
        let top = match self.client().await?.top_processes(self.name(), Some(options)).await {
            Ok(top) => top,
            Err(e) if matches!(status(&e), Some(404 | 409 | 500)) => return Ok(0),
            Err(e) => return Err(self.error("list the processes of", &e)),
        };
        let rows = top.processes.unwrap_or_default();
        let seconds = rows.iter().filter_map(|row| {
            let process = (row.first()?.clone(), row.get(3)?.clone());
            erlang::find_node(&[process])?;
            row.get(2)?.parse::<u64>().ok()
        });
        Ok(seconds.sum())
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
                // The engine's clock leads each line; it knows fractions, the question does not.
                let Some((time, said)) = line.split_once(' ') else { continue };
                last = time.parse().unwrap_or(last);
                if last < since {
                    continue;
                }
                if found.len() == lines {
                    found.pop_front();
                }
                let text = said.chars().take(MAX_LINE_BYTES).collect();
                found.push_back(LogLine { time: last, text });
            }
        }
        Ok(found.into())
    }
}

/// Bytes that were read and written on disks. Zero where the host counts none.
fn blocks(stats: &ContainerStatsResponse) -> u64 {
    let counted = stats.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    counted.into_iter().flatten().filter_map(|entry| entry.value).sum()
}
