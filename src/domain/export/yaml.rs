//! Writes YAML. A YAML parser reads every string back unchanged. A line break in a name from the
//! server cannot end a comment.

/// The maximum line length, in characters, for lines that the writer can split.
const WIDTH: usize = 80;

/// Words that some YAML parsers do not read as a string.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// Returns a YAML scalar: plain if every YAML parser reads the plain form as a string, else in
/// double quotes.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    let letter = |c: char| c.is_alphabetic() || matches!(c, '/' | '_');
    let inside =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | '@' | '+' | ' ' | ':');
    text.starts_with(letter)
        && text.chars().all(inside)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains("  ")
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Returns a string in double quotes, on one line, with invisible and deceptive characters escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c if is_shown(c) => out.push(c),
            c if u32::from(c) < 0x100 => out += &format!("\\x{:02x}", u32::from(c)),
            c if u32::from(c) < 0x1_0000 => out += &format!("\\u{:04x}", u32::from(c)),
            c => out += &format!("\\U{:08x}", u32::from(c)),
        }
    }
    out + "\""
}

/// Whether a character is visible and not deceptive.
fn is_shown(c: char) -> bool {
    matches!(c, ' '..='~') || c.is_alphanumeric() || (!c.is_ascii() && c.escape_debug().len() == 1)
}

/// Returns a key with a list: `[a, b]`, or one line for each element if the line is too long.
pub(super) fn list(key: &str, indent: usize, items: &[String]) -> String {
    let margin = " ".repeat(indent);
    let line = format!("{margin}{key}: [{}]\n", items.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    let mut lines = format!("{margin}{key}:\n");
    for item in items {
        lines += &format!("{margin}  - {item}\n");
    }
    lines
}

/// Returns a comment, with line breaks between words.
pub(super) fn comment(indent: usize, text: &str) -> String {
    let margin = format!("{}#", " ".repeat(indent));
    let mut lines = vec![margin.clone()];
    for word in text.split_whitespace() {
        let word: String = word.chars().map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect();
        match lines.last_mut() {
            Some(line) if *line == margin || fits(line, &word) => *line += &format!(" {word}"),
            _ => lines.push(format!("{margin} {word}")),
        }
    }
    lines.join("\n") + "\n"
}

fn fits(line: &str, word: &str) -> bool {
    line.chars().count() + 1 + word.chars().count() <= WIDTH
}
