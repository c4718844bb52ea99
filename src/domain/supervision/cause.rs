//! Finds the reason why a server ended or could not start, and what to do.

mod reason;
mod signs;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::reason::EndReason;
use self::signs::{HARMLESS, HARMLESS_PARTS, SIGNS, Sign, WEAK_SIGNS, WRAPPERS};
use super::entries::{Level, LogEntry, entries};

/// The known facts about the end of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The exit code; `None` if the exit code is unknown.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed the process because memory was exhausted.
    pub oom_killed: bool,
    /// The error of the runtime if the process could not be started, else `None`.
    pub not_started: Option<String>,
    /// The log since the last start.
    pub log: Vec<String>,
}

impl Ending {
    /// Whether another program stopped the server, as `docker stop` does: the server ended without
    /// an error, or by the signal INT or TERM.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        !self.oom_killed && matches!(self.exit_code, Some(0 | 130 | 143))
    }
}

/// The phase in which a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedWhile {
    /// The start was not complete.
    Starting,
    /// The start was complete.
    Up,
}

/// The cause of the end of a server: a reason for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The reason, for programs.
    pub reason: EndReason,
    /// A sentence for people, with a quotation from the server's log.
    pub message: String,
    /// What a person must do; `None` if no person has to act.
    pub cure: Option<String>,
    /// Whether the configuration may be the cause. A taken port is not a fault of the
    /// configuration.
    pub config: bool,
}

/// The maximum length of a quotation from a log, in characters.
const MAX_QUOTED: usize = 300;

/// The maximum number of characters of a quotation before the important part.
const BEFORE_QUOTED: usize = 120;

impl Cause {
    /// Returns the reason why a server ended.
    ///
    /// The first log entry with a known sign explains a failed start, else the first error
    /// that gives a reason. The last error explains the end of a server that was up.
    #[must_use]
    pub fn of(ending: &Ending, ended: EndedWhile) -> Self {
        let log = Log::new(ending);
        // Signs explain a failed start only: a server that ran for days may have
        // logged any of these words.
        if ended == EndedWhile::Starting
            && !ending.oom_killed
            && let Some(cause) = log.known()
        {
            return cause;
        }
        // The log does not explain a signal from outside.
        let from_outside = matches!(ending.exit_code, Some(128..));
        let telling = match ended {
            EndedWhile::Up => log.last_error(),
            EndedWhile::Starting => {
                log.first_error().or_else(|| if from_outside { None } else { log.something() })
            }
        };
        let logged =
            telling.map_or_else(String::new, |entry| format!("; its log says: {}", entry.words()));
        let cause = match ending {
            Ending { not_started: Some(why), .. } => {
                Self::plain(EndReason::StartFailed, words_of(why))
            }
            Ending { oom_killed: true, .. } => Self::plain(
                EndReason::OutOfMemory,
                format!("the kernel killed it because memory was exhausted{logged}"),
            ),
            Ending { exit_code: Some(137), .. } => {
                Self::plain(EndReason::Killed, format!("it was killed (signal 9){logged}"))
            }
            // A shell reports 128 plus the number of the signal. A program causes these signals
            // itself.
            Ending { exit_code: Some(code @ (132 | 134 | 135 | 136 | 139)), .. } => Self::plain(
                EndReason::Crashed,
                format!("it crashed (signal {}){logged}", code - 128),
            ),
            Ending { exit_code: Some(code @ 129..=159), .. } => Self::plain(
                EndReason::Terminated,
                format!("it was ended from outside (signal {}){logged}", code - 128),
            ),
            Ending { exit_code: Some(0), .. } => {
                Self::plain(EndReason::Ended, format!("it ended without an error{logged}"))
            }
            // A signal comes from outside, and an exit code of 0 is no failure. So the
            // configuration can only be the reason for other exit codes below 128.
            Ending { exit_code: Some(code), .. } => Self {
                config: *code < 128,
                ..Self::plain(EndReason::Crashed, format!("it ended with exit code {code}{logged}"))
            },
            Ending { exit_code: None, .. } => {
                Self::plain(EndReason::Ended, format!("it ended{logged}"))
            }
        };
        let cure = ending
            .oom_killed
            .then(|| "give its container more memory, or find out what uses it".to_owned());
        Self { cure, ..cause }
    }

    /// The cause that one entry of a log shows; `None` if the entry has no known sign.
    #[must_use]
    pub fn of_entry(entry: &LogEntry) -> Option<Self> {
        of_signs(SIGNS, entry)
    }

    /// The cause for a server that runs and has not responded for a long time.
    #[must_use]
    pub fn unresponsive() -> Self {
        Self::plain(EndReason::Unresponsive, "it did not respond, and did nothing")
    }

    /// The cause for an ejabberd that was stopped while its node still runs.
    #[must_use]
    pub fn halted() -> Self {
        Self::plain(EndReason::Halted, "ejabberd was stopped, but its Erlang VM kept running")
    }

    /// The cause for a server that was started and has neither responded nor worked for `limit`.
    #[must_use]
    pub fn frozen(limit: Duration) -> Self {
        let message = format!("it started, and neither responded nor worked for {limit:?}");
        Self::plain(EndReason::Frozen, message)
    }

    /// The cause for a server that was started and has done nothing for `deadline`.
    #[must_use]
    pub fn stuck_start(deadline: Duration) -> Self {
        let message = format!("it started, and neither responded nor worked for {deadline:?}");
        Self { config: true, ..Self::plain(EndReason::StuckStart, message) }
    }

    /// The reasons of causes that a person has to fix first; see [`needs_fix`](Self::needs_fix). A
    /// reason may occur more than once.
    pub fn reasons_to_fix() -> impl Iterator<Item = EndReason> {
        SIGNS.iter().chain(WEAK_SIGNS).map(|sign| sign.reason)
    }

    fn plain(reason: EndReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), cure: None, config: false }
    }

    /// Whether a person has to fix something before a start can work.
    #[must_use]
    pub fn needs_fix(&self) -> bool {
        Self::reasons_to_fix().any(|reason| reason == self.reason)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.cure.as_ref().map_or(Ok(()), |cure| write!(f, "; {cure}"))
    }
}

/// The log entries that may show the cause.
struct Log {
    entries: Vec<LogEntry>,
}

impl Log {
    /// The log of a process. A process that could not be started has no log, so the error of the
    /// runtime is the first entry.
    fn new(ending: &Ending) -> Self {
        let refused = ending.not_started.iter();
        let refused =
            refused.map(|why| LogEntry { level: Some(Level::Error), text: why.to_owned() });
        Self { entries: refused.chain(entries(&ending.log)).collect() }
    }

    /// The entries that may explain a failed start: errors, and entries without a level, such as
    /// the errors of a control script.
    fn candidates(&self) -> impl DoubleEndedIterator<Item = &LogEntry> {
        self.entries.iter().filter(|entry| entry.is_error() || entry.level.is_none())
    }

    /// The cause according to the known signs; `None` if no entry has a sign. The first entry that
    /// has a sign counts; entries that state the reason precede entries that only repeat the
    /// reason.
    fn known(&self) -> Option<Cause> {
        let telling = || {
            let candidates = self.candidates().filter(|entry| !is_harmless(entry));
            candidates.filter(|entry| !is_own_port(&self.entries, entry))
        };
        let own = telling().filter(|entry| !is_wrapper(entry));
        own.chain(telling()).find_map(|entry| of_signs(SIGNS, entry)).or_else(|| {
            let first = self.first_error()?;
            let weak = of_signs(WEAK_SIGNS, first);
            // If no error states the reason itself, any error may hint at the reason.
            let hints = is_wrapper(first).then(telling).into_iter().flatten();
            weak.or_else(|| hints.into_iter().find_map(|entry| of_signs(WEAK_SIGNS, entry)))
                .or_else(|| of_signs(SIGNS, first))
        })
    }

    /// The first error that gives a reason, else the first error. `None` if the log has no error.
    fn first_error(&self) -> Option<&LogEntry> {
        let errors = || self.entries.iter().filter(|entry| entry.is_error());
        most_telling(&errors).or_else(|| errors().next())
    }

    /// The last error that gives a reason; `None` if no error gives a reason.
    fn last_error(&self) -> Option<&LogEntry> {
        most_telling(&|| self.entries.iter().rev().filter(|entry| entry.is_error()))
    }

    /// The entry to quote if the log has no error; `None` if all entries are harmless.
    fn something(&self) -> Option<&LogEntry> {
        let mut others = self.entries.iter().filter(|entry| !is_harmless(entry));
        // A VM that does not boot prints the reason first, and then the usage of `erl`.
        let boots = self.entries.iter().any(|entry| entry.level.is_some());
        if boots { others.next_back() } else { others.next() }
    }
}

/// The first of `errors` that states the reason itself, else the first that repeats the reason.
fn most_telling<'e, E>(errors: &impl Fn() -> E) -> Option<&'e LogEntry>
where
    E: Iterator<Item = &'e LogEntry>,
{
    errors()
        .find(|entry| !is_harmless(entry) && !is_wrapper(entry))
        .or_else(|| errors().find(|entry| !is_harmless(entry)))
}

fn of_signs(signs: &[Sign], entry: &LogEntry) -> Option<Cause> {
    signs.iter().find_map(|sign| sign.of(entry))
}

impl Sign {
    fn of(&self, entry: &LogEntry) -> Option<Cause> {
        // Erlang can break a term between any two words, so join the lines first.
        let text = one_line(&entry.text).to_ascii_lowercase();
        if !self.parts.iter().all(|part| text.contains(part)) {
            return None;
        }
        Some(Cause {
            reason: self.reason,
            message: match self.reason {
                // The text around this sign contains no further information.
                EndReason::DiskFull => "no space is left on its disk".to_owned(),
                _ => quoted(entry, self.parts.last().copied()),
            },
            cure: Some(self.cure.to_owned()),
            config: self.reason.blames_config(),
        })
    }
}

/// Whether an entry of `log` only reports that a port is taken after a listener process failed: the
/// supervisor of the listeners starts all of them again, and the port may still belong to this
/// ejabberd. The earlier entry has the reason.
#[must_use]
pub fn is_own_port(log: &[LogEntry], entry: &LogEntry) -> bool {
    let has = |entry: &LogEntry, reason| of_signs(SIGNS, entry).is_some_and(|c| c.reason == reason);
    let mut before = log.iter().take_while(|other| !std::ptr::eq(*other, entry));
    has(entry, EndReason::PortTaken) && before.any(|entry| has(entry, EndReason::UnixSocketFailed))
}

fn is_wrapper(entry: &LogEntry) -> bool {
    let text = entry.text.to_ascii_lowercase();
    WRAPPERS.iter().any(|start| text.starts_with(start))
}

fn is_harmless(entry: &LogEntry) -> bool {
    let text = entry.text.to_ascii_lowercase();
    HARMLESS.iter().any(|start| text.starts_with(start))
        || HARMLESS_PARTS.iter().any(|parts| parts.iter().all(|part| text.contains(part)))
}

/// The text of an entry on one line, cut to [`MAX_QUOTED`] characters around `part`.
pub(super) fn quoted(entry: &LogEntry, part: Option<&str>) -> String {
    let text = reason_in(&entry.text);
    let text = text.as_deref().unwrap_or(&entry.text);
    let text = one_line(text);
    let text = text.strip_prefix(STARTING).filter(|why| !why.starts_with('{')).unwrap_or(&text);
    let text = sentence(text).unwrap_or(text);
    let at = part.and_then(|part| text.to_ascii_lowercase().find(part));
    let at = at.map_or(0, |at| text.chars().count() - text[at..].chars().count());
    let length = text.chars().count();
    if at + BEFORE_QUOTED < MAX_QUOTED || length <= MAX_QUOTED {
        return bounded(text);
    }
    let skipped = (at - BEFORE_QUOTED).min(length - MAX_QUOTED);
    let rest: String = text.chars().skip(skipped).collect();
    format!("…{}", bounded(&rest))
}

/// The content of a text that is a single Erlang string; `None` for other texts.
fn sentence(text: &str) -> Option<&str> {
    let sentence = text.strip_prefix('"')?.strip_suffix('"')?;
    (!sentence.contains('"')).then(|| sentence.trim())
}

/// The text before the sentence with the reason in ejabberd's log.
const STARTING: &str = "Failed to start ejabberd application: ";

/// The keys before and after the reason in reports of Erlang and Elixir.
const REASONS: [&str; 6] = [
    "exception error:",
    "exception exit:",
    "exception throw:",
    "error_info:",
    "reason:",
    "format:",
];
const NO_REASONS: [&str; 6] =
    ["in function", "ancestors:", "offender:", "neighbours:", "(stdlib", "args:"];

/// The reason in a report, with the function that the process ran; `None` if the report has no
/// reason.
fn reason_in(report: &str) -> Option<String> {
    let mut lines = report.lines().map(str::trim);
    let mut who = None;
    let mut found = lines.by_ref().find_map(|line| {
        who = who.take().or_else(|| line.strip_prefix("initial call: "));
        let key = REASONS.iter().find_map(|key| line.strip_prefix(key))?;
        Some(key.trim().to_owned())
    })?;
    for line in lines.take_while(|line| !NO_REASONS.iter().any(|key| line.starts_with(key))) {
        found.push('\n');
        found.push_str(line);
    }
    Some(who.map_or_else(|| found.clone(), |who| format!("{who}: {found}")))
}

/// The lines of a text as one line, without control characters. A term that was broken after an
/// opening bracket is joined without a space.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        let joined = line.ends_with(['{', '[', '(']) || word.starts_with(['}', ']']);
        if !line.is_empty() && !joined {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// The text, cut to [`MAX_QUOTED`] characters with an ellipsis.
fn bounded(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED {
        return text.to_owned();
    }
    text.chars().take(MAX_QUOTED).chain(['…']).collect()
}

/// The message of a text that may be a log entry, cut to [`MAX_QUOTED`] characters.
fn words_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    entries(&lines).first().map_or_else(String::new, LogEntry::words)
}
