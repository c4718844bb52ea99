//! The texts of the files, and the parts that messages may show.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::mask;
use super::problem::Position;
use super::tree::Span;
use crate::domain::mask::MASK;

/// The number of characters that a message shows on each side of a mistake.
const KEPT_CHARS: usize = 200;
/// The maximum length of a line that a message shows. A longer line contains data that a program
/// wrote.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// The number of lines above a mistake in an invalid file that are searched for a password key.
const LINES_ABOVE: usize = 200;

/// One file to validate.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The path for messages. Its parent is the base of the relative paths in the file.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

/// The files, their lines, and their secrets.
pub(crate) struct Sources<'a> {
    files: &'a [SourceFile],
    line_starts: Vec<Vec<usize>>,
    secrets: Vec<Vec<Range<usize>>>,
    broken: HashSet<usize>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        Self {
            files,
            line_starts: files.iter().map(|file| line_starts(&file.text)).collect(),
            secrets: vec![Vec::new(); files.len()],
            broken: HashSet::new(),
        }
    }

    /// Marks the text of `span` as secret.
    pub(crate) fn add_secret(&mut self, span: Span) {
        // The parser ends the span of a block in the line after the block.
        let end = span.start + self.slice(span).trim_end().len();
        if let Some(ranges) = self.secrets.get_mut(span.file) {
            ranges.push(span.start..end);
        }
    }

    /// Marks a file as invalid. The secrets after the first error of such a file are not known.
    pub(crate) fn mark_broken(&mut self, file: usize) {
        self.broken.insert(file);
    }

    /// The text of `span`.
    pub(crate) fn slice(&self, span: Span) -> &'a str {
        self.text(span.file).get(span.start..span.end).unwrap_or_default()
    }

    /// The number of the line in which `span` begins.
    pub(crate) fn line_of(&self, span: Span) -> usize {
        self.starts(span.file).partition_point(|start| *start <= span.start).max(1)
    }

    /// The text `file:line`, for messages about a second position.
    pub(crate) fn reference(&self, span: Span) -> String {
        format!("{}:{}", self.path(span.file).display(), self.line_of(span))
    }

    /// The base directory of the relative paths of the file of `span`.
    pub(crate) fn base(&self, span: Span) -> &'a Path {
        self.path(span.file).parent().unwrap_or(Path::new(""))
    }

    /// The text of the line in which `span` begins, and the offset of the line.
    pub(crate) fn line(&self, span: Span) -> (&'a str, usize) {
        let number = self.line_of(span);
        let start = self.starts(span.file).get(number - 1).copied().unwrap_or_default();
        let text = self.text(span.file);
        let end = self.starts(span.file).get(number).copied().unwrap_or(text.len());
        (text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r']), start)
    }

    /// The position of `span`, with the masked line.
    pub(crate) fn position(&self, span: Span) -> Position {
        let (line, start) = self.line(span);
        let before = line.get(..span.start.saturating_sub(start)).unwrap_or(line).chars().count();
        let mut position = Position {
            file: self.path(span.file).to_owned(),
            line: self.line_of(span),
            column: before + 1,
            source_line: String::new(),
            length: 1,
            underline_from: 0,
        };
        if line.len() > MAX_LINE_BYTES {
            position.source_line.push('…');
            return position;
        }
        let hidden = self.hidden(span.file, start, line);
        let first = before.saturating_sub(KEPT_CHARS);
        if first > 0 {
            position.source_line.push('…');
        }
        let marked = span.start..span.end.max(span.start + 1);
        let (mut shown, mut from, mut length) = (usize::from(first > 0), None, 0);
        let mut masking = false;
        for (at, c) in line.char_indices().skip(first).take(2 * KEPT_CHARS) {
            let byte = start + at;
            let is_marked = marked.contains(&byte);
            let is_hidden = hidden.iter().any(|range| range.contains(&byte));
            if is_marked && from.is_none() {
                // A position inside a secret underlines the whole mask.
                let inside = if is_hidden && masking { MASK.len() } else { 0 };
                from = Some(shown - inside);
                length = inside;
            }
            let width = match (is_hidden, masking) {
                (true, true) => 0,
                (true, false) => {
                    position.source_line.push_str(MASK);
                    MASK.len()
                }
                (false, _) => {
                    position.source_line.push(c);
                    1
                }
            };
            masking = is_hidden;
            shown += width;
            length += if is_marked { width } else { 0 };
        }
        position.underline_from = from.unwrap_or(shown);
        position.length = length.max(1);
        position
    }

    /// The secret ranges of a line, in bytes.
    fn hidden(&self, file: usize, start: usize, line: &str) -> Vec<Range<usize>> {
        let end = start + line.len();
        if self.broken.contains(&file) && self.below_password(file, start, line) {
            let whole = start..end;
            return vec![whole];
        }
        let ranges = self.secrets.get(file).map_or(&[][..], Vec::as_slice);
        let mut hidden: Vec<_> =
            ranges.iter().filter(|range| range.start < end && range.end > start).cloned().collect();
        for found in mask::after_password_keys(line) {
            let found = start + found;
            if !hidden.iter().any(|range| range.contains(&found)) {
                hidden.push(found..end);
            }
        }
        hidden
    }

    /// Whether `line` may be a part of a password: `line` follows the key of a password, or is
    /// indented below a line with the key of a password.
    fn below_password(&self, file: usize, start: usize, line: &str) -> bool {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut limit = indent(line);
        let above = self.text(file).get(..start).unwrap_or_default();
        let previous =
            above.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if previous.ends_with(':') && previous.to_lowercase().contains("password") {
            return true;
        }
        for line in above.lines().rev().take(LINES_ABOVE).filter(|line| !line.trim().is_empty()) {
            if indent(line) < limit {
                limit = indent(line);
                if line.to_lowercase().contains("password") {
                    return true;
                }
            }
        }
        false
    }

    fn path(&self, file: usize) -> &'a Path {
        self.files.get(file).map_or(Path::new("?"), |file| &file.path)
    }

    fn text(&self, file: usize) -> &'a str {
        self.files.get(file).map_or("", |file| &file.text)
    }

    fn starts(&self, file: usize) -> &[usize] {
        self.line_starts.get(file).map_or(&[], Vec::as_slice)
    }
}

/// The offsets of the lines, in bytes. CR, LF and CRLF end a line.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().zip(bytes.iter().skip(1).chain(&[0])).enumerate();
    let after =
        ends.filter(|(_, (byte, next))| **byte == b'\n' || (**byte == b'\r' && **next != b'\n'));
    std::iter::once(0).chain(after.map(|(at, _)| at + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, start: usize, end: usize) -> Position {
        let files = [SourceFile { path: "f.yaml".into(), text: text.into() }];
        Sources::new(&files).position(Span { file: 0, start, end })
    }

    #[test]
    fn positions_are_counted_in_lines_and_characters() {
        for text in ["a\nöö: x\n", "a\röö: x", "a\r\nöö: x"] {
            let start = text.find('x').unwrap();
            let position = position(text, start, start + 1);
            assert_eq!(
                (position.line, position.column, position.source_line.as_str()),
                (2, 5, "öö: x"),
                "{text:?}"
            );
        }
        assert_eq!(position("", 0, 0).source_line, "");
        assert_eq!(position("a\n", 2, 2).line, 2);
    }

    #[test]
    fn a_secret_is_masked_and_the_underline_moves_with_it() {
        let text = "{ password: hunter2, x: y }";
        let position = position(text, 12, 19);
        assert_eq!(position.source_line, "{ password: ***");
        assert_eq!((position.underline_from, position.length, position.column), (12, 3, 13));
    }

    #[test]
    fn lines_above_the_maximum_length_are_not_shown() {
        let text = "x".repeat(MAX_LINE_BYTES + 1);
        let position = position(&text, 70_000, 70_001);
        assert_eq!((position.source_line.as_str(), position.length), ("…", 1));
    }
}
