//! The command `logs`: prints the log of the server, with the events of the operator between the
//! lines.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::args::Format;
use super::output::paint;
use super::runtimes::Connectors;
use super::session::Paths;
use super::table::{Cell, Page, Table};
use super::terminal::{CYAN, RED, YELLOW};
use super::times::clock;
use super::{Exit, Outcome, events, output};
use crate::domain::observed::ProcessState;
use crate::domain::status::Event;
use crate::engine::{Connector, LogLine, Runtime};

/// The interval at which `--follow` reads new lines.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// The selection of lines to print.
pub(super) struct Window {
    /// The maximum age of a line.
    pub(super) since: Duration,
    /// The maximum number of lines. If the log has more lines, the command prints the latest lines.
    pub(super) tail: usize,
    /// Whether the command prints new lines until a signal ends the command.
    pub(super) follow: bool,
    /// Whether the command omits the events of the operator.
    pub(super) no_marks: bool,
}

/// A line of the server's log, or an event of the operator.
enum Entry {
    Line(LogLine),
    Mark(Event),
}

impl Entry {
    const fn time(&self) -> Timestamp {
        match self {
            Self::Line(line) => line.time,
            Self::Mark(event) => event.time,
        }
    }

    fn print(&self, format: Format) -> Outcome {
        match (self, format) {
            (Self::Line(line), Format::Text) => {
                output::print(&format!("{}\n", coloured(&line.text)))
            }
            (Self::Mark(event), Format::Text) => {
                let mut mark = Table::new(0, 2);
                let [reason, text] = events::row(event);
                let lead = format!("── {} operator:", clock(event.time));
                mark.row([Cell::painted(&lead, CYAN), reason, text]);
                output::print(&mark.render(Page::out()))
            }
            (Self::Line(line), Format::Json) => {
                output::json(&json!({ "time": line.time, "source": "server", "line": line.text }))
            }
            (Self::Mark(event), Format::Json) => {
                output::json(&json!({ "time": event.time, "source": "operator", "event": event }))
            }
        }
    }
}

/// Colours a line with the level critical, error, warning or notice.
fn coloured(line: &str) -> String {
    let level = |words: [&str; 2]| words.iter().any(|word| line.contains(word));
    if level(["[error]", "[critical]"]) {
        paint(line, RED)
    } else if level(["[warning]", "[notice]"]) {
        paint(line, YELLOW)
    } else {
        line.to_owned()
    }
}

/// Prints lines and events in the order of their times.
pub(super) async fn logs(paths: &Paths, window: &Window, format: Format) -> Outcome {
    let desired = paths.desired().await?;
    let connectors =
        Connectors { metrics: crate::adapters::metrics::Metrics::new()?.into(), holder: None };
    let (runtime, control) = connectors.connect(&desired.server);
    let since = Timestamp::now().checked_sub(window.since).unwrap_or(Timestamp::UNIX_EPOCH);
    if matches!(runtime.inspect().await?, ProcessState::Absent) && !window.follow {
        return Err(Exit::Failure(
            "there is no server yet; `ejabberd-operator apply` creates the server".to_owned(),
        ));
    }
    let mut seen = Seen { until: since, at_until: 0, marks: Vec::new() };
    loop {
        let mut entries = seen.lines(&*runtime, window.tail).await?;
        if !window.no_marks {
            // Ignore the error of a missing store, because the server may exist before the first
            // operator runs.
            let marks = events::kept(paths).unwrap_or_default();
            entries.extend(seen.marks(marks, since));
        }
        // A stable sort keeps the order of lines with the same time.
        entries.sort_by_key(Entry::time);
        let first = entries.len().saturating_sub(window.tail);
        entries.iter().skip(first).try_for_each(|entry| entry.print(format))?;
        if !window.follow {
            break;
        }
        sleep(POLL_EVERY).await;
    }
    control.close().await;
    Ok(())
}

/// The position after the last printed line.
struct Seen {
    /// The time of the last printed line.
    until: Timestamp,
    /// The number of printed lines with the time `until`.
    at_until: usize,
    marks: Vec<Event>,
}

impl Seen {
    async fn lines(&mut self, runtime: &dyn Runtime, most: usize) -> Result<Vec<Entry>, Exit> {
        let lines = runtime.log_lines(self.until, most).await?;
        let mut again = self.at_until;
        let mut fresh = Vec::new();
        for line in lines {
            if line.time == self.until && again > 0 {
                again -= 1;
                continue;
            }
            if line.time > self.until {
                (self.until, self.at_until) = (line.time, 0);
            }
            self.at_until += 1;
            // Remove the colours: the server assumes a terminal and colours its lines.
            let text = console::strip_ansi_codes(&line.text).into_owned();
            fresh.push(Entry::Line(LogLine { text, ..line }));
        }
        Ok(fresh)
    }

    fn marks(&mut self, kept: Vec<Event>, since: Timestamp) -> Vec<Entry> {
        let fresh = kept.iter().filter(|event| event.time >= since && !self.marks.contains(event));
        let fresh: Vec<Entry> = fresh.cloned().map(Entry::Mark).collect();
        self.marks = kept;
        fresh
    }
}
