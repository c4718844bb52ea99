//! Parses the output of `ejabberdctl` into the term that the command returned.

use crate::domain::model::ServerVersion;
use crate::ejabberd::{ControlError, Shape, Value};
use crate::engine::Output;

/// A response of at least this length, in bytes, may be incomplete, because the runtime limits
/// output. Without this limit, a part of a list of accounts would count as the whole list.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// The maximum length of a message of ejabberd, in characters. A longer message is truncated.
const MAX_MESSAGE_CHARS: usize = 300;

/// Parses the response to `command` from `output`.
pub(super) fn read(
    command: &'static str,
    shape: Shape,
    output: &Output,
) -> Result<Value, ControlError> {
    let printed = without_reports(&output.stdout);
    match output.code {
        Some(0) => {
            is_whole(command, output)?;
            Ok(success(shape, printed))
        }
        Some(1) => failure(command, shape, printed),
        Some(2) => Err(refused(command, "this version takes other arguments")),
        Some(3) => Err(ControlError::Unreachable("its node does not respond".to_owned())),
        // A signal ended the program, as happens when the server's container ends.
        None | Some(129..=159) => Err(ControlError::Broken(command)),
        Some(code) => {
            let words = if printed.trim().is_empty() { output.stderr.as_str() } else { printed };
            let line = first_line(words);
            Err(refused(command, &format!("ejabberdctl ended with {code}: {line}")))
        }
    }
}

/// Fails if a response may be incomplete.
pub(super) fn is_whole(command: &'static str, output: &Output) -> Result<(), ControlError> {
    if output.stdout.len() < MAX_RESPONSE_BYTES {
        return Ok(());
    }
    Err(ControlError::Unsupported {
        command,
        why: "the response is too long; use an image that has an `erl`",
    })
}

/// The version in the output of `status`: `ejabberd 24.12-3 is running in that node`.
pub(super) fn version(stdout: &str) -> Option<ServerVersion> {
    stdout.lines().find_map(|line| {
        let (version, rest) = line.trim().strip_prefix("ejabberd ")?.split_once(' ')?;
        rest.starts_with("is running").then(|| ServerVersion::parse(version)).flatten()
    })
}

/// Removes the error reports that precede each response if the node's `inetrc` is missing.
fn without_reports(mut printed: &str) -> &str {
    while let Some(first) = printed.lines().next()
        && first.starts_with('=')
        && first.contains(" REPORT====")
    {
        printed = printed.split_once("\n\n").map_or("", |(_, rest)| rest);
    }
    printed
}

fn success(shape: Shape, printed: &str) -> Value {
    let text = printed.strip_suffix('\n').unwrap_or(printed);
    match shape {
        Shape::Rescode => Value::Atom("ok".to_owned()),
        Shape::Restuple => tuple("ok", text),
        Shape::Text => Value::Text(text.to_owned()),
        Shape::Lines => Value::List(printed.lines().map(|l| Value::Text(l.to_owned())).collect()),
        Shape::Pairs => Value::List(pairs(printed)),
    }
}

/// Parses lines of cells with tabs between the cells. A line without a tab continues the last cell
/// of the previous line, because that cell contains a newline.
fn pairs(printed: &str) -> Vec<Value> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in printed.lines() {
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

/// Parses the output of a command with exit code 1: the command refused, threw or crashed, or does
/// not exist.
fn failure(command: &'static str, shape: Shape, printed: &str) -> Result<Value, ControlError> {
    let printed = printed.trim();
    if printed.starts_with("Error: unknown command") {
        return Err(ControlError::UnknownCommand {
            command,
            hint: "are mod_admin_extra and mod_muc_admin among the modules of its configuration?",
        });
    }
    if printed.starts_with("Failed RPC connection") {
        return Err(ControlError::Unreachable("its node does not respond".to_owned()));
    }
    if let Some(report) =
        printed.strip_prefix("Unhandled exception occurred executing the command:")
    {
        return Err(crashed(command, report));
    }
    // Up to 23.10, wrong arguments have the exit code of other errors.
    if printed.starts_with("Command Name:") {
        return Err(refused(command, "this version takes other arguments"));
    }
    let word = printed.strip_prefix("Error: ").unwrap_or(printed);
    match shape {
        Shape::Rescode if word.is_empty() => Ok(Value::Atom("false".to_owned())),
        Shape::Rescode if is_atom(word) => Ok(Value::Atom(word.to_owned())),
        // Output that begins with `{` is a term that the command threw. Other output is the message
        // of the result.
        Shape::Restuple if !printed.starts_with('{') => Ok(tuple("error", &limited(word))),
        _ => Err(refused(command, &message(printed))),
    }
}

fn tuple(tag: &str, text: &str) -> Value {
    Value::Tuple(vec![Value::Atom(tag.to_owned()), Value::Text(text.to_owned())])
}

fn is_atom(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// ejabberd's message in `printed`. The output is `{error,"Room not found"}`, or `Error: error` and
/// then `Error: "Unknown virtual host"` on the next line.
fn message(printed: &str) -> String {
    let quoted = printed.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
    match quoted {
        Some((sentence, _)) if !sentence.is_empty() => sentence.to_owned(),
        _ => first_line(printed.strip_prefix("Error: ").unwrap_or(printed)),
    }
}

/// The error for a crash report, with the kind of the crash and its function. Omits the rest of the
/// report, because the rest contains arguments.
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
    let function = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("in function "))
        .and_then(|line| line.split_whitespace().next());
    ControlError::Crashed {
        command,
        // Remove the value from `no case clause matching X`: X is an argument, and may consist of
        // lowercase letters.
        tag: tag.split(" matching").next().unwrap_or("").trim().to_owned(),
        place: function.map_or_else(String::new, |function| format!(" in {function}")),
    }
}

fn refused(command: &'static str, message: &str) -> ControlError {
    let message = if message.is_empty() { "ejabberd refused without a reason" } else { message };
    ControlError::Refused { command, message: limited(message) }
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("").to_owned()
}

fn limited(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}
