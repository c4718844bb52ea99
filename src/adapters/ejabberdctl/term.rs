//! A parser of Erlang terms as `~p` prints them.

use crate::ejabberd::Value;

/// The maximum depth of a term. No command prints deeper terms.
const MAX_DEPTH: usize = 64;

/// The first term in `text`; `None` if `text` does not begin with a term. A term that [`Value`]
/// does not represent (a pid, a function, a map) becomes [`Value::Other`].
pub(super) fn read(text: &str) -> Option<Value> {
    Reader { rest: text }.term(0)
}

/// The value of `key` in a printed list of pairs; `None` if the list does not contain the key.
pub(super) fn value_of(text: &str, key: &str) -> Option<Value> {
    let Value::List(pairs) = read(text)? else { return None };
    pairs.into_iter().find_map(|pair| match pair {
        Value::Tuple(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([name, value]) if name.as_text() == Some(key) => Some(value),
            _ => None,
        },
        _ => None,
    })
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn term(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_space();
        let first = self.rest.chars().next()?;
        match first {
            '[' => Some(characters(self.items('[', ']', depth)?)),
            '{' => Some(Value::Tuple(self.items('{', '}', depth)?)),
            '"' => {
                let text = self.quoted('"')?;
                Some(if text.is_empty() { Value::List(Vec::new()) } else { Value::Text(text) })
            }
            '\'' => Some(Value::Atom(self.quoted('\'')?)),
            '<' if self.rest.starts_with("<<") => self.binary(),
            '#' | '<' => self.other(),
            '-' | '0'..='9' => self.number(),
            _ => {
                let word = self.word();
                (!word.is_empty()).then(|| Value::Atom(word.to_owned()))
            }
        }
    }

    fn items(&mut self, open: char, close: char, depth: usize) -> Option<Vec<Value>> {
        self.take(open)?;
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.take(close).is_some() {
                return Some(items);
            }
            // The parser adds the tail of an improper list as an element.
            if !items.is_empty() {
                self.take(',').or_else(|| self.take('|'))?;
            }
            items.push(self.term(depth + 1)?);
        }
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        self.take(quote)?;
        loop {
            match self.next()? {
                '\\' => text.push(self.escaped()?),
                next if next != quote => text.push(next),
                // `~p` splits a long string into adjacent strings.
                _ if quote == '"' => {
                    let Some(rest) = self.rest.trim_start().strip_prefix('"') else { break };
                    self.rest = rest;
                }
                _ => break,
            }
        }
        Some(text)
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'e' => '\u{1b}',
            's' => ' ',
            'd' => '\u{7f}',
            'x' => {
                let (digits, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
                self.rest = rest;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            other => other,
        })
    }

    /// Parses a binary: `<<"text">>`, `<<"text"/utf8>>` or `<<1,2,3>>`.
    fn binary(&mut self) -> Option<Value> {
        self.rest = self.rest.strip_prefix("<<")?;
        let value = if self.rest.starts_with('"') {
            let text = self.quoted('"')?;
            self.rest = self.rest.strip_prefix("/utf8").unwrap_or(self.rest);
            Value::Text(text)
        } else {
            let (bytes, _) = self.rest.split_once(">>")?;
            let read = bytes.split(',').filter(|byte| !byte.trim().is_empty());
            let read: Vec<u8> = read.map(|byte| byte.trim().parse().ok()).collect::<Option<_>>()?;
            self.rest = self.rest.get(bytes.len()..)?;
            String::from_utf8(read).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text)
        };
        self.rest = self.rest.strip_prefix(">>")?;
        Some(value)
    }

    /// Skips a term that [`Value`] does not represent, such as `<0.1.0>`, `#Fun<a.1.2>`,
    /// `#Ref<0.1>` or `#{a => b}`.
    fn other(&mut self) -> Option<Value> {
        let mut depth = 0_usize;
        for (at, next) in self.rest.char_indices() {
            match next {
                '<' | '{' | '[' | '(' => depth += 1,
                '>' if self.rest.get(..at)?.ends_with('=') => {}
                '>' | '}' | ']' | ')' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        self.rest = self.rest.get(at + 1..)?;
                        return Some(Value::Other);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).ok()
    }

    fn word(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_@.".contains(c)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(next)
    }
}

/// Converts a list of characters to a string, and keeps any other list. `~p` prints a string with a
/// character beyond Latin-1 as a list of numbers.
fn characters(items: Vec<Value>) -> Value {
    let text: Option<String> = items
        .iter()
        .map(|item| match item {
            Value::Int(code) if *code >= 32 => char::from_u32(u32::try_from(*code).ok()?),
            _ => None,
        })
        .collect();
    match text {
        Some(text) if text.chars().any(|c| c > '\u{ff}') => Value::Text(text),
        _ => Value::List(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn atom(name: &str) -> Value {
        Value::Atom(name.into())
    }

    #[test]
    fn printed_terms_are_read_back() {
        for (printed, value) in [
            ("opt_disc", atom("opt_disc")),
            ("ejabberd@localhost", atom("ejabberd@localhost")),
            ("'An atom'", atom("An atom")),
            ("-17", Value::Int(-17)),
            ("1.5", Value::Float(1.5)),
            ("\"a\\\"b\\nc\"", text("a\"b\nc")),
            ("\"one \"\n  \"string\"", text("one string")),
            ("<<\"b\\x{f6}b\"/utf8>>", text("böb")),
            ("<<195,182>>", text("ö")),
            ("[]", Value::List(vec![])),
            ("[23494,116]", text("密t")),
            ("[\"team\",\"other\"]", Value::List(vec![text("team"), text("other")])),
            (
                "{a, <0.199.0>,#Ref<0.1.2>, #{x => {1,2}},#Fun<a.1.2> }",
                Value::Tuple(vec![
                    atom("a"),
                    Value::Other,
                    Value::Other,
                    Value::Other,
                    Value::Other,
                ]),
            ),
        ] {
            assert_eq!(read(printed), Some(value), "{printed}");
        }
        for broken in ["", "[1", "{a", "\"x", "<<1", "<<300>>", "#{", &"[".repeat(1000)] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_string_of_a_million_pieces_is_one_string() {
        let pieces = "\"a\" ".repeat(1_000_000);
        assert_eq!(read(&pieces), Some(text(&"a".repeat(1_000_000))));
    }

    #[test]
    fn a_key_is_found_in_a_printed_list_of_pairs() {
        let printed = "[{access_module,mnesia},\n {subscribers,[<0.1.0>,<0.2.0>]},\n \
                       {directory,\"/home/ejabberd/database\"},\n {size,2}]\n";
        assert_eq!(value_of(printed, "directory"), Some(text("/home/ejabberd/database")));
        assert_eq!(value_of(printed, "size"), Some(Value::Int(2)));
        assert_eq!(value_of(printed, "absent"), None);
        assert_eq!(value_of("no list", "size"), None);
    }
}
