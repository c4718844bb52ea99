//! What the terminal can take: colours, its width, and texts that are shown
//! and never obeyed.

use std::borrow::Cow;
use std::io::IsTerminal;

use anstream::{AutoStream, ColorChoice};
use console::Term;
use serde::Serialize;

use super::Exit;
use crate::domain::spec::{is_treacherous, printable};

/// Where something is written to. Each may be a terminal by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Results.
    Out,
    /// Everything else.
    Err,
}

/// A colour or a weight: the number in its escape sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Bold = 1,
    Faint = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Stream {
    /// Whether colours are wanted there. The rule is that of `clap`, so that help
    /// and results look alike: `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, a terminal,
    /// `TERM`, in this order.
    pub(super) fn colours(self) -> bool {
        let choice = match self {
            Self::Out => AutoStream::choice(&std::io::stdout()),
            Self::Err => AutoStream::choice(&std::io::stderr()),
        };
        choice != ColorChoice::Never
    }

    /// Its width in columns, if it is a terminal: a file has none.
    pub(super) fn width(self) -> Option<usize> {
        let term = match self {
            Self::Out => Term::stdout(),
            Self::Err => Term::stderr(),
        };
        // A terminal that does not know its size says 0.
        term.size_checked().map(|(_, columns)| usize::from(columns)).filter(|width| *width > 0)
    }

    /// The text in that colour, if colours are wanted there.
    pub(super) fn paint(self, text: &str, ink: Ink) -> String {
        paint(text, ink, self.colours())
    }
}

/// Whether something may be drawn over on standard error: a terminal that can
/// move its cursor.
pub(super) fn can_redraw() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The text in that colour, if it is to be coloured.
pub(super) fn paint(text: &str, ink: Ink, coloured: bool) -> String {
    let text = printable(text);
    if coloured { format!("\x1b[{}m{text}\x1b[0m", ink as u8) } else { text.into_owned() }
}

/// A text of several lines as it may go out: lines stay lines and our own
/// colours stay colours; whatever else could move the cursor, or show a text
/// as another one, is shown escaped.
pub(super) fn harmless(text: &str, coloured: bool) -> Cow<'_, str> {
    if !text.contains(|c| is_treacherous(c) && c != '\n') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| is_treacherous(c) && c != '\n') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(length) = colour_sequence(from).filter(|_| coloured) {
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

/// The length of the colour sequence that `text` begins with, if it does.
fn colour_sequence(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("\x1b[")?.split_once('m')?.0;
    let short = digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit() || b == b';');
    short.then_some(digits.len() + 3)
}

/// JSON with whatever could deceive a terminal escaped, which means the same to
/// a program. Outside of its strings there is none of that but line ends.
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

/// YAML that cannot deceive a terminal. Its writer escapes control characters
/// and no others; where there are others, JSON stands in, which is YAML too.
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
    fn only_our_own_colours_pass_and_only_where_they_are_wanted() {
        let text = "\x1b[31mred\x1b[0m\nline \x1b]0;title\x07 \u{9b}2J \u{202e}back\r";
        let shown = "\x1b[31mred\x1b[0m\nline \\u{1b}]0;title\\u{7} \\u{9b}2J \\u{202e}back\\r";
        assert_eq!(harmless(text, true), shown);
        assert!(harmless(text, false).starts_with("\\u{1b}[31mred\\u{1b}[0m\nline"));
        assert!(matches!(harmless("grün\nund gut", false), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_coloured_cannot_bring_sequences_of_its_own() {
        assert_eq!(paint("a\x1b[2Jb", Ink::Red, true), "\x1b[31ma\\u{1b}[2Jb\x1b[0m");
        assert_eq!(paint("a\nb", Ink::Red, false), "a\\nb");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({ "name": "a\u{9b}2J\u{202e}\u{7f}\u{1b}\n", "n": 1 });
        let json = serde_json::to_string_pretty(&value).unwrap();
        let safe = harmless_json(&json);
        assert!(!safe.chars().any(|c| is_treacherous(c) && c != '\n'), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn yaml_that_cannot_be_shown_is_json() {
        let value = serde_json::json!({ "name": "a\u{9b}2J\u{202e}\u{7f}\u{1b}[2J\n\r" });
        let plain = serde_json::json!({ "name": "ann\u{1b}[2J" });
        for value in [value, plain] {
            let yaml = harmless_yaml(&value).unwrap();
            assert!(!yaml.chars().any(|c| is_treacherous(c) && c != '\n'), "{yaml:?}");
            assert_eq!(serde_yaml::from_str::<serde_json::Value>(&yaml).unwrap(), value);
        }
    }
}
