//! A configuration as it may be shown: without its secrets, and without its
//! comments, in which there may be others.
//!
//! Whoever is in doubt masks. A value that is shown although it is a secret
//! cannot be taken back; one too many that is masked costs a look at the file.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::domain::configuration::Value;

/// What stands for a secret.
pub(super) const MASK: &str = "***";

/// Words in the name of an option, or before a sign in a text, that announce a secret.
const SECRET: [&str; 13] = [
    "pass",
    "pwd",
    "passwd",
    "secret",
    "token",
    "key",
    "cred",
    "auth",
    "cookie",
    "bearer",
    "salt",
    "signature",
    "private",
];

/// Options that sound as if they were secret and are not.
const HARMLESS: [&str; 18] = [
    "auth_cache_life_time",
    "auth_cache_missed",
    "auth_cache_size",
    "auth_external_user_exists_check",
    "auth_method",
    "auth_password_format",
    "auth_scram_hash",
    "auth_stored_password_types",
    "auth_use_cache",
    "oauth",
    "oauth_access",
    "oauth_cache_life_time",
    "oauth_cache_missed",
    "oauth_cache_size",
    "oauth_expire",
    "oauth_use_cache",
    "password_protected",
    "private_storage",
];

/// Values that others refer to by name, and that may be anything.
const MACROS: [&str; 2] = ["define_macro", "define_keyword"];

/// A text without blanks that is at least so long and looks random is masked.
const RANDOM: usize = 20;

/// The lines of a configuration. What is masked is followed by a sign and a
/// number: the same value has the same number, so that a comparison of lines
/// sees that it changed. [`shown`] cuts it off.
pub(super) struct Masker {
    numbers: BTreeMap<String, usize>,
}

/// Stands before the number of a masked value; no text that is shown has it.
const SIGN: char = '\u{1}';

impl Masker {
    /// One for both sides of a comparison.
    pub(super) const fn new() -> Self {
        Self { numbers: BTreeMap::new() }
    }

    /// The file as lines.
    pub(super) fn lines(&mut self, file: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(&mut lines, 0, "", file, false);
        lines
    }

    fn write(
        &mut self,
        lines: &mut Vec<String>,
        depth: usize,
        lead: &str,
        value: &Value,
        in_macros: bool,
    ) {
        let indent = "  ".repeat(depth);
        match value {
            Value::Map(entries) if !entries.is_empty() => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    let name = self.text(key);
                    // The first entry of a mapping in a list stands behind its dash.
                    let lead = if at == 0 { lead } else { "" };
                    let indent = if lead.is_empty() {
                        indent.clone()
                    } else {
                        format!("{}{lead}", "  ".repeat(depth.saturating_sub(1)))
                    };
                    let start = format!("{indent}{}:", quoted(&name));
                    if is_secret(key) && !matches!(value, Value::Null) {
                        let masked = self.masked(value);
                        lines.push(format!("{start} {masked}"));
                        continue;
                    }
                    let in_macros = in_macros || MACROS.contains(&key.as_str());
                    match self.scalar(value, in_macros) {
                        Some(text) => lines.push(format!("{start} {text}")),
                        None => {
                            lines.push(start);
                            self.write(lines, depth + 1, "", value, in_macros);
                        }
                    }
                }
            }
            Value::List(elements) if !elements.is_empty() => {
                for element in elements {
                    match self.scalar(element, in_macros) {
                        Some(text) => lines.push(format!("{indent}{lead}- {text}")),
                        None => self.write(lines, depth + 1, "- ", element, in_macros),
                    }
                }
            }
            other => {
                let text = self.scalar(other, in_macros).unwrap_or_default();
                lines.push(format!("{indent}{lead}{text}"));
            }
        }
    }

    /// What is written in one line; nothing of what needs several.
    fn scalar(&mut self, value: &Value, in_macros: bool) -> Option<String> {
        Some(match value {
            Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
            Value::List(elements) if elements.is_empty() => "[]".to_owned(),
            Value::Map(_) | Value::List(_) => return None,
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            other if in_macros => self.masked(other),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) => {
                let shown = self.text(text);
                quoted(&shown)
            }
        })
    }

    /// A text, without what is secret in it.
    fn text(&mut self, text: &str) -> String {
        // The sign is ours.
        let clean = || text.replace(SIGN, "\u{fffd}");
        match harmless_part(text) {
            Some(at) if at >= text.len() => clean(),
            Some(at) => {
                let (before, after) = text.split_at(at);
                let masked = self.masked(&Value::Text(after.to_owned()));
                format!("{}{masked}", before.replace(SIGN, "\u{fffd}"))
            }
            None => self.masked(&Value::Text(text.to_owned())),
        }
    }

    fn masked(&mut self, value: &Value) -> String {
        let next = self.numbers.len();
        let number = self.numbers.entry(format!("{value:?}")).or_insert(next);
        format!("{MASK}{SIGN}{number}{SIGN}")
    }
}

/// A line as it may be shown, and whether something in it is masked.
pub(super) fn shown(line: &str) -> (String, bool) {
    let parts: Vec<&str> = line.split(SIGN).collect();
    let masked = parts.len() > 1;
    (parts.into_iter().step_by(2).collect(), masked)
}

/// Whether the value of an option must not be shown.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    !HARMLESS.contains(&key.as_str()) && SECRET.iter().any(|word| key.contains(word))
}

/// How much of a text may be shown: all of it, up to a place in it, or nothing.
fn harmless_part(text: &str) -> Option<usize> {
    if text.contains("-----BEGIN") || text.starts_with("eyJ") || looks_random(text) {
        return None;
    }
    let mut end = text.len();
    // `sql://user:password@host` or without its beginning, to the last @, which
    // a password may have too.
    let sign = if text.contains("://") { "://" } else { ":" };
    if let Some(at) = text.find(sign)
        && text.get(at..).is_some_and(|rest| rest.contains('@'))
    {
        end = at + sign.len();
    }
    // `PWD=…`, `--password …`, `token: …`: to the end, because nobody can tell
    // where a password ends.
    let lower = text.to_ascii_lowercase();
    for word in SECRET {
        for (at, found) in lower.match_indices(word) {
            let rest = lower.get(at + found.len()..).unwrap_or_default();
            let name =
                rest.trim_start_matches(|c: char| c.is_alphanumeric() || "_-'\"".contains(c));
            if name.starts_with(['=', ':', ' ', '\t']) {
                let value = name.trim_start_matches(['=', ':', ' ', '\t']);
                if !value.is_empty() {
                    end = end.min(lower.len() - value.len());
                }
            }
        }
    }
    Some(end)
}

/// Whether a text has no words in it: keys, hashes.
fn looks_random(text: &str) -> bool {
    let signs = |c: char| c.is_ascii_alphanumeric() || "+/=_".contains(c);
    if text.len() < RANDOM || text.starts_with('/') || !text.chars().all(signs) {
        return false;
    }
    let has = |of: fn(&u8) -> bool| text.as_bytes().iter().any(of);
    let letters = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (letters && digits > 0) || digits * 5 >= text.len()
}

/// A text as YAML would have it, where it could be taken for something else.
/// Signs that could deceive are left to who shows it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./@*+ ".contains(c) || c == SIGN;
    let starts = text.starts_with(|c: char| c.is_alphanumeric() || "_/@*".contains(c));
    let ambiguous = matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "~")
        || text.parse::<f64>().is_ok()
        || text.ends_with(' ');
    if starts && !ambiguous && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("{:?}", text.replace(SIGN, "\u{e000}")).replace("\\u{e000}", "\u{1}")
    }
}
