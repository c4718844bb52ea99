//! The server's log and console. The console is a file with the messages that are not in the log:
//! errors of the control script, and errors of a VM that does not boot.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use super::files::Owner;
use super::{ServerSetup, failed, files};
use crate::engine::{LogLine, RuntimeError};

/// The maximum size of the console, in bytes. The operator moves the content of a larger console to
/// a second file, which replaces the previous second file.
const MAX_CONSOLE_BYTES: u64 = 1 << 20;

/// The maximum number of bytes to read from the end of a file. ejabberd logs whole stanzas in
/// `debug`.
const TAIL_BYTES: u64 = 1 << 20;

/// The maximum length of a line, in characters. A longer line is truncated.
const MAX_LINE_CHARS: usize = 2000;

impl ServerSetup {
    fn console(&self) -> PathBuf {
        self.layout.logs.join("console.log")
    }

    fn console_owner(&self) -> Owner {
        Owner { uid: self.account.uid, gid: self.account.gid, mode: 0o640 }
    }
}

/// Returns whether an operator has ever started the server.
pub(super) fn exists(setup: &ServerSetup) -> bool {
    setup.console().exists()
}

/// Opens the console for a start of the server, and appends a line with the time.
pub(super) fn open(setup: &ServerSetup) -> Result<File, RuntimeError> {
    let path = setup.console();
    trim(setup).map_err(|e| failed("cut", &path, &e))?;
    let open = || {
        let mut file = files::append(&path, setup.console_owner())?;
        writeln!(file, "{} [info] ejabberd-operator starts ejabberd", now())?;
        Ok(file)
    };
    open().map_err(|e: io::Error| failed("open", &path, &e))
}

/// Returns the current time in the format of ejabberd's log.
fn now() -> String {
    format!("{:.6}", Timestamp::now()).replace('T', " ").replace('Z', "+00:00")
}

/// Moves the content to a second file if the console is larger than [`MAX_CONSOLE_BYTES`]. Copies
/// the content and truncates the console, because the server keeps the console open.
pub(super) fn trim(setup: &ServerSetup) -> io::Result<()> {
    let path = setup.console();
    let Ok(meta) = fs::symlink_metadata(&path) else { return Ok(()) };
    if !meta.is_file() || meta.len() <= MAX_CONSOLE_BYTES {
        return Ok(());
    }
    let old = tail(&path, MAX_CONSOLE_BYTES)?;
    let aside = path.with_extension("log.1");
    let owner = setup.console_owner();
    files::replace(&[(aside, old.as_bytes())], owner)?;
    files::append(&path, owner)?.set_len(0)
}

/// Reads the last `bytes` bytes of a file, from the beginning of a line.
fn tail(path: &std::path::Path, bytes: u64) -> io::Result<String> {
    let Some((mut file, meta)) = files::open(path)? else { return Ok(String::new()) };
    let skipped = meta.len().saturating_sub(bytes);
    file.seek(SeekFrom::Start(skipped))?;
    let mut content = Vec::new();
    file.take(bytes).read_to_end(&mut content)?;
    let text = String::from_utf8_lossy(&content).into_owned();
    Ok(match text.split_once('\n') {
        Some((_, rest)) if skipped > 0 => rest.to_owned(),
        _ => text,
    })
}

/// Returns the last `lines` lines of the log and the console since `since`, sorted by time. Does
/// not read the log files that ejabberd has rotated.
pub(super) fn lines_since(
    setup: &ServerSetup,
    since: Timestamp,
    lines: usize,
) -> Result<Vec<LogLine>, RuntimeError> {
    let mut found = Vec::new();
    for path in [setup.layout.logs.join("ejabberd.log"), setup.console()] {
        let text = tail(&path, TAIL_BYTES).map_err(|e| failed("read", &path, &e))?;
        found.extend(timed(&text).filter(|(time, _)| *time >= since).map(|(time, line)| LogLine {
            time,
            text: line.chars().take(MAX_LINE_CHARS).collect(),
        }));
    }
    // The sort is stable: lines with the same time keep their order.
    found.sort_by_key(|line: &LogLine| line.time);
    let first = found.len().saturating_sub(lines);
    Ok(found.into_iter().skip(first).collect())
}

/// Returns each line with its time. A line without a time has the time of the previous line, or
/// [`Timestamp::MIN`] at the beginning of the text.
fn timed(text: &str) -> impl Iterator<Item = (Timestamp, &str)> {
    let mut last = Timestamp::MIN;
    text.lines().map(move |line| {
        // `2026-11-22 19:00:00.123456+00:00 [info] …`
        let end = line.match_indices(' ').nth(1).map_or(line.len(), |(at, _)| at);
        if let Some(Ok(time)) = line.get(..end).map(str::parse) {
            last = time;
        }
        (last, line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_time_has_the_time_of_the_previous_line() {
        let text = "beginning\n2026-11-22 19:00:00.123456+00:00 [info] one\n  more of one\n\
                    2026-11-22 21:00:01.000000+02:00 [error] two\n";
        let lines: Vec<_> = timed(text).collect();
        assert_eq!(lines[0], (Timestamp::MIN, "beginning"));
        let one: Timestamp = "2026-11-22T19:00:00.123456Z".parse().unwrap();
        assert_eq!(lines[1].0, one);
        assert_eq!(lines[2], (one, "  more of one"));
        assert_eq!(lines[3].0, "2026-11-22T19:00:01Z".parse().unwrap());
        let written = format!("{} [info] x", now());
        assert!(timed(&written).next().unwrap().0 > one, "{written}");
    }
}
