//! The entries of a server's log.
//!
//! An entry is a line with a time or a level, and every line that continues the first line: Erlang
//! and Elixir print a term over several lines. The output of a control script, or of a VM that does
//! not boot, has neither time nor level. This module groups such lines too.

use super::cause::quoted;

/// The level of an entry, with ejabberd's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `critical`
    Critical,
    /// `alert`
    Alert,
    /// `emergency`
    Emergency,
}

impl Level {
    fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" | "progress" => Self::Info,
            "notice" => Self::Notice,
            "warning" | "warn" => Self::Warning,
            "error" | "crash" | "supervisor" => Self::Error,
            "critical" => Self::Critical,
            "alert" => Self::Alert,
            "emergency" => Self::Emergency,
            _ => return None,
        })
    }
}

/// One entry of a server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The level; `None` for a line of a control script or of a VM that does not boot, unless the
    /// line is known to be an error or a warning.
    pub level: Option<Level>,
    /// The text without time, level, process and colours. Lines are separated by newlines.
    pub text: String,
}

impl LogEntry {
    /// Whether the level is error or higher.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.level >= Some(Level::Error)
    }

    /// The text on one line, cut to the length of a message. For a report, the text is the reason
    /// in the report.
    #[must_use]
    pub fn words(&self) -> String {
        quoted(self, None)
    }
}

/// Groups the lines of a log into entries.
#[must_use]
pub fn entries<L: AsRef<str>>(lines: &[L]) -> Vec<LogEntry> {
    let mut found: Vec<LogEntry> = Vec::new();
    let mut before = Before::Nothing;
    for line in lines {
        let line = without_colours(line.as_ref());
        let line = line.trim_end();
        if let Some(header) = Header::read(line) {
            before = header.before;
            found.push(header.entry);
            continue;
        }
        if line.is_empty() {
            // A blank line ends a report of a VM that boots. In ejabberd's log, a term may continue
            // after a blank line.
            if before == Before::Report {
                before = Before::Console;
            }
            continue;
        }
        match found.last_mut() {
            Some(entry) if before.goes_on_with(line) => {
                entry.text.push('\n');
                entry.text.push_str(line);
            }
            _ => {
                before = Before::Console;
                found.push(LogEntry { level: console_level(line), text: line.to_owned() });
            }
        }
    }
    for entry in &mut found {
        entry.settle();
    }
    found
}

/// The kind of the previous entry, which the next line may continue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// `=ERROR REPORT====`, up to a blank line.
    Report,
    /// An entry with a time, of level error or higher: messages of Elixir continue without
    /// indentation (`** (EXIT) …`, `State: …`).
    Grave,
    /// An entry with a time, of a lower level.
    Harmless,
    /// A line without a time.
    Console,
}

impl Before {
    fn goes_on_with(self, line: &str) -> bool {
        if self == Self::Nothing {
            return false;
        }
        if self == Self::Report {
            return !ends_vm(line);
        }
        if line.starts_with([' ', '\t', '}', ']', ')', '>']) {
            return true;
        }
        self == Self::Grave && !is_console(line)
    }
}

/// The beginnings of lines that a VM prints when the VM cannot boot or ends.
const VM_ENDS: [&str; 8] = [
    "{\"init terminating",
    "init terminating in do_boot",
    "{\"Kernel pid terminated",
    "Kernel pid terminated",
    "Runtime terminating during boot",
    "Protocol '",
    "{exit,{\"{application_start_failure",
    "ERROR: ",
];

/// The beginnings of other lines that do not continue an entry.
const OTHERS: [&str; 4] =
    ["Crash dump is being written", "{erl_prim_loader,file_error}", "WARNING: ", "Usage: "];

/// Whether a line without a time begins a new entry even after an error. The messages of a program
/// begin with its name: `sed: can't read …`, `/usr/sbin/ejabberdctl: line 134: …`.
fn is_console(line: &str) -> bool {
    let program = line.split_once(": ").map_or("", |(program, _)| program);
    let named = program.starts_with(|c: char| c.is_ascii_lowercase() || c == '/')
        && program.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c));
    named || ends_vm(line) || OTHERS.iter().any(|start| line.starts_with(start))
}

fn ends_vm(line: &str) -> bool {
    VM_ENDS.iter().any(|start| line.starts_with(start))
}

fn console_level(line: &str) -> Option<Level> {
    if ends_vm(line) {
        Some(Level::Error)
    } else if line.starts_with("WARNING: ") {
        Some(Level::Warning)
    } else {
        None
    }
}

/// The first line of an entry with a time or a level.
struct Header {
    entry: LogEntry,
    before: Before,
}

impl Header {
    fn read(line: &str) -> Option<Self> {
        Self::report(line).or_else(|| Self::timed(line))
    }

    /// Reads `=CRASH REPORT==== 26-Nov-2026::01:35:58.368988 ===`, or the header of a library of the
    /// VM, `=ESOCK WARNING MSG==== …`.
    fn report(line: &str) -> Option<Self> {
        let (kind, _) = line.strip_prefix('=')?.split_once("==== ")?;
        let (kind, what) = kind.rsplit_once(' ')?;
        if !matches!(what, "REPORT" | "MSG") {
            return None;
        }
        let level = Some(kind.split(' ').find_map(Level::named)?);
        let text = match kind {
            "CRASH" | "SUPERVISOR" => format!("{kind} REPORT:"),
            _ => String::new(),
        };
        Some(Self { entry: LogEntry { level, text }, before: Before::Report })
    }

    /// Reads `2026-11-22 19:31:35.123456+00:00 [error] <0.1.0>@mod:fun/1:12 text`; the same without
    /// a date, as Elixir's logger prints the line; the level alone; or a time and the kind of a
    /// report, as a VM that boots prints the line.
    fn timed(line: &str) -> Option<Self> {
        let (timed, rest) = match after_time(line) {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let rest = rest.trim_start();
        let leveled = rest
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(level, text)| Some((Level::named(level)?, text.trim_start())));
        let (level, text) = match leveled {
            Some((level, text)) => (level, without_process(text)),
            None if timed => match rest.split_whitespace().next() {
                Some("std_info" | "progress" | "info" | "info_report") => (Level::Info, rest),
                Some("warning" | "warning_report") => (Level::Warning, rest),
                _ => (Level::Error, rest),
            },
            None => return None,
        };
        let before = if level >= Level::Error { Before::Grave } else { Before::Harmless };
        Some(Self { entry: LogEntry { level: Some(level), text: text.to_owned() }, before })
    }
}

/// The text after a date and a time, or after a time with fractions; `None` for other lines.
fn after_time(line: &str) -> Option<&str> {
    let rest = match shaped(line, "0000-00-00") {
        Some(rest) => rest.strip_prefix([' ', 'T'])?,
        // A time without a date needs fractions, because other lines also begin with a text such as
        // `12:30:00`.
        None => shaped(line, "00:00:00.").map(|_| line)?,
    };
    let rest = shaped(rest, "00:00:00")?;
    let rest = rest
        .strip_prefix(['.', ','])
        .map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let rest = match rest.strip_prefix(['+', '-']) {
        Some(zone) => zone.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':'),
        None => rest.strip_prefix('Z').unwrap_or(rest),
    };
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// The text after `shape`, in which `0` matches a digit and another character matches itself;
/// `None` if the line does not begin with `shape`.
fn shaped<'l>(line: &'l str, shape: &str) -> Option<&'l str> {
    let mut rest = line.chars();
    for wanted in shape.chars() {
        let found = rest.next()?;
        if !(found == wanted || (wanted == '0' && found.is_ascii_digit())) {
            return None;
        }
    }
    Some(rest.as_str())
}

/// The text after `<0.118.0>@ejabberd_app:start/2:64 ` or `(<0.118.0>) `.
fn without_process(text: &str) -> &str {
    let process = |end: &str| text.split_once(end).filter(|(process, _)| !process.contains(' '));
    if text.starts_with("(<")
        && let Some((_, rest)) = process(") ")
    {
        return rest;
    }
    if text.starts_with('<')
        && let Some((_, rest)) = text.split_once(' ').filter(|(process, _)| process.contains(">@"))
    {
        return rest;
    }
    text
}

impl LogEntry {
    /// Corrects the level of a report of a VM that boots. Such a report has its level in the text.
    fn settle(&mut self) {
        let harmless = ["{error_logger,info_msg}", "{error_logger,warning_msg}"];
        if self.level == Some(Level::Error) && harmless.iter().any(|tag| self.text.contains(tag)) {
            self.level = Some(Level::Warning);
        }
        self.text = self.text.trim().to_owned();
    }
}

/// The line without the colours that 26.07 writes even without a terminal.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // An escape sequence ends with its first letter.
        plain.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                .get(1..)
                .unwrap_or_default(),
        );
    }
    plain
}
