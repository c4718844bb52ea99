//! Why a server ended or could not be started, and what helps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a process ended, as far as that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// Why it could not even be started, in its runtime's words.
    pub not_started: Option<String>,
    /// The last lines that it logged.
    pub log: Vec<String>,
}

impl Ending {
    /// Whether somebody stopped it, as `docker stop` does: it ended by itself
    /// without an error, or by the signal INT or TERM.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        !self.oom_killed && matches!(self.exit_code, Some(0 | 130 | 143))
    }
}

/// Why it ended, in a word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// One word for programs.
    pub reason: String,
    /// A sentence for people, with the server's own last words.
    pub message: String,
    /// What to do, where somebody has to do something first.
    pub cure: Option<String>,
    /// Whether the configuration may be to blame. A taken port is not its fault.
    pub config: bool,
}

/// What the words of a server or an engine mean: every one of the parts in one
/// line, then reason and cure. Seen on 23.01, 24.12, 26.07 and Docker 20.10.
const SIGNS: &[(&[&str], &str, &str)] = &[
    (
        &["eaddrinuse"],
        "PortTaken",
        "another program has the port; `ss -tlnp` tells which: end it, or give the listener another port",
    ),
    (
        &["address already in use"],
        "PortTaken",
        "another program has the port; `ss -tlnp` tells which: end it, or give the listener another port",
    ),
    (
        &["port is already allocated"],
        "PortTaken",
        "another container publishes the port: stop it, or change spec.server.docker.ports",
    ),
    (&["enospc"], "DiskFull", "make room on the disk that holds the server's files"),
    (
        &["no space left on device"],
        "DiskFull",
        "make room on the disk that holds the server's files",
    ),
    (&["no such image"], "ImageMissing", "is spec.server.docker.image right? `docker pull` it"),
    (
        &["bind source path does not exist"],
        "BadMount",
        "a directory of the host that the container mounts is gone: make it again",
    ),
    (
        &["error mounting"],
        "BadMount",
        "something that the container mounts is not of the expected kind: look at its mounts",
    ),
    (
        &["failed to read", "ejabberd.yml", "syntax error"],
        "ConfigInvalid",
        "mend that line of the configuration; the operator puts a declared one that ejabberd accepts in its place",
    ),
    (
        &["failed to read", "ejabberd.yml"],
        "ConfigUnreadable",
        "the user that runs the server must be able to read its configuration",
    ),
    (
        &["permission denied"],
        "PermissionDenied",
        "the user that runs the server must own its files: database, logs and configuration",
    ),
    (
        &["eacces"],
        "PermissionDenied",
        "the user that runs the server must own its files: database, logs and configuration",
    ),
    (
        &["in use by another erlang node"],
        "NodeNameTaken",
        "another ejabberd runs on this host under the same node name: end it, or give this one another (ERLANG_NODE in ejabberdctl.cfg, see spec.config.files)",
    ),
    (
        &["hostname mismatch"],
        "NodeNameChanged",
        "its database belongs to a node of another name: set ERLANG_NODE to the old one",
    ),
];

/// The longest quotation from a log.
const MAX_QUOTED: usize = 300;

impl Cause {
    /// What `ending` means for a server that `was_up` before, or was starting.
    #[must_use]
    pub fn of(ending: &Ending, was_up: bool) -> Self {
        let words = ending.not_started.iter().chain(ending.log.iter().rev());
        // Only what kept it from starting: one that ran for days may have
        // logged anything.
        if !was_up && !ending.oom_killed {
            for line in words {
                let lower = line.to_lowercase();
                let sign =
                    SIGNS.iter().find(|(parts, ..)| parts.iter().all(|part| lower.contains(part)));
                if let Some((_, reason, cure)) = sign {
                    return Self {
                        reason: (*reason).to_owned(),
                        // What is wrapped around this one says nothing to anybody.
                        message: match *reason {
                            "DiskFull" => "no space is left on its disk".to_owned(),
                            _ => words_of(line),
                        },
                        cure: Some((*cure).to_owned()),
                        config: matches!(*reason, "ConfigUnreadable" | "ConfigInvalid"),
                    };
                }
            }
        }
        let last = last_words(&ending.log, was_up);
        let said = last.as_ref().map_or_else(String::new, |line| format!("; it last said: {line}"));
        let (reason, what) = match ending {
            Ending { not_started: Some(why), .. } => ("StartFailed", words_of(why)),
            Ending { oom_killed: true, .. } => {
                ("OutOfMemory", format!("the kernel killed it for want of memory{said}"))
            }
            Ending { exit_code: Some(137), .. } => {
                ("Killed", format!("it was killed (signal 9){said}"))
            }
            // As a shell has it: 128 and the signal.
            Ending { exit_code: Some(code @ 129..=159), .. } => {
                ("Terminated", format!("it was ended from outside (signal {}){said}", code - 128))
            }
            Ending { exit_code: Some(0), .. } => ("Ended", format!("it ended in good order{said}")),
            Ending { exit_code: Some(code), .. } => {
                ("Crashed", format!("it ended with exit code {code}{said}"))
            }
            Ending { exit_code: None, .. } => ("Ended", format!("it ended{said}")),
        };
        let cure = ending
            .oom_killed
            .then(|| "give its container more memory, or find out who uses it".to_owned());
        // A signal came from outside, and so may an end in good order.
        let config = reason == "Crashed";
        Self { reason: reason.to_owned(), message: what, cure, config }
    }

    /// It lives and did not answer for long.
    #[must_use]
    pub fn unresponsive() -> Self {
        Self::plain("Unresponsive", "it did not answer, and did nothing")
    }

    /// ejabberd was stopped in a node that lives.
    #[must_use]
    pub fn halted() -> Self {
        Self::plain("Halted", "ejabberd was stopped while its process went on")
    }

    /// It was started, and has neither answered nor worked for so long.
    #[must_use]
    pub fn frozen(limit: Duration) -> Self {
        let message = format!("it started, and neither answered nor worked for {limit:?}");
        Self::plain("Frozen", &message)
    }

    /// It was started and did nothing for so long.
    #[must_use]
    pub fn stuck_start(deadline: Duration) -> Self {
        let message = format!("it started, and neither answered nor worked for {deadline:?}");
        Self { config: true, ..Self::plain("StuckStart", &message) }
    }

    fn plain(reason: &str, message: &str) -> Self {
        Self { reason: reason.to_owned(), message: message.to_owned(), cure: None, config: false }
    }

    /// Whether somebody has to mend something before a start can work.
    #[must_use]
    pub fn needs_mending(&self) -> bool {
        SIGNS.iter().any(|(_, reason, _)| *reason == self.reason)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.cure.as_ref().map_or(Ok(()), |cure| write!(f, "; {cure}"))
    }
}

/// The last line that tells something: an error, or, of one that did not even
/// come up, whatever it said last.
fn last_words(log: &[String], was_up: bool) -> Option<String> {
    let telling = |line: &&String| {
        ["[critical]", "[error]", "[emergency]", "[alert]"].iter().any(|word| line.contains(word))
    };
    let line = log
        .iter()
        .rev()
        .find(telling)
        .or_else(|| log.iter().rev().find(|line| !was_up && !line.trim().is_empty()))?;
    Some(words_of(line))
}

/// A line without the colours that 26.07 writes even where nobody sees them.
#[must_use]
pub fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A sequence ends with its first letter.
        plain.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                .get(1..)
                .unwrap_or_default(),
        );
    }
    plain
}

/// What a line of the server's log says, without its time, level and process;
/// bounded.
#[must_use]
pub fn words_of(line: &str) -> String {
    let line = without_colours(line);
    let said = line
        .split_once("] ")
        .filter(|(head, _)| head.contains(" ["))
        .map_or(line.as_str(), |(_, said)| said);
    let said = match said.split_once(") ") {
        Some((process, said)) if process.starts_with("(<") => said,
        _ => said,
    };
    let said: String = said.trim().chars().filter(|c| !c.is_control()).collect();
    if said.chars().count() <= MAX_QUOTED {
        return said;
    }
    said.chars().take(MAX_QUOTED).chain(['…']).collect()
}
