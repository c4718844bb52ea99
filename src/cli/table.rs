//! Formats tables for people. The columns are aligned by the display width of their text, and fit
//! the terminal. In a pipe, each row is one line.

use std::borrow::Cow;

use console::{Style, measure_text_width};
use textwrap::{WordSeparator, WordSplitter, WrapAlgorithm};

use super::terminal::{Colours, Stream, paint};
use crate::domain::spec::printable;

/// The distance between two columns, in terminal columns.
const GAP: usize = 2;

/// The maximum width of a column before the last column, in terminal columns, if only a few entries
/// are longer. A longer entry extends into the next columns.
const MAX_COLUMN: usize = 60;

/// The minimum width of the last column, in terminal columns. If the terminal is too narrow, each
/// row is on several lines.
const MIN_LAST: usize = 24;

/// A cell of a table.
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// Creates a cell with a colour.
    pub(super) fn painted(text: &str, style: Style) -> Self {
        Self { text: printable(text).into_owned(), style: Some(style) }
    }

    fn width(&self) -> usize {
        measure_text_width(&self.text)
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: printable(text.as_ref()).into_owned(), style: None }
    }
}

/// The width and the colours of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// The width in columns; `None` for a pipe.
    pub(super) width: Option<usize>,
    /// Whether the output contains colour sequences.
    pub(super) colours: Colours,
}

impl Page {
    /// Returns the width and the colours of standard output.
    pub(super) fn out() -> Self {
        Self { width: Stream::Out.width(), colours: Stream::Out.colours() }
    }
}

enum Row {
    Cells(Vec<Cell>),
    /// An unformatted line between rows.
    Line(String),
}

/// A table with rows of cells. The last cell of a row may be a long text.
pub(super) struct Table {
    head: Option<Vec<Cell>>,
    rows: Vec<Row>,
    /// The width of the left margin, in terminal columns.
    indent: usize,
    /// The number of columns at the start of a row that identify the row. If a row has several
    /// lines, these columns are together on the first line.
    keys: usize,
}

impl Table {
    pub(super) fn new(indent: usize, keys: usize) -> Self {
        Self { head: None, rows: Vec::new(), indent, keys }
    }

    /// Adds headings to a table.
    pub(super) fn headed(mut self, head: &[&str]) -> Self {
        self.head = Some(head.iter().map(Cell::from).collect());
        self
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(Row::Cells(cells.into_iter().collect()));
    }

    /// Adds a full line between two rows. The columns continue below the line.
    pub(super) fn line(&mut self, line: impl Into<String>) {
        self.rows.push(Row::Line(line.into()));
    }

    /// Formats the table as lines that fit the page.
    pub(super) fn render(&self, page: Page) -> String {
        let cells = self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => Some(cells),
            Row::Line(_) => None,
        });
        let all = || self.head.iter().chain(cells.clone());
        let columns = all().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
        let widest = |n: usize| all().filter_map(|row| row.get(n)).map(Cell::width).max();
        let widths: Vec<usize> =
            (0..columns).map(|n| widest(n).unwrap_or(0).min(MAX_COLUMN)).collect();
        let before = self.indent + widths.iter().map(|width| width + GAP).sum::<usize>();
        let last = widest(columns).unwrap_or(0).min(MIN_LAST);
        let narrow = page.width.filter(|width| before + last > *width);
        let head = self.head.iter().filter(|_| narrow.is_none());
        let head = head.map(|head| self.aligned(head, &widths, page));
        let rows = self.rows.iter().map(|row| match (row, narrow) {
            (Row::Line(line), _) => format!("{line}\n"),
            (Row::Cells(cells), None) => self.aligned(cells, &widths, page),
            (Row::Cells(cells), Some(width)) => self.stacked(cells, width, page.colours),
        });
        head.chain(rows).collect()
    }

    /// Formats a row in columns.
    fn aligned(&self, row: &[Cell], widths: &[usize], page: Page) -> String {
        let mut lines = Lines::new();
        let mut start = self.indent;
        for (n, cell) in row.iter().enumerate() {
            if cell.text.is_empty() {
                start += widths.get(n).map_or(0, |width| width + GAP);
                continue;
            }
            // The cells after a long entry continue on the next line.
            if page.width.is_some() && lines.column > start {
                lines.new_line();
            }
            match widths.get(n) {
                Some(width) => {
                    lines.put(start, &cell.text, cell.style.as_ref(), page.colours);
                    start += width + GAP;
                }
                None => {
                    let room = page.width.map(|width| width.saturating_sub(start).max(1));
                    for (number, line) in wrap(&cell.text, room).iter().enumerate() {
                        if number > 0 {
                            lines.new_line();
                        }
                        lines.put(start, line, cell.style.as_ref(), page.colours);
                    }
                }
            }
        }
        lines.end()
    }

    /// Formats a row on several lines: the cells that identify the row, and the other cells below.
    fn stacked(&self, row: &[Cell], width: usize, colours: Colours) -> String {
        let (keys, rest) = row.split_at(self.keys.min(row.len()));
        let mut lines = Lines::new();
        let deeper = self.indent + 4;
        let mut start = self.indent;
        for cell in keys.iter().filter(|cell| !cell.text.is_empty()) {
            if lines.column > self.indent && lines.column + cell.width() > width {
                lines.new_line();
                start = deeper;
            }
            let room = width.saturating_sub(start.max(lines.column)).max(1);
            for (number, line) in wrap(&cell.text, Some(room)).iter().enumerate() {
                if number > 0 {
                    lines.new_line();
                    start = deeper;
                }
                lines.put(start, line, cell.style.as_ref(), colours);
            }
            start = lines.column + 1;
        }
        for (nth, cell) in rest.iter().filter(|cell| !cell.text.is_empty()).enumerate() {
            if nth > 0 && lines.column + GAP + cell.width() <= width {
                lines.put(lines.column + GAP, &cell.text, cell.style.as_ref(), colours);
                continue;
            }
            lines.new_line();
            let room = width.saturating_sub(deeper).max(1);
            for (number, line) in wrap(&cell.text, Some(room)).iter().enumerate() {
                if number > 0 {
                    lines.new_line();
                }
                lines.put(deeper, line, cell.style.as_ref(), colours);
            }
        }
        lines.end()
    }
}

/// A writer that fills lines from left to right.
struct Lines {
    text: String,
    /// The next free column.
    column: usize,
}

impl Lines {
    const fn new() -> Self {
        Self { text: String::new(), column: 0 }
    }

    fn put(&mut self, start: usize, text: &str, style: Option<&Style>, colours: Colours) {
        // Put a space after an entry that is longer than its column.
        let distance = if self.column > start { 1 } else { start - self.column };
        self.text += &" ".repeat(distance);
        match style {
            Some(style) => self.text += &paint(text, style.clone(), colours),
            None => self.text += text,
        }
        self.column += distance + measure_text_width(text);
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    fn end(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

/// Breaks a text into lines of at most `width` terminal columns. A break is between words, or
/// inside a word that is wider than a line. `None` means one line without a limit.
fn wrap(text: &str, width: Option<usize>) -> Vec<Cow<'_, str>> {
    let Some(width) = width else { return vec![text.into()] };
    // Do not break a line after a hyphen, because names and options contain hyphens. The algorithm
    // that fills line by line needs no additional crates.
    let options = textwrap::Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options)
}

#[cfg(test)]
mod tests {
    use super::super::terminal::GREEN;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(2, 3);
        let long = "general-with-a-long-name@conference.smoothcurves.nexus";
        for (kind, name, why) in [
            ("user", "ann@example.org", "declared, not on the server"),
            ("user", "日本語@example.org", "owned, and no longer declared"),
            ("room", long, "its options differ (options.title, options.members_only)"),
        ] {
            table.row([Cell::painted("+", GREEN), kind.into(), name.into(), why.into()]);
        }
        table
    }

    fn page(width: Option<usize>) -> Page {
        Page { width, colours: Colours::Off }
    }

    #[test]
    fn a_pipe_gets_one_whole_line_for_each_row_and_columns_line_up() {
        let text = table().render(page(None));
        assert_eq!(text.lines().count(), 3);
        let start = |line: &str, word: &str| measure_text_width(line.split(word).next().unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(start(lines[0], "declared,"), start(lines[1], "owned,"), "{text}");
        assert!(lines[2].ends_with("options.members_only)"));
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_nothing_is_lost() {
        for width in [20, 40, 60, 80, 100, 200] {
            let text = table().render(page(Some(width)));
            for line in text.lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line:?}\n{text}");
            }
            let squeezed: String = text.split_whitespace().collect();
            for word in ["日本語@example.org", "options.members_only)", "smoothcurves.nexus"] {
                assert!(squeezed.contains(word), "{word} in {width} columns\n{text}");
            }
        }
    }

    #[test]
    fn colour_sequences_have_no_width() {
        let coloured = table().render(Page { width: Some(80), colours: Colours::On });
        assert_eq!(console::strip_ansi_codes(&coloured), table().render(page(Some(80))));
        assert!(coloured.contains("\x1b[32m+\x1b[0m"));
    }

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        let mut table = Table::new(0, 1);
        table.row(["a\x1b[2J".into(), "b\nc\r".into()]);
        assert_eq!(table.render(page(None)), "a\\u{1b}[2J  b\\nc\\r\n");
    }

    #[test]
    fn empty_entries_keep_their_place() {
        let mut table = Table::new(0, 1).headed(&["NAME", "SINCE", "NOTE"]);
        table.row(["ann".into(), "".into(), "banned".into()]);
        table.row(["bea".into(), "today".into(), "".into()]);
        assert_eq!(
            table.render(page(None)),
            "NAME  SINCE  NOTE\nann          banned\nbea   today\n"
        );
    }

    #[test]
    fn only_a_word_that_is_wider_than_a_line_is_broken() {
        assert_eq!(wrap("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", Some(4)), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("日本語", Some(4)), ["日本", "語"]);
        assert_eq!(wrap("", Some(4)), [""]);
    }
}
