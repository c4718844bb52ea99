//! Detects the colours and the width of the terminal, and escapes text. So the terminal displays
//! text from the server or a file, and never executes a control sequence in this text.

use std::borrow::Cow;
use std::io::IsTerminal;

use anstream::{AutoStream, ColorChoice};
use console::{Style, Term};
use serde::Serialize;

use super::Exit;
use crate::domain::spec::{is_treacherous, printable};

/// An output stream. Each of the two streams may be a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output, for results.
    Out,
    /// Standard error, for everything else.
    Err,
}

/// Whether the output contains colour sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dim();
pub(super) const RED: Style = Style::new().red();
pub(super) const GREEN: Style = Style::new().green();
pub(super) const YELLOW: Style = Style::new().yellow();
pub(super) const CYAN: Style = Style::new().cyan();

impl Stream {
    /// Returns whether this stream has colours. The decision depends on `NO_COLOR`,
    /// `CLICOLOR_FORCE`, `CLICOLOR`, the terminal, and `TERM`, in this order. `clap` has the same
    /// rule, so help texts and results match.
    pub(super) fn colours(self) -> Colours {
        let choice = match self {
            Self::Out => AutoStream::choice(&std::io::stdout()),
            Self::Err => AutoStream::choice(&std::io::stderr()),
        };
        if choice == ColorChoice::Never { Colours::Off } else { Colours::On }
    }

    /// Returns the width of the terminal, in columns. `None` for a file, a pipe, or a terminal of
    /// unknown width.
    pub(super) fn width(self) -> Option<usize> {
        let term = match self {
            Self::Out => Term::stdout(),
            Self::Err => Term::stderr(),
        };
        // A terminal of unknown size reports the width 0.
        term.size_checked().map(|(_, columns)| usize::from(columns)).filter(|width| *width > 0)
    }

    /// Escapes a text, and applies a style to the text if this stream has colours.
    pub(super) fn paint(self, text: &str, style: Style) -> String {
        paint(text, style, self.colours())
    }
}

/// Returns whether standard error is a terminal that can move its cursor. A progress bar needs such
/// a terminal.
pub(super) fn can_redraw() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Escapes a text, and applies a style to the text if `colours` is on.
pub(super) fn paint(text: &str, style: Style, colours: Colours) -> String {
    style.force_styling(colours == Colours::On).apply_to(printable(text)).to_string()
}

/// Escapes a text of several lines. Keeps line ends, and keeps colour sequences if `colours` is on.
/// Escapes all other characters that could move the cursor or disguise a text.
pub(super) fn harmless(text: &str, colours: Colours) -> Cow<'_, str> {
    if !text.contains(|c| is_treacherous(c) && c != '\n') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| is_treacherous(c) && c != '\n') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(length) = colour_sequence(from).filter(|_| colours == Colours::On) {
            let (sequence, after) = from.split_at(length);
            out.push_str(sequence);
            rest = after;
            continue;
        }
        let mut chars = from.chars();
        out.extend(chars.next().into_iter().flat_map(char::escape_default));
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.into()
}

/// Returns the length, in bytes, of the colour sequence at the start of `text`. `None` if `text`
/// does not start with a colour sequence. The iterator of the crate `console` is not suitable,
/// because the iterator also accepts sequences that move the cursor.
fn colour_sequence(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("\x1b[")?.split_once('m')?.0;
    let short = digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit() || b == b';');
    short.then_some(digits.len() + 3)
}

/// Escapes all characters in JSON that could deceive a terminal. The value of the JSON does not
/// change, because such characters, except line ends, occur only inside of strings.
pub(super) fn harmless_json(json: &str) -> Cow<'_, str> {
    if !json.contains(|c| is_treacherous(c) && c != '\n') {
        return json.into();
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_treacherous(c) && c != '\n' {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Writes a value as YAML that cannot deceive a terminal. The YAML writer escapes only control
/// characters; a value with other treacherous characters is written as JSON, which is YAML too.
pub(super) fn harmless_yaml(value: &impl Serialize) -> Result<String, Exit> {
    let yaml = serde_yaml::to_string(value)?;
    if yaml.contains(|c| is_treacherous(c) && c != '\n') {
        let json = serde_json::to_string_pretty(value)?;
        return Ok(format!("{}\n", harmless_json(&json)));
    }
    Ok(yaml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_sequences_stay_only_with_colours_on() {
        let text = "\x1b[31mred\x1b[0m\nline \x1b]0;title\x07 \u{9b}2J \u{202e}back\r";
        let shown = "\x1b[31mred\x1b[0m\nline \\u{1b}]0;title\\u{7} \\u{9b}2J \\u{202e}back\\r";
        assert_eq!(harmless(text, Colours::On), shown);
        assert!(harmless(text, Colours::Off).starts_with("\\u{1b}[31mred\\u{1b}[0m\nline"));
        assert!(matches!(harmless("grün\nund gut", Colours::Off), Cow::Borrowed(_)));
    }

    #[test]
    fn a_coloured_text_cannot_contain_escape_sequences() {
        assert_eq!(paint("a\x1b[2Jb", RED, Colours::On), "\x1b[31ma\\u{1b}[2Jb\x1b[0m");
        assert_eq!(paint("a\nb", RED, Colours::Off), "a\\nb");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({ "name": "a\u{9b}2J\u{202e}\u{7f}\u{1b}\n", "n": 1 });
        let json = serde_json::to_string_pretty(&value).unwrap();
        let safe = harmless_json(&json);
        assert!(!safe.chars().any(|c| is_treacherous(c) && c != '\n'), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn a_value_that_yaml_cannot_show_safely_is_written_as_json() {
        let value = serde_json::json!({ "name": "a\u{9b}2J\u{202e}\u{7f}\u{1b}[2J\n\r" });
        let plain = serde_json::json!({ "name": "ann\u{1b}[2J" });
        for value in [value, plain] {
            let yaml = harmless_yaml(&value).unwrap();
            assert!(!yaml.chars().any(|c| is_treacherous(c) && c != '\n'), "{yaml:?}");
            assert_eq!(serde_yaml::from_str::<serde_json::Value>(&yaml).unwrap(), value);
        }
    }
}
