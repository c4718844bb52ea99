//! The log on standard error: lines for people, JSON for programs, or lines for the journal of
//! systemd.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use console::Style;
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;

use super::args::LogFormat;
use super::output;
use super::terminal::{Colours, GREEN, RED, Stream, YELLOW, harmless, harmless_json, paint};
use crate::domain::spec::printable;

/// The environment variable that sets the level of the log.
const LEVELS: &str = "EJABBERD_OPERATOR_LOG";

/// The beginning of the targets of the MCP SDK.
const SDK: &str = "rmcp";

/// Starts the log. The level is `default`, unless the environment variable sets another level.
pub(super) fn start(format: Option<LogFormat>, default: LevelFilter) {
    let filter = match std::env::var(LEVELS) {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
            output::say(&format!(
                "warning: {LEVELS}={wanted} is not a log level ({error}): write error, warn, info, \
                 debug or trace; {default} is used"
            ));
            EnvFilter::new(default.to_string())
        }),
        _ => EnvFilter::new(default.to_string()),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    match format.unwrap_or_else(|| if is_journal() { LogFormat::Journald } else { LogFormat::Text })
    {
        LogFormat::Text => {
            let lines = Lines { journal: false, colours: Stream::Err.colours() };
            install(log.with_writer(io::stderr).event_format(lines).finish());
        }
        LogFormat::Journald => {
            let lines = Lines { journal: true, colours: Colours::Off };
            install(log.with_writer(io::stderr).event_format(lines).finish());
        }
        LogFormat::Json => {
            let log = log.json().with_current_span(false).with_span_list(true);
            install(log.with_target(false).with_writer(|| Escaped).finish());
        }
    }
}

/// Starts the log. Drops the events of the MCP SDK, because these events contain messages of people
/// and generated passwords.
fn install(log: impl Subscriber + for<'s> LookupSpan<'s> + Send + Sync) {
    log.with(filter_fn(|metadata| !metadata.target().starts_with(SDK))).init();
}

/// Returns whether standard error is the stream to the systemd journal. systemd passes the device
/// and the inode of that stream in `JOURNAL_STREAM`. A redirected stream has another device or
/// inode.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// A writer of JSON to standard error, which escapes the text for terminals. Each event is one
/// write.
struct Escaped;

impl Write for Escaped {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut err = io::stderr().lock();
        match std::str::from_utf8(line) {
            Ok(text) => err.write_all(harmless_json(text).as_bytes())?,
            Err(_) => err.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The format of the log for people and for the journal: one line for each event. The format
/// indents the other lines of a text, so that a text cannot imitate another event.
struct Lines {
    /// Whether each line has a priority and no time, as in sd-daemon(3).
    journal: bool,
    colours: Colours,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut event_text = EventText::default();
        event.record(&mut event_text);
        let mut text = event_text.message + &event_text.fields;
        // Show the spans only at level debug. At level info, the spans add no information.
        if LevelFilter::current() >= LevelFilter::DEBUG {
            for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
                let extensions = span.extensions();
                let fields = extensions.get::<FormattedFields<N>>().map(|f| f.fields.as_str());
                let _ =
                    write!(text, " {}{{{}}}", span.name(), printable(fields.unwrap_or_default()));
            }
        }
        let level = *event.metadata().level();
        for (number, line) in harmless(&text, Colours::Off).lines().enumerate() {
            let indent = if number == 0 { "" } else { "    " };
            if self.journal {
                writeln!(writer, "<{}>{indent}{line}", priority(level))?;
            } else if number == 0 {
                let (name, style) = level_name(level);
                let name =
                    style.map_or_else(|| name.into(), |style| paint(name, style, self.colours));
                writeln!(writer, "{:.0} {name} {line}", Timestamp::now())?;
            } else {
                writeln!(writer, "{indent}{line}")?;
            }
        }
        Ok(())
    }
}

/// Returns the syslog priority of a level.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Returns the name of a level with a fixed width, and the colour of the level.
const fn level_name(level: Level) -> (&'static str, Option<Style>) {
    match level {
        Level::ERROR => ("ERROR", Some(RED)),
        Level::WARN => ("WARN ", Some(YELLOW)),
        Level::INFO => ("INFO ", Some(GREEN)),
        Level::DEBUG => ("DEBUG", None),
        Level::TRACE => ("TRACE", None),
    }
}

/// The text of an event.
#[derive(Default)]
struct EventText {
    message: String,
    /// The other fields of the event, each after a space.
    fields: String,
}

impl EventText {
    fn put(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.trim_end().clone_into(&mut self.message);
            return;
        }
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
        let _ = if plain {
            write!(self.fields, " {}={}", field.name(), printable(value))
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

impl Visit for EventText {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}
