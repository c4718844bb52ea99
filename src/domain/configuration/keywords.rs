//! Replaces keywords (`define_keyword`). The configuration that ejabberd prints still contains
//! keywords, in contrast to macros, because ejabberd replaces keywords when ejabberd reads an
//! option (`ejabberd_config:replace_keywords/3` of 25.10 and 26.07; older versions have no
//! keywords). This module replaces a string that is the name of a keyword by the value of the
//! keyword. Inside a string, this module replaces `@NAME@` by the value of the keyword if the value
//! is a string.
//!
//! This module does not replace the predefined keywords of ejabberd (`@HOST@`, `@VERSION@`,
//! `@CONFIG_PATH@`, …), because the configuration does not contain their values.

use super::Value;

/// The option that defines keywords.
const DEFINITIONS: &str = "define_keyword";

/// The maximum number of keywords. Further keywords are not replaced.
const MAX_KEYWORDS: usize = 1000;

/// The maximum size of a string after the replacement, in bytes. Without this limit, keywords that
/// refer to each other could use all memory.
const MAX_TEXT: usize = 64 << 10;

/// Replaces the keywords that `options` defines.
pub(super) fn replaced(options: Value) -> Value {
    let defined: Vec<(String, Value)> = match options.get(DEFINITIONS).and_then(Value::entries) {
        Some(entries) if !entries.is_empty() => {
            entries.iter().take(MAX_KEYWORDS).cloned().collect()
        }
        _ => return options,
    };
    match options {
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(name, value)| {
                    let value = if name == DEFINITIONS { value } else { replace(value, &defined) };
                    (name, value)
                })
                .collect(),
        ),
        other => other,
    }
}

fn replace(value: Value, defined: &[(String, Value)]) -> Value {
    match value {
        Value::Text(text) => in_text(text, defined),
        Value::List(elements) => {
            Value::List(elements.into_iter().map(|element| replace(element, defined)).collect())
        }
        Value::Map(entries) => Value::Map(
            entries.into_iter().map(|(key, value)| (key, replace(value, defined))).collect(),
        ),
        other => other,
    }
}

fn in_text(mut text: String, defined: &[(String, Value)]) -> Value {
    if let Some((_, value)) = defined.iter().find(|(name, _)| *name == text) {
        return value.clone();
    }
    for (name, value) in defined {
        let Value::Text(value) = value else { continue };
        let mark = format!("@{name}@");
        if text.contains(&mark) {
            let longer = text.replace(&mark, value);
            if longer.len() > MAX_TEXT {
                break;
            }
            text = longer;
        }
    }
    Value::Text(text)
}
