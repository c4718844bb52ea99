//! What `ejabberdctl` prints, read back as the term that it was.

use crate::domain::model::ServerVersion;
use crate::ejabberd::{ControlError, Shape, Value};
use crate::engine::Output;

/// From this length on, in bytes, the runtime may have cut a response. A part of a list of accounts
/// must not pass for the whole list.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// How much of ejabberd's words is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// The response to `command`, read from `output`.
pub(super) fn read(
    command: &'static str,
    shape: Shape,
    output: &Output,
) -> Result<Value, ControlError> {
    let said = without_reports(&output.stdout);
    match output.code {
        Some(0) => {
            is_whole(command, output)?;
            Ok(success(shape, said))
        }
        Some(1) => failure(command, shape, said),
        Some(2) => Err(refused(command, "this version takes other arguments")),
        Some(3) => Err(ControlError::Unreachable("its node does not answer".to_owned())),
        // A signal ended it, as one does when the container of the server ends.
        None | Some(129..=159) => Err(ControlError::Broken(command)),
        Some(code) => {
            let words = if said.trim().is_empty() { output.stderr.as_str() } else { said };
            let line = first_line(words);
            Err(refused(command, &format!("ejabberdctl ended with {code}: {line}")))
        }
    }
}

/// Fails where a response may have been cut.
pub(super) fn is_whole(command: &'static str, output: &Output) -> Result<(), ControlError> {
    if output.stdout.len() < MAX_RESPONSE_BYTES {
        return Ok(());
    }
    Err(ControlError::Unsupported {
        command,
        why: "the answer is too long; use an image that has an `erl`",
    })
}

/// The version in what `status` prints: `ejabberd 24.12-3 is running in that node`.
pub(super) fn version(stdout: &str) -> Option<ServerVersion> {
    stdout.lines().find_map(|line| {
        let (version, rest) = line.trim().strip_prefix("ejabberd ")?.split_once(' ')?;
        rest.starts_with("is running").then(|| ServerVersion::parse(version)).flatten()
    })
}

/// Where its `inetrc` is missing, each call begins with reports about that.
fn without_reports(mut said: &str) -> &str {
    while let Some(first) = said.lines().next()
        && first.starts_with('=')
        && first.contains(" REPORT====")
    {
        said = said.split_once("\n\n").map_or("", |(_, rest)| rest);
    }
    said
}

fn success(shape: Shape, said: &str) -> Value {
    let text = said.strip_suffix('\n').unwrap_or(said);
    match shape {
        Shape::Rescode => Value::Atom("ok".to_owned()),
        Shape::Restuple => tuple("ok", text),
        Shape::Text => Value::Text(text.to_owned()),
        Shape::Lines => Value::List(said.lines().map(|l| Value::Text(l.to_owned())).collect()),
        Shape::Pairs => Value::List(pairs(said)),
    }
}

/// Lines of cells. A line without a tab goes on with the last cell of the one
/// before, which had a newline in it.
fn pairs(said: &str) -> Vec<Value> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in said.lines() {
        match rows.last_mut().and_then(|row| row.last_mut()) {
            Some(last) if !line.contains('\t') => {
                last.push('\n');
                last.push_str(line);
            }
            _ => rows.push(line.split('\t').map(str::to_owned).collect()),
        }
    }
    rows.into_iter().map(|row| Value::Tuple(row.into_iter().map(Value::Text).collect())).collect()
}

/// Exit code 1: the command refused, threw or crashed, or does not exist.
fn failure(command: &'static str, shape: Shape, said: &str) -> Result<Value, ControlError> {
    let said = said.trim();
    if said.starts_with("Error: unknown command") {
        return Err(ControlError::UnknownCommand {
            command,
            hint: "are mod_admin_extra and mod_muc_admin among the modules of its configuration?",
        });
    }
    if said.starts_with("Failed RPC connection") {
        return Err(ControlError::Unreachable("its node does not answer".to_owned()));
    }
    if let Some(report) = said.strip_prefix("Unhandled exception occurred executing the command:") {
        return Err(crashed(command, report));
    }
    // Up to 23.10, wrong arguments have no error of their own kind.
    if said.starts_with("Command Name:") {
        return Err(refused(command, "this version takes other arguments"));
    }
    let word = said.strip_prefix("Error: ").unwrap_or(said);
    match shape {
        Shape::Rescode if word.is_empty() => Ok(Value::Atom("false".to_owned())),
        Shape::Rescode if is_atom(word) => Ok(Value::Atom(word.to_owned())),
        // A term that is printed as it is was thrown; others were answered.
        Shape::Restuple if !said.starts_with('{') => Ok(tuple("error", &limited(word))),
        _ => Err(refused(command, &message(said))),
    }
}

fn tuple(tag: &str, text: &str) -> Value {
    Value::Tuple(vec![Value::Atom(tag.to_owned()), Value::Text(text.to_owned())])
}

fn is_atom(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// ejabberd's sentence out of what it printed: `{error,"Room not found"}`, or
/// `Error: error` and `Error: "Unknown virtual host"` below it.
fn message(said: &str) -> String {
    let quoted = said.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
    match quoted {
        Some((sentence, _)) if !sentence.is_empty() => sentence.to_owned(),
        _ => first_line(said.strip_prefix("Error: ").unwrap_or(said)),
    }
}

/// Only the kind of a crash and its place: the rest holds arguments.
fn crashed(command: &'static str, report: &str) -> ControlError {
    let tag = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("** exception "))
        .and_then(|line| line.split_once(": "))
        .map_or("", |(_, reason)| reason)
        .trim_start_matches('{')
        .split(|c: char| !(c.is_ascii_lowercase() || c == '_' || c == ' '))
        .next()
        .unwrap_or("");
    let place = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("in function "))
        .and_then(|line| line.split_whitespace().next());
    ControlError::Crashed {
        command,
        // `no case clause matching X`: X is an argument, and may be a plain word.
        tag: tag.split(" matching").next().unwrap_or("").trim().to_owned(),
        place: place.map_or_else(String::new, |place| format!(" in {place}")),
    }
}

fn refused(command: &'static str, message: &str) -> ControlError {
    let message = if message.is_empty() { "it said no, without a reason" } else { message };
    ControlError::Refused { command, message: limited(message) }
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("").to_owned()
}

fn limited(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}
