//! Formats a problem as text for a terminal.

use std::borrow::Cow;
use std::fmt;

use super::problem::{Position, Problem, Severity};

/// The maximum width of a source line, in columns.
const SHOWN_COLUMNS: usize = 100;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        match &self.position {
            None => write!(f, "{prefix}{}", printable(&self.message))?,
            Some(position) => {
                writeln!(f, "{position}: {prefix}{}", printable(&self.message))?;
                write_source(f, position)?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\nhelp: {}", printable(help)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", printable(&self.file.to_string_lossy()), self.line, self.column)
    }
}

fn write_source(f: &mut fmt::Formatter<'_>, position: &Position) -> fmt::Result {
    let (shown, from, length) = window(position);
    let number = position.line.to_string();
    writeln!(f, "{}", format!("{number:>4} | {shown}").trim_end())?;
    let gutter = " ".repeat(number.len().max(4));
    write!(f, "{gutter} | {}{}", " ".repeat(from), "^".repeat(length))
}

/// Returns the part of the line that fits into [`SHOWN_COLUMNS`], and the column and the width of
/// the underlined part.
fn window(position: &Position) -> (String, usize, usize) {
    let cells: Vec<String> = position.source_line.chars().map(shown_char).collect();
    let widths: Vec<usize> = cells.iter().map(|cell| cell.chars().count()).collect();
    let mark = position.underline_from.min(cells.len());
    let total: usize = widths.iter().sum();
    // Keep half of the columns for the text before the mistake, because that text explains the
    // mistake.
    let before: usize = widths.iter().take(mark).sum();
    let skip = if total <= SHOWN_COLUMNS { 0 } else { before.saturating_sub(SHOWN_COLUMNS / 2) };

    let (mut shown, mut column, mut from, mut length) = (String::new(), 0, 0, 0);
    let mut passed = 0;
    for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
        if passed < skip {
            passed += width;
            if shown.is_empty() {
                shown.push('…');
                column = 1;
            }
            continue;
        }
        if column + width > SHOWN_COLUMNS {
            shown.push('…');
            break;
        }
        if index == mark {
            from = column;
        }
        if index >= mark && index < mark + position.length {
            length += width;
        }
        shown.push_str(cell);
        column += width;
    }
    if mark >= cells.len() {
        from = column;
    }
    (shown, from, length.max(1))
}

/// Escapes a text of one line for a terminal. The text may contain names from the file or the
/// server with deceptive characters.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_treacherous) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_treacherous(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Escapes a character of the source for a terminal.
fn shown_char(c: char) -> String {
    match c {
        '\t' => "    ".to_owned(),
        c if is_treacherous(c) => c.escape_unicode().to_string(),
        c => c.to_string(),
    }
}

/// Whether a character could move the cursor, or make a text look like another text.
#[must_use]
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(source_line: &str, underline_from: usize, length: usize) -> Position {
        Position {
            file: "f.yaml".into(),
            line: 7,
            column: 1,
            source_line: source_line.into(),
            length,
            underline_from,
        }
    }

    #[test]
    fn deceptive_characters_are_escaped_and_the_underline_moves() {
        let (shown, from, length) = window(&position("\ta\u{1b}b\u{202e}c", 3, 2));
        assert_eq!(shown, "    a\\u{1b}b\\u{202e}c");
        assert_eq!((from, length), (11, 9));
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let line = format!("{}HERE{}", "x".repeat(500), "y".repeat(500));
        let (shown, from, length) = window(&position(&line, 500, 4));
        assert!(shown.chars().count() <= SHOWN_COLUMNS + 1, "{shown}");
        let marked: String = shown.chars().skip(from).take(length).collect();
        assert_eq!(marked, "HERE");
    }
}
