//! Masks the secrets in a configuration of ejabberd.
//!
//! The masked text has no comments, because a comment can hold a secret too. A value that might be
//! a secret is masked, because the disclosure of a secret cannot be undone. A value that was masked
//! without need is still in the file.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{MASK, SecretNames};
use crate::domain::configuration::Value;

/// The options that hold secrets. In a text, the same words before a sign such as `=`
/// announce a secret.
const OPTIONS: SecretNames = SecretNames {
    words: &[
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
    ],
    harmless: &[
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
    ],
};

/// Options that give names to values. Other options use these values by name, so each value may be
/// a secret.
const MACROS: [&str; 2] = ["define_macro", "define_keyword"];

/// The minimum length, in bytes, of a text that is masked because the text looks random and has no
/// blanks.
const RANDOM: usize = 20;

/// Writes configurations as lines in which secrets are masked.
///
/// Each mask is followed by a number between two [`SIGN`]s. Equal secrets have equal
/// numbers, so a comparison of lines sees that a secret changed. [`shown`] removes the
/// numbers.
pub(crate) struct Masker {
    numbers: BTreeMap<String, usize>,
}

/// Encloses the number of a masked value. [`Masker`] replaces this character in every text, so a
/// configuration cannot forge a number.
const SIGN: char = '\u{1}';

/// Whether a value is inside of [`MACROS`].
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Options,
    Macros,
}

impl Masker {
    /// Creates a masker. Use one masker for all sides of a comparison: only then equal secrets have
    /// equal numbers.
    pub(crate) const fn new() -> Self {
        Self { numbers: BTreeMap::new() }
    }

    /// Returns the configuration as lines with masked secrets.
    pub(crate) fn lines(&mut self, file: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(&mut lines, 0, "", file, Scope::Options);
        lines
    }

    /// Appends the lines of `value`. `lead` is the dash before the first line of a list element.
    fn write(
        &mut self,
        lines: &mut Vec<String>,
        depth: usize,
        lead: &str,
        value: &Value,
        scope: Scope,
    ) {
        let indent = "  ".repeat(depth);
        match value {
            Value::Map(entries) if !entries.is_empty() => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    let name = self.text(key);
                    // The first entry of a mapping in a list follows the dash.
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
                    let scope = if MACROS.contains(&key.as_str()) { Scope::Macros } else { scope };
                    match self.scalar(value, scope) {
                        Some(text) => lines.push(format!("{start} {text}")),
                        None => {
                            lines.push(start);
                            self.write(lines, depth + 1, "", value, scope);
                        }
                    }
                }
            }
            Value::List(elements) if !elements.is_empty() => {
                for element in elements {
                    match self.scalar(element, scope) {
                        Some(text) => lines.push(format!("{indent}{lead}- {text}")),
                        None => self.write(lines, depth + 1, "- ", element, scope),
                    }
                }
            }
            other => {
                let text = self.scalar(other, scope).unwrap_or_default();
                lines.push(format!("{indent}{lead}{text}"));
            }
        }
    }

    /// Returns a value that fits in one line, with masked secrets; `None` for a value that needs
    /// several lines.
    fn scalar(&mut self, value: &Value, scope: Scope) -> Option<String> {
        Some(match value {
            Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
            Value::List(elements) if elements.is_empty() => "[]".to_owned(),
            Value::Map(_) | Value::List(_) => return None,
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            other if scope == Scope::Macros => self.masked(other),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) => {
                let shown = self.text(text);
                quoted(&shown)
            }
        })
    }

    /// Returns a text with its secret part masked.
    fn text(&mut self, text: &str) -> String {
        // A [`SIGN`] in the text would look like the end of a mask.
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

/// A line without the numbers of its masks, and whether the line has a mask.
pub(crate) fn shown(line: &str) -> (String, bool) {
    let parts: Vec<&str> = line.split(SIGN).collect();
    let masked = parts.len() > 1;
    (parts.into_iter().step_by(2).collect(), masked)
}

/// Whether the value of an option must not be shown.
fn is_secret(key: &str) -> bool {
    OPTIONS.announces(&key.to_lowercase())
}

/// The number of bytes at the start of a text that hold no secret; `None` if the whole text
/// may be secret.
fn harmless_part(text: &str) -> Option<usize> {
    if text.contains("-----BEGIN") || text.starts_with("eyJ") || looks_random(text) {
        return None;
    }
    let mut end = text.len();
    // A URL such as `sql://user:password@host`, with or without the scheme. A password may contain
    // `@` too, so everything after `://` or `:` is masked.
    let sign = if text.contains("://") { "://" } else { ":" };
    if let Some(at) = text.find(sign)
        && text.get(at..).is_some_and(|rest| rest.contains('@'))
    {
        end = at + sign.len();
    }
    // `PWD=…`, `--password …`, `token: …`: the text is masked to its end, because the end of
    // the password is unknown.
    let lower = text.to_ascii_lowercase();
    for word in OPTIONS.words {
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

/// Whether a text looks like a key or a hash.
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

/// Returns a text, in quotation marks if a YAML parser could read the text as another type. The
/// caller that shows the text escapes deceptive characters.
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
